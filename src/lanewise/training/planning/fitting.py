"""Fits a race into the processor seconds that there are, by what its lanes were measured to cost."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lanewise.lanes.candidate import Candidate
from lanewise.models.registry import STACKED
from lanewise.models.trees import LENGTHS
from lanewise.search.policy import rungs_of
from lanewise.training.planning.amending import MOST_CONFIRMED
from lanewise.training.planning.families import FAMILY_SHARES, affordable_families, sets_of, share_of, with_default
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import FEWEST_ROUNDS, GRID, Plan
from lanewise.training.planning.predicting import MANY, predicted
from lanewise.training.planning.setting import FEWER_FOLDS, FEWEST_FOLDS, Setting
from lanewise.training.planning.shortening import LEAST_LENGTH, SHORTEST, length_of, shortened, shortest_of

FEWEST = {"lightgbm": 3, "mlp": 4, "linear": 4, "forest": 2, "tree": 2}
ONE_EACH = dict.fromkeys(FEWEST, 1)

HALF, QUARTER = 0.5, 0.25
"""Shares of the usual length: where a family trains for less than the first, fewer folds serve better, if enough rows
are held out in them; where every family trains for less than the second, so do the few that need no screen."""

SCREEN_SHARE, CONFIRM_SHARE = 0.35, 0.55
"""Of a family's time; what is left is for the refit."""

DEAR = frozenset({"mlp", "forest"})
"""Families of which a single candidate may take the time of a search among the others."""

NEXT_TO_NOTHING = 1e-6
"""Processor seconds for which a plan is the shortest that its families can have."""

RATIO, TRIED = 1.2, (0.25, 3.0)
"""Plans are tried for powers of the first as processor seconds, within these multiples of what is available: where more
is available those that were within it still are."""

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
class _Entry:
    """What a family does in a race: who takes part, how many are confirmed, at which share of the usual length."""

    candidates: Sequence[Candidate]
    confirm: int
    length: float = 1.0


Known = dict[tuple[object, ...], Plan]
"""Plans that were made for the same pools, costs and setting, whatever was available."""


def best_fitted(
    available: float,
    *,
    pools: Mapping[str, list[Candidate]],
    measured: Measured,
    setting: Setting,
    known: Known | None = None,
) -> Plan:
    """The plan that uses the most of ``available`` processor seconds without overrunning it, of all families that fit.

    Families are left out only where no plan with them is within, however short, on however few folds and without a
    screen: as few of those that are not dear as can be, and of those that are worth the least time. Of the plans with
    the same of these it is the one of the most :func:`merit`: dear families go before the screen, and before the
    boosted default at its own length. So what a race has does not shrink as the budget grows.

    Of one set of families it is the plan of the most folds that trains each for half of its usual length at least, else
    the one whose shortest training is the longest. One without a screen counts only where with one every family would
    train for less than a quarter. A plan that is made for exactly what is available leaves time over, or needs more: it
    counts whole candidates and whole trainings, family by family. Where nothing is within, it is the ``least`` plan of
    all, as a plan says. What is ``known`` is not made again.
    """
    tried, known = list[Plan](), {} if known is None else known
    for cheap in [*sets_of(model for model in pools if model not in DEAR), ()]:
        best: Plan | None = None
        for dear in [*sets_of(model for model in pools if model in DEAR), ()]:
            own = {model: pools[model] for model in pools if model in {*cheap, *dear}}
            ways = _ways(available, pools=own, measured=measured, setting=setting) if own else ()
            found = next(filter(None, (_best_of(same, available, setting, tried, known) for same in ways)), None)
            if found is not None and (best is None or merit(found, pools, setting) > merit(best, pools, setting)):
                best = found
                if _is_screened(found, own, setting) and _has_own_default(found, pools) >= ("lightgbm" in own):
                    break  # those with fewer have nothing that it has not
        if best is not None:
            return best
    return replace(min(tried, key=lambda plan: plan.predicted_seconds), least=True)


