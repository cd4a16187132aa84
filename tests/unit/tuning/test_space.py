"""Spaces: grids, priors, conditions, constraints, and the default of each optimizer among all of them."""

import itertools
import math
import statistics
from typing import Any

import pytest

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.optim.registry import RULES
from lanewise.tuning import near, only
from lanewise.tuning.proposing import drawn


def draw(space: dict[str, Any], count: int | None = None, **others: Any) -> list[Candidate]:
    settings: dict[str, Any] = {"model": "m", "batch_size": 32, "seed": 0} | others
    return drawn(space, count, **settings)


def values(found: list[Candidate], name: str) -> list[Any]:
    return [own.settings[name] for own in found]


def default_of(optimizer: str) -> dict[str, Any]:
    return {hyper.name: hyper.default for hyper in RULES[optimizer].hypers}


GRID = {"optimizer": ["sgd", "adamw"], "lr": (1e-3, 1e-1, 3), "schedule": ["linear", "constant"]}


def test_a_grid_has_every_combination_and_the_defaults() -> None:
    found = draw(GRID, sampling="grid")
    points = {(own.optimizer, round(own.number("lr"), 9), own.settings["schedule"]) for own in found}
    expected = set(itertools.product(["sgd", "adamw"], [1e-3, 1e-2, 1e-1], ["linear", "constant"]))
    assert expected | {("adamw", 1e-3, "linear"), ("sgd", 0.1, "linear")} == points
    assert len(found) == len(points)  # nothing twice, though the defaults are points of the grid
    assert [own.optimizer for own in found[:2]] == ["sgd", "adamw"]
    assert found[0].settings["lr"] == default_of("sgd")["lr"]
    assert found[1].settings["lr"] == default_of("adamw")["lr"]
    assert {own.settings["weight_decay"] for own in found if own.optimizer == "adamw"} == {
        default_of("adamw")["weight_decay"]
    }


def test_a_default_outside_of_the_grid_races_beside_it() -> None:
    found = draw({"optimizer": "adamw", "batch_size": range(64, 129, 64)}, sampling="grid")
    assert sorted(values(found, "batch_size")) == [64, 128]
    assert draw({"optimizer": "adamw", "lr": [1e-2, 3e-2]}, sampling="grid")[0].settings["lr"] == 1e-2


@pytest.mark.parametrize("sampling", ["sobol", "random"])
def test_the_default_of_each_optimizer_comes_first_where_the_ranges_hold_it(sampling: str) -> None:
    space = {"optimizer": ["adamw", "nesterov"], "lr": (1e-4, 1.0), "batch_size": (16, 64)}
    found = draw(space, 10, sampling=sampling)
    assert len(found) == 10
    for own in found[:2]:
        assert own.settings == {**default_of(own.optimizer), "schedule": "linear", "batch_size": 32}


def test_integers_are_whole_and_within_their_ends() -> None:
    sizes = values(draw({"optimizer": "adamw", "batch_size": (20, 30)}, 40), "batch_size")
    assert all(type(size) is int and 20 <= size <= 30 for size in sizes)
    assert len(set(sizes)) > 5
    every = values(draw({"optimizer": "shampoo", "every": (1, 5)}, 60), "every")
    assert set(every) == {1, 2, 3, 4, 5}


def test_batch_sizes_are_powers_of_two_where_a_range_has_several() -> None:
    sizes = values(draw({"optimizer": "adamw", "batch_size": (10, 100)}, 40), "batch_size")
    assert set(sizes) == {16, 32, 64}
    grid = draw({"optimizer": "sgd", "batch_size": (10, 90, 3)}, sampling="grid")
    assert set(values(grid, "batch_size")) >= {10, 30, 90}


def test_a_prior_is_log_normal_about_its_center() -> None:
    rates = values(draw({"optimizer": "sgd", "lr": near(1e-3, factor=10)}, 257), "lr")
    logs = [math.log10(rate) for rate in rates]
    assert statistics.median(logs) == pytest.approx(-3, abs=0.02)
    assert statistics.stdev(logs) == pytest.approx(1 / 1.96, rel=0.05)
    assert sum(abs(value + 3) < 1 for value in logs) / len(logs) == pytest.approx(0.95, abs=0.02)
    assert all(type(size) is int for size in values(draw({"batch_size": near(32)}, 20), "batch_size"))


def test_an_optimizer_can_have_ranges_of_its_own() -> None:
    space = {"optimizer": ["sgd", "adamw"], "lr": {"sgd": (0.1, 1.0), "adamw": (1e-4, 1e-3)}}
    for own in draw(space, 20):
        low, high = (0.1, 1.0) if own.optimizer == "sgd" else (1e-4, 1e-3)
        assert low <= own.number("lr") <= high
    one = draw({"optimizer": ["sgd", "adamw"], "lr": {"sgd": 0.5}}, 20)
    assert {own.number("lr") for own in one if own.optimizer == "sgd"} == {0.5}
    assert len({own.number("lr") for own in one if own.optimizer == "adamw"}) == 10


