"""Fits a race into the processor seconds that there are, by what its lanes were measured to cost."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.models.trees import LENGTHS
from lanewise.search.policy import Policy, rungs_of
from lanewise.training.planning.amending import MOST_CONFIRMED
from lanewise.training.planning.families import FAMILY_SHARES, affordable_families, sets_of, with_default
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import FEWEST_ROUNDS, GRID, Lengths, Plan
from lanewise.training.planning.predicting import MANY, predicted, screen_cost
from lanewise.training.planning.shortening import LEAST_LENGTH, SHORTEST, length_of, shortened, shortest_of

FEWEST = {"lightgbm": 3, "mlp": 4, "linear": 4, "forest": 2, "tree": 2}
ONE_EACH = dict.fromkeys(FEWEST, 1)

ENOUGH_FOLDS, FEWER_FOLDS, FEWEST_FOLDS = 5, 3, 2
"""Folds that a race is content with where more leave no room for a family, and, then, where they leave none at all."""

ENOUGH_HELD_OUT = 6_000
"""Rows held out, or groups of them, that tell candidates apart: a table that has so many in fewer folds is content with
those sooner."""

HALF, QUARTER = 0.5, 0.25
"""Shares of the usual length: where a family trains for less than the first, fewer folds serve better, if enough rows
are held out in them; where every family trains for less than the second, so do the few that need no screen."""

SCREEN_SHARE, CONFIRM_SHARE = 0.35, 0.55
"""Of a family's time; what is left is for the refit."""

DEAR = frozenset({"mlp", "forest"})
"""Families of which a single candidate may take the time of a search among the others."""

NEXT_TO_NOTHING = 1e-6
"""A multiple for which a plan is the shortest that its families can have."""

