"""Short trials of teams: how long a step takes, in stacks of which width, and beside how many others."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.registry import STACKED
from lanewise.training.planning.allowance import Allowance
from lanewise.training.selecting import selects
from lanewise.training.team import Team
from lanewise.training.teams import TeamBuilder, trains_at_hand

T = TypeVar("T")

CLEARLY_FASTER = 1.1
"""How much less a step must cost per lane before another stack width than the usual one is taken."""

TRIAL_STEPS = 6
TRIALS = 3

USUALLY_CROWDED = 1.4
"""How many times as long a step takes with all workers at work, where there is no room to measure it."""


def first_team(builder: TeamBuilder, lanes: Sequence[Lane]) -> Team:
    """The first of the teams that ``builder`` forms of these lanes; the others are not made."""
    return builder.parts(lanes, "trial")[0][1]()


def trial(team: Team, units: int, *, most_seconds: float = math.inf) -> float:
    """Seconds of one unit of a team's length, for all its lanes, after a few to warm up."""
    return timed(team, units, most_seconds=most_seconds)[0]


def timed(team: Team, units: int, *, most_seconds: float = math.inf) -> tuple[float, float]:
    """Seconds of one unit as :func:`trial` has them, by the clock and of processor time of this thread.

    Fewer than ``units`` are taken, but one, where what those before took says that all take over ``most_seconds``.
    """
    at = round(team.fraction * team.length)
    began = time.perf_counter()
    team.advance((at + team.warm_up) / team.length)
    gone = time.perf_counter() - began
    each = gone / max(team.warm_up, 1)
    if gone + units * each > most_seconds:
        units = max(1, int((most_seconds - gone) / each))
    started, used = time.perf_counter(), time.thread_time()
    team.advance((at + team.warm_up + units) / team.length)
    processor = time.thread_time() - used  # within what the clock is read around
    return (time.perf_counter() - started) / units, processor / units


def best_widths(
    pool: Sequence[Candidate], builder: TeamBuilder, allowance: Allowance, *, until: float
) -> Mapping[str, int]:
    """The best of a few stack widths for each structure, by the time of a step per lane.

    Which is best depends on the caches and on what a call costs, and so on the machine. The usual width stays unless
    another is clearly faster, and where there is no room to measure.
    """
    builder = replace(builder, workers=1)
    by_key: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in pool:
        if builder.on_gpu(candidate):
            continue  # where many lanes take hardly longer than one: as wide as can be
        if not trains_at_hand(candidate) and not selects(candidate):
            by_key.setdefault(builder.key(Lane(candidate=candidate, fold=0, seed=0)), []).append(candidate)
    found: dict[str, int] = {}
    for key in allowance.within(by_key, until=until):
        candidates = by_key[key]
        usual = builder.width(Lane(candidate=candidates[0], fold=0, seed=0))
        others = [width for width in (max(1, usual // 2), max(1, usual // 4)) if width < usual]
        seconds = {
            width: trial(first_team(builder, _many(candidates, width, builder)), TRIAL_STEPS) / width
            for width in (dict.fromkeys((usual, *others)) if others else ())
        }
        best = min(seconds, key=lambda width: seconds[width], default=usual)
        found[str(key)] = best if not seconds or seconds[best] * CLEARLY_FASTER <= seconds[usual] else usual
    return found


def _many(candidates: Sequence[Candidate], count: int, builder: TeamBuilder) -> list[Lane]:
    """``count`` lanes as a confirmation has them: every candidate on every fold, and again with other seeds."""
    folds = len(builder.data.folds)
    return [
        Lane(
            candidate=candidates[place % len(candidates)],
            fold=place // len(candidates) % folds,
            seed=place // len(candidates) // folds,
        )
        for place in range(count)
    ]


def crowding(
    pools: Mapping[str, Sequence[Candidate]], builder: TeamBuilder, allowance: Allowance, *, until: float
) -> float:
    """How many times as long a step of a stack takes while all workers are at one, from 1 to their number.

    Cores share memory, caches and, where two are one core twice, everything.
    """
    pool = max((pools.get(model, ()) for model in STACKED), key=len)
    stacked = [one for one in pool if not trains_at_hand(one)]
    if stacked and builder.on_gpu(stacked[0]):
        # They take turns, while the workers wait, or train trees that take about as long.
        return builder.workers / 2 if builder.pool is not None and builder.workers > 1 else float(builder.workers)
    workers = builder.workers_here
    if workers < 2 or not stacked:
        return 1.0
    first = builder.key(Lane(candidate=stacked[0], fold=0, seed=0))
    alike = [one for one in stacked if builder.key(Lane(candidate=one, fold=0, seed=0)) == first]
    width = builder.width(Lane(candidate=alike[0], fold=0, seed=0))
    if not allowance.left(until):
        return min(USUALLY_CROWDED, workers)
    teams = [make() for _, make in builder.parts(_many(alike, width * workers, builder), "trial")[:workers]]
    alone, together = [], []
    for _ in allowance.within(range(TRIALS), until=until, least=1):
        # The fastest of a few: other work on the machine is no neighbour of the race.
        alone.append(trial(teams[0], TRIAL_STEPS))
        together.append(at_once(teams, lambda team: trial(team, TRIAL_STEPS)))
    for team in teams:
        team.settle()
        team.keep(())
    slowest = max(map(min, zip(*together, strict=True)))
    return float(np.clip(slowest / min(alone), 1.0, workers))  # at most as if all shared one core


def at_once(teams: Sequence[Team], work: Callable[[Team], T]) -> list[T]:
    """What ``work`` gives for each team, a thread each."""
    with ThreadPoolExecutor(len(teams)) as threads:
        return list(threads.map(work, teams))
