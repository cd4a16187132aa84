"""What lanes cost on this machine: one of each kind is tried, the others are reckoned from it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.registry import STACKED, build
from lanewise.settings.names import SOLVER
from lanewise.training.data import TrainingData
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.amending import MOST_CONFIRMED
from lanewise.training.planning.pace import pace_of
from lanewise.training.planning.tree_costs import measured_trees
from lanewise.training.planning.trials import TRIAL_STEPS, first_team, timed, trial
from lanewise.training.selecting import reads_all
from lanewise.training.stack import Stack
from lanewise.training.team import Evidence, Team
from lanewise.training.teams import TeamBuilder, trains_at_hand

TRIAL_ITERATIONS = 3

SOLVER_LANES = MOST_CONFIRMED["linear"]
"""Lanes of a solver that are tried together: as many as a fold has when they are confirmed, and share its rows then."""

SOLVING_SHARE = 0.25
"""Of the time that is left for costs, what following a solver may take: it tells how soon its lanes end."""

LOOKED_ROWS = 8_192
"""Rows of a fold that a look is measured on: enough for full speed, few enough to cost nothing."""

Key = tuple[object, ...]
Judged = Callable[[TrainingData, Evidence], float]
"""Scores what a lane has shown over the data given."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Processor seconds: of a full training by candidate, and of what is done ``once`` per fold for a family.

    ``look`` is that of a look at a lane of trees; None for stacks, which :func:`measured_looks` tells apart. A lane
    that has a stack for itself takes ``single`` times as long as one in company; those not named as long.
    """

    lanes: Mapping[str, float]
    single: Mapping[str, float] = field(default_factory=dict)
    once: float = 0.0
    look: float | None = None


def costs_alone(
    pool: Sequence[Candidate],
    builder: TeamBuilder,
    costs: Mapping[str, float],
    allowance: Allowance,
    *,
    least: int = 0,
    share: float | None = None,
) -> dict[str, float] | None:
    """Processor seconds of one full-length training of each candidate, alone in float32: a plain loop's cost.

    One of each structure is timed, ``least`` of them in any case; the others are reckoned from those most like them.
    Trees and solvers gain nothing by company here, or are not told apart: they cost what they cost. Their ``costs``
    are seconds of the clock, of which a busy machine spends a part on others: ``share`` is what was left for them,
    seen here where it is None. None where there was no room to measure.
    """
    plain = replace(builder, compute=None, records=False)
    lanes = {candidate.id: Lane(candidate=candidate, fold=0, seed=0) for candidate in pool}
    keys = {
        id: builder.key(lane)
        for id, lane in lanes.items()
        if lane.candidate.model in STACKED and lane.candidate.optimizer != SOLVER
    }
    firsts = _firsts(keys)
    times: dict[Key, float] = {}
    clock, processor = 0.0, 0.0
    for key in allowance.within(firsts, least=least):
        team = plain.form([lanes[firsts[key]]], "trial")[0]
        passed, spent = timed(team, TRIAL_STEPS, most_seconds=allowance.left())
        times[key] = spent * team.length
        clock, processor = clock + passed, processor + spent
    if firsts and not times:
        return None
    work = {key: _work(lanes[id].candidate, builder) for key, id in firsts.items()}
    if share is None:
        share = min(1.0, processor / clock) if clock else pace_of(1)
    return {id: _reckoned(keys[id], times, work) if id in keys else share * costs[id] for id in lanes}


def measured_costs(
    model: str,
    pool: Sequence[Candidate],
    builder: TeamBuilder,
    allowance: Allowance,
    *,
    judged: Judged,
    until: float,
    crowded: float = 1.0,
    pace: float = 1.0,
) -> Costs:
    """What one full-length lane of each candidate costs, from short trials under its real load.

    ``crowded`` is what :func:`crowding` found for stacks; trees are measured with all workers at work. A trial of a
    stack is shorter than a turn of the scheduler: by the clock it sees all of what else the machine does, or nothing.
    So its processor time counts, at the ``pace`` of :func:`lanewise.training.planning.pace.pace_of`; of a solver, which
    is followed for longer, that of the clock.
    """
    if model in STACKED:
        found = _measured_stacks(pool, builder, allowance, until=until, pace=pace)
        return replace(found, lanes={id: crowded * cost for id, cost in found.lanes.items()})
    look = partial(_look, data=builder.data, judged=judged)
    known = measured_trees(pool, builder, allowance, look=look, until=until)
    return Costs(lanes=known.lanes, once=known.once, look=known.look)


def _measured_stacks(
    pool: Sequence[Candidate], builder: TeamBuilder, allowance: Allowance, *, until: float, pace: float
) -> Costs:
    """One team of each structure is timed; the others of that structure cost the same per lane.

    Of each kind of training the first is timed however little time there is: none tells what another takes. So is one
    lane of the first mini-batch structure alone: what a call costs is then paid for one.
    """
    alike: dict[Key, list[Lane]] = {}
    for one in pool:
        lane = Lane(candidate=one, fold=0, seed=0)
        alike.setdefault((*builder.key(lane), *_kind(one)), []).append(lane)
    kinds = {key: _kind(lanes[0].candidate) for key, lanes in alike.items()}
    firsts = {kind: key for key, kind in reversed(kinds.items())}
    known: dict[Key, float] = {}
    for key in allowance.within(dict.fromkeys([*firsts.values(), *alike]), until=until, least=len(firsts)):
        known[key] = _seconds_of_lane(alike[key], builder, allowance.left(until), pace)
    work = {key: _work(lanes[0].candidate, builder) for key, lanes in alike.items()}
    costs: dict[str, float] = {}
    for key, lanes in alike.items():
        own = {other: cost for other, cost in known.items() if kinds[other] == kinds[key]}
        costs |= {lane.candidate.id: _reckoned(key, own, work) for lane in lanes}
    return Costs(lanes=costs, single=_measured_single(alike, known, work, builder, allowance, until=until, pace=pace))


def _measured_single(
    alike: Mapping[Key, Sequence[Lane]],
    known: Mapping[Key, float],
    work: Mapping[Key, float],
    builder: TeamBuilder,
    allowance: Allowance,
    *,
    until: float,
    pace: float,
) -> dict[str, float]:
    """How many times what is ``known`` of a lane in company one alone takes, of every mini-batch structure."""
    stacks = {key: lanes for key, lanes in alike.items() if not trains_at_hand(lanes[0].candidate)}
    stacks = {key: lanes for key, lanes in stacks.items() if not builder.on_gpu(lanes[0].candidate)}
    # Of a structure of one lane it is known already.
    shared = [key for key in stacks if key in known and len(builder.parts(stacks[key], "trial")[0][0]) > 1]
    found: dict[Key, float] = {}
    for key in allowance.within(shared, until=until, least=1):
        found[key] = max(_seconds_of_lane(stacks[key][:1], builder, allowance.left(until), pace) / known[key], 1.0)
    return {
        lane.candidate.id: found[_most_like(key, found, work)]
        for key, own in stacks.items()
        if found and (key in shared or key not in known)
        for lane in own
    }


def _kind(candidate: Candidate) -> Key:
    """What a training is like: whether it reads all rows at every step, and has a solver's penalty with many rounds."""
    return trains_at_hand(candidate), candidate.optimizer == SOLVER and candidate.number("l1") > 0


