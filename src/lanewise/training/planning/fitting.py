"""Fits a race into the processor seconds that there are, by what its lanes were measured to cost."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.models.trees import LENGTHS
from lanewise.search.policy import Policy, remaining_of, rungs_of
from lanewise.training.planning.amending import MOST_CONFIRMED, lanes_of
from lanewise.training.planning.plan import FEWEST_ROUNDS, GRID, Lengths, Plan, lonely_cost
from lanewise.training.planning.proposals import MODELS
from lanewise.training.planning.shortening import LEAST_LENGTH, SHORTEST, length_of, shortened, shortest_of

FAMILY_SHARES = {"lightgbm": 0.45, "mlp": 0.4, "forest": 0.15, "linear": 0.1, "tree": 0.05}
"""How the processor time is split between the families before anything is known of this table."""

FEWEST = {"lightgbm": 3, "mlp": 4, "linear": 4, "forest": 2, "tree": 2}
ONE_EACH = dict.fromkeys(FEWEST, 1)

ENOUGH_FOLDS, FEWER_FOLDS, FEWEST_FOLDS = 5, 3, 2
"""Folds that a race is content with where more leave no room for a family, and, then, where they leave none at all."""

SCREEN_SHARE, CONFIRM_SHARE = 0.35, 0.55
"""Of a family's time; what is left is for the refit."""

NEXT_TO_NOTHING = 1e-6
"""A multiple for which a plan is the shortest that its families can have."""

