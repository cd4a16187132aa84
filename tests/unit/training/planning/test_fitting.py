"""What a plan thinks that its lanes cost: what is really trained, and every look at it."""

from dataclasses import replace
from typing import Any

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.search.halving import Halving
from lanewise.training.planning import families, fitting
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import GRID, Lengths, Plan
from lanewise.training.planning.proposals import MODELS
from lanewise.training.planning.setting import Setting
from lanewise.training.planning.shortening import SHORTEST_FOREST, shortened

COSTS = {"lightgbm": 10.0, "mlp": 20.0, "linear": 1.0, "tree": 0.5}


def candidate(model: str, number: int) -> Candidate:
    optimizer = {"mlp": "adamw", "linear": "lbfgs" if number % 2 else "adam"}.get(model, "")
    settings: dict[str, Any] = {"rounds": 100} if model == "lightgbm" else {}
    return Candidate(id=f"{model}-{number}", model=model, optimizer=optimizer, settings=settings)


POOLS = {model: [candidate(model, number) for number in range(12)] for model in COSTS}


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


def measured(look: float = 0.0) -> Measured:
    return Measured(
        costs={model: {one.id: COSTS[model] for one in pool} for model, pool in POOLS.items()},
        looks={one.id: look for pool in POOLS.values() for one in pool},
    )


def fitted(*, available: float, look: float = 0.0) -> Plan:
    found = measured(look)
    pools = families.affordable_families(POOLS, found, available / SETTING.folds)
    return fitting.fitted(available, pools=pools, measured=found, setting=SETTING)


def best_fitted(available: float) -> Plan:
    return fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=SETTING)


def test_only_what_is_shortened_costs_less() -> None:
    plan = fitted(available=100.0)
    rows, rounds = plan.lengths.rows_seen / 1_500_000, plan.lengths.rounds_share
    assert rows < 1
    assert rounds < 1
    shares = {"lightgbm-0": 1.0, "lightgbm-1": rounds, "mlp-0": rows, "linear-0": rows, "linear-1": 1.0, "tree-0": 1.0}
    for id, share in shares.items():
        assert plan.costs[id] == pytest.approx(share * COSTS[id.split("-")[0]], rel=1e-5)
    assert [one.id for one in plan.candidates if one.is_default] == ["lightgbm-0"]


def test_full_batch_rules_take_their_iterations() -> None:
    steps = replace(POOLS["mlp"][0], optimizer="gd")
    assert shortened(steps, rows=0.2, rounds=0.2) == 1.0


def test_looks_leave_room_for_less_and_are_predicted() -> None:
    without, looked = fitted(available=300.0), fitted(available=300.0, look=0.5)
    assert len(looked.candidates) < len(without.candidates)
    assert looked.confirming("tree-0") == looked.costs["tree-0"] + 0.5 * len(GRID)
    unseen = replace(looked, look_costs=dict.fromkeys(looked.costs, 0.0))
    free = fitting.predicted(unseen, SETTING.screened)
    confirmed = 1 + sum(looked.confirm.values())  # and the default
    assert looked.predicted_seconds - free > confirmed * 3 * 0.5 * len(GRID) / 2


def test_lanes_that_share_no_stack_when_they_are_confirmed_are_charged_for_it() -> None:
    pools = {"mlp": POOLS["mlp"]}
    shared = measured()
    apart = replace(shared, single={one.id: 4.0 for one in pools["mlp"]})
    for available in (30.0, 120.0, 600.0):
        plan, dearer = (
            fitting.best_fitted(available, pools=pools, measured=own, setting=SETTING) for own in (shared, apart)
        )
        asked = replace(plan, single={one.id: 4.0 for one in plan.candidates})
        assert fitting.predicted(asked, SETTING.screened) > 1.3 * fitting.predicted(plan, SETTING.screened)
        assert dearer.single
        assert dearer.least or dearer.predicted_seconds <= fitting.FORESEEN * available / SETTING.workers
        assert dearer.confirm["mlp"] * dearer.lengths.rows_seen <= plan.confirm["mlp"] * plan.lengths.rows_seen


def test_no_number_of_workers_makes_the_default_shorter() -> None:
    plan = replace(fitted(available=150.0), workers=64)
    assert fitting.predicted(plan, SETTING.screened) > plan.costs["lightgbm-0"]


