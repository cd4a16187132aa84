"""Why a family is not in a race: with the seconds that it would have taken, and those that were left."""

import re
from dataclasses import replace

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.search.halving import Halving
from lanewise.training.planning import fitting
from lanewise.training.planning.left_out import left_out, missing
from lanewise.training.planning.making import _doubtful
from lanewise.training.planning.plan import Lengths

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
SETTING = fitting.Setting(
    parts=3,
    folds=3,
    fewest_folds=2,
    seeds=(0,),
    stated=False,
    policy=Halving(),
    lengths=Lengths(rows_seen=1_500_000),
    workers=2,
)


def measured(look: float = 0.0) -> fitting.Measured:
    return fitting.Measured(
        costs={model: {one.id: COSTS[model] for one in pool} for model, pool in POOLS.items()},
        looks={one.id: look for pool in POOLS.values() for one in pool},
    )


def test_a_family_that_is_left_out_would_have_taken_more_than_was_left() -> None:
    for available in (40.0, 20.0, 6.0):
        plan = fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=SETTING)
        why = left_out(plan, available, pools=POOLS, measured=measured(), setting=SETTING, budget=30.0)
        assert list(why) == missing(plan, POOLS)
        assert why
        for words in why.values():
            takes, left = map(float, re.findall(r"([0-9.]+) s\b", words))
            assert takes > left == pytest.approx(available / SETTING.workers)


def test_with_what_it_takes_it_would_have_been_there() -> None:
    plan = fitting.best_fitted(20.0, pools=POOLS, measured=measured(), setting=SETTING)
    why = left_out(plan, 20.0, pools=POOLS, measured=measured(), setting=SETTING, budget=30.0)
    for model, words in why.items():
        takes = float(re.findall(r"([0-9.]+) s\b", words)[0])
        own = {one.model: POOLS[one.model] for one in plan.candidates} | {model: POOLS[model]}
        more = fitting.best_fitted(1.05 * takes * SETTING.workers, pools=own, measured=measured(), setting=SETTING)
        assert model in {one.model for one in more.candidates}


def test_nobody_is_left_out_of_a_plan_of_all() -> None:
    plan = fitting.best_fitted(1000.0, pools=POOLS, measured=measured(), setting=SETTING)
    assert not left_out(plan, 1000.0, pools=POOLS, measured=measured(), setting=SETTING, budget=600.0)


def test_of_two_measurements_the_least_counts() -> None:
    first = replace(measured(0.5), once={"tree": 2.0, "mlp": 1.0})
    again = fitting.Measured(
        costs={"tree": {one.id: 0.1 for one in POOLS["tree"]}, "linear": {one.id: 9.0 for one in POOLS["linear"]}},
        looks={"tree-0": 0.1, "linear-0": 7.0},
        once={"tree": 0.5, "linear": 3.0},
    )
    found = fitting.least_of(first, again)
    assert found.costs["tree"]["tree-0"] == 0.1
    assert (found.costs["linear"], found.costs["mlp"]) == (first.costs["linear"], first.costs["mlp"])
    assert (found.looks["tree-0"], found.looks["tree-1"], found.looks["linear-0"]) == (0.1, 0.5, 0.5)
    assert found.once == {"tree": 0.5, "mlp": 1.0}


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
