"""What the settings ask for and the table allows, found out before anything is trained."""

import numpy as np
import pytest

from lanewise import agreement
from lanewise.agreement import check_agreement
from lanewise.data.reading import read
from lanewise.errors import DataError, UsageError
from lanewise.settings import checked
from lanewise.training.problem import Request, pose


def test_a_table_that_does_not_fit_into_memory_is_refused_with_the_figures(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 20))
    table = read({**{f"x{n}": values[:, n] for n in range(20)}, "y": values.sum(axis=1)})
    problem = pose(table, Request(target="y", folds=5))
    settings = checked({"target": "y"})
    check_agreement(problem, settings)
    needed = 4 * 50 * problem.width.dense * 5
    monkeypatch.setattr(agreement, "memory_bytes", lambda: needed)
    with pytest.raises(DataError, match=r"does not fit: 50 rows of \d+ features, .* 5 folds, .*fewer folds"):
        check_agreement(problem, settings)
    monkeypatch.setattr(agreement, "memory_bytes", lambda: 2 * needed)
    check_agreement(problem, settings)


@pytest.fixture(scope="module")
def classes():
    drawn = np.random.default_rng(0)
    values = drawn.normal(size=(50, 2))
    return pose(read({"a": values[:, 0], "b": values[:, 1], "y": ["no", "yes"] * 25}), Request(target="y", folds=5))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"losses": "huber,hinge,poisson"},
            "losses may be logistic, hinge or squared_hinge for 'y', a binary target, got huber and poisson",
        ),
        (
            {"losses": "hinge", "optimizers": "lbfgs", "models": "linear"},
            "lbfgs needs a smooth loss, and hinge is none; name another optimizer, such as sgd, or another loss, such "
            "as squared_hinge",
        ),
        ({"widths": "64", "models": "linear"}, "widths are for mlp trained by gradient rules, got models linear"),
        (
            {"schedules": "cosine", "optimizers": "lbfgs"},
            "schedules are for mlp and linear trained by gradient rules, got optimizers lbfgs",
        ),
        (
            {"losses": "hinge", "models": "tree,lightgbm"},
            "losses are for the models mlp and linear, and only tree, lightgbm take part",
        ),
    ],
)
def test_what_the_target_or_the_models_cannot_have_is_refused_in_words(classes, given, words):
    with pytest.raises(UsageError) as error:
        check_agreement(classes, checked({"target": "y", **given}))
    assert str(error.value) == words


@pytest.mark.parametrize("given", [{"losses": "hinge"}, {"losses": "hinge,squared_hinge", "optimizers": "lbfgs"}])
def test_what_the_target_and_the_models_can_have_is_not(classes, given):
    check_agreement(classes, checked({"target": "y", **given}))
