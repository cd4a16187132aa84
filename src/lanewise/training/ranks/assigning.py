"""Which rank trains which team: by predicted cost, the longest first."""

from collections.abc import Sequence

WORTH_A_MOVE = 0.9
"""How much shorter the longest rank's work must become before teams leave the rank that has their state."""


def assigned(costs: Sequence[float], homes: Sequence[int | None], movable: Sequence[bool], size: int) -> list[int]:
    """A rank of ``size`` for each team of ``costs``; the same on every rank, for it reads no clock.

    ``homes`` are where the teams have been trained so far, None: nowhere. Those that are not ``movable`` stay; the
    others move only where that shortens the longest rank's work clearly.

    >>> assigned([5.0, 4.0, 3.0, 3.0], [None] * 4, [True] * 4, 2)
    [0, 1, 1, 0]
    >>> assigned([5.0, 1.0, 1.0, 1.0], [0, 0, 0, 1], [True] * 4, 2)
    [0, 1, 1, 1]
    >>> assigned([5.0, 1.0, 1.0, 1.0], [0, 0, 0, 1], [True, False, True, True], 2)
    [0, 0, 1, 1]
    """
    stay = _placed(costs, homes, size)
    fixed = [home if not may else None for home, may in zip(homes, movable, strict=True)]
    fresh = _placed(costs, fixed, size)
    return fresh if _longest(costs, fresh, size) < WORTH_A_MOVE * _longest(costs, stay, size) else stay


def _placed(costs: Sequence[float], homes: Sequence[int | None], size: int) -> list[int]:
    loads = [0.0] * size
    found: list[int] = [-1] * len(costs)
    for team, home in enumerate(homes):
        if home is not None:
            found[team] = home
            loads[home] += costs[team]
    for team in sorted(
        (team for team, home in enumerate(homes) if home is None), key=lambda team: (-costs[team], team)
    ):
        found[team] = min(range(size), key=lambda rank: (loads[rank], rank))
        loads[found[team]] += costs[team]
    return found


def _longest(costs: Sequence[float], ranks: Sequence[int], size: int) -> float:
    loads = [0.0] * size
    for cost, rank in zip(costs, ranks, strict=True):
        loads[rank] += cost
    return max(loads)
