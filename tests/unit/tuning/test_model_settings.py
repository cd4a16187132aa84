"""Settings of the model among those of its training: arguments of make_model, drawn and dealt to candidates."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.tuning import only, tune
from lanewise.tuning.entrants import Entry
from lanewise.tuning.model_settings import ModelArguments

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] - X[:, 1] > 0).long()


def hidden(width: int = 3, act: str = "relu", dropout: float = 0.0) -> nn.Module:
    activation = {"relu": nn.ReLU(), "tanh": nn.Tanh()}[act]
    return nn.Sequential(nn.Linear(4, width), activation, nn.Dropout(dropout), nn.Linear(width, 2))


def race(make: Any, **settings: Any) -> Any:
    usual: dict[str, Any] = {"budget": "20steps", "policy": "never", "loss": nn.functional.cross_entropy}
    return tune(make, train=(X[:60], Y[:60]), valid=(X[60:], Y[60:]), **{**usual, **settings})


def test_the_arguments_of_make_model_are_drawn() -> None:
    space = {
        "optimizer": ["sgd", "adamw"],
        "width": (2, 16),
        "act": ["relu", "tanh"],
        "dropout": 0.2,
        "lr": (0.01, 0.1),
    }
    found = race(hidden, candidates=8, space=space)
    drawn = [own.settings for own in found.plan.candidates]
    assert [own["width"] for own in drawn[:2]] == [3, 3], "the first of each optimizer has the defaults"
    assert len({own["width"] for own in drawn}) > 4
    assert {own["act"] for own in drawn} == {"relu", "tanh"}
    assert {own["dropout"] for own in drawn} == {0.2}
    assert all(2 <= int(own["width"]) <= 16 for own in drawn)
    arguments, space = ModelArguments.of(hidden), {"width": (2, 16), "act": ["relu", "tanh"]}
    one, again, other = (arguments.points(space, 8, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


@pytest.mark.parametrize("where", [None, lambda one: True])
def test_one_recipe_finds_every_model_of_a_few(where) -> None:
    """Evenly spread points repeat some of few choices before they have met all."""
    for count in (4, 6, 9):
        widths = list(range(2, 8))[:count]
        space = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "width": widths}
        found = [own.settings["width"] for own in entrants(hidden, count, space, where=where)]
        assert sorted(found) == widths


def test_one_recipe_trains_as_many_models_as_are_asked_for() -> None:
    recipe = {"optimizer": "sgd", "lr": 0.1}
    found = race(hidden, candidates=6, space={**recipe, "width": (2, 16)}).plan.candidates
    assert len({own.settings["width"] for own in found}) == len(found) == 6
    assert [own.id for own in found] == [f"sgd-{place:02d}" for place in range(6)]
    assert [own.is_default for own in found] == [True, *[False] * 5]
    both = {**recipe, "lr": [0.1, 0.3], "width": [2, 3], "act": ["relu", "tanh"]}
    pairs = {tuple(own.settings[name] for name in ("lr", "width", "act")) for own in entrants(hidden, 9, both)}
    assert len(pairs) == 8, "every one there is, and no more"
    assert not any("asked for" in line for line in race(hidden, candidates=8, space=both).plan.words)
    assert (
        "the space has 8 different candidates, fewer than the 9 that were asked for"
        in race(hidden, candidates=9, space=both).plan.words
    )


@pytest.mark.parametrize("search", ["sobol", "random", "bayesian"])
def test_a_constraint_is_of_all_settings_those_of_the_model_too(search: Any) -> None:
    space = {"optimizer": ["sgd", "adamw"], "width": (2, 16), "act": ["relu", "tanh"], "lr": (0.01, 1.0)}

    def allowed(one: Any) -> bool:
        return one["width"] * one["lr"] < 2 and one["act"] == "tanh" and one["dropout"] == 0.0

    given = {"candidates": 9, "space": space, "search": search, "policy": "halving", "budget": "20steps"}
    found = race(hidden, **given, where=allowed).plan
    assert len(found.candidates) == 9
    for own in found.candidates:
        assert own.number("width") * own.number("lr") < 2
        assert own.text("act") == "tanh"


def test_a_grid_has_every_combination_of_arguments_and_settings() -> None:
    space = {
        "optimizer": ["sgd", "adamw"],
        "lr": [0.01, 0.1],
        "width": (2, 8, 3),
        "act": ["relu", "tanh"],
        "dropout": 0.2,
    }
    found = entrants(hidden, None, space, search="grid")
    names = ("lr", "width", "act", "dropout")
    points = [(own.optimizer, *(own.settings[name] for name in names)) for own in found]
    assert points[:2] == [("sgd", 0.1, 3, "relu", 0.2), ("adamw", 0.01, 3, "relu", 0.2)], (
        "defaults, 3 is not on the grid"
    )
    grid = set(itertools.product(("sgd", "adamw"), (0.01, 0.1), (2, 4, 8), ("relu", "tanh"), (0.2,)))
    assert set(points[2:]) == grid
    assert len(points) == 2 + len(grid)
    assert [own.id for own in found[:3]] == ["sgd-00", "adamw-01", "sgd-02"]
    assert [own.is_default for own in found] == [True, *[False] * 25]


def test_a_grid_of_arguments_alone_leaves_the_training_at_its_defaults() -> None:
    found = race(hidden, search="grid", space={"optimizer": "sgd", "width": range(2, 7, 2)}).plan.candidates
    assert [own.settings["width"] for own in found] == [2, 4, 6]
    assert len({own.settings["lr"] for own in found}) == 1


def test_a_constraint_on_a_grid_sees_the_arguments_of_the_model() -> None:
    space = {"optimizer": "sgd", "lr": [0.01, 0.1], "width": [2, 4]}
    found = entrants(
        hidden, None, space, search="grid", where=lambda one: one["width"] * one["lr"] + one["dropout"] < 0.2
    )
    assert [(own.settings["lr"], own.settings["width"]) for own in found] == [(0.01, 2), (0.01, 4)]


def entrants(make: Any, count: int | None, space: Any, **more: Any) -> Any:
    given: dict[str, Any] = {"search": "sobol", "where": None, **more}
    entry = Entry(make_model=make, candidates=count, space=space, seed=0, **given)
    return entry.entrants(60, batch_size=16)[0]


@pytest.mark.parametrize("where", [None, lambda one: one["lr"] > 0])
def test_candidates_that_nothing_forbids_are_those_that_were_always_drawn(where: Any) -> None:
    """The models of the same seed are the same from one version to the next, and where= takes none that it allows."""
    space = {"width": (2, 16), "act": ["relu", "tanh"], "dropout": (0.0, 0.5)}
    found = [own.settings for own in entrants(hidden, 9, space, where=where)]
    assert [(own["width"], own["act"]) for own in found] == [
        *[(3, "relu")] * 4,
        *[(8, "relu"), (12, "tanh"), (6, "tanh"), (3, "tanh"), (3, "tanh")],
    ]
    dropouts = [own["dropout"] for own in found[4:]]
    assert dropouts == pytest.approx([0.067973, 0.371766, 0.230575, 0.423725, 0.032528], abs=1e-6)


@pytest.mark.parametrize("search", ["sobol", "random", "bayesian"])
def test_a_model_that_is_not_allowed_makes_way_for_another(search: Any) -> None:
    """``where`` is true for 15 of the 61 widths, then for less than one of 40 points of both arguments."""
    found = entrants(hidden, 18, {"width": (4, 64)}, search=search, where=lambda one: one["width"] >= 50)
    assert len(found) == (8 if search == "bayesian" else 18)
    widths = {own.settings["width"] for own in found}
    assert min(widths) >= 50
    assert len(widths) >= (4 if search == "bayesian" else 8)
    few = {"width": (4, 64), "dropout": (0.0, 0.5)}
    found = entrants(hidden, 9, few, search=search, where=lambda one: one["width"] >= 50 and one["dropout"] > 0.4)
    assert all(own.number("width") >= 50 and own.number("dropout") > 0.4 for own in found)
    recipe = {"optimizer": "sgd", "lr": 0.1}
    found = entrants(hidden, 12, {**recipe, "width": (4, 64)}, where=lambda one: one["width"] >= 50)
    assert len({own.settings["width"] for own in found}) == len(found) == 12


def test_settings_that_go_with_few_models_get_one_of_these() -> None:
    """Only rates up to 3e-3 go with the widest models, of which few are drawn, and the others with the rest."""
    found = entrants(hidden, 12, {"width": (4, 64), "lr": (1e-4, 1e-1)}, where=_narrow_or_slow)
    assert len(found) == 12
    assert all(_narrow_or_slow(own.settings) for own in found)
    assert {own.number("width") > 60 for own in found} == {True, False}


def _narrow_or_slow(one: Any) -> bool:
    return (one["width"] > 60) == (one["lr"] < 3e-3)


def test_a_constraint_that_nothing_meets_is_told_with_how_much_was_tried() -> None:
    calls = set()

    def never(one: Any) -> bool:
        calls.add((one["lr"], one["width"]))
        return False

    with pytest.raises(UsageError, match=r"no point of sgd .*: of (\d+) .*, each with (\d+) of make_model") as caught:
        entrants(hidden, 4, {"optimizer": "sgd", "lr": (0.01, 0.1), "width": (2, 999)}, where=never)
    told = [int(word) for word in str(caught.value).split() if word.isdecimal()]
    assert told == [len({lr for lr, _ in calls}), len({width for _, width in calls})]


MODEL_MISTAKES = [
    (
        {"candidates": None, "space": {"width": (1, 9000, 900)}, "search": "grid"},
        r"the grid has [\d,]+ points, and without candidates the most is 1,000; name fewer values, or allow so many",
    ),
    (
        {"candidates": 5, "space": {"optimizer": "sgd", "width": [3, 4], "lr": [0.1, 0.2, 0.3]}, "search": "grid"},
        r"the grid has 6 points, and candidates is 5; name fewer values, or allow so many with candidates=6$",
    ),
    ({"candidates": None, "space": {"width": (3, 5, 1)}, "search": "grid"}, r"third number of a range is its points"),
    (
        {"candidates": [{"widht": 3}]},
        r"no setting 'widht'; did you mean width\? make_model takes width, act, dropout, and",
    ),
    (
        {"candidates": [{"optimizer": "sgd", "learning_rate": 0.1}]},
        r"did you mean lr\? make_model takes .*, and sgd takes optimizer, lr, weight_decay, batch_size, [\w, ]+$",
    ),
    ({"candidates": 2, "space": {"widht": [3]}}, r"no setting 'widht'"),
    ({"candidates": 2, "space": {"epochs": [3, 4]}}, r"no setting 'epochs': budget says how long candidates train"),
    (
        {"candidates": 4, "space": {"momentun": [0.9]}},
        r"and adamw, nesterov, adam and sgd, which race as no optimizer is named, take optimizer, .*momentum",
    ),
    (
        {"candidates": [{"momentun": 0.9}]},
        r"and adamw, which races as no optimizer is named, takes optimizer, ",
    ),
    (
        {"candidates": 2, "space": {"optimizer": {"sgd"}, "learning_rate": [0.1]}},
        r"no setting 'learning_rate'; did you mean lr\?",
    ),
    ({"candidates": [{"width": (3, 3)}]}, r"width must be a number, a word, or True or False, got \(3, 3\)"),
    ({"candidates": 4, "space": {"width": [[3], [3, 3]]}}, r"width must be a number, a word, .* got \[3\]"),
    (
        {"candidates": 4, "space": {"width": only((3, 5), act="tanh")}},
        r"only\(\) is for settings of the training, and w",
    ),
    ({"candidates": [{"optimizer": "sgd", "momentum": 0.9}]}, r"momentum' here; .* give 'optimizer': 'momentum'$"),
    ({"candidates": [{"optimizer": "sgd", "nesterov": True}]}, r"nesterov' here; .* give 'optimizer': 'nesterov'$"),
    (
        {"candidates": 4, "space": {"width": {3, 5}}},
        r"space\['width'\] must be a range .* or one value .*, got \{3, 5\}",
    ),
    (
        {"candidates": 4, "space": {"width": (5, 3)}},
        r"space\['width'\] must be a range \(low, high\) or a list of choi",
    ),
    ({"candidates": 4, "space": {"width": []}}, r"space\['width'\] is an empty list"),
    ({"candidates": [{"act": "sine"}]}, r"make_model failed: KeyError: 'sine'; it is called with act='sine'"),
]


@pytest.mark.parametrize(("settings", "words"), MODEL_MISTAKES, ids=[words for _, words in MODEL_MISTAKES])
def test_mistakes_with_settings_of_the_model(settings, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        race(hidden, **settings)
    assert "\n" not in str(caught.value)
