"""The untouched test rows: every metric with its interval, and where the model errs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.metrics import (
    METRICS,
    CalibrationCurve,
    ClassScore,
    Curve,
    Metric,
    calibration_curve,
    confusion,
    metric_names,
    per_class,
    pr_curve,
    resolve_metric,
    roc_curve,
)
from lanewise.statistics import Interval, bootstrap_interval, resampled_scores, sample_of, share_draws
from lanewise.task import Task

LEVEL = 0.95
MOST_RESIDUALS = 500
DRAWN_ROWS = 2_000_000
"""Rows drawn for the interval of a metric that is not the deciding one: 250 draws of 8,000 rows."""
FEWEST_DRAWS = 200
CELLS_OF_FEW_DRAWS = 100_000
FEW_DRAWS = 64

Array = NDArray[np.float64]

NOT_KNOWN = Interval(value=np.nan, low=np.nan, high=np.nan, level=LEVEL, standard_error=np.nan, draws=0)
"""Of a class that no row has."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Actual and predicted values of the same rows, each ``[at most 500]``."""

    actual: Array
    predicted: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a prediction is worth on rows that had no part in making it.

    ``scores`` come with 95% intervals, the deciding metric first, and count rows by their weight, as do
    ``roc`` and ``pr`` (binary tasks). ``confusion [C, C]``, ``per_class`` and ``calibration`` count each
    row once. For more than two classes ``calibration`` is that of the likeliest class. ``residuals`` are
    for numbers. What does not apply is None or empty.
    """

    rows: int
    scores: Mapping[str, Interval]
    classes: tuple[str, ...] = ()
    confusion: NDArray[np.int64] | None = None
    per_class: tuple[ClassScore, ...] = ()
    calibration: CalibrationCurve | None = None
    roc: Curve | None = None
    pr: Curve | None = None
    residuals: Residuals | None = None

    def estimates(self) -> dict[str, dict[str, float]]:
        """``{metric: {value, low, high}}``; metrics that are not defined on these rows are left out."""
        return {
            name: {"value": found.value, "low": found.low, "high": found.high}
            for name, found in self.scores.items()
            if np.isfinite(found.value)
        }

    def details(self) -> dict[str, Any]:
        """Confusion, per class, calibration, curves and residuals as plain lists; only what applies."""
        parts: dict[str, Any] = {}
        if self.confusion is not None:
            parts["confusion"] = {"classes": list(self.classes), "matrix": self.confusion.tolist()}
        if self.per_class:
            parts["per_class"] = [_class_row(one) for one in self.per_class]
        if self.calibration is not None:
            curve = self.calibration
            bins = zip(curve.predicted.tolist(), curve.observed.tolist(), curve.weight.tolist(), strict=True)
            parts["calibration"] = [{"predicted": p, "observed": o, "count": round(count)} for p, o, count in bins]
        for name, curve in (("roc", self.roc), ("pr", self.pr)):
            if curve is not None:
                parts[name] = [{"x": x, "y": y} for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
        if self.residuals is not None:
            parts["residuals"] = {
                "actual": self.residuals.actual.tolist(),
                "predicted": self.residuals.predicted.tolist(),
            }
        return parts


def evaluate(
    task: Task,
    y: ArrayLike,
    prediction: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    seed: int,
    threshold: float = 0.5,
    thresholds: Mapping[str, float] | None = None,
    draws: int = 1000,
    groups: ArrayLike | None = None,
) -> Evaluation:
    """Every metric of the task with its 95% interval, and tables and curves of the same rows.

    Intervals are those of :func:`lanewise.statistics.bootstrap_interval`. The deciding
    metric takes ``draws`` draws; others fewer, but at least 200, above 2,000 rows. Where a metric must
    walk all rows for each of many classes, the interval is the score ± 1.96 standard errors of 64 draws; with
    groups, 32 parts of them are left out, and 32 parts of the rows.

    Args:
        task: its kind chooses the metrics; its metric decides.
        y: ``[N]``, values or class indices.
        prediction: means ``[N]`` or ``[N, 1]``, or probabilities ``[N, C]``.
        weight: ``[N]`` or None.
        seed: key of the draws.
        threshold: probability from which a row of a binary task counts as positive.
        thresholds: others for the scores of some metrics, by name.
        draws: bootstrap draws.
        groups: ``[N]`` labels of rows that are drawn together, or None.

    Raises:
        DataError: lengths do not match.
        UsageError: ``draws`` out of range.
    """
    target, predicted = np.asarray(y), np.asarray(prediction, dtype=np.float64)
    if not task.is_classification and predicted.ndim == 2:
        predicted = predicted[:, 0]
    deciding = resolve_metric(task.metric, task.kind).name
    names = (deciding, *(name for name in metric_names(task.kind) if name != deciding))
    fewer = min(draws, max(FEWEST_DRAWS, DRAWN_ROWS // max(len(target), 1)))
    scores = {}
    for name in names:
        metric = _at(METRICS[name], (thresholds or {}).get(name, threshold))
        if not metric.says_something(target, weight):
            scores[name] = NOT_KNOWN
            continue
        long = name != deciding and metric.ordered is not None and _is_long(predicted)
        if long and groups is None:
            scores[name] = _normal_interval(metric, target, predicted, weight=weight, seed=seed)
        else:
            wanted = draws if name == deciding else FEW_DRAWS if long else fewer
            scores[name] = bootstrap_interval(
                metric, target, predicted, weight=weight, groups=groups, seed=seed, draws=wanted, level=LEVEL
            )
    found = Evaluation(rows=len(target), scores=scores, classes=task.classes)
    if not len(target) or not np.isfinite(predicted).all():
        return found
    if task.is_classification:
        return _classified(found, target.astype(np.int64), predicted, weight, threshold)
    return replace(found, residuals=_residuals(target.astype(np.float64), predicted))


def _at(metric: Metric, threshold: float) -> Metric:
    """The metric with its classes decided at ``threshold`` wherever it is resampled."""
    values = metric.values
    if not metric.uses_threshold or values is None:
        return metric
    return replace(metric, values=lambda y, prediction, _usual: values(y, prediction, threshold))


def _is_long(predicted: Array) -> bool:
    return predicted.ndim == 2 and predicted.shape[1] > 2 and predicted.size > CELLS_OF_FEW_DRAWS


def _normal_interval(metric: Metric, y: NDArray, predicted: Array, *, weight: ArrayLike | None, seed: int) -> Interval:
    """For a share that must walk all rows for each class: score and standard error of few draws, within [0, 1]."""
    sample = sample_of(y, predicted[None], weight, None, seed=seed)
    units = sample.units.count
    value = float(resampled_scores(metric, sample, np.ones((1, units)))[0, 0])
    drawn = share_draws(metric, sample, FEW_DRAWS, seed=seed)
    defined = drawn[np.isfinite(drawn)]
    error = float(defined.std(ddof=1)) if len(defined) * 2 > FEW_DRAWS else np.nan
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return Interval(
        value=value,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        level=LEVEL,
        standard_error=error,
        draws=len(defined),
        undefined=FEW_DRAWS - len(defined),
    )


def _classified(
    found: Evaluation, y: NDArray[np.int64], p: Array, weight: ArrayLike | None, threshold: float
) -> Evaluation:
    binary = p.shape[1] == 2
    asked, hit = (p[:, 1], y) if binary else (p.max(axis=1), (p.argmax(axis=1) == y).astype(np.int64))
    return replace(
        found,
        confusion=np.rint(confusion(y, p, None, threshold)).astype(np.int64),
        per_class=per_class(found.classes, y, p, None, threshold),
        calibration=calibration_curve(hit, asked),
        roc=roc_curve(y, p[:, 1], weight) if binary else None,
        pr=pr_curve(y, p[:, 1], weight) if binary else None,
    )


def _residuals(y: Array, predicted: Array) -> Residuals:
    """Rows at even steps through the sorted residuals: their spread and both extremes stay."""
    order = np.argsort(predicted - y, kind="stable")
    if len(order) > MOST_RESIDUALS:
        order = order[np.rint(np.linspace(0, len(order) - 1, MOST_RESIDUALS)).astype(np.int64)]
    order = np.sort(order)
    return Residuals(actual=y[order], predicted=predicted[order])


def _class_row(one: ClassScore) -> dict[str, Any]:
    row = asdict(one)
    if not one.support:  # of no rows of a class none can be found
        row["recall"] = row["f1"] = None
    return {"class": row.pop("label"), **row, "support": round(one.support)}
