"""The same answer for every row: what a model must beat."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.errors import DataError
from lanewise.metrics import METRICS, best_threshold, metric_names
from lanewise.metrics.metric import Metric, checked_weight
from lanewise.statistics import (
    LEAST_FREEDOM,
    Difference,
    Sample,
    drawn_lead,
    expanded_normal,
    freedom_of,
    sample_of,
    unit_weights,
)
from lanewise.task import Task

DRAWS = 1000
"""Bootstrap draws of the paired lead over a guess."""

MEDIAN_METRICS = frozenset({"mae", "median_ae"})
"""Metrics of which the median, not the mean, is the best constant answer: beating less proves less."""

RELATIVE_METRICS = frozenset({"mape"})
"""Metrics of which it is the median of rows that weigh the less the larger their target is."""


def dummy_prediction(task: Task, y_train: ArrayLike, weight: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """The best answer without a model, for each of ``rows`` rows.

    Numbers and counts: the weighted mean of the training target, or its median where the metric of the
    task is an absolute error; where that is relative to the target, rows count by its inverse. Classes: the weighted
    frequencies of the training rows; for which of two classes they are the answer, see `guess_thresholds`.

    Args:
        task: says what is predicted, and by which metric.
        y_train: ``[N]``, values or class indices.
        weight: ``[N]`` or None.
        rows: how many rows to answer for.

    Returns:
        ``[rows]``, or ``[rows, C]`` for classes.

    Raises:
        DataError: no training row has weight.

    >>> dummy_prediction(Task(target="y", kind="regression", metric="rmse"), [1.0, 3.0], None, 3)
    array([2., 2., 2.])
    """
    target = np.asarray(y_train)
    weights = checked_weight(weight, len(target))
    if not weights.sum() > 0:
        message = "no training row has a weight above 0, so there is no average to guess; check the weight column"
        raise DataError(message)
    if task.is_classification:
        counts = np.bincount(target.astype(np.int64), weights=weights, minlength=len(task.classes))
        return np.tile(counts / counts.sum(), (rows, 1))
    values = target.astype(np.float64)
    if task.metric in RELATIVE_METRICS and values[weights > 0].all():
        middle = _median(values, np.divide(weights, np.abs(values), where=weights > 0, out=np.zeros(len(values))))
    elif task.metric in MEDIAN_METRICS:
        middle = _median(values, weights)
    else:
        middle = float(np.average(values, weights=weights))
    return np.full(rows, middle)


def guess_thresholds(task: Task, y_train: ArrayLike, weight: ArrayLike | None) -> dict[str, float]:
    """By metric of answers, the threshold at which :func:`dummy_prediction` gives every row the better class.

    That is the class that the metric scores higher on the training rows, of equals the more frequent one: to call
    every row positive has an F1 of its own, which a model that knows nothing has too once its threshold is low enough.
    Empty but for two classes.

    >>> two = Task(target="y", kind="binary", metric="f1", classes=("no", "yes"))
    >>> found = guess_thresholds(two, [0, 0, 0, 0, 1], None)
    >>> found["accuracy"], found["f1"]
    (0.6, 0.1)
    """
    if task.kind != "binary":
        return {}
    frequency = dummy_prediction(task, y_train, weight, 2)
    judging = (METRICS[name] for name in metric_names(task.kind))
    return {
        metric.name: best_threshold([0, 1], frequency, metric, frequency[0])[0]
        for metric in judging
        if metric.uses_threshold
    }


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The lowest value with at least half of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def lead_over_guess(
    y: ArrayLike,
    predicted: ArrayLike,
    guess: ArrayLike,
    metric: Metric,
    *,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """How much better than a guess a model scores on the same rows, with the paired interval of that ``level``.

    Rows (groups, where given) are drawn with replacement; the standard error is that of the difference over the draws,
    in which what is hard about a row for both cancels. The interval is Student's with the degrees of freedom of all
    rows, or for a share of classes, of the class in the fewest groups or rows, see
    :func:`lanewise.statistics.freedom_of`. Of more than two classes, one in three groups or fewer moves their mean by
    no more than its share: bounds are that much further away, and it does not count for Student's. Of two classes,
    nothing tells how much one in a single group varies, and the interval is NaN. Of a class that no row has, nothing is
    known. Positive where the model is better.

    >>> from lanewise.metrics import resolve_metric
    >>> lead = lead_over_guess([1.0, 2.0, 3.0], [1.1, 2.0, 2.8], [2.0, 2.0, 2.0], resolve_metric("mae", "regression"))
    >>> round(lead.mean, 3), lead.low < lead.mean < lead.high
    (0.567, True)
    """
    if not metric.says_something(y, weight):
        return Difference(mean=np.nan, standard_error=np.nan, low=np.nan, high=np.nan, level=level)
    sample = sample_of(y, np.stack([np.asarray(predicted), np.asarray(guess)]), weight, groups, seed=seed)
    mean, error = drawn_lead(metric, sample, seed=seed, draws=DRAWS)
    error, reach = _how_sure(metric, sample, error, level)
    return Difference(mean=mean, standard_error=error, low=mean - reach, high=mean + reach, level=level)


def _how_sure(metric: Metric, sample: Sample, error: float, level: float) -> tuple[float, float]:
    """The standard error of a lead that varies by ``error`` over draws, and how far from it its bounds are."""
    weights = unit_weights(metric, sample)
    freedoms = np.array([freedom_of(column) for column in weights.T])
    few = freedoms <= (LEAST_FREEDOM if len(freedoms) > 2 else 0.0)
    if few.all() or (few.any() and len(few) == 2):
        return np.nan, np.nan
    freedom = max(float(freedoms[~few].min()), 1.0)
    unknown = max(few.mean(), weights[:, few].sum() / weights.sum())
    # A draw of G units varies (G - 1) / G times as much as a sample of them.
    return error * ((freedom + 1) / freedom) ** 0.5, expanded_normal(level, freedom + 1) * error + float(unknown)
