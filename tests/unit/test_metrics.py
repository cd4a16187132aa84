"""Every metric against scikit-learn, and what happens at the edges."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from lanewise.errors import DataError, UsageError
from lanewise.formatting.metric_labels import AT_A_THRESHOLD, LOWER
from lanewise.metrics import (
    METRICS,
    best_threshold,
    calibration_curve,
    confusion,
    metric_names,
    over_trainings,
    per_class,
    pr_curve,
    resolve_metric,
    roc_curve,
    score_all,
)
from lanewise.task import DEFAULT_METRIC, TASK_KINDS, Task

TIGHT = 1e-12


def labels(prediction):
    return (prediction[:, 1] >= 0.5).astype(int) if prediction.shape[1] == 2 else prediction.argmax(axis=1)


def macro(function, average="macro"):
    return lambda y, p, w: function(y, labels(p), average=average, sample_weight=w, zero_division=0)


def positive(function):
    return lambda y, p, w: function(y, labels(p), sample_weight=w, zero_division=0)


def roc_auc(y, p, w):
    if p.shape[1] == 2:
        return reference.roc_auc_score(y, p[:, 1], sample_weight=w)
    return reference.roc_auc_score(y, p, sample_weight=w, multi_class="ovr", average="macro")


def pr_auc(y, p, w):
    if p.shape[1] == 2:
        return reference.average_precision_score(y, p[:, 1], sample_weight=w)
    return reference.average_precision_score(np.eye(p.shape[1])[y], p, sample_weight=w, average="macro")


def f1_weighted(y, p, w):
    return macro(reference.f1_score, average="weighted")(y, p, w)


OF_CLASSES = {
    "accuracy": lambda y, p, w: reference.accuracy_score(y, labels(p), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: reference.balanced_accuracy_score(y, labels(p), sample_weight=w),
    "f1_macro": macro(reference.f1_score),
    "precision_macro": macro(reference.precision_score),
    "recall_macro": macro(reference.recall_score),
    "f1_weighted": f1_weighted,
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "log_loss": lambda y, p, w: reference.log_loss(y, p, sample_weight=w, labels=range(p.shape[1])),
    "brier": lambda y, p, w: reference.brier_score_loss(y, p, sample_weight=w, labels=range(p.shape[1])),
}
OF_BINARY = OF_CLASSES | {
    "f1": positive(reference.f1_score),
    "precision": positive(reference.precision_score),
    "recall": positive(reference.recall_score),
}
OF_NUMBERS = {
    "rmse": lambda y, p, w: reference.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: reference.mean_absolute_error(y, p, sample_weight=w),
    "median_ae": lambda y, p, w: reference.median_absolute_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: reference.r2_score(y, p, sample_weight=w),
    "mape": lambda y, p, w: reference.mean_absolute_percentage_error(y, p, sample_weight=w),
}
WITHOUT_REFERENCE = {"ece"}


def probabilities(rng, rows, classes, *, ties):
    p = rng.dirichlet(np.ones(classes), size=rows)
    if not ties:
        return p
    coarse = np.round(p, 1) + 0.05
    return coarse / coarse.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("classes", "name"), [(2, name) for name in OF_BINARY] + [(4, name) for name in OF_CLASSES])
def test_class_metrics_equal_scikit_learn(classes, name, ties, weighted):
    rng = np.random.default_rng(classes)
    for rows in (40, 501):
        y = rng.permutation(np.arange(rows) % classes)
        p = probabilities(rng, rows, classes, ties=ties)
        w = rng.uniform(0.1, 3.0, rows) if weighted else None
        assert METRICS[name].score(y, p, w) == pytest.approx(OF_BINARY[name](y, p, w), rel=TIGHT, abs=TIGHT)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_number_metrics_equal_scikit_learn(name, weighted):
    rng = np.random.default_rng(3)
    for rows in (2, 40, 501):
        y = rng.normal(50.0, 3.0, rows)
        p = y + rng.normal(size=rows)
        w = rng.uniform(0.1, 3.0, rows) if weighted else None
        assert METRICS[name].score(y, p, w) == pytest.approx(OF_NUMBERS[name](y, p, w), rel=TIGHT)


def test_poisson_deviance_equals_scikit_learn_and_survives_a_mean_of_zero():
    rng = np.random.default_rng(4)
    y = rng.poisson(1.0, 300).astype(float)
    p, w = rng.uniform(0.1, 3.0, 300), rng.uniform(0.1, 3.0, 300)
    metric = METRICS["poisson_deviance"]
    assert metric.score(y, p, w) == pytest.approx(reference.mean_poisson_deviance(y, p, sample_weight=w), rel=TIGHT)
    assert math.isfinite(metric.score([0.0, 2.0], [0.0, 0.0]))


def test_every_metric_is_compared():
    compared = {*OF_BINARY, *OF_NUMBERS, "poisson_deviance"}
    assert set(METRICS) == compared | WITHOUT_REFERENCE
    assert all(metric.words.endswith(".") and metric.kinds for metric in METRICS.values())


def test_ece_equals_a_loop_over_the_bins():
    rng = np.random.default_rng(5)
    for classes in (2, 3):
        p = rng.dirichlet(np.ones(classes), size=400)
        y = rng.integers(0, classes, 400)
        w = rng.uniform(0.5, 2.0, 400)
        confidence = p[:, 1] if classes == 2 else p.max(axis=1)
        hit = y == 1 if classes == 2 else y == p.argmax(axis=1)
        expected = 0.0
        for b in range(15):
            inside = (confidence >= b / 15) & (confidence < (b + 1) / 15)
            expected += abs((w * (confidence - hit))[inside].sum())
        assert METRICS["ece"].score(y, p, w) == pytest.approx(expected / w.sum(), rel=TIGHT)


@pytest.mark.parametrize("name", METRICS)
def test_scores_under_many_weightings_equal_scores_of_the_rows_repeated(name):
    metric = METRICS[name]
    rng = np.random.default_rng(6)
    if metric.kinds[0] in ("binary", "multiclass"):
        y, p = rng.integers(0, 2, 60), probabilities(rng, 60, 2, ties=True)
    else:
        y, p = rng.poisson(3.0, 60) + 1.0, rng.uniform(0.5, 6.0, 60)
    counts = rng.integers(0, 3, (5, 60))
    expected = [metric.score(np.repeat(y, c, axis=0), np.repeat(p, c, axis=0)) for c in counts]
    np.testing.assert_allclose(metric.scores(y, p, counts.astype(float)), expected, rtol=1e-11)


def test_pointwise_values_average_to_the_score():
    rng = np.random.default_rng(7)
    y, p = rng.integers(0, 2, 50), probabilities(rng, 50, 2, ties=False)
    log_loss = METRICS["log_loss"].pointwise
    assert log_loss is not None
    assert log_loss(y, p).mean() == pytest.approx(METRICS["log_loss"].score(y, p), rel=TIGHT)
    assert METRICS["roc_auc"].pointwise is None
    assert METRICS["f1"].pointwise is None


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_nothing_crashes_or_warns_on_one_class_one_row_no_row_or_sure_predictions(kind):
    task = Task(target="t", kind=kind, metric=DEFAULT_METRIC[kind], classes=("a", "b", "c"))
    for rows in (0, 1, 5):
        y = np.zeros(rows, dtype=np.int64 if task.is_classification else np.float64)
        width = {"binary": 2, "multiclass": 3}.get(kind)
        p = np.eye(width)[np.ones(rows, dtype=int)] if width else np.zeros(rows)
        scores = score_all(task, y, p)
        assert next(iter(scores)) == task.metric
        assert set(scores) == set(metric_names(kind))
        if rows and task.is_classification:
            assert math.isnan(scores["roc_auc"])
            assert scores["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps))
            assert scores["accuracy"] == 0.0
        if not rows:
            assert all(math.isnan(score) for score in scores.values())


def test_multiclass_auc_leaves_out_a_class_that_no_row_has():
    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.ones(3), size=40)
    y = np.arange(40) % 2
    two = [reference.roc_auc_score(y == k, p[:, k]) for k in (0, 1)]
    assert METRICS["roc_auc"].score(y, p) == pytest.approx(np.mean(two), rel=TIGHT)


def test_undefined_scores_are_nan():
    assert math.isnan(METRICS["r2"].score([2.0, 2.0], [1.0, 3.0]))
    assert math.isnan(METRICS["mape"].score([0.0, 2.0], [1.0, 3.0]))
    assert math.isnan(METRICS["rmse"].score([1.0, 2.0], [1.0, math.nan]))
    assert math.isnan(METRICS["f1"].score([0, 1], [[0.5, 0.5], [0.2, 0.8]], [0.0, 0.0]))


def test_wrong_input_is_named():
    with pytest.raises(DataError, match=r"prediction has shape \(3,\) for \(2,\) targets"):
        METRICS["rmse"].score([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="does not fit 2 columns"):
        METRICS["log_loss"].score([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(DataError, match="negative or not finite"):
        METRICS["mae"].score([1.0], [1.0], [-1.0])
    with pytest.raises(DataError, match="one per row"):
        METRICS["mae"].score([1.0], [1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ("AUC", "binary", "roc_auc"),
        ("logloss", "multiclass", "log_loss"),
        ("f1-macro", "multiclass", "f1_macro"),
        ("Log Loss", "binary", "log_loss"),
        ("rmse", "count", "rmse"),
        ("R2", "regression", "r2"),
    ],
)
def test_metric_names_are_understood(given, kind, name):
    assert resolve_metric(given, kind).name == name


def test_an_unknown_or_unfit_metric_names_the_allowed_ones():
    with pytest.raises(UsageError, match=r"did you mean accuracy\? All 14: lanewise.metrics.metric_names\('binary'\)"):
        resolve_metric("acuracy", "binary")
    with pytest.raises(UsageError, match=r"metric may be accuracy, .* for a multiclass target, got rmse"):
        resolve_metric("rmse", "multiclass")
    with pytest.raises(UsageError, match="for a multiclass target, got"):
        resolve_metric("f1", "multiclass")


def test_tables_equal_scikit_learn():
    rng = np.random.default_rng(9)
    y, p, w = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), size=90), rng.uniform(0.1, 2.0, 90)
    guess = p.argmax(axis=1)
    np.testing.assert_allclose(
        confusion(y, p, w), reference.confusion_matrix(y, guess, sample_weight=w), rtol=TIGHT, atol=TIGHT
    )
    expected = reference.precision_recall_fscore_support(y, guess, sample_weight=w)
    rows = per_class(("a", "b", "c"), y, p, w)
    assert [row.label for row in rows] == ["a", "b", "c"]
    got = [[r.precision for r in rows], [r.recall for r in rows], [r.f1 for r in rows], [r.support for r in rows]]
    np.testing.assert_allclose(np.array(got), np.array(expected), rtol=TIGHT)


def test_curves_are_short_and_hold_the_area():
    rng = np.random.default_rng(10)
    y = rng.integers(0, 2, 5000)
    p = 1 / (1 + np.exp(-(y + rng.normal(size=5000))))
    roc, pr = roc_curve(y, p), pr_curve(y, p)
    assert len(roc.x) <= 200
    assert len(pr.x) <= 200
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(reference.roc_auc_score(y, p), abs=2e-3)
    assert pr.x[-1] == 1
    few_y, few_p = y[:50], p[:50]
    fpr, tpr, _ = reference.roc_curve(few_y, few_p, drop_intermediate=False)
    np.testing.assert_allclose([roc_curve(few_y, few_p).x, roc_curve(few_y, few_p).y], [fpr, tpr], atol=TIGHT)
    precision, recall, _ = reference.precision_recall_curve(few_y, few_p)
    few = pr_curve(few_y, few_p)
    np.testing.assert_allclose([few.y, few.x], [precision[-2::-1], recall[-2::-1]], atol=TIGHT)
    assert len(roc_curve([1, 1], [0.2, 0.3]).x) == 0
    assert len(pr_curve([0, 0], [0.2, 0.3]).x) == 0


def test_calibration_bins_hold_equal_weight_and_keep_ties_together():
    rng = np.random.default_rng(11)
    p = rng.uniform(size=1000)
    y = (rng.uniform(size=1000) < p).astype(int)
    curve = calibration_curve(y, p, bins=10)
    assert curve.weight.tolist() == [100.0] * 10
    assert np.abs(curve.predicted - curve.observed).max() < 0.15
    assert (curve.predicted @ curve.weight / 1000) == pytest.approx(p.mean(), rel=TIGHT)
    tied = calibration_curve([0, 1, 1, 0], [0.3, 0.3, 0.3, 0.9], [1, 1, 2, 1])
    assert tied.weight.tolist() == [4.0, 1.0]
    assert tied.observed.tolist() == [0.75, 0.0]


THRESHOLD_METRICS = [m.name for m in METRICS.values() if m.uses_threshold]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", THRESHOLD_METRICS)
def test_best_threshold_is_the_best_of_all_cuts(name, weighted):
    rng = np.random.default_rng(12)
    for rows in (1, 3, 60):
        y = rng.integers(0, 2, rows)
        p = np.round(rng.uniform(size=rows), 2)
        w = rng.uniform(0.2, 2.0, rows) if weighted else None
        both = np.column_stack([1 - p, p])
        threshold, value = best_threshold(y, both, METRICS[name], w)
        every = [METRICS[name].score(y, both, w, threshold=t) for t in [*np.unique(p), 0.0, 1.1]]
        assert value == pytest.approx(max(every), rel=TIGHT)
        assert METRICS[name].score(y, both, w, threshold=threshold) == pytest.approx(value, rel=TIGHT)


def test_a_metric_without_classes_keeps_one_half():
    threshold, value = best_threshold([0, 1, 1], [0.1, 0.6, 0.9], METRICS["log_loss"])
    assert threshold == 0.5
    assert value == METRICS["log_loss"].score([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]])


def test_best_threshold_separates_neighbouring_floats():
    low = 0.3
    high = np.nextafter(low, 1)
    threshold, value = best_threshold([0, 1], [low, high], METRICS["accuracy"])
    assert (threshold, value) == (high, 1.0)


def test_the_labels_know_which_way_every_metric_is_better():
    assert {name for name, metric in METRICS.items() if metric.direction == "min"} == LOWER & set(METRICS)
    assert {name for name, metric in METRICS.items() if metric.uses_threshold} == AT_A_THRESHOLD


@pytest.mark.parametrize("name", ["roc_auc", "f1", "r2"])
def test_over_trainings_is_the_mean_of_their_scores(name):
    rng = np.random.default_rng(0)
    y, p, weights = rng.integers(0, 2, 50), rng.random((50, 3)), rng.integers(0, 3, (4, 50)).astype(float)
    metric = METRICS[name]
    one = [p[:, own] if name == "r2" else np.column_stack([1 - p[:, own], p[:, own]]) for own in range(3)]
    several = np.stack([own[:, None] if own.ndim == 1 else own for own in one], axis=-1)
    found = over_trainings(metric).scores(y, several, weights)
    assert found == pytest.approx(np.mean([metric.scores(y, own, weights) for own in one], axis=0), abs=TIGHT)
    assert over_trainings(metric).scores(y, one[0], weights) == pytest.approx(metric.scores(y, one[0], weights))


@pytest.mark.parametrize("name", metric_names("binary"))
def test_no_weights_round_a_share_to_more_than_one(name):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50)
    perfect = np.eye(2)[y]
    for _ in range(200):
        found = METRICS[name].score(y, perfect, rng.uniform(0.1, 3.0, 50))
        assert METRICS[name].direction == "min" or found <= 1.0
