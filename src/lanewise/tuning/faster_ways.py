"""Whether lanes of a module are faster stacked or one by one: measured where the budget is a time."""

import time
from collections.abc import Sequence
from dataclasses import replace

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.apart_team import workers_of
from lanewise.training.divisible import out_of_memory
from lanewise.training.modules.teams import ModuleTeams, Way
from lanewise.training.stack import Stack
from lanewise.training.workers.side_by_side import threads_per_product

CLEARLY = 1.2
"""By how many times another way must be faster than the usual one: a busy machine is no reason."""

SHARE = 0.05
"""Of the budget: what measuring may take."""

TURNS, FEWEST = 6, 2
"""Steps of each way, in turns, of which the fastest counts: a neighbour on the machine only slows down."""


def fastest(teams: ModuleTeams, ways: Sequence[Way], *, candidates: Sequence[Candidate], seconds: float) -> Way:
    """Of two ``ways`` the second where its steps are clearly faster per lane, else the first.

    ``candidates`` share a stack; ``seconds`` is their part of the budget. The first, too, where there is one lane only,
    where a few steps would take more than a twentieth of those seconds, and on a GPU, where a single lane waits for
    Python.
    """
    usual, other = ways
    together = [own for own in candidates if workers_of(own) == 1][: max(own.width for own in ways)]
    if len(together) < FEWEST or teams.device.type != "cpu":
        return usual
    try:
        with threads_per_product(1):
            took = per_lane(teams, ways, together, seconds=SHARE * seconds)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return min(ways, key=lambda own: own.width)
    if not took or took[0] < CLEARLY * took[1]:
        return usual
    return replace(other, words=f"{other.words}: measured to be {took[0] / took[1]:.2g} times as fast")


def per_lane(
    teams: ModuleTeams, ways: Sequence[Way], candidates: Sequence[Candidate], *, seconds: float
) -> list[float]:
    """Seconds of a step of each way, for each of its lanes; nothing where that takes longer than ``seconds``."""
    length = TURNS + 2
    stacks = [
        teams.stack([Lane(candidate=own, fold=0, seed=0) for own in candidates[: way.width]], way, length=length)
        for way in ways
    ]
    smallest, largest = sorted(stacks, key=lambda own: len(own.lanes))
    _step(smallest)  # the first steps allocate what the others find
    turns = min(TURNS, int(seconds / (_step(smallest) * (1 + len(largest.lanes)))) - 1)
    if turns < FEWEST:
        return []
    _step(largest)
    took = [[_step(stack) for stack in stacks] for _ in range(turns)]
    return [min(own) / len(stack.lanes) for own, stack in zip(zip(*took, strict=True), stacks, strict=True)]


def _step(stack: Stack) -> float:
    """Seconds of the next step."""
    until = (round(stack.fraction * stack.length) + 1) / stack.length
    started = time.perf_counter()
    stack.advance(until)
    return time.perf_counter() - started
