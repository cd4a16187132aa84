"""The evaluation of the test rows, against the metrics themselves and against simulation."""

import json

import numpy as np
import pytest

from lanewise.evaluation import evaluate
from lanewise.metrics import METRICS, metric_names
from lanewise.task import Task

BINARY = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
NUMBER = Task(target="y", kind="regression", metric="mae")


def two_classes(rows=400, seed=1):
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=rows)
    return (rng.uniform(size=rows) < p).astype(int), np.column_stack([1 - p, p])


def many_classes(rows, classes, seed=1):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), rows)
    return (p.cumsum(axis=1) < rng.uniform(size=(rows, 1))).sum(axis=1), p


def test_every_metric_of_the_task_is_there_the_deciding_one_first():
    y, p = two_classes()
    weight = np.random.default_rng(2).uniform(0.1, 2.0, 400)
    found = evaluate(BINARY, y, p, weight, seed=0, threshold=0.3, draws=200)
    assert next(iter(found.scores)) == "log_loss"
    assert set(found.scores) == set(metric_names("binary"))
    for name, interval in found.scores.items():
        assert interval.value == pytest.approx(METRICS[name].score(y, p, weight, threshold=0.3), abs=1e-12)
        assert interval.low < interval.value < interval.high


@pytest.mark.parametrize("weight", [None, np.append(np.ones(59), 0.0)])
def test_a_class_that_no_row_has_is_given_no_score(weight):
    y, p = np.zeros(60, int), np.tile([0.4, 0.6], (60, 1))
    y[-1] = weight is not None
    found = evaluate(BINARY, y, p, weight, seed=0, draws=100)
    for name in ("precision", "recall", "f1", "pr_auc", "roc_auc"):
        assert np.isnan([found.scores[name].value, found.scores[name].low, found.scores[name].high]).all()
        assert name not in found.estimates()
    assert found.scores["accuracy"].value == 0
    assert evaluate(BINARY, 1 - y, p, weight, seed=0, draws=100).scores["recall"].value == 1


def test_the_threshold_reaches_scores_tables_and_their_intervals():
    y, p = two_classes()
    low, usual = (evaluate(BINARY, y, p, seed=0, threshold=cut, draws=200) for cut in (0.1, 0.5))
    assert low.scores["recall"].low > usual.scores["recall"].high
    assert low.confusion is not None
    assert low.confusion[:, 1].sum() == np.count_nonzero(p[:, 1] >= 0.1)
    assert low.per_class[1].recall == pytest.approx(low.scores["recall"].value)
    assert low.scores["log_loss"] == usual.scores["log_loss"]


def test_intervals_cover_the_true_score():
    truth = np.mean(np.abs(np.random.default_rng(0).normal(size=10**6)))
    covered = 0
    for seed in range(60):
        errors = np.random.default_rng(seed + 1).normal(size=150)
        found = evaluate(NUMBER, errors, np.zeros(150), seed=seed, draws=300).scores["mae"]
        covered += found.low <= truth <= found.high
    assert covered >= 51  # 95% of 60 is 57; fewer than 51 has a probability of about 1%


@pytest.mark.parametrize("shape", [(2000,), (2000, 1)])
def test_numbers_keep_their_extremes_when_residuals_are_thinned(shape):
    rng = np.random.default_rng(4)
    y = rng.normal(size=2000)
    predicted = y + rng.normal(size=2000)
    found = evaluate(NUMBER, y, predicted.reshape(shape), seed=0, draws=100)
    assert found.residuals is not None
    kept = found.residuals.predicted - found.residuals.actual
    every = predicted - y
    assert len(kept) == 500
    assert (kept.min(), kept.max()) == (every.min(), every.max())
    assert np.quantile(kept, [0.25, 0.5, 0.75]) == pytest.approx(np.quantile(every, [0.25, 0.5, 0.75]), abs=0.02)
    assert found.confusion is None
    assert found.roc is None


def test_few_residuals_stay_whole_and_in_order():
    found = evaluate(NUMBER, [3.0, 1.0, 2.0], [1.0, 1.0, 1.0], seed=0, draws=100)
    assert found.residuals is not None
    assert found.residuals.actual.tolist() == [3.0, 1.0, 2.0]


