"""The units in which networks and linear models see a target, with and without one extreme value."""

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem, has_extreme_target, prepare

DRAWS = np.random.default_rng(0).normal(size=(200, 2))
TARGET = 50.0 + 10.0 * DRAWS[:, 0] + DRAWS[:, 1]


def posed(target: np.ndarray) -> Problem:
    frame = pl.DataFrame({"a": DRAWS[:, 0], "price": target})
    dataset = Dataset(frame=frame, kinds={"a": "number", "price": "number"}, source="a table")
    return pose(dataset, Request(target="price"))


def test_an_ordinary_target_is_scaled_by_mean_and_standard_deviation_to_the_bit() -> None:
    problem = posed(TARGET)
    data, _ = prepare(problem, refit=False)
    assert not has_extreme_target(problem)
    for place, fold in enumerate(problem.folds):
        values = problem.y[fold.train]
        assert (data.folds[place].center, data.folds[place].scale) == (values.mean(), values.std())


def test_one_extreme_value_leaves_the_units_of_the_other_rows() -> None:
    row = posed(TARGET).train[0]
    target = TARGET.copy()
    target[row] *= 1e6
    problem = posed(target)
    assert "extreme_target" in {finding.code for finding in problem.findings}
    assert has_extreme_target(problem) == (row in problem.train)
    data, _ = prepare(problem, refit=False)
    for fold in data.folds.values():
        assert 5.0 < fold.scale < 20.0
        assert 45.0 < fold.center < 55.0


def test_the_fold_that_screens_look_at_has_no_extreme_value() -> None:
    plain = posed(TARGET)
    for fold in plain.folds:
        target = TARGET.copy()
        target[fold.valid[0]] *= 1e7
        problem = posed(target)
        far = np.flatnonzero(target > 1e6)
        assert len(far) == 1
        assert not np.isin(far, problem.folds[0].valid).any()
        assert np.isin(far, problem.folds[-1].valid).all() or far[0] in problem.test
        judged = np.sort(np.concatenate([fold.valid for fold in problem.folds]))
        assert np.array_equal(judged, np.sort(problem.train))
