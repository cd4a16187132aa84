"""Bugs to plant in the implementation, one at a time: each is what someone could write by mistake.

A bug is a function that patches the code; its name says what is wrong. The draws that the truth shares
with the implementation (``RowStream``, ``generator``) are patched only where the stack uses them.
"""

from collections.abc import Callable
from typing import Any

import pytest

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]


def planting(bugs: list[Bug]) -> Callable[[Bug], Bug]:
    """A decorator that adds a bug to ``bugs``."""

    def planted(bug: Bug) -> Bug:
        bugs.append(bug)
        return bug

    return planted


def around(patch: Patch, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by ``wrapper(original, *arguments)``."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))
