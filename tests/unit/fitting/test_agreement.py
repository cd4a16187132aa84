"""What the settings ask for and the table allows, found out before anything is trained."""

import numpy as np
import pytest

from lanewise.data import column_facts
from lanewise.data.reading import read
from lanewise.errors import DataError, UsageError
from lanewise.estimators.rows import pose_rows
from lanewise.fitting.agreement import check_agreement
from lanewise.settings.fit import checked
from lanewise.training import room
from lanewise.training.posing import Request, pose


def test_a_table_that_does_not_fit_into_memory_is_refused_with_the_figures(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 20))
    features = {f"x{n}": values[:, n] for n in range(20)}
    table = read({**features, "y": values.sum(axis=1)})
    problem = pose(table, Request(target="y", folds=5))
    needed = 4 * 50 * problem.width.dense * 5
    monkeypatch.setattr(room, "memory_bytes", lambda: needed)
    with pytest.raises(DataError, match=r"does not fit: 50 rows of \d+ features, .* 5 folds, .*fewer folds"):
        pose(table, Request(target="y", folds=5))
    with pytest.raises(DataError, match=r"does not fit: 50 rows of \d+ features, .* 5 folds, .*fewer folds"):
        pose_rows(read(features), problem.y, None, problem.task, checked({"target": "y", "folds": 5}))
    monkeypatch.setattr(room, "memory_bytes", lambda: 2 * needed)
    pose(table, Request(target="y", folds=5))


def test_too_many_features_for_the_budget_leave_folds_and_levels_out_and_say_so(monkeypatch):
    drawn = np.random.default_rng(0)
    words = {f"w{n}": drawn.choice(list("abcdefgh"), 60).tolist() for n in range(10)}
    table = read({**words, "y": ["no", "yes"] * 30})
    whole = pose(table, Request(target="y"))
    rows, width = 60, whole.width.dense
    assert (len(whole.folds), width) == (10, 80)
    few = pose(table, Request(target="y", cells=rows * width * 5))
    assert (len(few.folds), few.layout) == (5, whole.layout)
    assert [one.message for one in few.findings if one.code == "fewer_folds"] == [
        "5 folds instead of 10, because there are 80 features"
    ]
    narrow = pose(table, Request(target="y", cells=rows * 20 * 3))
    assert (len(narrow.folds), narrow.width.dense) == (3, 20)
    assert (narrow.encoded.codes == whole.encoded.codes).all()
    (told,) = (one.message for one in narrow.findings if one.code == "features_left_out")
    assert told.startswith("80 features are too many for 60 rows and the budget: 20 are used, of each category the 2")
    stated = pose(table, Request(target="y", folds=10, cells=rows * 20 * 10))
    assert (len(stated.folds), stated.width.dense) == (10, 20)
    monkeypatch.setattr(room, "LEAST_CELLS", rows * 20 * 3)
    monkeypatch.setattr(room, "CELLS_A_SECOND", 1)
    alone = pose_rows(read(words), whole.y, None, whole.task, checked({"target": "y", "budget": "20s"}))
    assert (len(alone.folds), alone.width.dense) == (3, 20)


def test_of_too_many_levels_to_keep_the_most_frequent_are(monkeypatch):
    monkeypatch.setattr(column_facts, "MOST_LEVELS_KEPT", 12)
    words = {f"w{n}": [f"l{min(place % 9, 6 + n)}" for place in range(60)] for n in range(3)}
    table = read({**words, "y": ["no", "yes"] * 30})
    for problem in (
        pose(table, Request(target="y")),
        pose_rows(
            read(words), np.arange(60) % 2, None, pose(table, Request(target="y")).task, checked({"target": "y"})
        ),
    ):
        assert [len(one.levels) for one in problem.layout.categories] == [4, 4, 4]
        assert all(one.other_rows for one in problem.layout.categories)
        assert [len(one.levels) for one in problem.contract.columns] == [4, 4, 4]
        assert [one.more_levels for one in problem.contract.columns] == [3, 4, 5]


@pytest.fixture(scope="module")
def classes():
    drawn = np.random.default_rng(0)
    values = drawn.normal(size=(50, 2))
    return pose(read({"a": values[:, 0], "b": values[:, 1], "y": ["no", "yes"] * 25}), Request(target="y", folds=5))


def test_all_that_the_target_cannot_have_is_refused_at_once(classes):
    given = {"losses": "huber,hinge,poisson", "threshold": "roc_auc", "folds": 90}
    with pytest.raises(UsageError) as error:
        check_agreement(classes, checked({"target": "y", **given}))
    assert str(error.value).splitlines() == [
        "3 settings do not fit the table:",
        "  losses may be logistic, hinge or squared_hinge for 'y', a binary target, got huber and poisson",
        "  threshold must be a number between 0 and 1, or a metric that a threshold alters, such as f1 or accuracy, "
        "got roc_auc",
        "  folds must be at most 38, the number of training rows, got 90",
    ]
    assert error.value.lines == 4


@pytest.mark.parametrize("given", [{"losses": "hinge"}, {"losses": "hinge,squared_hinge", "optimizers": "lbfgs"}])
def test_what_the_target_and_the_models_can_have_is_not(classes, given):
    check_agreement(classes, checked({"target": "y", **given}))
