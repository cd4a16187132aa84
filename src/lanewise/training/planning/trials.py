"""Short trials that tell the plan what lanes cost here, in which format and in stacks of which width."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.registry import STACKED
from lanewise.optim.registry import rule
from lanewise.training.data import TrainingData
from lanewise.training.planning.measuring import WORTH_IT
from lanewise.training.planning.proposals import SOLVER
from lanewise.training.selecting import columns_read, reads_all, selects
from lanewise.training.stack import Stack
from lanewise.training.team import Evidence, Team
from lanewise.training.teams import DTYPES, TeamBuilder
from lanewise.training.trees.team import race_spec

T = TypeVar("T")

CLEARLY_FASTER = 1.1
"""How much less a step must cost per lane before another stack width than the usual one is taken."""

TRIAL_STEPS = 6
TRIAL_ROUNDS = 5
TRIAL_ITERATIONS = 3
TRIALS = 3

LOOKED_ROWS = 8_192
"""Rows of a fold that a look is measured on: enough for full speed, few enough to cost nothing."""

SPIN_SECONDS = 0.03
"""How long a loop of nothing shows which share of a core this process gets."""


def costs_alone(pool: Sequence[Candidate], builder: TeamBuilder, costs: Mapping[str, float]) -> dict[str, float]:
    """Processor seconds of one full-length training of each candidate, alone in float32: a plain loop's cost.

    Trees and solvers gain nothing by company here, or are not told apart: they cost what they cost. Their ``costs``
    are seconds of the clock, of which a busy machine spends a part on others.
    """
    plain = replace(builder, compute=None, records=False)
    timed: dict[tuple[object, ...], float] = {}
    clock, processor = 0.0, 0.0
    for candidate in pool:
        lane = Lane(candidate=candidate, fold=0, seed=0)
        if candidate.model not in STACKED or candidate.optimizer == SOLVER:
            continue
        key = builder.key(lane)
        if key not in timed:
            team = plain.form([lane], "trial")[0]
            passed, spent = _timed(team, TRIAL_STEPS)
            timed[key] = spent * team.length
            clock, processor = clock + passed, processor + spent
    share = min(1.0, processor / clock) if clock else _share_of_a_core()
    lanes = {candidate.id: Lane(candidate=candidate, fold=0, seed=0) for candidate in pool}
    keys = {id: builder.key(lane) for id, lane in lanes.items() if lane.candidate.model in STACKED}
    return {id: timed.get(keys.get(id, ()), share * costs[id]) for id in lanes}


def _share_of_a_core() -> float:
    """Which share of a core this thread gets now: 1 on a machine that is free."""
    started, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() - started < SPIN_SECONDS:
        pass
    return min(1.0, (time.thread_time() - used) / (time.perf_counter() - started))


def best_precision(pool: Sequence[Candidate], builder: TeamBuilder) -> str:
    """bfloat16 for the products of networks where it was measured to be clearly faster on this machine."""
    if not pool or builder.dtype != torch.float32:
        return "float32"
    lanes = [Lane(candidate=candidate, fold=0, seed=0) for candidate in pool]
    teams = {name: replace(builder, compute=DTYPES[name]).form(lanes, "trial")[0] for name in ("float32", "bfloat16")}
    seconds = dict.fromkeys(teams, float("inf"))
    for _ in range(2):  # in turns, so that a neighbour who comes or goes meanwhile slows down both
        seconds = {name: min(seconds[name], _trial(team, TRIAL_STEPS)) for name, team in teams.items()}
    return "bfloat16" if seconds["bfloat16"] * WORTH_IT <= seconds["float32"] else "float32"


def best_widths(pool: Sequence[Candidate], builder: TeamBuilder) -> dict[str, int]:
    """The best of a few stack widths for each structure, by the time of a step per lane.

    Which is best depends on the caches and on what a call costs, and so on the machine. The usual width stays unless
    another is clearly faster.
    """
    builder = replace(builder, workers=1)
    by_key: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in pool:
        if builder.on_gpu(candidate):
            continue  # where many lanes take hardly longer than one: as wide as can be
        if candidate.optimizer != SOLVER and not rule(candidate.optimizer).full_batch and not selects(candidate):
            by_key.setdefault(builder.key(Lane(candidate=candidate, fold=0, seed=0)), []).append(candidate)
    found: dict[str, int] = {}
    for key, candidates in by_key.items():
        usual = builder.width(Lane(candidate=candidates[0], fold=0, seed=0))
        seconds = {
            width: _trial(builder.form(_many(candidates, width, builder), "trial")[0], TRIAL_STEPS) / width
            for width in dict.fromkeys((usual, max(1, usual // 2), max(1, usual // 4)))
        }
        best = min(seconds, key=lambda width: seconds[width])
        found[str(key)] = best if seconds[best] * CLEARLY_FASTER <= seconds[usual] else usual
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


def _trial(team: Team, units: int) -> float:
    """Seconds of one unit of a team's length, for all its lanes, after a few to warm up."""
    return _timed(team, units)[0]


