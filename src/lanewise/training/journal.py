"""Where a race leaves what it has, so that a killed run goes on and loses nothing."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

from torch import Tensor


class Journal(ABC):
    """Keeps the newest state of every team by key; a later save replaces the earlier one whole.

    Where ``keeps`` is False nothing is ever loaded, and the end of a stretch need not be saved.
    """

    keeps: ClassVar[bool] = True

    @abstractmethod
    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep ``tensors`` and the JSON-able ``state`` durably before returning."""

    @abstractmethod
    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was last saved under ``key``, verified; None if nothing was."""


@final
class NoJournal(Journal):
    """Keeps nothing: for races that nobody will resume."""

    keeps: ClassVar[bool] = False

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        del key, tensors, state

    def load(self, key: str) -> None:
        del key
