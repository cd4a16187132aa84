"""The plan of a tuning race: how long each candidate trains, decided before the first step that counts."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.search.policy import Policy, remaining_of, rungs_of
from lanewise.search.registry import policy_name
from lanewise.training.module_teams import ModuleTeams, batch_of
from lanewise.training.plan import GRID, Lengths, Plan
from lanewise.training.side_by_side import threads_per_product

SHORTEST = 20
"""Steps below which a training says nothing."""

ALLOTTED = 0.7
"""Share of a budget in seconds that is planned with."""

MEASURED_STEPS = 9
"""Of which the fastest third is taken: the first are slow, and a busy machine disturbs others."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a race is to do, and what it may cost: ``steps`` of each training or ``seconds`` for all."""

    candidates: tuple[Candidate, ...]
    policy: Policy
    seeds: tuple[int, ...]
    workers: int
    steps: int | None = None
    seconds: float | None = None


def plan_race(wanted: Wanted, teams: ModuleTeams) -> Plan:
    """The plan. With a budget in steps no clock is read; with one in seconds the speed of a step is measured now.

    ``steps`` are those of the default; candidates of another batch size see as many rows. Raises ``UsageError`` where
    the budget is too small.
    """
    rungs = rungs_of(wanted.policy, len(wanted.candidates))
    left = remaining_of(wanted.policy, len(wanted.candidates))
    confirmed = left[-1] if left else len(wanted.candidates)
    batch = batch_of(wanted.candidates[0])
    words = [f"batch size {size}: {way.words}" for size, way in teams.ways.items()]
    if wanted.steps is not None:
        if wanted.steps < SHORTEST:
            message = f"a budget of {wanted.steps} steps says nothing; give at least {SHORTEST}steps for each training"
            raise UsageError(message)
        rows, predicted = wanted.steps * batch, 0.0
    else:
        assert wanted.seconds is not None
        per_row, fixed = _measured(wanted, teams, _stretches(len(wanted.candidates), rungs, left, wanted.seeds))
        rows = int((ALLOTTED * wanted.seconds - fixed) / per_row)
        predicted = per_row * rows + fixed
        if rows < SHORTEST * batch:
            needed = (per_row * SHORTEST * batch + fixed) / ALLOTTED
            message = (
                f"a budget of {wanted.seconds:g} s allows {max(rows // batch, 0)} steps for each of "
                f"{len(wanted.candidates)} candidates, and {SHORTEST} are the least that says anything; give at least "
                f"{math.ceil(needed)}s, or fewer candidates"
            )
            raise UsageError(message)
        words.append(f"measured: {1e3 * per_row * batch:.3g} ms for a step of everybody")
    made = Lengths(rows_seen=rows)
    steps = made.steps(batch)
    words.insert(0, f"{len(wanted.candidates)} candidates, {steps} steps each, policy {policy_name(wanted.policy)}")
    return Plan(
        candidates=wanted.candidates,
        rungs=rungs,
        confirm={wanted.candidates[0].model: confirmed},
        folds=1,
        seeds=wanted.seeds,
        lengths=made,
        workers=wanted.workers,
        # Of equally good ones the cheaper wins: the one with fewer steps over the same rows.
        costs={own.id: float(made.steps(batch_of(own))) for own in wanted.candidates},
        precision=str(teams.blueprint.dtype).removeprefix("torch."),
        grid=GRID,
        predicted_seconds=predicted,
        words=tuple(words),
    )


def _stretches(
    candidates: int, rungs: Sequence[float], left: Sequence[int], seeds: Sequence[int]
) -> list[tuple[int, float]]:
    """How many lanes train over which share of the full length, one stretch after another.

    ``left`` go on after each rung, and the default.
    """
    found, alive, before = [], candidates, 0.0
    for rung, after in zip(rungs, left, strict=True):
        found.append((alive, rung - before))
        before, alive = rung, min(candidates, after + 1)
    return [*found, (alive * len(seeds), 1.0)]


def _measured(wanted: Wanted, teams: ModuleTeams, stretches: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds per row that a full training has, for all stretches together, and seconds that all looks take.

    Measured with one thread; workers side by side are not counted on, for threads wait for each other in Python.
    A stack of few lanes costs more per lane than a full one, so each stretch is measured at its own width.
    """
    per_row, look, known = 0.0, 0.0, dict[tuple[int, int], float]()
    shares = {batch: sum(batch_of(own) == batch for own in wanted.candidates) for batch in teams.ways}
    with threads_per_product(1):
        for batch, way in teams.ways.items():
            for lanes, share in stretches:
                mine = max(1, round(lanes * shares[batch] / len(wanted.candidates)))
                width = min(way.width, mine)
                if (batch, width) not in known:
                    known[batch, width], seen = _timed(wanted, teams, batch, width)
                    look = max(look, seen)
                per_row += known[batch, width] / batch * -(-mine // width) * share
    looks = len(wanted.candidates) * (len(GRID) * len(wanted.seeds))
    return per_row, look * looks


def _timed(wanted: Wanted, teams: ModuleTeams, batch: int, width: int) -> tuple[float, float]:
    """Seconds of a step of one stack of ``width`` lanes, and of a look at one of them."""
    own = [candidate for candidate in wanted.candidates if batch_of(candidate) == batch]
    lanes = [Lane(candidate=own[place % len(own)], fold=0, seed=place // len(own)) for place in range(width)]
    stack = teams.stack(lanes, teams.ways[batch], length=MEASURED_STEPS)
    times = sorted(
        _seconds(lambda step=step: stack.advance(step / MEASURED_STEPS)) for step in range(1, MEASURED_STEPS + 1)
    )
    _seconds(stack.evidence)
    return times[MEASURED_STEPS // 3], _seconds(stack.evidence) / width


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