def _timed(team: Team, units: int) -> tuple[float, float]:
    """Seconds of one unit as :func:`_trial` has them, by the clock and of processor time of this thread."""
    at = round(team.fraction * team.length)
    team.advance((at + team.warm_up) / team.length)
    started, used = time.perf_counter(), time.thread_time()
    team.advance((at + team.warm_up + units) / team.length)
    processor = time.thread_time() - used  # within what the clock is read around
    return (time.perf_counter() - started) / units, processor / units


def crowding(pools: Mapping[str, Sequence[Candidate]], builder: TeamBuilder) -> float:
    """How many times as long a step of a stack takes while all workers are at one, from 1 to their number.

    Cores share memory, caches and, where two are one core twice, everything.
    """
    pool = max((pools.get(model, ()) for model in STACKED), key=len)
    stacked = [one for one in pool if one.optimizer != SOLVER and not rule(one.optimizer).full_batch]
    if stacked and builder.on_gpu(stacked[0]):
        # They take turns, while the workers wait, or train trees that take about as long.
        return builder.workers / 2 if builder.pool is not None and builder.workers > 1 else float(builder.workers)
    workers = builder.workers_here
    if workers < 2 or not stacked:
        return 1.0
    first = builder.key(Lane(candidate=stacked[0], fold=0, seed=0))
    alike = [one for one in stacked if builder.key(Lane(candidate=one, fold=0, seed=0)) == first]
    width = builder.width(Lane(candidate=alike[0], fold=0, seed=0))
    teams = builder.form(_many(alike, width * workers, builder), "trial")[:workers]
    # The fastest of a few: other work on the machine is no neighbour of the race.
    alone = min(_trial(teams[0], TRIAL_STEPS) for _ in range(TRIALS))
    rounds = [_at_once(teams, lambda team: _trial(team, TRIAL_STEPS)) for _ in range(TRIALS)]
    together = max(map(min, zip(*rounds, strict=True)))
    for team in teams:
        team.settle()
        team.keep(())
    return float(np.clip(together / alone, 1.0, workers))  # at most as if all shared one core


def _at_once(teams: Sequence[Team], work: Callable[[Team], T]) -> list[T]:
    with ThreadPoolExecutor(len(teams)) as threads:
        return list(threads.map(work, teams))


def measured_costs(
    model: str, pool: Sequence[Candidate], builder: TeamBuilder, *, crowded: float = 1.0
) -> dict[str, float]:
    """Processor seconds of one full-length lane of each candidate, from short trials under its real load.

    ``crowded`` is what :func:`crowding` found for stacks; trees are measured with all workers at work.
    """
    if model in STACKED:
        return {id: crowded * cost for id, cost in _measured_stacks(pool, builder).items()}
    return _measured_trees(pool, builder)


def _measured_stacks(pool: Sequence[Candidate], builder: TeamBuilder) -> dict[str, float]:
    """One team of each structure is timed; the others of that structure cost the same per lane."""
    costs: dict[str, float] = {}
    timed: dict[tuple[object, ...], float] = {}
    for team in builder.form([Lane(candidate=candidate, fold=0, seed=0) for candidate in pool], "trial"):
        key = builder.key(team.lanes[0])
        if key not in timed:
            solved = team.lanes[0].candidate.optimizer == SOLVER
            spent = _trial(team, TRIAL_ITERATIONS if solved else TRIAL_STEPS)
            timed[key] = spent / len(team.lanes) * team.length + _read_seconds(team, builder)
        costs |= {lane.candidate.id: timed[key] for lane in team.lanes}
    return costs


