"""Makes the plan: measures what a lane of each kind costs, and fits the race into the budget."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.optim.registry import rule
from lanewise.search.policy import Policy, remaining_of, rungs_of
from lanewise.search.sampling import Sampling
from lanewise.training.judging import Judge
from lanewise.training.planning.amending import MOST_CONFIRMED, lanes_of
from lanewise.training.planning.choices import ANY, Choices
from lanewise.training.planning.memory import predicted_bytes
from lanewise.training.planning.plan import GRID, Lengths, Plan
from lanewise.training.planning.proposals import MODELS, SOLVER, Field, propose, usual_batch
from lanewise.training.planning.trials import (
    best_precision,
    best_widths,
    costs_alone,
    crowding,
    measured_costs,
    measured_looks,
)
from lanewise.training.problem import Problem, has_extreme_target
from lanewise.training.selecting import FEATURES, affordable, selects
from lanewise.training.teams import DTYPES, TeamBuilder

ALLOTTED = 0.8
"""Share of the budget that measuring, racing and the refit may use; choosing, scoring and the report follow."""

FAMILY_SHARES = {"lightgbm": 0.45, "mlp": 0.4, "linear": 0.1, "tree": 0.05}
"""How the processor time is split between the families before anything is known of this table."""

MOST = {"lightgbm": 40, "mlp": 64, "linear": 24, "tree": 12}
"""Candidates of a family beyond which a search of this kind gains little."""

FEWEST = {"lightgbm": 3, "mlp": 4, "linear": 4, "tree": 2}

FIXED = {"lightgbm": 12, "mlp": 24, "linear": 14, "tree": 6}
"""Candidates of a family when the budget is given in steps, so that no clock has a say."""

SCREEN_SHARE, CONFIRM_SHARE = 0.35, 0.55
"""Of a family's time; what is left is for the refit."""

