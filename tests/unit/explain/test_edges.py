"""Settings at an end of what was tried: told where the search could go farther, and nowhere else."""

import pytest

from lanewise.explain import Effects, edges
from lanewise.explain.effects import Effect, EffectValue
from lanewise.lanes.candidate import Event, Notice
from lanewise.metrics import METRICS

RMSE, R2 = METRICS["rmse"], METRICS["r2"]


def moved(*scores, name="dropout", evident=True):
    values = tuple(
        EffectValue(value=str(place), score=score, low=score, high=score) for place, score in enumerate(scores)
    )
    effect = Effect(hyperparameter=name, values=values, gain=0.1, p=0.01, evident=evident, settings=(name,))
    return Effects(model="mlp", look="", effects=(effect,), words="")


@pytest.fixture
def race(make):
    def run(name, *values, won, **more):
        found = [make.candidate(f"c{place}", **{name: value}, **more) for place, value in enumerate(values)]
        return [make.trace(one, [1.0]) for one in found], found[won]

    return run


@pytest.mark.parametrize(("won", "side"), [(2, "largest"), (0, "smallest"), (1, None)])
def test_the_winning_rate_is_told_where_it_is_at_an_end(race, won, side):
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=won)
    found = edges(traces, winner, RMSE, None)
    assert [end.side for end in found] == ([side] if side else [])
    assert all((end.setting, end.tried, end.of) == ("lr", 3, "adamw") for end in found)


def test_it_says_what_to_try(race):
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=2)
    (end,) = edges(traces, winner, RMSE, None)
    assert end.beyond == pytest.approx((0.3, 1.0))
    assert end.told("try more")["words"] == (
        "Its learning rate, 0.1, is the largest of the 3 tried with adamw: a larger one might be better; try more."
    )


def test_a_larger_rate_that_diverged_was_tried(make, race):
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=2)
    lost = make.trace(make.candidate("lost", lr=1.0), [float("nan")], fate="diverged")
    assert edges([*traces, lost], winner, RMSE, None) == ()


def test_rates_of_other_optimizers_and_of_repaired_candidates_are_none(make, race):
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=2)
    other = make.trace(make.candidate("other", optimizer="sgd", lr=1.0), [1.0])
    event = Event(fraction=0.2, restored=0.1, rate_factor=0.3, cause="diverged")
    repaired = make.trace(make.candidate("lost", lr=5.0).repaired(event, id="lost-again"), [1.0])
    assert [end.side for end in edges([*traces, other, repaired], winner, RMSE, None)] == ["largest"]
    assert edges(traces, winner.repaired(event, id="again"), RMSE, None) == ()


def test_of_two_rates_one_is_always_at_an_end(race):
    traces, winner = race("lr", 0.01, 0.1, won=1)
    assert edges(traces, winner, RMSE, None) == ()


def test_another_setting_is_told_where_its_effect_is_evident_and_best_at_that_end(race):
    traces, winner = race("dropout", 0.0, 0.1, 0.5, won=2)
    assert [end.setting for end in edges(traces, winner, RMSE, moved(0.3, 0.2, 0.1))] == ["dropout"]
    assert [end.setting for end in edges(traces, winner, R2, moved(0.1, 0.2, 0.3))] == ["dropout"]
    assert edges(traces, winner, RMSE, moved(0.1, 0.2, 0.3)) == ()
    assert edges(traces, winner, RMSE, moved(0.3, 0.2, 0.1, evident=False)) == ()
    assert edges(traces, winner, RMSE, None) == ()


def test_a_whole_number_is_told_as_one(race):
    traces, winner = race("batch_size", 64, 128, 256, won=2)
    (end,) = edges(traces, winner, RMSE, moved(0.3, 0.2, 0.1, name="batch_size"))
    assert end.told()["value"] == 256
    assert end.words().startswith("Its batch size, 256, is the largest of the 3 tried: a larger one")
    traces, winner = race("num_leaves", 8, 31, 160, won=0)
    (end,) = edges(traces, winner, RMSE, moved(0.1, 0.2, 0.3, name="num_leaves"))
    assert end.words() == "Its leaves, 8, are the fewest of the 3 tried: fewer might be better."


def test_a_number_below_1_is_not_told_as_1(race):
    traces, winner = race("beta2", 0.95, 0.99, 0.9996, won=2)
    (end,) = edges(traces, winner, RMSE, moved(0.3, 0.2, 0.1, name="beta2"))
    assert "Its beta2, 0.9996, is" in end.words()


def test_what_is_an_optimizer_s_own_is_among_those_of_that_optimizer(make, race):
    traces, winner = race("momentum", 0.5, 0.7, 0.9, won=2, optimizer="momentum")
    other = make.trace(make.candidate("other", optimizer="nesterov", momentum=0.99), [1.0])
    (end,) = edges([*traces, other], winner, RMSE, moved(0.3, 0.2, 0.1, name="momentum"))
    assert (end.tried, end.of) == (3, "momentum")


@pytest.mark.parametrize(
    ("name", "values", "won"),
    [
        ("dropout", (0.0, 0.1, 0.5), 0),
        ("depth", (1, 2, 3), 0),
        ("feature_fraction", (0.4, 0.7, 1.0), 2),
        ("max_depth", (0, 4, 8), 2),
        ("layer_norm", (True, False, True), 0),
    ],
)
def test_what_can_go_no_farther_is_no_edge(race, name, values, won):
    traces, winner = race(name, *values, won=won)
    falling = (0.3, 0.2, 0.1) if won else (0.1, 0.2, 0.3)
    assert edges(traces, winner, RMSE, moved(*falling, name=name)) == ()


@pytest.mark.parametrize(("kind", "asked"), [("dead", False), ("exploding", False), ("vanishing", True)])
def test_no_larger_rate_is_asked_for_where_a_lower_one_is_advised(race, kind, asked):
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=2)
    traces[2].notices.append(Notice(kind=kind, fraction=0.5, cause="c"))
    assert bool(edges(traces, winner, RMSE, None)) is asked
    smallest, slow = race("lr", 0.001, 0.01, 0.1, won=0)
    smallest[0].notices.append(Notice(kind=kind, fraction=0.5, cause="c"))
    assert edges(smallest, slow, RMSE, None), "a smaller one is what the notice asks for"
    traces, winner = race("lr", 0.001, 0.01, 0.1, won=2)
    traces[0].notices.append(Notice(kind=kind, fraction=0.5, cause="c"))
    assert edges(traces, winner, RMSE, None), "another's units say nothing of the winner's"