def test_a_condition_decides_who_has_the_setting() -> None:
    space = {
        "optimizer": ["momentum", "nesterov"],
        "schedule": ["linear", "cosine", "constant"],
        "warmup": only((0.05, 0.2), schedule=["cosine", "linear"]),
        "momentum": only((0.5, 0.8), optimizer="momentum"),
    }
    found = draw(space, 60)
    assert {own.settings["schedule"] for own in found} == {"linear", "cosine", "constant"}
    for own in found:
        warm = own.number("warmup")
        assert (warm == 0.0) if own.settings["schedule"] == "constant" else (0.05 <= warm <= 0.2)
        assert (0.5 <= own.number("momentum") <= 0.8) == (own.optimizer == "momentum")


def test_a_condition_on_a_setting_that_is_itself_conditional_falls_with_it() -> None:
    space = {
        "optimizer": "adamw",
        "schedule": ["linear", "constant"],
        "warmup": only([0.1], schedule="linear"),
        "clip_norm": only([1.0], warmup=0.1),
    }
    found = draw(space, sampling="grid")
    assert {(own.settings["schedule"], own.number("warmup"), own.number("clip_norm")) for own in found} == {
        ("linear", 0.1, 1.0),
        ("constant", 0.0, 0.0),
    }
    assert len(found) == 2


@pytest.mark.parametrize("sampling", ["sobol", "random", "grid"])
def test_a_constraint_holds_for_everybody(sampling: str) -> None:
    space = {"optimizer": ["adamw", "sgd"], "lr": (1e-4, 1.0), "batch_size": [16, 32, 64]}
    found = draw(space, 18, sampling=sampling, where=lambda one: one["lr"] * one["batch_size"] < 1)
    assert found
    assert all(own.number("lr") * own.number("batch_size") < 1 for own in found)
    if sampling != "grid":
        assert len(found) == 18
    assert found[0].settings["lr"] == default_of("adamw")["lr"]
    assert found[1].settings["lr"] != default_of("sgd")["lr"]  # 0.1 x 32 is too much: another stands in


def test_no_candidate_is_there_twice_and_a_finite_space_ends() -> None:
    found = draw({"optimizer": "sgd", "lr": [0.1, 0.2], "batch_size": [16, 32]}, 50)
    assert len(found) == 4


def test_the_seed_reaches_every_optimizer() -> None:
    for name in ("sgd", "momentum", "schedule_free_adamw"):
        one, other = (draw({"optimizer": name}, 5, seed=seed) for seed in (0, 1))
        assert one[0] == other[0]
        assert one[1] != other[1]


MISTAKES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"lr": (0.1, 1, 1)}, {}, "third number of a range is its points in a grid, 2 at least, got 1"),
    ({"lr": (0.1, 1, 2, 3)}, {}, r"must be a range \(low, high\) above zero"),
    ({"momentum": near(0.9), "optimizer": "momentum"}, {}, "near is for settings on a log scale, such as lr"),
    ({"lr": {"adamx": (0.1, 1)}}, {}, "there is no optimizer 'adamx'"),
    ({"warmup": only(0.1, scedule="cosine")}, {}, "there is no setting 'scedule'; did you mean schedule"),
    ({"optimizer": ["sgd", "adamw"]}, {"count": 1}, "2 optimizers take part, each with its default"),
    ({"optimizer": []}, {}, "give at least one of the optimizers"),
    ({}, {"sampling": "grid"}, "a grid needs a space that names what to vary"),
    ({"lr": (1e-3, 1, 9)}, {"sampling": "grid", "count": 8}, "the grid has 36 points, and candidates is 8"),
    ({"lr": (1e-3, 1, 300)}, {"sampling": "grid"}, "the grid has 1,200 points, and without candidates the most is"),
    ({}, {"where": lambda one: one["lr"] < 0}, "where lets no point of adamw through"),
    ({}, {"where": lambda one: one["rate"] < 0}, "where failed on .*KeyError: 'rate'"),
]


@pytest.mark.parametrize(("space", "others", "words"), MISTAKES, ids=[words for *_, words in MISTAKES])
def test_mistakes(space: dict[str, Any], others: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draw(space, **others)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: near(0), "near needs a number above zero, got 0"),
        (lambda: near(1e-3, factor=1), "factor of near must be above 1"),
        (lambda: only((0, 1)), "only needs a condition"),
    ],
)
def test_priors_and_conditions_that_are_none(make, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()