FILLINGS = (0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Multiples of the available time for which a plan is tried."""

MANY = 729
"""Candidates for which the cost of a screen is reckoned per candidate: a power of 3, so that thirds are whole."""

SHORTEST = 0.15
"""Share of the usual full length below which a training says little; a family that does not fit is left out."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a race may cost: seconds of wall time, or steps of a full-length network lane."""

    seconds: float | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for about the race."""

    models: tuple[str, ...] = MODELS
    optimizers: tuple[str, ...] = ()
    choices: Choices = ANY
    sampling: Sampling = "sobol"
    seeds: int | None = None
    seed: int = 0
    candidates: int | None = None


def usual_length(rows: int) -> Lengths:
    """Rows that a mini-batch lane sees in a full training: 40 epochs, within 150,000 to 1.5 million rows."""
    return Lengths(rows_seen=int(np.clip(40 * rows, 150_000, 1_500_000)))


def make_plan(
    problem: Problem, builder: TeamBuilder, policy: Policy, *, budget: Budget, wishes: Wishes, spent: float = 0.0
) -> Plan:
    """A plan that fits ``budget``; ``spent`` seconds of it are gone already, and measuring takes some more.

    With a budget in steps nothing is measured.
    """
    started = time.monotonic()
    placed, builder = builder, replace(builder, seats=None)
    rows = min(len(fold.train) for fold in problem.folds) + problem.training_rows - len(problem.train)
    field = Field(
        task=problem.task,
        rows=rows,
        seed=wishes.seed,
        sampling=wishes.sampling,
        optimizers=wishes.optimizers,
        choices=wishes.choices,
        columns=len(problem.layout.columns),
        extreme=has_extreme_target(problem),
    )
    if budget.steps is not None:
        return _by_steps(
            problem=problem, policy=policy, field=field, builder=builder, steps=budget.steps, wishes=wishes
        )
    assert budget.seconds is not None

    def left() -> float:
        """Processor seconds that may still be planned with."""
        assert budget.seconds is not None
        gone = spent + time.monotonic() - started
        return max(ALLOTTED * budget.seconds - gone, 0.1 * budget.seconds) * builder.workers

    available = left()
    pools, ranking = affordable(_pools(MOST, field, wishes), builder.selections, available / len(problem.folds))
    precision = best_precision(pools.get("mlp", []), builder)
    builder = replace(builder, compute=DTYPES[precision])
    widths = {name: width for model in STACKED for name, width in best_widths(pools.get(model, []), builder).items()}
    builder = replace(builder, widths=widths)
    crowded = crowding(pools, replace(placed, compute=builder.compute, widths=widths))
    measured = _measured(problem, pools, builder, crowded=crowded, ranking=ranking)
    available = left() - (len(problem.folds) + 1) * sum(ranking.values())
    plan = _filled(
        available,
        lambda share: _fitted(
            problem=problem,
            policy=policy,
            pools=pools,
            measured=measured,
            available=available * share,
            builder=builder,
            wishes=wishes,
        ),
    )
    seen = plan.lengths.rows_seen / builder.lengths.rows_seen
    solo = {
        one.id: measured.alone[one.id] * shortened(one, rows=seen, rounds=plan.lengths.rounds_share)
        for one in plan.candidates
    }
    plan = replace(plan, precision=precision, solo_costs=solo, widths=widths)
    return replace(plan, predicted_bytes=predicted_bytes(plan, replace(builder, seats=placed.seats)))


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Processor seconds: ``costs`` of a full training by family and candidate, of a ``look`` at it, and ``alone``."""

    costs: Mapping[str, dict[str, float]]
    looks: Mapping[str, float]
    alone: Mapping[str, float]


def _measured(
    problem: Problem,
    pools: Mapping[str, list[Candidate]],
    builder: TeamBuilder,
    *,
    crowded: float,
    ranking: Mapping[str, float],
) -> _Measured:
    """What the candidates of ``pools`` cost; stacks that train side by side take ``crowded`` times as long."""
    costs = {
        model: _with_ranking(measured_costs(model, pool, builder, crowded=crowded), pool, ranking)
        for model, pool in pools.items()
    }
    judge = Judge(
        metric=problem.metric, y=problem.y, weight=problem.weight, data=builder.data, clusters=problem.clusters
    )
    looks: dict[str, float] = {}
    alone: dict[str, float] = {}
    for model, pool in pools.items():
        found = measured_looks(pool, builder, lambda data, item: replace(judge, data=data).loss(item))
        looks |= {id: (crowded if model in STACKED else 1.0) * seconds for id, seconds in found.items()}
        alone |= costs_alone(pool, builder, costs[model])
    return _Measured(costs=costs, looks=looks, alone=alone)


def _filled(available: float, fitted: Callable[[float], Plan]) -> Plan:
    """The plan that uses the most of ``available`` processor seconds without overrunning it, or the shortest there is.

    ``fitted`` makes a plan for a multiple of what is available. One made for exactly that leaves time over, or needs
    more: it counts whole candidates and whole trainings, family by family.
    """
    plans = [fitted(share) for share in FILLINGS]
    within = [plan for plan in plans if plan.predicted_seconds <= available / plan.workers]
    if within:
        return max(within, key=lambda plan: plan.predicted_seconds)
    return min(plans, key=lambda plan: plan.predicted_seconds)


def _fitted(
    *,
    problem: Problem,
    policy: Policy,
    pools: Mapping[str, list[Candidate]],
    measured: _Measured,
    available: float,
    builder: TeamBuilder,
    wishes: Wishes,
) -> Plan:
    folds, costs, looks = len(problem.folds), measured.costs, measured.looks
    pools = _with_default(_affordable(_with_default(pools), costs, looks, available / folds))
    total = sum(FAMILY_SHARES[model] for model in pools)
    shares = {model: available * FAMILY_SHARES[model] / total for model in pools}
    looked = {model: float(np.mean([looks[one.id] for one in pool])) for model, pool in pools.items()}
    lane = {model: float(np.mean(list(costs[model].values()))) + len(GRID) * looked[model] for model in pools}
    seeds = _seeds(problem, wishes)
    while (
        len(seeds) > 1
        and not wishes.seeds
        and any(CONFIRM_SHARE * shares[model] < 2 * lane[model] * folds * len(seeds) for model in pools)
    ):
        seeds = seeds[:-1]
    runs = folds * len(seeds)
    chosen: list[Candidate] = []
    confirm: dict[str, int] = {}
    shrink = {"rows": 1.0, "rounds": 1.0}
    screened, seen = _screen_cost(policy)
    screens = bool(rungs_of(policy, MANY))
    for model, pool in pools.items():
        if lane[model] * len(pool) * (runs + 1) <= 0.9 * shares[model]:
            confirm[model] = len(pool)
            chosen += pool
            continue
        share = CONFIRM_SHARE if screens else SCREEN_SHARE + CONFIRM_SHARE
        affordable = share * shares[model] / (lane[model] * runs)
        training = share * shares[model] / runs - len(GRID) * looked[model]
        short = _affordable_length(pool, costs[model], training)
        unit = "rows" if model in STACKED else "rounds"
        shrink[unit] = min(shrink[unit], short)
        trained = np.mean([costs[model][one.id] * shortened(one, rows=short, rounds=short) for one in pool])
        screening = float(trained) * screened + looked[model] * seen
        confirm[model] = int(np.clip(affordable, 1, MOST_CONFIRMED[model]))
        wide = int(SCREEN_SHARE * shares[model] / screening)
        chosen += pool[: int(np.clip(wide, FEWEST[model], len(pool)))] if screens else pool[: confirm[model]]
    screen = any(confirm[model] < sum(c.model == model for c in chosen) for model in pools)
    lengths = replace(
        builder.lengths,
        rows_seen=max(20_000, round(builder.lengths.rows_seen * shrink["rows"])),
        rounds_share=shrink["rounds"],
    )
    plan = Plan(
        candidates=tuple(chosen),
        rungs=rungs_of(policy, len(chosen)) if screen else (),
        confirm=confirm,
        folds=folds,
        seeds=seeds,
        lengths=lengths,
        workers=builder.workers,
        costs={one.id: costs[one.model][one.id] * shortened(one, **shrink) for one in chosen},
        look_costs={one.id: looks[one.id] for one in chosen},
        grid=GRID,
    )
    return replace(plan, predicted_seconds=_predicted(plan, screened, seen))


def _affordable_length(pool: Sequence[Candidate], costs: Mapping[str, float], available: float) -> float:
    """The share of a full training that ``available`` seconds allow those of ``pool`` that can be shortened."""
    shorter = [costs[one.id] for one in pool if shortened(one, rows=0.5, rounds=0.5) < 1]
    return float(np.clip(available / np.mean(shorter), SHORTEST, 1.0)) if shorter else 1.0


def shortened(candidate: Candidate, *, rows: float, rounds: float) -> float:
    """The share of its full training that a candidate has in a plan of fewer rows seen and boosting rounds.

    Solvers and full-batch rules take their iterations, a single tree is grown at once, and the default keeps its
    rounds: none of them takes less for that.

    >>> boosted = Candidate(id="a", model="lightgbm", optimizer="", settings={"rounds": 100})
    >>> shortened(boosted, rows=0.2, rounds=0.5), shortened(replace(boosted, is_default=True), rows=0.2, rounds=0.5)
    (0.5, 1.0)
    """
    if candidate.model not in STACKED:
        return rounds if "rounds" in candidate.settings and not candidate.is_default else 1.0
    return 1.0 if candidate.optimizer == SOLVER or rule(candidate.optimizer).full_batch else rows


def _pools(counts: Mapping[str, int], field: Field, wishes: Wishes) -> dict[str, list[Candidate]]:
    """The candidates of every family that takes part; one that no stated optimizer can train does not."""
    pools = {model: propose(model, wishes.candidates or counts[model], field) for model in wishes.models}
    return {model: pool for model, pool in pools.items() if pool}


def _affordable(
    pools: Mapping[str, list[Candidate]],
    costs: Mapping[str, dict[str, float]],
    looks: Mapping[str, float],
    available: float,
) -> dict[str, list[Candidate]]:
    """The families of which one candidate at least can be confirmed at the shortest length.

    ``available`` are processor seconds per fold, of which one candidate may take half. A boosted default is no shorter
    than it is, so it may take all of them; a solver has converged long before its iterations are over. The cheapest
    family stays, whatever the budget.
    """

    def least(model: str) -> float:
        first = pools[model][0]
        whole = first.is_default and "rounds" in first.settings
        cost = (1.0 if whole else SHORTEST) * costs[model][first.id] + len(GRID) * looks[first.id]
        return cost if whole else 2.0 * cost

    kept = {model: pool for model, pool in pools.items() if least(model) < available}
    cheapest = min(pools, key=least)
    return kept or {cheapest: pools[cheapest]}


def _by_steps(
    *, problem: Problem, policy: Policy, field: Field, builder: TeamBuilder, steps: int, wishes: Wishes
) -> Plan:
    """A plan that depends on no clock: fixed numbers of candidates, lengths in proportion to ``steps``."""
    pools = _pools(FIXED, field, wishes)
    chosen = [candidate for pool in _with_default(pools).values() for candidate in pool]
    share = steps / 2000
    return Plan(
        candidates=tuple(chosen),
        rungs=rungs_of(policy, len(chosen)),
        confirm={model: min(3, MOST_CONFIRMED[model]) for model in pools},
        folds=len(problem.folds),
        seeds=_seeds(problem, wishes),
        lengths=Lengths(
            rows_seen=steps * usual_batch(field.rows),
            iterations=max(10, round(200 * min(share, 1.0))),
            rounds_share=float(np.clip(share, 0.05, 1.0)),
        ),
        workers=builder.workers,
        # Not seconds here, but their order: what a lane of each family usually costs relative to others.
        costs={candidate.id: _relative_cost(candidate) for candidate in chosen},
    )


def _relative_cost(candidate: Candidate) -> float:
    ranks = {"tree": 0.1, "linear": 0.2, "mlp": 1.0, "lightgbm": 1.0}
    size = candidate.number("rounds", 100) / 100 * candidate.number("num_leaves", 31) / 31
    width = candidate.number("width", 128) ** 2 * candidate.number("depth", 2) / 32768
    ranking = 1.1 if selects(candidate) else 1.0
    return ranking * ranks[candidate.model] * (size if candidate.model == "lightgbm" else width)


def _with_default(pools: Mapping[str, list[Candidate]]) -> dict[str, list[Candidate]]:
    """Mark the default of the race: the first candidate of the first family, in the documented order."""
    family = next(model for model in MODELS if model in pools)
    default = pools[family][0].id
    return {model: [replace(one, is_default=one.id == default) for one in pool] for model, pool in pools.items()}


def _seeds(problem: Problem, wishes: Wishes) -> tuple[int, ...]:
    """Seeds of the confirmation: several where rows are few and a lane costs little."""
    rows = problem.training_rows
    count = wishes.seeds or (3 if rows < 1000 else 2 if rows < 5000 else 1)
    return tuple(range(wishes.seed, wishes.seed + count))


def _screen_cost(policy: Policy) -> tuple[float, float]:
    """Full-length trainings, and looks, that a screen spends per candidate."""
    rungs = rungs_of(policy, MANY)
    if not rungs:
        return 1.0, 0.0
    left, cost, looks, before = MANY, 0.0, 0.0, 0.0
    for rung, after in zip(rungs, remaining_of(policy, MANY), strict=True):
        cost += left / MANY * (rung - before)
        looks += left / MANY
        left, before = after, rung
    return cost, looks


def _predicted(plan: Plan, screened: float, seen: float) -> float:
    """Wall seconds that the plan should take on its workers, the refit included."""
    lanes = lanes_of(plan)
    default = next(candidate for candidate in plan.candidates if candidate.is_default)
    screen, total = 0.0, plan.confirming(default.id) * lanes if plan.rungs else 0.0
    for model, count in plan.confirm.items():
        family = [candidate.id for candidate in plan.candidates if candidate.model == model]
        own = np.array([plan.costs[id] for id in family])
        if not len(own) or not own.sum():
            continue
        look = float(np.mean([plan.look_costs[id] for id in family]))
        # Those that survive are the longer trained and the larger ones: each counts by what it costs.
        survivor = float((own**2).sum() / own.sum())
        if plan.rungs:
            screen += float(own.sum()) * plan.rungs[0] + survivor * len(own) * (screened - plan.rungs[0])
            screen += look * len(own) * seen
        total += (survivor + len(plan.grid) * look) * min(count, len(own)) * lanes
    # No rival drops the default, and no number of workers makes its lane shorter.
    longest = plan.costs[default.id] if plan.rungs else 0.0
    return max(screen / plan.workers, longest) + total / plan.workers


def _with_ranking(
    costs: Mapping[str, float], pool: Sequence[Candidate], ranking: Mapping[str, float]
) -> dict[str, float]:
    """Costs of lanes with the ranking of the columns that some of them need first."""
    return {one.id: costs[one.id] + (ranking[one.text(FEATURES)] if selects(one) else 0.0) for one in pool}
