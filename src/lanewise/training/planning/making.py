"""Makes the plan: measures what a lane of each kind costs, and fits the race into the budget."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.search.policy import Policy, rungs_of
from lanewise.search.sampling import Sampling
from lanewise.training.data import TrainingData
from lanewise.training.judging import Judge
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.amending import MOST_CONFIRMED
from lanewise.training.planning.choices import ANY, Choices
from lanewise.training.planning.costs import Costs, costs_alone, measured_costs, measured_looks
from lanewise.training.planning.families import with_default
from lanewise.training.planning.fitting import best_fitted
from lanewise.training.planning.left_out import advised_budget, missing, needed_seconds
from lanewise.training.planning.measured import Measured, least_of
from lanewise.training.planning.memory import predicted_bytes
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.precision import best_precision, told
from lanewise.training.planning.proposals import MODELS, Field, propose, usual_batch
from lanewise.training.planning.reserve import explaining_seconds, reserved_seconds
from lanewise.training.planning.setting import FEWEST_FOLDS, Setting
from lanewise.training.planning.tree_rows import TIME_SHARE, tree_rows, with_tree_rows
from lanewise.training.planning.trials import best_widths, crowding
from lanewise.training.planning.usual_cost import usual_cost
from lanewise.training.problem import Problem, has_extreme_target
from lanewise.training.selecting import FEATURES, affordable, selects
from lanewise.training.team import Evidence
from lanewise.training.teams import DTYPES, TeamBuilder

MEASURING_SHARE, MEASURING_PART = 0.12, 0.4
"""What measuring may take at most: of the budget, and of the part of it that is still there."""

LEAST_LEFT = 0.01
"""Seconds that a race is planned for where all of the budget is gone: it is the least one then."""

AGAIN_SHARE = 0.1
"""Of what is then left, that costs may be measured again for before one measurement leaves a family out."""

UNTIL = {"precision": 0.3, "widths": 0.45, "crowding": 0.55, "costs": 0.85, "looks": 1.0}
"""When each measurement is over, as a share of what measuring may take."""

MOST = {"lightgbm": 40, "mlp": 64, "linear": 24, "forest": 9, "tree": 12}
"""Candidates of a family beyond which a search of this kind gains little."""

FIXED = {"lightgbm": 12, "mlp": 24, "linear": 14, "forest": 4, "tree": 6}
"""Candidates of a family when the budget is given in steps, so that no clock has a say."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a race may cost: seconds of wall time, or steps of a full-length network lane."""

    seconds: float | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for about the race; with ``all_folds`` none is left out, however short the time."""

    models: tuple[str, ...] = MODELS
    optimizers: tuple[str, ...] = ()
    choices: Choices = ANY
    sampling: Sampling = "sobol"
    seeds: int | None = None
    all_folds: bool = False
    seed: int = 0
    candidates: int | None = None


def usual_length(rows: int) -> Lengths:
    """Rows that a mini-batch lane sees in a full training: 40 epochs, within 150,000 to 1.5 million rows."""
    return Lengths(rows_seen=int(np.clip(40 * rows, 150_000, 1_500_000)))


@dataclass(frozen=True, kw_only=True)
class _Time:
    """What a budget in seconds leaves: ``spent`` were gone when this began at ``started``, and more go by since.

    ``reserved`` of them are for what follows the race.
    """

    seconds: float
    reserved: float
    spent: float
    started: float
    clock: Callable[[], float] = time.monotonic

    def left(self) -> float:
        """Wall seconds that a race may still be planned for, measuring included."""
        gone = self.spent + self.clock() - self.started
        return max(self.seconds - self.reserved - gone, LEAST_LEFT)

    def processor_left(self, workers: int, *, but: float) -> float:
        """Processor seconds of ``workers`` that are left for it, ``but`` those that are promised already."""
        return max(workers * self.left() - but, LEAST_LEFT)

    def overdrawn(self) -> float:
        """Seconds by which what is gone and reserved is more than the budget: one that is advised has them too."""
        return max(self.spent + self.clock() - self.started + self.reserved - self.seconds, 0.0)

    def allowance(self) -> Allowance:
        return Allowance(min(MEASURING_SHARE * self.seconds, MEASURING_PART * self.left()), clock=self.clock)


def make_plan(
    problem: Problem,
    builder: TeamBuilder,
    policy: Policy,
    *,
    budget: Budget,
    wishes: Wishes,
    spent: float = 0.0,
    pace: float = 1.0,
    preparing: float = 0.0,
) -> Plan:
    """A plan that fits ``budget``; ``spent`` seconds of it are gone already, and measuring takes some more.

    ``pace`` is that of :func:`lanewise.training.planning.pace.pace_of`; the rows of the refit take ``preparing``
    seconds to prepare. With a budget in steps nothing is timed.
    """
    started = time.monotonic()
    field = _field(problem, wishes)
    if budget.steps is not None:
        plan = _by_steps(
            problem=problem, policy=policy, field=field, builder=builder, steps=budget.steps, wishes=wishes
        )
        boosted = [candidate for candidate in plan.candidates if candidate.model == "lightgbm"]
        plan = with_tree_rows(plan, tree_rows(problem, builder, boosted))
        return replace(plan, predicted_bytes=predicted_bytes(plan, builder))
    assert budget.seconds is not None
    reserved = reserved_seconds(budget.seconds, problem.training_rows, pace=pace, preparing=preparing)
    clock = _Time(seconds=budget.seconds, reserved=reserved, spent=spent, started=started)
    return _in_time(problem, builder, policy, field=field, wishes=wishes, clock=clock, pace=pace)


def _in_time(
    problem: Problem, builder: TeamBuilder, policy: Policy, *, field: Field, wishes: Wishes, clock: _Time, pace: float
) -> Plan:
    """The plan for what ``clock`` leaves: what candidates cost is measured first."""
    allowance, folds = clock.allowance(), len(problem.folds)
    working = pace * clock.left() * builder.workers
    pools, ranking = affordable(_pools(MOST, field, wishes), builder.selections, working / folds)
    # Where the teams will train when their crowding is measured, in this process for all else.
    seated, builder = builder, replace(builder, seats=None)
    builder, precision = _fastest(builder, pools, allowance)
    crowded = crowding(pools, replace(builder, seats=seated.seats), allowance, until=UNTIL["crowding"])
    measuring = partial(_measured, problem, builder=builder, crowded=crowded, ranking=ranking, pace=pace)
    measured = measuring(pools, allowance=allowance)
    setting = Setting(
        units=_units(problem),
        parts=folds,
        folds=folds,
        fewest_folds=folds if wishes.all_folds else min(folds, FEWEST_FOLDS),
        seeds=_seeds(problem, wishes),
        stated=bool(wishes.seeds),
        policy=policy,
        lengths=builder.lengths,
        workers=builder.workers,
    )

    def left() -> float:
        return clock.processor_left(builder.workers, but=(folds + 1) * sum(ranking.values()))

    fitting = partial(_boosted_on_more, problem, builder, pools=pools, setting=setting)
    available = left()
    plan = fitting(available=available, measured=measured)
    again = _doubtful(plan, pools, measured, AGAIN_SHARE * clock.left())
    if again:
        measured = least_of(measured, measuring(again, allowance=Allowance(AGAIN_SHARE * clock.left()), alone=False))
        available = left()
        plan = fitting(available=available, measured=measured)
    plan = told(replace(plan, precision=precision, widths=builder.widths, solo_costs=_alone(plan, measured)))
    plan = replace(plan, solo_looks={id: measured.looks_alone[id] for id in plan.solo_costs})
    plan = replace(
        plan,
        # Reckoned in work, of which a busy machine does less in these seconds.
        explaining_seconds=pace * explaining_seconds(clock.seconds),
        available_seconds=available / builder.workers,
        reserved_seconds=clock.reserved,
        left_out=tuple(missing(plan, pools)),
    )
    if plan.left_out:
        needed = needed_seconds(pools=pools, measured=measured, setting=setting)
        asked = clock.seconds + clock.overdrawn()
        plan = replace(plan, advised_seconds=advised_budget(asked, needed=needed, left=plan.available_seconds))
    return replace(plan, predicted_bytes=predicted_bytes(plan, replace(builder, seats=seated.seats)))


def _fastest(
    builder: TeamBuilder, pools: Mapping[str, list[Candidate]], allowance: Allowance
) -> tuple[TeamBuilder, str]:
    """The builder with the precision and the widths of stacks that train the fastest here, and that precision."""
    precision = best_precision(pools.get("mlp", []), builder, allowance, until=UNTIL["precision"])
    builder = replace(builder, compute=DTYPES[precision])
    widths = {
        name: width
        for model in STACKED
        for name, width in best_widths(pools.get(model, []), builder, allowance, until=UNTIL["widths"]).items()
    }
    return replace(builder, widths=widths), precision


def _doubtful(
    plan: Plan, pools: Mapping[str, list[Candidate]], measured: Measured, seconds: float
) -> dict[str, list[Candidate]]:
    """The families whose costs are measured again, in about ``seconds``, because one of them has no room in a plan.

    First those that it left out: what else a machine does for a moment, a trial of a small table may take for its own.
    """
    out = missing(plan, pools)
    found: dict[str, list[Candidate]] = {}
    for model in dict.fromkeys([*out, *pools]) if out or plan.least else ():
        if measured.took.get(model, seconds) < seconds:
            found[model] = pools[model]
            seconds -= measured.took[model]
    return found


def _boosted_on_more(
    problem: Problem,
    builder: TeamBuilder,
    *,
    available: float,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
) -> Plan:
    """The plan that fits; of a streamed table, boosters are confirmed on more rows where some of the time does for it.

    Others share what that leaves.
    """
    boosted = pools.get("lightgbm", [])
    plan = best_fitted(available, pools=pools, measured=measured, setting=setting)
    took = _boosting(plan, measured)
    if not took:
        return plan
    rows = tree_rows(problem, builder, boosted, most_ratio=1.0 + TIME_SHARE * available / took)
    if not rows.windows:
        return plan
    more = (rows.ratio - 1.0) * took
    fewer = best_fitted(available - more, pools=pools, measured=measured, setting=setting)
    if not any(candidate.model == "lightgbm" for candidate in fewer.candidates):
        return plan
    return replace(with_tree_rows(fewer, rows), predicted_seconds=fewer.predicted_seconds + more / fewer.workers)


def _boosting(plan: Plan, measured: Measured) -> float:
    """Processor seconds, on the sample, of the boosters that are surely confirmed: without a screen all of them.

    After one it is the default, and who leads, whatever that costs: mostly one of those that train for longer.
    """
    costs = np.array([plan.costs[one.id] for one in plan.candidates if one.model == "lightgbm"])
    if not len(costs):
        return 0.0
    own = costs[0] + (costs**2).sum() / costs.sum() if plan.rungs else costs.sum()
    return (plan.folds + 1) * len(plan.seeds) * (float(own) + measured.once["lightgbm"])


def _field(problem: Problem, wishes: Wishes) -> Field:
    rows = min(len(fold.train) for fold in problem.folds) + problem.training_rows - len(problem.train)
    return Field(
        task=problem.task,
        rows=rows,
        seed=wishes.seed,
        sampling=wishes.sampling,
        optimizers=wishes.optimizers,
        choices=wishes.choices,
        columns=len(problem.layout.columns),
        extreme=has_extreme_target(problem),
    )


def _measured(
    problem: Problem,
    pools: Mapping[str, list[Candidate]],
    *,
    builder: TeamBuilder,
    allowance: Allowance,
    crowded: float,
    ranking: Mapping[str, float],
    pace: float,
    alone: bool = True,
) -> Measured:
    """What the candidates of ``pools`` cost; stacks that train side by side take ``crowded`` times as long.

    ``alone`` says whether to measure what they cost one at a time.
    """
    judge = Judge(
        metric=problem.metric, y=problem.y, weight=problem.weight, data=builder.data, clusters=problem.clusters
    )

    def judged(data: TrainingData, item: Evidence) -> float:
        return replace(judge, data=data).loss(item)

    found: dict[str, Costs] = {}
    took: dict[str, float] = {}
    for model, pool in pools.items():
        started = time.monotonic()
        found[model] = measured_costs(
            model, pool, builder, allowance, judged=judged, until=UNTIL["costs"], crowded=crowded, pace=pace
        )
        took[model] = time.monotonic() - started
    costs = {model: _with_ranking(found[model].lanes, pool, ranking) for model, pool in pools.items()}
    looks: dict[str, float] = {}
    looks_alone: dict[str, float] = {}
    for model, pool in pools.items():
        look = found[model].look
        if look is None:
            own = measured_looks(pool, builder, judged, allowance, until=UNTIL["looks"], pace=pace)
            looks |= {id: crowded * seconds for id, seconds in own.items()}
            looks_alone |= {id: pace * seconds for id, seconds in own.items()}
        else:
            looks |= {one.id: look for one in pool}
            looks_alone |= {one.id: look for one in pool}
    # A loop sorts the cells of a fold into bins for every training of trees; here those of a worker share that.
    whole = {model: {id: cost + found[model].once for id, cost in own.items()} for model, own in costs.items()}
    loops = [costs_alone(pool, builder, whole[model], allowance) for model, pool in pools.items() if alone]
    known = [own for own in loops if own is not None]
    return Measured(
        costs=costs,
        looks=looks,
        alone={id: cost for own in known for id, cost in own.items()} if len(known) == len(pools) else None,
        once={model: own.once for model, own in found.items()},
        single={id: times for own in found.values() for id, times in own.single.items()},
        took=took,
        looks_alone=looks_alone,
    )


def _alone(plan: Plan, measured: Measured) -> dict[str, float]:
    """What the candidates of a plan would cost one after another; nothing where that was not measured."""
    if measured.alone is None:
        return {}
    shares = {one.id: plan.costs[one.id] / measured.costs[one.model][one.id] for one in plan.candidates}
    return {id: measured.alone[id] * share for id, share in shares.items()}


def _pools(counts: Mapping[str, int], field: Field, wishes: Wishes) -> dict[str, list[Candidate]]:
    """The candidates of every family that takes part; one that no stated optimizer can train does not."""
    pools = {model: propose(model, wishes.candidates or counts[model], field) for model in wishes.models}
    return {model: pool for model, pool in pools.items() if pool}


def _by_steps(
    *, problem: Problem, policy: Policy, field: Field, builder: TeamBuilder, steps: int, wishes: Wishes
) -> Plan:
    """A plan that depends on no clock: fixed numbers of candidates, lengths in proportion to ``steps``."""
    pools = _pools(FIXED, field, wishes)
    chosen = [candidate for pool in with_default(pools).values() for candidate in pool]
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
            trees_share=float(np.clip(share, 0.05, 1.0)),
        ),
        workers=builder.workers,
        # Not seconds here, but their order: what a lane of each family usually costs relative to others.
        costs={candidate.id: usual_cost(candidate) for candidate in chosen},
    )


def _units(problem: Problem) -> int:
    """Training rows, or the groups that stay on one side: of rows that are alike, many tell no more than one."""
    return len(problem.train if problem.clusters is None else np.unique(problem.clusters[problem.train]))


def _seeds(problem: Problem, wishes: Wishes) -> tuple[int, ...]:
    """Seeds of the confirmation: several where rows are few and a lane costs little."""
    rows = problem.training_rows
    count = wishes.seeds or (3 if rows < 1000 else 2 if rows < 5000 else 1)
    return tuple(range(wishes.seed, wishes.seed + count))


def _with_ranking(
    costs: Mapping[str, float], pool: Sequence[Candidate], ranking: Mapping[str, float]
) -> dict[str, float]:
    """Costs of lanes with the ranking of the columns that some of them need first."""
    return {one.id: costs[one.id] + (ranking[one.text(FEATURES)] if selects(one) else 0.0) for one in pool}