FILLINGS = (NEXT_TO_NOTHING, 0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Multiples of the available time for which a plan is tried."""

FORESEEN = 0.88
"""Share of the available time that a plan may fill: what it does not foresee mostly takes longer, and what is left over
after the screen confirms more."""

MANY = 729
"""Candidates for which the cost of a screen is reckoned per candidate: a power of 3, so that thirds are whole."""

SHARING = 2
"""Workers that train lanes of one fold, of those that are confirmed."""

FEWEST_SEEN = 20_000
"""Rows that a mini-batch lane sees at the least."""

DEFAULT_SHARES = (1.0, 0.6, 0.3, SHORTEST)
"""Shares of its rounds or trees that a default has where no family has room for its own."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Processor seconds: ``costs`` of a full training by family and candidate, of a ``look`` at it, and ``alone``.

    ``once`` is what a family spends on every fold before its first lane trains; ``alone`` is None where that was not
    measured. ``single`` is that of a plan. ``took`` is what it took to measure the costs of a family,
    ``looks_alone`` what a look takes at a lane that nobody trains beside.
    """

    costs: Mapping[str, Mapping[str, float]]
    looks: Mapping[str, float]
    alone: Mapping[str, float] | None = None
    once: Mapping[str, float] = field(default_factory=dict)
    single: Mapping[str, float] = field(default_factory=dict)
    took: Mapping[str, float] = field(default_factory=dict)
    looks_alone: Mapping[str, float] = field(default_factory=dict)

    def confirming(self, pool: Sequence[Candidate], *, lanes: int, workers: int) -> dict[str, float]:
        """Seconds of a lane of each candidate of ``pool``, of which ``lanes`` are confirmed by ``workers``."""
        return {
            one.id: cost * lonely_cost(self.single.get(one.id, 1.0), lanes=lanes, workers=workers)
            for one in pool
            for cost in (self.costs[one.model][one.id],)
        }


def least_of(first: Measured, again: Measured) -> Measured:
    """What was measured ``first`` and, of some families, ``again``: the least of both, for nothing trains too fast."""
    costs = {
        model: {id: min(cost, first.costs[model][id]) for id, cost in own.items()} for model, own in again.costs.items()
    }
    return replace(
        first,
        costs={**first.costs, **costs},
        looks={id: min(seconds, again.looks.get(id, seconds)) for id, seconds in first.looks.items()},
        once={model: min(seconds, again.once.get(model, seconds)) for model, seconds in first.once.items()},
        looks_alone={id: min(seconds, again.looks_alone.get(id, seconds)) for id, seconds in first.looks_alone.items()},
    )


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a plan is made for: ``seeds``, of which some are left out unless they were ``stated``, workers.

    The training rows were split into ``parts``, of which the first ``folds`` are held out, at least ``fewest_folds``.
    No training is shorter than the share ``shortest`` of its usual length.
    """

    parts: int
    folds: int
    fewest_folds: int
    seeds: tuple[int, ...]
    stated: bool
    policy: Policy
    lengths: Lengths
    workers: int
    shortest: float = SHORTEST

    @cached_property
    def screened(self) -> tuple[float, float]:
        """What a screen under the policy spends per candidate: full-length trainings, and looks."""
        return screen_cost(self.policy)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What a family does in a race: who takes part, how many are confirmed, at which share of the usual length."""

    candidates: Sequence[Candidate]
    confirm: int
    length: float = 1.0


def best_fitted(
    available: float, *, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting
) -> Plan:
    """The plan that uses the most of ``available`` processor seconds without overrunning it, of all families that fit.

    Families are left out only where no plan with them is within, however short and on however few folds: as few
    families as can be, and of those that are worth the least time. A plan that is made for exactly what is available
    leaves time over, or needs more: it counts whole candidates and whole trainings, family by family. Where nothing is
    within, it is the ``least`` plan of all, as a plan says.
    """
    tried = list[Plan]()
    for own, costs, fewest, at in _attempts(available, pools=pools, measured=measured, setting=setting):
        plans = [fitted(available * share, pools=own, measured=costs, setting=at, fewest=fewest) for share in FILLINGS]
        within = [plan for plan in plans if plan.predicted_seconds <= FORESEEN * available / plan.workers]
        if within:
            return max(within, key=lambda plan: plan.predicted_seconds)
        tried.append(min(plans, key=lambda plan: plan.predicted_seconds))
    return replace(min(tried, key=lambda plan: plan.predicted_seconds), least=True)


def _attempts(
    available: float, *, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting
) -> Iterator[tuple[dict[str, list[Candidate]], Measured, Mapping[str, int], Setting]]:
    """Races to fit, each with less in it than the one before: candidates and costs, the fewest of a family, folds."""

    def at_most(folds: int) -> Setting:
        return replace(setting, folds=max(min(folds, setting.folds), setting.fewest_folds))

    fewer = at_most(ENOUGH_FOLDS)
    ways = [(FEWEST, setting), (ONE_EACH, setting), *([(ONE_EACH, fewer)] if fewer.folds < setting.folds else [])]
    for own in _choices(affordable_families(pools, measured, available / fewer.folds)):
        for fewest, at in ways:
            marked = affordable_families({model: pools[model] for model in own}, measured, available / at.folds)
            if len(marked) == len(own):
                yield marked, measured, fewest, at
    for pool in pools.values():
        yield *_cut(1.0, pool, measured), ONE_EACH, at_most(FEWER_FOLDS)
    for share, pool in itertools.product(DEFAULT_SHARES, pools.values()):
        if share == 1.0 or length_of(pool[0]) is not None:
            yield *_cut(share, pool, measured), ONE_EACH, at_most(FEWEST_FOLDS)
    shortest = min(SHORTEST, max(LEAST_LENGTH, FEWEST_SEEN / setting.lengths.rows_seen))
    for pool in pools.values():
        yield *_cut(1.0, pool, measured), ONE_EACH, replace(at_most(FEWEST_FOLDS), shortest=shortest)


def _cut(share: float, pool: list[Candidate], measured: Measured) -> tuple[dict[str, list[Candidate]], Measured]:
    """One family, its default with a ``share`` of its rounds or trees, and what that costs."""
    first, *others = pool
    name = length_of(first)
    if share == 1.0 or name is None:
        return with_default({first.model: pool}), measured
    length = max(FEWEST_ROUNDS, round(max(share, shortest_of(first)) * first.number(name)))
    costs = dict(measured.costs[first.model])
    costs[first.id] *= length / first.number(name)
    shorter = replace(first, settings={**first.settings, name: length})
    cut = replace(measured, costs={**measured.costs, first.model: costs})
    return with_default({first.model: [shorter, *others]}), cut


def _choices(families: Iterable[str]) -> list[tuple[str, ...]]:
    """All sets of families, first the larger ones, of equal ones those that are worth more time.

    Forests are the first to go: they rarely gain what leaving another family out, or shortening it, would lose.
    """
    known = list(families)
    sets = [own for count in range(len(known), 0, -1) for own in itertools.combinations(known, count)]
    return sorted(sets, key=lambda own: (-len(own), "forest" in own, -sum(FAMILY_SHARES[model] for model in own)))


def fitted(
    available: float,
    *,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
    fewest: Mapping[str, int] = FEWEST,
) -> Plan:
    """A plan of about ``available`` processor seconds for those candidates of ``pools`` that there is room for.

    However few seconds there are, ``fewest`` of every family take part, and one is confirmed, at the shortest.
    """
    costs, looks = measured.costs, measured.looks
    total = sum(FAMILY_SHARES[model] for model in pools)
    # Two workers or so come to train on every fold, and all of them on that of the screen; one does for the refit.
    sharing = min(setting.workers, SHARING)
    once = sum(measured.once.get(model, 0.0) for model in pools) * (sharing * setting.folds + setting.workers + 1)
    training = max(available - once, 0.5 * available)
    shares = {model: training * FAMILY_SHARES[model] / total for model in pools}
    looked = {model: float(np.mean([looks[one.id] for one in pool])) for model, pool in pools.items()}
    lanes = {model: _lane(pool, costs[model], looked[model]) for model, pool in pools.items()}
    seeds = _seeds(setting, {model: 2 * lanes[model] / shares[model] for model in pools})
    runs = setting.folds * len(seeds)
    entries = {
        model: _entry(
            pool,
            measured,
            looked[model],
            seconds=shares[model],
            runs=runs,
            setting=setting,
            fewest=fewest[model],
        )
        for model, pool in pools.items()
    }
    # A forest loses little by fewer trees, boosted trees much by fewer rounds: neither shortens the other.
    shrink = {
        "rows": min([1.0, *(entry.length for model, entry in entries.items() if model in STACKED)]),
        **{name: entries[model].length if model in entries else 1.0 for model, name in LENGTHS.items()},
    }
    chosen = [one for entry in entries.values() for one in entry.candidates]
    screen = any(entry.confirm < len(entry.candidates) for entry in entries.values())
    rungs = rungs_of(setting.policy, len(chosen)) if screen else ()
    if not rungs:  # everybody is confirmed: those only for whom there is room
        chosen = [one for entry in entries.values() for one in entry.candidates[: entry.confirm]]
    plan = Plan(
        candidates=tuple(chosen),
        rungs=rungs,
        confirm={model: entry.confirm for model, entry in entries.items()},
        parts=setting.parts,
        folds=setting.folds,
        seeds=seeds,
        lengths=replace(
            setting.lengths,
            rows_seen=max(FEWEST_SEEN, round(setting.lengths.rows_seen * shrink["rows"])),
            rounds_share=shrink["rounds"],
            trees_share=shrink["trees"],
        ),
        workers=setting.workers,
        costs={one.id: costs[one.model][one.id] * shortened(one, **shrink) for one in chosen},
        look_costs={one.id: looks[one.id] for one in chosen},
        single={one.id: measured.single[one.id] for one in chosen if one.id in measured.single},
        grid=GRID,
    )
    return replace(plan, predicted_seconds=predicted(plan, setting.screened) + once / setting.workers)


def _seeds(setting: Setting, least: Mapping[str, float]) -> tuple[int, ...]:
    """As many seeds as leave every family room: ``least`` is the share of its time that a fold and seed takes."""
    seeds = setting.seeds
    while len(seeds) > 1 and not setting.stated:
        if all(share * setting.folds * len(seeds) <= CONFIRM_SHARE for share in least.values()):
            break
        seeds = seeds[:-1]
    return seeds


def _entry(
    pool: Sequence[Candidate],
    measured: Measured,
    looked: float,
    *,
    seconds: float,
    runs: int,
    setting: Setting,
    fewest: int,
) -> _Entry:
    """What a family does in ``seconds`` of a race that confirms each candidate in ``runs`` lanes."""
    costs = measured.costs[pool[0].model]
    lane = _lane(pool, costs, looked)
    if lane * len(pool) * (runs + 1) <= 0.9 * seconds:
        return _Entry(candidates=pool, confirm=len(pool))
    screens = bool(rungs_of(setting.policy, MANY))
    screened, seen = setting.screened
    share = CONFIRM_SHARE if screens else SCREEN_SHARE + CONFIRM_SHARE
    # Those few share no stack with candidates like them any more.
    lonely = measured.confirming(pool, lanes=runs, workers=setting.workers)
    confirm = int(np.clip(share * seconds / (_lane(pool, lonely, looked) * runs), 1, MOST_CONFIRMED[pool[0].model]))
    affordable = _affordable_length(pool, lonely, share * seconds / runs - len(GRID) * looked)
    length = max(affordable, shortest_of(pool[0], setting.shortest))
    if not screens:
        return _Entry(candidates=pool[:confirm], confirm=confirm, length=length)
    trained = np.mean([costs[one.id] * shortened(one, rows=length, rounds=length, trees=length) for one in pool])
    wide = int(SCREEN_SHARE * seconds / (float(trained) * screened + looked * seen))
    return _Entry(
        candidates=pool[: int(np.clip(wide, min(fewest, len(pool)), len(pool)))], confirm=confirm, length=length
    )


def _lane(pool: Sequence[Candidate], costs: Mapping[str, float], looked: float) -> float:
    """Processor seconds of a lane at full length, looks included, in the mean over ``pool``."""
    return float(np.mean([costs[one.id] for one in pool])) + len(GRID) * looked


def _affordable_length(pool: Sequence[Candidate], costs: Mapping[str, float], available: float) -> float:
    """The share of a full training that ``available`` seconds allow those of ``pool`` that can be shortened."""
    shorter = [costs[one.id] for one in pool if shortened(one, rows=0.5, rounds=0.5, trees=0.5) < 1]
    return float(np.clip(available / np.mean(shorter), 0.0, 1.0)) if shorter else 1.0


def affordable_families(
    pools: Mapping[str, list[Candidate]], measured: Measured, available: float
) -> dict[str, list[Candidate]]:
    """The families of which one candidate at least can be confirmed at the shortest length, the default marked.

    ``available`` are processor seconds per fold, of which one candidate may take half. The default is of the first
    family, in the documented order, of which it fits; a boosted default is no shorter than it is, so it may take all of
    them. Where it does not fit, shorter ones of its family race as others. The cheapest family stays, whatever the
    budget.
    """

    shortest = {model: shortest_seconds(model, pools, measured) for model in pools}

    def fits_as_default(model: str) -> bool:
        first = pools[model][0]
        if length_of(first) is None:
            return 2.0 * shortest[model] < available
        whole = measured.costs[model][first.id] + len(GRID) * measured.looks[first.id]
        return whole + measured.once.get(model, 0.0) < available

    kept = [model for model in pools if 2.0 * shortest[model] < available] or [min(pools, key=shortest.__getitem__)]
    default = next((model for model in MODELS if model in kept and fits_as_default(model)), None)
    return with_default({model: pools[model] for model in kept}, default)


def shortest_seconds(model: str, pools: Mapping[str, list[Candidate]], measured: Measured) -> float:
    """Processor seconds of the first candidate of a family on one fold, at the shortest length."""
    first = pools[model][0]
    training = shortest_of(first) * measured.costs[model][first.id] + len(GRID) * measured.looks[first.id]
    return training + measured.once.get(model, 0.0)


def with_default(pools: Mapping[str, list[Candidate]], family: str | None = None) -> dict[str, list[Candidate]]:
    """Mark the default of the race: the first candidate of ``family``, if None of the first in the documented order."""
    family = family or next(model for model in MODELS if model in pools)
    default = pools[family][0].id
    return {model: [replace(one, is_default=one.id == default) for one in pool] for model, pool in pools.items()}


def screen_cost(policy: Policy) -> tuple[float, float]:
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


def predicted(plan: Plan, per_candidate: tuple[float, float]) -> float:
    """Wall seconds that the plan should take on its workers, the refit included; ``per_candidate`` of `screen_cost`."""
    screened, seen = per_candidate
    default = next(candidate for candidate in plan.candidates if candidate.is_default)
    # No rival drops the default: it is screened to its end, and confirmed beside those of its family.
    apart = {default.id} if plan.rungs else set()
    confirmed = len(apart) + sum(plan.confirm.values())
    runs = plan.folds * len(plan.seeds)
    again = lanes_of(plan, confirmed) - runs
    screen = sum(plan.confirming(id) for id in apart)
    confirm, refit = screen * runs, screen * again
    for model, count in plan.confirm.items():
        family = [one.id for one in plan.candidates if one.model == model and one.id not in apart]
        own = np.array([plan.costs[id] for id in family])
        if not len(own) or not own.sum():
            continue
        look = float(np.mean([plan.look_costs[id] for id in family]))
        # Those that survive are the longer trained and the larger ones: each counts by what it costs.
        survivor = float((own**2).sum() / own.sum())
        if plan.rungs:
            screen += float(own.sum()) * plan.rungs[0] + survivor * len(own) * (screened - plan.rungs[0])
            screen += look * len(own) * seen
        lonely = float(np.mean([plan.confirming(id) for id in family])) / float(own.mean() + len(plan.grid) * look)
        lane = (survivor + len(plan.grid) * look) * (lonely if plan.rungs or count == 1 else 1.0)
        confirm += lane * min(count, len(own)) * runs
        refit += lane * min(count, len(own)) * again
    # No number of workers makes the lane of the default shorter, nor the one that is trained on all rows.
    longest = plan.costs[default.id] if plan.rungs else 0.0
    last = plan.costs[default.id] * plan.single.get(default.id, 1.0) if default.model in STACKED else 0.0
    return max(screen / plan.workers, longest) + confirm / plan.workers + max(refit / plan.workers, last)