def _seconds_of_lane(lanes: Sequence[Lane], builder: TeamBuilder, left: float, pace: float) -> float:
    """Seconds of a full-length training of one of ``lanes``, in a team of the first of them; ``left`` may be spent."""
    if lanes[0].candidate.optimizer == SOLVER:
        team = first_team(replace(builder, workers=1), lanes[:SOLVER_LANES])
        return _solved(team, SOLVING_SHARE * left) / len(team.lanes)
    team = first_team(builder, lanes)
    clock, processor = timed(team, TRIAL_STEPS, most_seconds=left)
    # Where a tick of processor time is longer than a trial, as on some systems, it tells nothing, or too much.
    told = 0.0 < processor <= clock and not builder.on_gpu(lanes[0].candidate)
    step = processor / pace if told else clock
    return step / len(team.lanes) * team.length + _read_seconds(team, builder)


def _solved(team: Team, most_seconds: float) -> float:
    """Seconds of a full training of a solver's lanes, which may end long before the most iterations that they have.

    They are followed for about ``most_seconds``; what is then left is reckoned from the last rounds, of which lanes
    that had ended took no part.
    """
    started = time.perf_counter()
    each = trial(team, TRIAL_ITERATIONS, most_seconds=most_seconds)
    while not team.ended:
        spent, taken = time.perf_counter() - started, round(team.fraction * team.length)
        more = min(taken, team.length - taken)
        if spent + more * each > most_seconds:
            return spent + (team.length - taken) * each
        team.advance((taken + more) / team.length)
        each = (time.perf_counter() - started - spent) / more
    return time.perf_counter() - started


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