def test_a_family_whose_default_does_not_fit_races_with_shorter_ones() -> None:
    """The boosted default takes ten seconds on each of three folds, however short the plan; others take a seventh."""
    plan = fitted(available=24.0)
    boosted = [one for one in plan.candidates if one.model == "lightgbm"]
    assert boosted
    assert not any(one.is_default for one in boosted)
    assert [one.id for one in plan.candidates if one.is_default] == ["mlp-0"]
    assert plan.lengths.rounds_share < 1
    assert plan.costs["lightgbm-0"] == pytest.approx(plan.lengths.rounds_share * COSTS["lightgbm"])


def test_a_family_is_left_out_where_its_shortest_race_does_not_fit() -> None:
    models = {one.model for one in fitted(available=8.0).candidates}
    assert models.isdisjoint({"lightgbm", "mlp"})
    assert models >= {"linear", "tree"}


def test_all_families_race_where_a_race_of_one_candidate_each_fits() -> None:
    """Four networks and a screen would take more than there is: one is confirmed at once."""
    plan = best_fitted(100.0)
    assert {one.model for one in plan.candidates} == set(COSTS)
    assert plan.predicted_seconds <= fitting.FORESEEN * 50.0


def test_as_few_families_go_as_can_be_and_those_worth_the_least_time() -> None:
    models = [{one.model for one in best_fitted(available).candidates} for available in (100.0, 40.0, 20.0, 6.0, 0.1)]
    assert [len(own) for own in models] == sorted((len(own) for own in models), reverse=True)
    assert len(models[-1]) == 1
    assert families.sets_of(["lightgbm", "mlp", "tree"])[:3] == [
        ("lightgbm", "mlp", "tree"),
        ("lightgbm", "mlp"),
        ("lightgbm", "tree"),
    ]


ROOMS = [0.02 * 1.25**power for power in range(45)]
"""Processor seconds from a fiftieth to some hundreds."""


