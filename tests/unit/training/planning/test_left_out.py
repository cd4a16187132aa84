"""Which families a budget has no room for, and which budget would have room for all."""

from dataclasses import replace

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.search.halving import Halving
from lanewise.training.planning import fitting
from lanewise.training.planning.left_out import RACING_SHARE, advised_budget, missing, needed_seconds
from lanewise.training.planning.making import _doubtful
from lanewise.training.planning.measured import Measured, least_of
from lanewise.training.planning.plan import Lengths
from lanewise.training.planning.setting import Setting

COSTS = {"lightgbm": 10.0, "mlp": 20.0, "linear": 1.0, "tree": 0.5}
POOLS = {
    model: [
        Candidate(
            id=f"{model}-{number}",
            model=model,
            optimizer={"mlp": "adamw", "linear": "adam"}.get(model, ""),
            settings={"rounds": 100} if model == "lightgbm" else {},
        )
        for number in range(12)
    ]
    for model in COSTS
}
SETTING = Setting(
    units=4_000,
    parts=3,
    folds=3,
    fewest_folds=2,
    seeds=(0,),
    stated=False,
    policy=Halving(),
    lengths=Lengths(rows_seen=1_500_000),
    workers=2,
)


KNOWN: fitting.Known = {}


def measured(look: float = 0.0) -> Measured:
    return Measured(
        costs={model: {one.id: COSTS[model] for one in pool} for model, pool in POOLS.items()},
        looks={one.id: look for pool in POOLS.values() for one in pool},
    )


def needed(setting: Setting = SETTING) -> float:
    return needed_seconds(pools=POOLS, measured=measured(), setting=setting)


def raced(seconds: float) -> set[str]:
    available = seconds * SETTING.workers
    plan = fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=SETTING, known=KNOWN)
    return {one.model for one in plan.candidates}


def test_with_what_is_needed_or_somewhat_more_all_race_and_with_clearly_less_one_is_left_out() -> None:
    """Networks would go before a screen with less than half of what other families take again."""
    for factor in (1.0, 1.1, 1.2, 1.3):
        assert raced(factor * needed()) == set(POOLS)
    assert raced(0.7 * needed()) < set(POOLS)
    assert needed(replace(SETTING, workers=1)) > needed()


@pytest.mark.parametrize(("budget", "left"), [(10.0, 1.0), (15.0, 4.0), (20.0, 9.0)])
def test_with_the_budget_that_is_advised_nobody_is_left_out(budget: float, left: float) -> None:
    """Whatever of the seconds that it has more is left for a race: what the advice reckons with, or all of them."""
    assert raced(left) < set(POOLS)
    more = advised_budget(budget, needed=needed(), left=left) - budget
    for share in (RACING_SHARE, 0.8, 1.0):
        assert raced(left + share * more) == set(POOLS)


def test_what_is_needed_does_not_depend_on_how_little_was_left() -> None:
    for budget, left in ((1.0, 0.005), (20.0, 6.0), (30.0, 20.0)):
        advised = advised_budget(budget, needed=needed(), left=left)
        assert advised > budget
        assert left + RACING_SHARE * (advised - budget) >= needed()


def test_nobody_is_left_out_of_a_plan_of_all() -> None:
    plan = fitting.best_fitted(1000.0, pools=POOLS, measured=measured(), setting=SETTING)
    assert not missing(plan, POOLS)


def test_of_two_measurements_the_least_counts() -> None:
    first = replace(measured(0.5), once={"tree": 2.0, "mlp": 1.0}, looks_alone={"tree-0": 0.4, "mlp-0": 0.3})
    again = Measured(
        costs={"tree": {one.id: 0.1 for one in POOLS["tree"]}, "linear": {one.id: 9.0 for one in POOLS["linear"]}},
        looks={"tree-0": 0.1, "linear-0": 7.0},
        once={"tree": 0.5, "linear": 3.0},
        looks_alone={"tree-0": 0.2},
    )
    found = least_of(first, again)
    assert found.costs["tree"]["tree-0"] == 0.1
    assert (found.costs["linear"], found.costs["mlp"]) == (first.costs["linear"], first.costs["mlp"])
    assert (found.looks["tree-0"], found.looks["tree-1"], found.looks["linear-0"]) == (0.1, 0.5, 0.5)
    assert found.once == {"tree": 0.5, "mlp": 1.0}
    assert found.looks_alone == {"tree-0": 0.2, "mlp-0": 0.3}


def test_before_a_family_is_left_out_costs_are_measured_again_where_that_is_quick() -> None:
    plan = fitting.best_fitted(20.0, pools=POOLS, measured=measured(), setting=SETTING)
    out = missing(plan, POOLS)
    quick = replace(measured(), took={"lightgbm": 0.2, "mlp": 0.3, "linear": 0.1, "tree": 0.1})
    assert list(_doubtful(plan, POOLS, quick, 1.0))[: len(out)] == out
    assert set(_doubtful(plan, POOLS, quick, 1.0)) == set(POOLS)
    assert list(_doubtful(plan, POOLS, quick, 0.35)) == out[:1]
    assert not _doubtful(plan, POOLS, quick, 0.05)
    whole = fitting.best_fitted(1000.0, pools=POOLS, measured=measured(), setting=SETTING)
    assert not _doubtful(whole, POOLS, quick, 100.0)
