"""Standings of made-up races."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from lanewise.search.policy import Standing

Stand = Callable[..., Standing]


@pytest.fixture
def stand() -> Stand:
    return stood


def stood(
    scores: Sequence[float] | np.ndarray,
    protected: Sequence[int] = (),
    *,
    families: Sequence[int] | None = None,
    losses: np.ndarray | None = None,
    rung: int = 0,
    numbers: Sequence[int] | None = None,
    entrants: int | None = None,
    kinds: Sequence[int] | None = None,
) -> Standing:
    """A standing of one family in which nobody has left yet, unless said otherwise."""
    mask = np.zeros(len(scores), dtype=bool)
    mask[list(protected)] = True
    return Standing(
        rung=rung,
        scores=np.array(scores, dtype=float),
        losses=losses,
        families=np.array(families or [0] * len(scores)),
        protected=mask,
        numbers=np.arange(len(scores)) if numbers is None else np.array(numbers),
        entrants=entrants or len(scores),
        kinds=np.zeros(len(scores), dtype=int) if kinds is None else np.array(kinds),
    )