@pytest.mark.parametrize("models", [("linear",), ("mlp",), ("tree",), ("lightgbm",), tuple(COSTS)])
def test_what_a_race_takes_never_grows_as_the_budget_shrinks(
    monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    """Either the plan is within what there is, or it is the least of all, which is the same however little there is."""
    monkeypatch.setattr(fitting, "RATIO", 1.6)  # it holds for any, and finer ones take longer to try
    pools = {model: POOLS[model] for model in models}
    known: fitting.Known = {}
    least: set[float] = set()
    for available in ROOMS:
        plan = fitting.best_fitted(available, pools=pools, measured=measured(0.01), setting=SETTING, known=known)
        confirmed = len(plan.candidates) if not plan.rungs else sum(plan.confirm.values()) + 1
        lanes = sum(plan.confirming(one.id) for one in plan.candidates[:confirmed]) * plan.folds
        if plan.least:
            least.add(round(plan.predicted_seconds, 6))
            assert len(plan.candidates) == 1
            assert plan.folds == 2
        else:
            assert plan.predicted_seconds <= fitting.FORESEEN * available / 2
            if not plan.rungs:
                assert lanes <= available  # all of them are confirmed, and the refit is to come
    assert len(least) == 1


TABLES = {
    "of few rows": {"lightgbm": 0.3, "mlp": 8.0, "linear": 0.2, "forest": 1.2, "tree": 0.02},
    "of many classes": {"lightgbm": 10.0, "mlp": 5.0, "linear": 1.0, "forest": 4.0, "tree": 0.3},
    "of many columns": {"lightgbm": 2.0, "mlp": 1.0, "linear": 6.0, "forest": 1.0, "tree": 0.5},
    "without solvers": {"lightgbm": 4.0, "mlp": 2.0},
}


@pytest.mark.parametrize("table", TABLES)
def test_what_a_race_has_never_shrinks_as_the_budget_grows(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Families, the length of the boosted default, the screen: none goes but for one that is worth more."""
    monkeypatch.setattr(fitting, "RATIO", 1.6)  # it holds for any, and finer ones take longer to try
    costs, setting = TABLES[table], replace(SETTING, parts=10, folds=10)
    trees = {"trees": 300}
    forests = [Candidate(id=f"forest-{n}", model="forest", optimizer="", settings=trees) for n in range(8)]
    pools = {model: forests if model == "forest" else POOLS[model] for model in costs}
    lanes = {model: {one.id: costs[model] for one in pool} for model, pool in pools.items()}
    found = Measured(costs=lanes, looks={one.id: 0.002 for pool in pools.values() for one in pool})
    known: fitting.Known = {}
    rooms = [0.5 * 1.25**power for power in range(34)]
    plans = [fitting.best_fitted(room, pools=pools, measured=found, setting=setting, known=known) for room in rooms]
    had = [() if plan.least else fitting.merit(plan, pools, setting) for plan in plans]
    assert had == sorted(had)
    assert {one.model for one in plans[-1].candidates} == set(costs)


def test_a_default_that_is_cut_stays_where_another_family_alone_would_take_its_place() -> None:
    """Boosted trees on two folds, short; then longer: not a network on three folds between them."""
    pools = {model: POOLS[model] for model in ("lightgbm", "mlp")}
    costs = {"lightgbm": 4.0, "mlp": 6.0}
    lanes = {model: {one.id: costs[model] for one in pool} for model, pool in pools.items()}
    found = Measured(costs=lanes, looks={one.id: 0.0 for pool in pools.values() for one in pool})
    rooms, known = [0.5 * 1.2**power for power in range(25)], dict[Any, Plan]()
    plans = [fitting.best_fitted(room, pools=pools, measured=found, setting=SETTING, known=known) for room in rooms]
    defaults = [one for plan in plans if not plan.least for one in plan.candidates if one.is_default]
    boosted = [one.model == "lightgbm" for one in defaults]
    assert boosted == sorted(boosted)  # and before, there was no room for any
    rounds = [one.number("rounds") for one in defaults if one.model == "lightgbm"]
    assert rounds == sorted(rounds)
    assert rounds[0] < 100 == rounds[-1]


def test_a_race_without_a_screen_has_those_only_whom_it_can_confirm() -> None:
    """Four candidates are too few for a screen: a plan that confirms one of them must not race all four."""
    pools = families.with_default({"linear": POOLS["linear"]})
    plan = fitting.fitted(1.0, pools=pools, measured=measured(), setting=SETTING)
    assert not plan.rungs
    assert len(plan.candidates) == plan.confirm["linear"] < 4


def test_folds_that_were_stated_stay() -> None:
    setting = replace(SETTING, parts=5, folds=5, fewest_folds=5)
    for available in (0.1, 10.0, 100.0):
        plan = fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=setting)
        assert plan.folds == plan.parts == 5


def test_five_folds_come_before_fewer_families_and_fewer_families_before_three() -> None:
    setting = replace(SETTING, parts=10, folds=10)
    plan = fitting.best_fitted(140.0, pools=POOLS, measured=measured(), setting=setting)
    assert {one.model for one in plan.candidates} == set(COSTS)
    assert (plan.folds, plan.parts) == (5, 10)
    hurried = fitting.best_fitted(30.0, pools=POOLS, measured=measured(), setting=setting)
    assert {one.model for one in hurried.candidates} < set(COSTS)
    assert hurried.folds >= 5
    alone = fitting.best_fitted(1.0, pools={"linear": POOLS["linear"]}, measured=measured(), setting=setting)
    assert alone.folds == 3


def shortest(plan: Plan) -> float:
    return min(fitting._shares(plan, SETTING))


@pytest.mark.parametrize("available", [250.0, 200.0, 60.0])
def test_of_many_rows_three_folds_come_before_short_trainings_and_fewer_families(available: float) -> None:
    """Three folds of 16,000 rows hold out more than five of 4,000, and tell candidates apart as well."""
    setting = replace(SETTING, parts=5, folds=5)
    few, many = (
        fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=replace(setting, units=units))
        for units in (4_000, 16_000)
    )
    assert (few.folds, many.folds) == (5, 3)
    models = [{one.model for one in plan.candidates} for plan in (few, many)]
    assert models[0] < models[1] or shortest(few) < shortest(many)
    stated = replace(setting, units=16_000, fewest_folds=5)
    assert fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=stated) == few


def test_a_few_candidates_without_a_screen_come_before_many_of_whom_all_hardly_train() -> None:
    setting = replace(SETTING, parts=5, folds=5)
    many, few = (
        fitting.best_fitted(available, pools=POOLS, measured=measured(), setting=setting)
        for available in (180.0, 110.0)
    )
    assert many.rungs  # networks hardly train, but boosted trees do
    assert shortest(many) < fitting.QUARTER <= many.lengths.rounds_share
    assert not few.rungs
    assert shortest(few) >= fitting.QUARTER
    assert len(few.candidates) == sum(few.confirm.values())


def test_who_needs_no_screen_trains_for_as_long_as_it_can() -> None:
    """The one network that there is room for costs a fifth of the others, which do not race."""
    costs = {one.id: 4.0 if one.id == "mlp-0" else 20.0 for one in POOLS["mlp"]}
    found = Measured(costs={"mlp": costs}, looks=dict.fromkeys(costs, 0.0))
    pools = families.with_default({"mlp": POOLS["mlp"]})
    plan = fitting.fitted(10.0, pools=pools, measured=found, setting=SETTING, fewest=None)
    assert [one.id for one in plan.candidates] == ["mlp-0"]
    assert plan.lengths.rows_seen == pytest.approx(0.75 * SETTING.lengths.rows_seen)


def test_a_boosted_default_alone_is_cut_to_what_there_is_room_for() -> None:
    """Its 100 rounds take ten seconds a fold; where nothing else can be the default, it grows fewer."""
    pools = {"lightgbm": POOLS["lightgbm"]}
    plans = [
        fitting.best_fitted(available, pools=pools, measured=measured(), setting=SETTING)
        for available in (30.0, 20.0, 0.1)
    ]
    rounds = [int(plan.candidates[0].number("rounds")) for plan in plans]
    assert rounds == [60, 30, 15]
    for plan, count in zip(plans, rounds, strict=True):
        assert plan.costs["lightgbm-0"] == pytest.approx(COSTS["lightgbm"] * count / 100)
        assert plan.candidates[0].is_default
    assert [plan.least for plan in plans] == [False, False, True]


def test_fewer_trees_are_no_reason_for_fewer_rounds() -> None:
    forest = Candidate(id="forest-0", model="forest", optimizer="", settings={"trees": 300})
    pools = {"lightgbm": POOLS["lightgbm"], "forest": [forest]}
    costs = {**measured().costs, "forest": {forest.id: 40.0}}
    found = Measured(costs=costs, looks={**measured().looks, forest.id: 0.0})
    marked = families.affordable_families(pools, found, 1_000.0)
    for available, rounds in ((400.0, 1.0), (150.0, 0.5)):
        lengths = fitting.fitted(available, pools=marked, measured=found, setting=SETTING).lengths
        assert SHORTEST_FOREST <= lengths.trees_share < 1.0
        assert lengths.rounds_share >= rounds
    assert shortened(forest, rows=0.5, rounds=0.5, trees=0.2) == 0.2


def test_forests_are_the_first_to_go() -> None:
    sets = families.sets_of(["lightgbm", "mlp", "linear", "forest", "tree"])
    assert sets[1] == ("lightgbm", "mlp", "linear", "tree")
    assert sets[0] == tuple(MODELS)


def test_forests_race_where_they_leave_room_for_a_screen() -> None:
    forests = [Candidate(id=f"forest-{n}", model="forest", optimizer="", settings={"trees": 300}) for n in range(4)]
    pools = {**POOLS, "forest": forests}
    costs = {**measured().costs, "forest": {one.id: 8.0 for one in forests}}
    found = Measured(costs=costs, looks={**measured().looks, **{one.id: 0.0 for one in forests}})
    plans = [fitting.best_fitted(room, pools=pools, measured=found, setting=SETTING) for room in (600.0, 100.0, 80.0)]
    raced = ["forest" in {one.model for one in plan.candidates} for plan in plans]
    assert raced == [True, False, True]
    assert [bool(plan.rungs) for plan in plans] == [True, True, False]


def test_networks_go_where_boosted_trees_are_searched_in_their_place() -> None:
    """One short network of five lanes costs what forty boosters take that train in full."""
    costs = {model: dict.fromkeys(own, 0.3 if model == "lightgbm" else 8.0) for model, own in measured().costs.items()}
    costs |= {model: dict.fromkeys(measured().costs[model], 0.1) for model in ("linear", "tree")}
    found = replace(measured(), costs=costs)
    short, long = (fitting.best_fitted(room, pools=POOLS, measured=found, setting=SETTING) for room in (8.0, 60.0))
    assert {one.model for one in short.candidates} == {"lightgbm", "linear", "tree"}
    assert {one.model for one in long.candidates} == set(COSTS)
    assert short.rungs
    assert min(fitting._shares(short, SETTING)) >= fitting.HALF


def test_forests_of_few_trees_do_not_race() -> None:
    pool = [Candidate(id=f"forest-{n}", model="forest", optimizer="", settings={"trees": 300}) for n in range(4)]
    costs = {one.id: 4.0 for one in pool}
    found = Measured(costs={"forest": costs}, looks=dict.fromkeys(costs, 0.0))
    known = dict[Any, Plan]()
    plans = [
        fitting.best_fitted(room, pools={"forest": pool}, measured=found, setting=SETTING, known=known)
        for room in ROOMS
    ]
    shares = [plan.lengths.trees_share for plan in plans]
    assert (min(shares), max(shares)) == (SHORTEST_FOREST, 1.0)
    assert {plan.candidates[0].number("trees") for plan in plans} == {300, 180, 90, 60}
    assert plans[0].least
    assert plans[0].candidates[0].number("trees") == SHORTEST_FOREST * 300