def test_more_classes_have_tables_and_no_trade_off_curves():
    y, p = many_classes(600, 3)
    task = Task(target="y", kind="multiclass", metric="accuracy", classes=("a", "b", "c"))
    found = evaluate(task, y, p, seed=0, draws=200)
    assert found.confusion is not None
    assert found.confusion.sum() == 600
    assert np.trace(found.confusion) / 600 == pytest.approx(found.scores["accuracy"].value)
    assert found.calibration is not None
    assert found.calibration.weight.sum() == 600
    assert (found.roc, found.pr) == (None, None)


def test_many_classes_take_the_short_way_and_agree_with_the_long_one():
    y, p = many_classes(12_000, 10)
    task = Task(target="y", kind="multiclass", metric="roc_auc", classes=tuple("abcdefghij"))
    long = evaluate(task, y, p, seed=0, draws=100).scores["roc_auc"]
    short = evaluate(
        Task(target="y", kind="multiclass", metric="accuracy", classes=tuple("abcdefghij")), y, p, seed=0, draws=100
    ).scores["roc_auc"]
    assert short.value == long.value
    assert short.draws == 64
    assert short.standard_error == pytest.approx(long.standard_error, rel=0.35)


def test_many_classes_in_groups_take_a_short_way_too():
    y, p = many_classes(12_000, 10)
    group = np.random.default_rng(3).integers(0, 300, 12_000)
    names = tuple("abcdefghij")
    long = evaluate(Task(target="y", kind="multiclass", metric="roc_auc", classes=names), y, p, seed=0, groups=group)
    short = evaluate(Task(target="y", kind="multiclass", metric="accuracy", classes=names), y, p, seed=0, groups=group)
    found, expected = short.scores["roc_auc"], long.scores["roc_auc"]
    assert (found.draws, expected.draws, short.scores["f1_macro"].draws) == (32, 200, 100)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.35)


def test_details_are_what_a_document_holds():
    y, p = two_classes()
    found = evaluate(BINARY, y, p, np.full(400, 2.0), seed=0, draws=100)
    details = json.loads(json.dumps(found.details()))
    assert sorted(details) == ["calibration", "confusion", "per_class", "pr", "roc"]
    assert details["confusion"]["classes"] == ["no", "yes"]
    assert sum(one["count"] for one in details["calibration"]) == 400
    assert [one["class"] for one in details["per_class"]] == ["no", "yes"]
    assert sum(one["support"] for one in details["per_class"]) == 400
    assert set(found.estimates()["log_loss"]) == {"value", "low", "high"}


def test_scores_that_are_not_defined_are_left_out_of_the_estimates():
    found = evaluate(NUMBER, [0.0, 1.0, 2.0], [1.0, 1.0, 1.0], seed=0, draws=100)
    assert np.isnan(found.scores["mape"].value)
    assert "mape" not in found.estimates()


def test_a_prediction_that_is_not_finite_has_neither_scores_nor_tables():
    y, p = two_classes(20)
    p[3] = np.nan
    found = evaluate(BINARY, y, p, seed=0, draws=100)
    assert found.estimates() == {}
    assert found.details() == {}


def test_rows_of_one_class_and_no_rows_are_no_error():
    p = np.tile([0.8, 0.2], (10, 1))
    found = evaluate(BINARY, np.zeros(10, dtype=int), p, seed=0, draws=100)
    assert "roc_auc" not in found.estimates()
    assert found.roc is not None
    assert len(found.roc.x) == 0
    assert evaluate(BINARY, np.zeros(0, dtype=int), np.zeros((0, 2)), seed=0, draws=100).estimates() == {}


def test_the_same_seed_gives_the_same_intervals():
    y, p = two_classes()
    first, second, other = (evaluate(BINARY, y, p, seed=seed, draws=150).scores for seed in (7, 7, 8))
    assert first == second
    assert first["brier"].low != other["brier"].low


def test_a_class_without_rows_has_no_recall():
    y, p = many_classes(60, 3)
    found = evaluate(Task(target="y", kind="multiclass", metric="accuracy", classes=("a", "b", "c")), y % 2, p, seed=0)
    a, _, absent = found.details()["per_class"]
    assert a["recall"] > 0
    assert (absent["support"], absent["recall"], absent["f1"]) == (0, None, None)
    assert absent["precision"] == 0  # what was taken for it was of other classes
