"""Lists of what may race that contradict each other, told with every other mistake."""

from typing import get_args

import pytest

from lanewise.errors import ConfigError
from lanewise.losses import SMOOTH
from lanewise.optim.registry import RULES
from lanewise.settings.fit import checked
from lanewise.settings.names import UNSCHEDULED, UNSMOOTH, Loss


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"optimizers": "lbfgs", "losses": "hinge", "models": "linear"},
            "optimizers must name a rule, such as sgd, or losses one that is smooth, such as squared_hinge: lbfgs "
            "needs a smooth loss, and hinge is none",
        ),
        ({"widths": "64", "models": "linear"}, "widths are for mlp, and only linear take part"),
        (
            {"schedules": "cosine", "optimizers": "lbfgs"},
            "schedules are for optimizers that follow one, such as adamw: lbfgs has no learning rate; name another, or "
            "leave schedules out",
        ),
        (
            {"schedules": "cosine", "optimizers": "lbfgs,dog,asgd"},
            "schedules are for optimizers that follow one, such as adamw: lbfgs has no learning rate, and the rate "
            "of asgd and dog is constant, or found by itself; name another, or leave schedules out",
        ),
        (
            {"losses": "hinge", "models": "tree,lightgbm"},
            "losses are for the models mlp and linear, and only tree, lightgbm take part",
        ),
        (
            {"optimizers": "lbfgs", "models": "mlp"},
            "optimizers must name one for mlp, such as adamw: lbfgs is for the ",
        ),
    ],
)
def test_what_nothing_that_races_can_heed_is_refused(given, words):
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", **given})
    assert str(error.value).startswith(words)


def test_several_are_told_at_once_and_where_each_was_said():
    given = {"target": "y", "models": "tree", "widths": [64], "schedules": "cosine"}
    with pytest.raises(ConfigError) as error:
        checked(given, places={"widths": "off.toml"}, called={"schedules": "--schedules"})
    assert str(error.value).splitlines() == [
        "2 settings are off:",
        "  --schedules are for the models mlp and linear, and only tree take part",
        "  widths are for mlp, and only tree take part (from off.toml)",
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"schedules": "cosine", "optimizers": "lbfgs,adamw"},
        {"schedules": "constant", "optimizers": "dog"},
        {"schedules": "cosine"},
        {"losses": "hinge,squared_hinge", "optimizers": "lbfgs"},
        {"widths": "64", "optimizers": "lbfgs,sgd"},
    ],
)
def test_what_something_that_races_can_heed_is_not(given):
    checked({"target": "y", **given})


@pytest.mark.parametrize("name", ["models", "optimizers", "losses", "schedules", "widths", "depths", "activations"])
def test_an_empty_text_is_no_list(name):
    with pytest.raises(ConfigError, match=f"{name} must name one at least, got ' , '"):
        checked({"target": "y", name: " , "})


def test_the_names_are_those_of_the_rules_and_losses():
    assert {name for name, rule in RULES.items() if not rule.scheduled} == UNSCHEDULED
    assert {*get_args(Loss)} - SMOOTH == UNSMOOTH