def _read_seconds(team: Team, builder: TeamBuilder) -> float:
    """Seconds of a full-length lane for reading and preparing its rows from disk; 0 where they are in memory.

    A trial sees one window only, which is ready before it is timed. In a confirmation the lanes of a fold share what
    is read, and a stack has lanes of every fold.
    """
    data = builder.data
    if data.windows is None or not isinstance(team, Stack):
        return 0.0
    sharing = max(1.0, len(team.lanes) / len(data.folds))
    return data.windows.seconds_a_row * team.batch_size * team.length / sharing


def measured_looks(
    pool: Sequence[Candidate], builder: TeamBuilder, judged: Callable[[TrainingData, Evidence], float]
) -> dict[str, float]:
    """Seconds of one look at a lane of each candidate: predictions for what its fold holds out, and their score.

    One lane of each structure is looked at, at its first step. ``judged`` scores what it has shown over the data given.
    """
    stacked = pool[0].model in STACKED
    data = _few_held_out(builder.data) if stacked else builder.data  # workers of trees hold the folds as they are
    few = replace(builder, data=data, selections=None)
    share = len(builder.data.folds[0].valid) / max(len(data.folds[0].valid), 1)
    costs: dict[str, float] = {}
    timed: dict[tuple[object, ...], float] = {}
    for candidate in pool:
        lane = Lane(candidate=reads_all(candidate), fold=0, seed=0)
        key = builder.key(lane) if stacked else (candidate.model,)
        if key not in timed:
            (team,) = few.form([lane], "look")
            team.advance(1 / team.length)
            timed[key] = share * min(_look(team, data, judged) for _ in range(2))
            team.keep(())
        costs[candidate.id] = timed[key]
    return costs


def _few_held_out(data: TrainingData) -> TrainingData:
    """The same with fewer rows held out, evenly spaced, where they are many."""
    folds = {name: replace(fold, valid=_few(fold.valid)) for name, fold in data.folds.items()}
    return replace(data, folds=folds)


def _few(rows: Tensor) -> Tensor:
    return rows if len(rows) <= LOOKED_ROWS else rows[torch.arange(LOOKED_ROWS) * len(rows) // LOOKED_ROWS]


def _look(team: Team, data: TrainingData, judged: Callable[[TrainingData, Evidence], float]) -> float:
    started = time.perf_counter()
    team.advance(team.fraction)  # trees predict as they arrive
    for item in team.evidence():
        judged(data, item)
    return time.perf_counter() - started


def _measured_trees(pool: Sequence[Candidate], builder: TeamBuilder) -> dict[str, float]:
    data, first = builder.data, pool[0]
    rows, columns = len(data.folds[0].train), data.width.dense
    outputs = data.width.outputs

    def work(candidate: Candidate) -> float:
        spec = race_spec(Lane(candidate=candidate, fold=0, seed=0), 1.0)
        return spec.expected_cost(rows=rows, columns=columns_read(candidate, columns), outputs=outputs)

    # One on each worker: alone it would have the memory and the caches for itself.
    lanes = [Lane(candidate=first, fold=0, seed=seed) for seed in range(builder.workers_here)]
    teams = builder.form(lanes, "trial")
    length = race_spec(lanes[0], 1.0).full_length
    trial = min(length, 1 + TRIAL_ROUNDS)

    def seconds(team: Team) -> tuple[float, float]:
        """Of the first round, with all that comes before it, and of each that follows."""
        started = time.perf_counter()
        team.advance(1 / length)
        first, started = time.perf_counter() - started, time.perf_counter()
        team.advance(trial / length)
        return first, (time.perf_counter() - started) / max(trial - 1, 1)

    begun, each = map(statistics.fmean, zip(*_at_once(teams, seconds), strict=True))
    for team in teams:
        team.keep(())
    if length == 1:
        return {candidate.id: begun * work(candidate) / work(first) for candidate in pool}
    before = max(begun - each, 0.0)  # sorting the cells of a fold into bins
    return {candidate.id: before + each * length * work(candidate) / work(first) for candidate in pool}
