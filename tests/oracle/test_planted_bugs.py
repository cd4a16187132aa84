"""The oracle has teeth: a bug planted in the implementation makes at least one of its checks fail."""

from collections.abc import Callable

import planted_in_passes
import planted_in_rules
import planted_in_updates
import pytest
from planting import Bug
from quick_checks import CHECKS

BUGS = [*planted_in_passes.BUGS, *planted_in_updates.BUGS, *planted_in_rules.BUGS]


def caught_by(checks: tuple[Callable[[], None], ...] = CHECKS) -> str | None:
    """Name of the first check that finds the implementation different from the truth."""
    for check in checks:
        try:
            check()
        except AssertionError:
            return check.__name__
    return None


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_implementation_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    check = caught_by()
    # Shown by pytest -rA or -s: which bug is caught by which check.
    print(f"{bug.__name__}: {check}")
    assert check is not None


def test_there_are_bugs_enough() -> None:
    assert len({bug.__name__ for bug in BUGS}) == len(BUGS) >= 30