FILLINGS = (NEXT_TO_NOTHING, 0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Multiples of the available time for which a plan is tried."""

FORESEEN = 0.88
"""Share of the available time that a plan may fill: what it does not foresee mostly takes longer, and what is left over
after the screen confirms more."""

SHARING = 2
"""Workers that train lanes of one fold, of those that are confirmed."""

FEWEST_SEEN = 20_000
"""Rows that a mini-batch lane sees at the least."""

DEFAULT_SHARES = (1.0, 0.6, 0.3, SHORTEST)
"""Shares of its rounds or trees that a default has where no family has room for its own."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a plan is made for: ``seeds``, of which some are left out unless they were ``stated``, workers.

    The training rows, which have so many ``units`` (rows, or groups that stay together), were split into ``parts``, of
    which the first ``folds`` are held out, at least ``fewest_folds``. No training is shorter than the share
    ``shortest`` of its usual length.
    """

    units: int
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

    def at_most(self, folds: int) -> "Setting":
        """The same with no more ``folds`` than those, if the user has not asked for more."""
        return replace(self, folds=max(min(folds, self.folds), self.fewest_folds))

    def fewer_folds(self) -> list["Setting"]:
        """The same with fewer and fewer folds, with each of which a race is content before it leaves a family out."""
        few = self.units * FEWER_FOLDS // self.parts >= ENOUGH_HELD_OUT
        found = [self.at_most(folds) for folds in (ENOUGH_FOLDS, *([FEWER_FOLDS] if few else []))]
        return [at for at, more in zip(found, [self, *found], strict=False) if at.folds < more.folds]


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

    Families are left out only where no plan with them is within, however short, on however few folds and without a
    screen: as few families as can be, and of those that are worth the least time. Of one set of families it is the plan
    of the most folds that trains each for half of its usual length at least, else the one whose shortest training is
    the longest. One without a screen counts only where with one every family would train for less than a quarter.
    Dear families go before the screen: forests where there is one without them, networks too where boosted trees are
    left and all then train for half of their usual length. A plan that is made for exactly what is available leaves
    time over, or needs more: it counts whole candidates and whole trainings, family by family. Where nothing is within,
    it is the ``least`` plan of all, as a plan says.
    """
    tried = list[Plan]()
    wide: Plan | None = None
    for ways in _attempts(available, pools=pools, measured=measured, setting=setting):
        families = {model for own, *_ in ways for model in own}
        gone = set() if wide is None else {one.model for one in wide.candidates} - families
        if not families or not gone <= DEAR:
            continue
        best = _best_of(ways, available, setting, tried)
        if best is None:
            continue
        if wide is None and (best.rungs or not families & DEAR or len(families) == 1):
            return best
        search = "lightgbm" in families and min(_shares(best, setting)) >= HALF
        if wide is not None and best.rungs and (gone == {"forest"} or search):
            return best
        wide = wide or best
    return wide or replace(min(tried, key=lambda plan: plan.predicted_seconds), least=True)


def _best_of(ways: "Sequence[_Way]", available: float, setting: Setting, tried: list[Plan]) -> Plan | None:
    """The plan of one set of families that :func:`best_fitted` takes; ``tried`` gets the least of those beyond it."""
    found = list[Plan]()
    for own, costs, fewest, at in ways:
        plans = [fitted(available * share, pools=own, measured=costs, setting=at, fewest=fewest) for share in FILLINGS]
        within = [plan for plan in plans if plan.predicted_seconds <= FORESEEN * available / plan.workers]
        if not within:
            tried.append(min(plans, key=lambda plan: plan.predicted_seconds))
            continue
        best = max(within, key=lambda plan: plan.predicted_seconds)
        if not best.rungs and any(plan.rungs and max(_shares(plan, setting)) >= QUARTER for plan in found):
            continue
        found.append(best)
        if min(_shares(best, setting)) >= HALF:
            return best
    return max(found, key=lambda plan: sorted(_shares(plan, setting)), default=None)


def _shares(plan: Plan, setting: Setting) -> list[float]:
    """Of their usual length, what those have that a plan may shorten; 1 where it may shorten none."""
    own = plan.lengths
    rows = own.rows_seen / setting.lengths.rows_seen
    return [
        shortened(one, rows=rows, rounds=own.rounds_share, trees=own.trees_share)
        for one in plan.candidates
        if shortened(one, rows=HALF, rounds=HALF, trees=HALF) < 1.0
    ] or [1.0]


_Way = tuple[dict[str, list[Candidate]], Measured, Mapping[str, int] | None, Setting]
"""Candidates and their costs, the fewest of a family that are screened (None: no screen), folds."""


def _attempts(
    available: float, *, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting
) -> Iterator[list[_Way]]:
    """Ways to race a set of families, each with less in it than the one before; sets that are worth more come first."""

    fewer = setting.fewer_folds()
    ways = [(FEWEST, setting), (ONE_EACH, setting), *((ONE_EACH, at) for at in fewer)]
    ways += [(None, at) for at in (setting, *fewer)]
    for own in sets_of(affordable_families(pools, measured, available / [setting, *fewer][-1].folds)):
        marked = [
            (affordable_families({model: pools[model] for model in own}, measured, available / at.folds), fewest, at)
            for fewest, at in ways
        ]
        yield [(kept, measured, fewest, at) for kept, fewest, at in marked if len(kept) == len(own)]
    for pool in pools.values():
        yield [(*_cut(1.0, pool, measured), ONE_EACH, setting.at_most(FEWER_FOLDS))]
    for share, pool in itertools.product(DEFAULT_SHARES, pools.values()):
        if share == 1.0 or length_of(pool[0]) is not None:
            yield [(*_cut(share, pool, measured), ONE_EACH, setting.at_most(FEWEST_FOLDS))]
    shortest = min(SHORTEST, max(LEAST_LENGTH, FEWEST_SEEN / setting.lengths.rows_seen))
    for pool in pools.values():
        yield [(*_cut(1.0, pool, measured), ONE_EACH, replace(setting.at_most(FEWEST_FOLDS), shortest=shortest))]


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


def fitted(
    available: float,
    *,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
    fewest: Mapping[str, int] | None = FEWEST,
) -> Plan:
    """A plan of about ``available`` processor seconds for those candidates of ``pools`` that there is room for.

    However few seconds there are, ``fewest`` of every family take part, and one is confirmed, at the shortest; without
    them there is no screen.
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
    entering = partial(_entries, pools, measured, looked, seconds=shares, runs=runs, setting=setting)
    entries = entering(fewest)
    chosen = [one for entry in entries.values() for one in entry.candidates]
    screen = any(entry.confirm < len(entry.candidates) for entry in entries.values())
    rungs = rungs_of(setting.policy, len(chosen)) if screen else ()
    if screen and not rungs:  # they are too few for one
        entries = entering(None)
        chosen = [one for entry in entries.values() for one in entry.candidates]
    # A forest loses little by fewer trees, boosted trees much by fewer rounds: neither shortens the other.
    shrink = {
        "rows": min([1.0, *(entry.length for model, entry in entries.items() if model in STACKED)]),
        **{name: entries[model].length if model in entries else 1.0 for model, name in LENGTHS.items()},
    }
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


def _entries(
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    looked: Mapping[str, float],
    fewest: Mapping[str, int] | None,
    *,
    seconds: Mapping[str, float],
    runs: int,
    setting: Setting,
) -> dict[str, _Entry]:
    """What every family does in its ``seconds`` of a race that confirms each candidate in ``runs`` lanes."""
    found: dict[str, _Entry] = {}
    for model, pool in pools.items():
        own = partial(_entry, pool, measured, looked[model], seconds=seconds[model], runs=runs, setting=setting)
        found[model] = own(fewest=None if fewest is None else fewest[model])
    return found


def _entry(
    pool: Sequence[Candidate],
    measured: Measured,
    looked: float,
    *,
    seconds: float,
    runs: int,
    setting: Setting,
    fewest: int | None,
) -> _Entry:
    """What a family does in ``seconds``: ``fewest`` candidates at least are screened; None: there is no screen."""
    costs = measured.costs[pool[0].model]
    if _lane(pool, costs, looked) * len(pool) * (runs + 1) <= 0.9 * seconds:
        return _Entry(candidates=pool, confirm=len(pool))
    screens = fewest is not None and bool(rungs_of(setting.policy, MANY))
    share = CONFIRM_SHARE if screens else SCREEN_SHARE + CONFIRM_SHARE
    # Those few share no stack with candidates like them any more.
    lonely = measured.confirming(pool, lanes=runs, workers=setting.workers)
    confirm = int(np.clip(share * seconds / (_lane(pool, lonely, looked) * runs), 1, MOST_CONFIRMED[pool[0].model]))
    # Of those who come through a screen nobody knows which; without one they are the first.
    known = pool if screens else pool[:confirm]
    each = share * seconds / (runs if screens else runs * confirm)
    affordable = _affordable_length(known, lonely, each - len(GRID) * looked)
    length = max(affordable, shortest_of(pool[0], setting.shortest))
    if not screens:
        return _Entry(candidates=known, confirm=confirm, length=length)
    screened, seen = setting.screened
    trained = np.mean([costs[one.id] * shortened(one, rows=length, rounds=length, trees=length) for one in pool])
    wide = int(SCREEN_SHARE * seconds / (float(trained) * screened + looked * seen))
    return _Entry(
        candidates=pool[: int(np.clip(wide, min(fewest or 1, len(pool)), len(pool)))], confirm=confirm, length=length
    )


def _lane(pool: Sequence[Candidate], costs: Mapping[str, float], looked: float) -> float:
    """Processor seconds of a lane at full length, looks included, in the mean over ``pool``."""
    return float(np.mean([costs[one.id] for one in pool])) + len(GRID) * looked


def _affordable_length(pool: Sequence[Candidate], costs: Mapping[str, float], available: float) -> float:
    """The share of a full training that ``available`` seconds allow those of ``pool`` that can be shortened."""
    shorter = [costs[one.id] for one in pool if shortened(one, rows=0.5, rounds=0.5, trees=0.5) < 1]
    return float(np.clip(available / np.mean(shorter), 0.0, 1.0)) if shorter else 1.0
