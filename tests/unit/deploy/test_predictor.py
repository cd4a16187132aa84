"""Predictors: what they average, decide and say."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.data.dataset import Dataset
from lanewise.deploy import predictor as module
from lanewise.deploy.predictor import Interval, with_floor
from lanewise.errors import DataError
from lanewise.training.fitted import features_of, predict

KINDS = ("regression", "count", "binary", "multiclass")


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_is_the_weighted_average_of_the_members(trained: ModuleType, kind: str) -> None:
    predictor = trained.predictor(kind, "linear", "relu", "lightgbm", "tree")
    rows = trained.unusual(kind)
    found = predictor.predict(rows)
    features = features_of(predictor.preparation, predictor.layout.encode(rows))
    parts = [predict(member.fitted, features, predictor.width) for member in predictor.members]
    expected = np.average(parts, axis=0, weights=[1, 2, 4, 8])
    if predictor.task.is_classification:
        np.testing.assert_allclose(found.probabilities, expected, rtol=1e-12)
        np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-12)
        assert set(found.values) <= set(predictor.task.classes)
    else:
        np.testing.assert_allclose(found.values, expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(found.high - found.values, 12.5)
        assert kind != "count" or found.low.min() == 0


def test_the_width_of_an_interval_follows_the_prediction(trained: ModuleType) -> None:
    predictor = trained.predictor("count", "linear", interval=trained.FOLLOWING)
    found = predictor.decide(np.array([[-1.0], [0.4], [0.5], [1.9], [2.0], [np.inf], [np.nan]]))
    np.testing.assert_allclose(found.low, [0.0, 0.15, 0.0, 0.4, 1.25, np.inf, np.nan])
    np.testing.assert_allclose(found.high, [-0.75, 0.65, 2.0, 3.4, 2.75, np.inf, np.nan])


def test_an_interval_ends_at_its_floor_or_at_a_prediction_beneath_it() -> None:
    low, high = Interval(level=0.9, half_width=2.0, floor=0.0).around(np.array([-1.0, 0.0, 1.5, 3.0, np.nan]))
    np.testing.assert_array_equal(low, [-1.0, 0.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(high, [1.0, 2.0, 3.5, 5.0, np.nan])


def test_intervals_end_at_zero_where_targets_are_never_negative_and_some_would_reach_there() -> None:
    y, near, far = np.linspace(0, 9, 100), np.full(100, 1.0), np.full(100, 5.0)
    near[0] = np.nan  # held out by no fold
    plain = Interval(level=0.9, half_width=2.0)
    assert with_floor(plain, y, near) == Interval(level=0.9, half_width=2.0, floor=0.0)
    assert with_floor(plain, y, far) == plain
    assert with_floor(plain, y - 0.1, near) == plain
    assert with_floor(plain, y[1:], near[1:]) == plain, "too few to tell"


def test_a_floor_costs_no_coverage_where_targets_are_never_below_it() -> None:
    rng = np.random.default_rng(0)
    y, found = rng.exponential(size=(2, 4000))
    plain = Interval(level=0.9, half_width=1.0)
    floored = with_floor(plain, y, found)
    assert floored.floor == 0
    held = [(low <= y) & (y <= high) for low, high in (plain.around(found), floored.around(found))]
    np.testing.assert_array_equal(*held)
    assert (floored.around(found)[0] >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_members_predict_as_their_teams_did(trained: ModuleType, kind: str) -> None:
    """From the table to the prediction, it is what the stack said of the held-out rows when it was trained."""
    problem = trained.posed(kind)
    held = Dataset(frame=problem.dataset.frame[problem.test], kinds=problem.dataset.kinds, source="held out")
    for name in ("linear", "norm", "lightgbm", "tree"):
        fitted, expected = trained.judged(kind, (), trained.company(name))[name]
        found = np.concatenate(list(trained.assembled(problem, [fitted]).responses(held)))
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6, err_msg=fitted.candidate.label)


def test_threshold_decides_binary_labels(trained: ModuleType) -> None:
    rows = trained.table("binary")
    predictor = trained.predictor("binary", "linear")
    positive = predictor.predict(rows).probabilities[:, 1]
    cut = float(np.sort(positive)[40])
    labels = replace(predictor, threshold=cut).predict(rows).values
    assert (labels == "yes").sum() == (positive >= cut).sum() == trained.ROWS - 40


def test_multiclass_takes_the_first_of_the_most_probable(trained: ModuleType) -> None:
    predictor = trained.predictor("multiclass", "linear")
    decided = predictor.decide(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]))
    assert decided.values.tolist() == ["high", "middle", "low"]


@pytest.mark.parametrize("names", [("relu", "norm"), ("lightgbm", "tree")], ids=["stacked", "trees"])
def test_small_blocks_predict_the_same(trained: ModuleType, names: tuple[str, ...], monkeypatch: Any) -> None:
    whole = trained.predictor("multiclass", *names)
    expected = whole.predict(trained.unusual("multiclass")).probabilities
    monkeypatch.setattr(module, "MOST_BLOCK_ROWS", 7)
    parts = list(trained.predictor("multiclass", *names).responses(trained.unusual("multiclass")))
    assert [len(part) for part in parts] == [7] * 17 + [1]
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-5)


def test_float64_members_get_float64_rows(trained: ModuleType) -> None:
    problem = trained.posed("regression")
    fitted = trained.train(problem, [trained.candidate("relu")], dtype=torch.float64)
    predictor = trained.assembled(problem, fitted, dtype=torch.float64)
    rows = trained.table("regression")
    exact = features_of(predictor.preparation, predictor.layout.encode(rows), dtype=torch.float64)
    np.testing.assert_array_equal(predictor.predict(rows).values, predict(fitted[0], exact, predictor.width)[:, 0])


def test_no_rows_give_no_predictions(trained: ModuleType) -> None:
    for names in (("relu",), ("lightgbm", "tree")):
        rows = trained.table("binary")
        found = trained.predictor("binary", *names).predict(replace(rows, frame=rows.frame.head(0)))
        assert found.values.shape == (0,)
        assert found.probabilities.shape == (0, 2)


def test_columns_may_come_in_any_order_beside_others(trained: ModuleType) -> None:
    predictor = trained.predictor("regression", "lightgbm")
    rows = trained.table("regression")
    shuffled = rows.frame.select(reversed(rows.frame.columns)).drop("y").with_columns(extra=pl.lit("z"))
    found = predictor.predict(Dataset(frame=shuffled, kinds={**rows.kinds, "extra": "category"}, source="other"))
    np.testing.assert_array_equal(found.values, predictor.predict(rows).values)
    assert "extra_columns" in {finding.code for finding in found.findings}


def test_absent_columns_are_named(trained: ModuleType) -> None:
    rows = trained.table("regression")
    with pytest.raises(DataError, match="'heavy', 'when'"):
        trained.predictor("regression", "linear").predict(replace(rows, frame=rows.frame.drop("when", "heavy")))


def test_unusual_rows_are_warned_of(trained: ModuleType) -> None:
    codes = {
        finding.code for finding in trained.predictor("binary", "linear").predict(trained.unusual("binary")).findings
    }
    assert {"out_of_range", "unseen_levels"} <= codes


def test_overflow_is_warned_of(trained: ModuleType) -> None:
    predictor = trained.predictor("count", "linear")
    fitted = predictor.members[0].fitted
    steep = {name: tensor * 1e4 for name, tensor in fitted.tensors.items()}
    broken = replace(predictor, members=(replace(predictor.members[0], fitted=replace(fitted, tensors=steep)),))
    findings = broken.predict(trained.table("count")).findings
    assert next(finding.count for finding in findings if finding.code == "not_finite") > 0


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_margins_are_calibrated(trained: ModuleType, kind: str) -> None:
    calibrated = trained.member(kind, "margins")
    plain = replace(calibrated, calibration=None)
    rows = trained.table(kind)
    raw, found = (
        trained.assembled(trained.posed(kind), [one]).predict(rows).probabilities for one in (plain, calibrated)
    )
    np.testing.assert_allclose(found, calibrated.calibration.apply(raw), atol=1e-9)
    assert np.abs(found - raw).max() > 0.05
