"""Who is confirmed with the time that is left: the default and the best always, then what fits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, grid_of
from lanewise.training.planning.amending import (
    ROOM,
    Amending,
    Confirmation,
    amended_words,
    best_of_families,
    confirmable,
    confirmation,
    extension,
    slowness_of,
    wall_seconds,
)
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.watching.trace import Trace


def candidate(id: str, *, default: bool = False) -> Candidate:
    return Candidate(id=id, model=id.split("-", maxsplit=1)[0], optimizer="adam", settings={}, is_default=default)


def plan(costs: Mapping[str, float], *, confirm: Mapping[str, int], default: str, workers: int = 2) -> Plan:
    return Plan(
        candidates=tuple(candidate(id, default=id == default) for id in costs),
        rungs=(1 / 9, 1 / 3, 1.0),
        confirm=confirm,
        folds=5,
        seeds=(0,),
        lengths=Lengths(rows_seen=1000),
        workers=workers,
        costs=costs,
    )


COSTS = {"lightgbm-0": 1.0, "lightgbm-1": 2.0, "lightgbm-2": 2.0, "mlp-0": 8.0, "mlp-1": 1.0, "linear-0": 0.1}
PLAN = plan(COSTS, confirm={"lightgbm": 1, "mlp": 1, "linear": 1}, default="lightgbm-0")


def ordered(*names: str) -> list[Candidate]:
    by_id = {one.id: one for one in PLAN.candidates}
    return [by_id[name] for name in names]


def chosen(names: Sequence[str], *, seconds: float, **slowness: float) -> set[str]:
    return set(confirmable(PLAN, ordered(*names), slowness=slowness, seconds=seconds))


ALL = ("lightgbm-1", "mlp-0", "lightgbm-2", "mlp-1", "linear-0", "lightgbm-0")


def test_without_any_time_the_default_and_the_best_go() -> None:
    assert chosen(ALL, seconds=-5.0) == {"lightgbm-1", "lightgbm-0"}
    assert chosen(ALL[::-1], seconds=-5.0) == {"lightgbm-0"}


def test_a_family_sends_its_best_that_fits() -> None:
    """The wide network is better, and its ten lanes need 45 seconds of two workers; the narrow one fits."""
    assert chosen(ALL, seconds=20.0) >= {"mlp-1", "linear-0"}
    assert "mlp-0" not in chosen(ALL, seconds=20.0)
    assert "mlp-0" in chosen(ALL, seconds=50.0)


def test_time_left_over_confirms_more_than_the_plan_thought() -> None:
    assert chosen(ALL, seconds=1000.0) == set(ALL)


def test_those_whom_the_last_rung_dropped_take_no_time_from_those_it_kept() -> None:
    kept, last = ordered("lightgbm-0", "lightgbm-1", "lightgbm-2"), ordered("mlp-1")
    costs = {one.id: COSTS[one.id] for one in PLAN.candidates}
    seconds = wall_seconds(PLAN, kept, costs)
    assert set(confirmable(PLAN, kept, last, slowness={}, seconds=seconds)) == {one.id for one in kept}
    assert "mlp-1" in confirmable(PLAN, [*kept, *last], slowness={}, seconds=seconds)
    seconds = wall_seconds(PLAN, [*kept, *last], costs)
    assert confirmable(PLAN, kept, last, slowness={}, seconds=seconds)[-1] == "mlp-1"


def test_a_family_that_was_slow_in_the_screen_is_expected_to_stay_so() -> None:
    assert "mlp-1" in chosen(ALL, seconds=12.0)
    assert "mlp-1" not in chosen(ALL, seconds=12.0, mlp=3.0)
    assert chosen(ALL, seconds=1000.0, mlp=1e9) == set(ALL)  # one that hung for a moment is not lost for that


def test_the_refit_of_a_network_follows_its_folds_however_many_workers_there_are() -> None:
    wide = replace(PLAN, workers=16)
    costs = dict(COSTS)
    assert wall_seconds(wide, ordered("lightgbm-1"), costs) < 1.0
    assert wall_seconds(wide, ordered("mlp-1"), costs) == pytest.approx(2 * 1.0)


def test_a_candidate_that_was_rewound_costs_what_it_did_before() -> None:
    slower = replace(candidate("mlp-1"), id="mlp-1-slower2")
    assert set(confirmable(PLAN, [*ordered("lightgbm-0"), slower], slowness={}, seconds=100.0)) == {
        "lightgbm-0",
        "mlp-1-slower2",
    }


def test_slowness_counts_what_was_trained() -> None:
    traces = [
        Trace(lane=Lane(candidate=one, fold=0, seed=0), phase="screen", fractions=[1 / 9, share], seconds=seconds)
        for one, share, seconds in zip(ordered("mlp-0", "mlp-1"), (1.0, 1 / 3), (12.0, 0.5), strict=True)
    ]
    assert slowness_of(PLAN, traces) == pytest.approx({"mlp": 12.5 / (8 + 1 / 3)})


def test_few_lanes_in_a_stack_are_not_taken_for_slowness() -> None:
    """A lane alone takes three times as long, as the plan knows; the one that went on took just that."""
    lonely = replace(PLAN, single={"mlp-0": 3.0, "mlp-1": 3.0}, costs={**COSTS, "mlp-0": 1.0})
    traces = [
        Trace(lane=Lane(candidate=one, fold=0, seed=0), phase="screen", fractions=fractions, seconds=seconds)
        for one, fractions, seconds in zip(
            ordered("mlp-0", "mlp-1"), ([1 / 9, 1 / 3, 1.0], [1 / 9]), (1 / 9 + 3 * 8 / 9, 1 / 9), strict=True
        )
    ]
    assert slowness_of(lonely, traces) == pytest.approx({"mlp": 1.0})


def test_looks_are_part_of_what_a_lane_takes() -> None:
    looked = replace(PLAN, look_costs={"mlp-1": 0.3})
    lane = Lane(candidate=ordered("mlp-1")[0], fold=0, seed=0)
    trace = Trace(lane=lane, phase="screen", fractions=[1 / 9, 1 / 3], seconds=2.8)
    assert slowness_of(looked, [trace]) == pytest.approx({"mlp": 2.8 / (1 / 3 + 2 * 0.3)})
    seconds = 12.0  # a network of 1 s on five folds and again, and 10 looks of 0.3 s at each
    assert "mlp-1" in confirmable(PLAN, ordered("lightgbm-0", "mlp-1"), slowness={}, seconds=seconds)
    assert "mlp-1" not in confirmable(looked, ordered("lightgbm-0", "mlp-1"), slowness={}, seconds=seconds)


def test_the_amended_plan_is_kept_and_survives_a_file() -> None:
    kept: list[Plan] = []

    def agreed(own: Confirmation) -> Confirmation:
        return replace(own, confirmed=own.confirmed[:2])

    found = Amending(left=lambda: 20.0, agreed=agreed, keep=kept.append)(PLAN, ordered(*ALL), [], {})
    assert kept == [found]
    assert found.confirmed == confirmable(PLAN, ordered(*ALL), slowness={}, seconds=20.0)[:2]
    assert Plan.from_json(found.to_json()) == found


FEWER = replace(PLAN, folds=2, parts=10, seeds=(4,), wished_seeds=(4, 5, 6))


def test_folds_and_seeds_that_the_plan_had_no_room_for_come_back_where_the_screen_leaves_time() -> None:
    short = confirmation(FEWER, ordered(*ALL), slowness={}, seconds=1.0)
    assert (short.folds, short.seeds) == (2, (4,))
    long = confirmation(FEWER, ordered(*ALL), slowness={}, seconds=1000.0)
    assert (long.folds, long.seeds, set(long.confirmed)) == (10, (4, 5, 6), set(ALL))


def test_folds_come_before_candidates_and_those_before_seeds() -> None:
    thought = confirmable(FEWER, ordered(*ALL), slowness={}, seconds=1000.0, most=FEWER.confirm)
    whole = wall_seconds(replace(FEWER, folds=10), [one for one in ordered(*ALL) if one.id in thought], COSTS)
    found = confirmation(FEWER, ordered(*ALL), slowness={}, seconds=whole / ROOM + 0.01)
    assert found.folds == 10
    assert set(thought) <= set(found.confirmed)
    assert found.seeds == (4,)


@pytest.mark.parametrize("seconds", [1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 400.0])
def test_more_folds_and_seeds_leave_some_of_the_time(seconds: float) -> None:
    found = confirmation(FEWER, ordered(*ALL), slowness={"mlp": 1.7}, seconds=seconds)
    more = replace(FEWER, folds=found.folds, seeds=found.seeds)
    if more != FEWER:
        costs = {id: cost * (1.7 if id.startswith("mlp") else 1.0) for id, cost in COSTS.items()}
        took = wall_seconds(more, [one for one in ordered(*ALL) if one.id in found.confirmed], costs)
        assert took <= seconds


def test_a_plan_that_wished_for_no_more_is_left_as_it_is() -> None:
    found = confirmation(PLAN, ordered(*ALL), slowness={}, seconds=1000.0)
    assert (found.folds, found.seeds) == (PLAN.folds, PLAN.seeds)


def test_what_the_time_left_has_changed_is_said() -> None:
    more = replace(FEWER, folds=10, seeds=(4, 5), confirmed=("lightgbm-0", "mlp-1"), thought_of=1)
    assert amended_words(FEWER, replace(FEWER, confirmed=("lightgbm-0",), thought_of=1)) == []
    words = [
        "with the time left 2 candidates are confirmed, where the plan was for 1",
        "with the time left each candidate is trained on 10 folds with 2 seeds, where the plan was for 2 folds with 1 "
        "seed",
    ]
    assert amended_words(FEWER, more) == words
    told: list[str] = []
    kept = Amending(left=lambda: 1000.0, agreed=lambda own: own, keep=lambda plan: None, tell=told.append)(
        FEWER, ordered(*ALL), [], {}
    )
    assert told == list(kept.amended) != []
    assert kept.confirms_another_number
    assert kept.thought_of == len(best_of_families(FEWER, ordered(*ALL)))


def trained(plan: Plan, seconds: float) -> list[Trace]:
    """Traces of a confirmation that took each lane so long."""
    lanes = grid_of(plan.candidates, range(plan.folds), plan.seeds)
    return [Trace(lane=lane, phase="confirm", fractions=[1.0], seconds=seconds) for lane in lanes]


@pytest.mark.parametrize(
    ("seconds", "folds", "seeds"),
    [(0.0, 2, 1), (20.0, 2, 1), (40.0, 3, 1), (120.0, 9, 1), (150.0, 10, 1), (300.0, 10, 2), (1000.0, 10, 3)],
)
def test_without_a_screen_the_folds_and_seeds_come_back_that_the_time_left_has_room_for(
    seconds: float, folds: int, seeds: int
) -> None:
    """Two folds took 24 s, so that each more takes 12 s; the refit of three candidates 4 s each with a seed."""
    plan = replace(FEWER, rungs=())
    found = extension(plan, trained(plan, 3.6), took=24.0, seconds=seconds)
    assert (found.folds, len(found.seeds)) == (folds, seeds)
    assert found.seeds == plan.wished_seeds[:seeds]


def test_without_a_screen_a_plan_is_amended_once_and_only_where_that_changes_it() -> None:
    plan, kept = replace(FEWER, rungs=()), list[Plan]()
    amending = Amending(left=lambda: 40.0, agreed=lambda own: own, keep=kept.append)
    assert amending.longer(plan, trained(plan, 3.6), seconds=1000.0) is plan
    assert kept == []
    found = amending.longer(plan, trained(plan, 3.6), seconds=24.0)
    assert kept == [found]
    assert (found.folds, found.begun, found.confirmed) == (3, (2, 1), ())
    assert Plan.from_json(found.to_json()) == found