def merit(plan: Plan, pools: Mapping[str, list[Candidate]], setting: Setting) -> tuple[float, ...]:
    """What a race among ``pools`` has, in the order in which it is kept: what comes last goes first.

    How many families it has that are not dear, and what they are worth; how much of its own length a boosted default
    has; networks, or a search of boosted trees in their place, for half of their usual length at least; a screen;
    networks; forests.
    """
    families = {one.model for one in plan.candidates}
    cheap = families - DEAR
    screened = _is_screened(plan, pools, setting)
    searched = screened and "lightgbm" in families and min(_shares(plan, setting)) >= HALF
    dear = ("mlp" in families or searched, screened, "mlp" in families, "forest" in families)
    return (len(cheap), share_of(cheap), _has_own_default(plan, pools), *dear)


def _has_own_default(plan: Plan, pools: Mapping[str, list[Candidate]]) -> float:
    """How much of its own length the default has, if it is a booster; 0 for any other."""
    default = next(one for one in plan.candidates if one.is_default)
    if default.model != "lightgbm":
        return 0.0
    name, whole = length_of(default), pools["lightgbm"][0]
    return 1.0 if name is None else default.number(name) / whole.number(name)


_Way = tuple[dict[str, list[Candidate]], Measured, Mapping[str, int] | None, Setting]
"""Candidates and their costs, the fewest of a family that are screened (None: no screen), folds."""


def _best_of(ways: Sequence[_Way], available: float, setting: Setting, tried: list[Plan], known: Known) -> Plan | None:
    """The plan of one set of families that :func:`best_fitted` takes; ``tried`` gets the least of those beyond it."""
    found = list[Plan]()
    for way in ways:
        best = _within(available, way, setting, tried, known)
        if best is None:
            continue
        found.append(best)
        if _is_screened(best, way[0], setting) and min(_shares(best, setting)) >= HALF:
            return best
    screened = [plan for plan in found if _is_screened(plan, ways[0][0], setting)]
    long = [plan for plan in found if min(_shares(plan, setting)) >= HALF]
    if long and not screened:
        return long[0]
    return max(screened or found, key=lambda plan: sorted(_shares(plan, setting)), default=None)


def _is_screened(plan: Plan, pools: Mapping[str, list[Candidate]], setting: Setting) -> bool:
    """Whether there is a screen of those that train for a quarter of their usual length, or none is needed."""
    if plan.rungs:
        return max(_shares(plan, setting)) >= QUARTER
    return len(plan.candidates) == sum(len(pools[model]) for model in plan.confirm)


def _shares(plan: Plan, setting: Setting) -> list[float]:
    """Of their usual length, what those have that a plan may shorten; 1 where it may shorten none."""
    own = plan.lengths
    rows = own.rows_seen / setting.lengths.rows_seen
    return [
        shortened(one, rows=rows, rounds=own.rounds_share, trees=own.trees_share)
        for one in plan.candidates
        if shortened(one, rows=HALF, rounds=HALF, trees=HALF) < 1.0
    ] or [1.0]


def _within(available: float, way: _Way, setting: Setting, tried: list[Plan], known: Known) -> Plan | None:
    """The longest plan of a way that is within what is available; none, where its shortest is not."""
    pools, measured, fewest, at = way
    default = next(one for pool in pools.values() for one in pool if one.is_default)
    name = length_of(default)
    named = (*pools, default.id, name and default.number(name), fewest and tuple(fewest.items()), at.folds, at.shortest)

    def plan(seconds: float) -> Plan:
        key = (*named, seconds)
        if key not in known:
            known[key] = fitted(seconds, pools=pools, measured=measured, setting=at, fewest=fewest)
        return known[key]

    room = FORESEEN * available / at.workers
    shortest = plan(NEXT_TO_NOTHING)
    if shortest.predicted_seconds > room:
        tried.append(shortest)
        return None
    first, last = (math.floor(math.log(share * available, RATIO)) for share in TRIED)
    longer = [plan(RATIO**power) for power in range(first, last + 1)]
    return max(
        [shortest, *(one for one in longer if one.predicted_seconds <= room)],
        key=lambda one: (
            _is_screened(one, pools, setting),
            min(_shares(one, setting)) >= HALF,
            one.predicted_seconds,
        ),
    )


