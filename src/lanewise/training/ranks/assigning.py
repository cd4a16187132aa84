"""Which rank trains which team: by predicted cost, the longest first."""

from collections.abc import Sequence

WORTH_A_MOVE = 0.9
"""How much shorter the longest rank's work must become before teams leave the rank that has their state."""


NO_GAIN = 0.999
"""A busiest rank's work that shrinks by less has not been shortened: it is rounding."""


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
    moved = _evened(costs, stay, movable, size)
    return moved if max(_loads(costs, moved, size)) < WORTH_A_MOVE * max(_loads(costs, stay, size)) else stay


def busiest(costs: Sequence[float], size: int) -> float:
    """The work of the busiest of ``size`` ranks, were teams of such ``costs`` new to all of them.

    >>> busiest([5.0, 4.0, 3.0, 3.0], 2)
    8.0
    """
    return max(_loads(costs, assigned(costs, [None] * len(costs), [True] * len(costs), size), size))


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


def _evened(costs: Sequence[float], ranks: Sequence[int], movable: Sequence[bool], size: int) -> list[int]:
    """Move one team after another from the busiest rank to the idlest, as long as that shortens the busiest's work."""
    found = list(ranks)
    for _ in range(len(costs) * size):  # far fewer in practice: but sums round, so nothing else is certain to end it
        loads = _loads(costs, found, size)
        busiest, idlest = loads.index(max(loads)), loads.index(min(loads))
        here = [team for team, rank in enumerate(found) if rank == busiest and movable[team] and costs[team] > 0]

        def longest(team: int, busy: float = loads[busiest], idle: float = loads[idlest]) -> float:
            return max(busy - costs[team], idle + costs[team])

        best = min(here, key=lambda team: (longest(team), costs[team], team), default=None)
        if best is None or longest(best) >= NO_GAIN * loads[busiest]:
            break
        found[best] = idlest
    return found


def _loads(costs: Sequence[float], ranks: Sequence[int], size: int) -> list[float]:
    loads = [0.0] * size
    for cost, rank in zip(costs, ranks, strict=True):
        loads[rank] += cost
    return loads