def _work(candidate: Candidate, builder: TeamBuilder) -> float:
    """What a full training multiplies, but for a factor that is the same for all: parameters times rows seen."""
    parameters = build([candidate], builder.data.width).layout.width
    whole = trains_at_hand(candidate)
    rows = len(builder.data.folds[0].train) if whole else candidate.number("batch_size", 128)
    return parameters * rows * builder.length(candidate)


def _reckoned(key: Key, known: Mapping[Key, float], work: Mapping[Key, float]) -> float:
    """What is ``known`` of a structure, else what is known of the one most like it, in proportion to their work."""
    like = _most_like(key, known, work)
    return known[like] * work[key] / work[like]


def _most_like(key: Key, known: Mapping[Key, float], work: Mapping[Key, float]) -> Key:
    return key if key in known else min(known, key=lambda other: abs(math.log(work[other] / work[key])))


def measured_looks(
    pool: Sequence[Candidate],
    builder: TeamBuilder,
    judged: Judged,
    allowance: Allowance,
    *,
    until: float = 1.0,
    pace: float = 1.0,
) -> dict[str, float]:
    """Seconds of a look at a lane of each stacked candidate: predictions for what its fold holds out, and their score.

    One lane of each structure is looked at, at its first step. ``judged`` scores what it has shown over the data given.
    Where there is no room for all, the others take as long as the longest. ``pace`` as in :func:`measured_costs`.
    """
    data = _few_held_out(builder.data)
    few = replace(builder, data=data, selections=None)
    share = len(builder.data.folds[0].valid) / max(len(data.folds[0].valid), 1)
    lanes = {one.id: Lane(candidate=reads_all(one), fold=0, seed=0) for one in pool}
    keys = {id: builder.key(lane) for id, lane in lanes.items()}
    firsts = _firsts(keys)
    costs: dict[Key, float] = {}
    for key in allowance.within(firsts, until=until, least=1):
        (team,) = few.form([lanes[firsts[key]]], "look")
        team.advance(1 / team.length)
        on_gpu = builder.on_gpu(lanes[firsts[key]].candidate)
        costs[key] = share * (
            _look(team, data, judged) if on_gpu else _look(team, data, judged, time.thread_time) / pace
        )
        team.keep(())
    longest = max(costs.values())
    return {id: costs.get(key, longest) for id, key in keys.items()}


def _firsts(keys: Mapping[str, Key]) -> dict[Key, str]:
    """The first id of every key, in their order."""
    found: dict[Key, str] = {}
    for id, key in keys.items():
        found.setdefault(key, id)
    return found


def _few_held_out(data: TrainingData) -> TrainingData:
    """The same with fewer rows held out, evenly spaced, where they are many."""
    folds = {name: replace(fold, valid=_few(fold.valid)) for name, fold in data.folds.items()}
    return replace(data, folds=folds)


def _few(rows: Tensor) -> Tensor:
    return rows if len(rows) <= LOOKED_ROWS else rows[torch.arange(LOOKED_ROWS) * len(rows) // LOOKED_ROWS]


def _look(team: Team, data: TrainingData, judged: Judged, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a look at the first lane of a team that has trained: the faster of two."""
    seconds: list[float] = []
    for _ in range(2):
        started = clock()
        team.advance(team.fraction)  # trees predict as they arrive
        for item in team.evidence():
            judged(data, item)
        seconds.append(clock() - started)
    return min(seconds)