def _ways(
    available: float, *, pools: Mapping[str, list[Candidate]], measured: Measured, setting: Setting
) -> Iterator[list[_Way]]:
    """Ways to race all families of ``pools``, those first that have the boosted default at its own length.

    Of a family alone there are more: on as few folds as can be, with a default that is cut, at the shortest.
    """
    fewer = setting.fewer_folds()
    among = [(FEWEST, setting), (ONE_EACH, setting), *((ONE_EACH, at) for at in fewer)]
    among += [(None, at) for at in (setting, *fewer)]
    for boosted in (True, False) if len(pools) > 1 and "lightgbm" in pools else (len(pools) == 1,):
        ways = list[_Way]()
        for fewest, at in among:
            kept = affordable_families(pools, measured, available / at.folds, boosted=boosted)
            if len(kept) == len(pools) and (not boosted or len(pools) == 1 or kept["lightgbm"][0].is_default):
                ways.append((kept, measured, fewest, at))
        yield ways
    if len(pools) > 1:
        return
    (pool,) = pools.values()
    yield [(*_cut(1.0, pool, measured), ONE_EACH, setting.at_most(FEWER_FOLDS))]
    for share in DEFAULT_SHARES if length_of(pool[0]) is not None else (1.0,):
        yield [(*_cut(share, pool, measured), ONE_EACH, setting.at_most(FEWEST_FOLDS))]
    shortest = min(SHORTEST, max(LEAST_LENGTH, FEWEST_SEEN / setting.lengths.rows_seen))
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
    total = share_of(pools)
    # Two workers or so come to train on every fold, and all of them on that of the screen; one does for the refit.
    sharing = min(setting.workers, SHARING)
    once = sum(measured.once.get(model, 0.0) for model in pools) * (sharing * setting.folds + setting.workers + 1)
    training = max(available - once, 0.5 * available)
    shares = {model: training * FAMILY_SHARES[model] / total for model in pools}
    looked = {model: _mean([looks[one.id] for one in pool]) for model, pool in pools.items()}
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
        wished_seeds=setting.seeds,
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
    most = MOST_CONFIRMED[pool[0].model]
    confirm = int(min(max(share * seconds / (_lane(pool, lonely, looked) * runs), 1), most))
    # Of those who come through a screen nobody knows which; without one they are the first.
    known = pool if screens else pool[:confirm]
    each = share * seconds / (runs if screens else runs * confirm)
    affordable = _affordable_length(known, lonely, each - len(GRID) * looked)
    length = max(affordable, shortest_of(pool[0], setting.shortest))
    if not screens:
        return _Entry(candidates=known, confirm=confirm, length=length)
    screened, seen = setting.screened
    trained = _mean([costs[one.id] * shortened(one, rows=length, rounds=length, trees=length) for one in pool])
    wide = int(SCREEN_SHARE * seconds / (trained * screened + looked * seen))
    return _Entry(
        candidates=pool[: min(max(wide, min(fewest or 1, len(pool))), len(pool))], confirm=confirm, length=length
    )


def _lane(pool: Sequence[Candidate], costs: Mapping[str, float], looked: float) -> float:
    """Processor seconds of a lane at full length, looks included, in the mean over ``pool``."""
    return _mean([costs[one.id] for one in pool]) + len(GRID) * looked


def _affordable_length(pool: Sequence[Candidate], costs: Mapping[str, float], available: float) -> float:
    """The share of a full training that ``available`` seconds allow those of ``pool`` that can be shortened."""
    shorter = [costs[one.id] for one in pool if shortened(one, rows=0.5, rounds=0.5, trees=0.5) < 1]
    return min(max(available / _mean(shorter), 0.0), 1.0) if shorter else 1.0


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)  # of few numbers, many times
