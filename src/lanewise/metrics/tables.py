"""Tables that show where a classifier is right: per class, confusion, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lanewise.metrics.classification import predicted_class, ratio
from lanewise.metrics.metric import Array, checked_weight


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How one class fares; ``support`` is its rows, or their weight."""

    label: str
    precision: float
    recall: float
    f1: float
    support: float


def confusion(y: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, threshold: float = 0.5) -> Array:
    """Weight of the rows by true class (rows) and predicted class (columns): ``[C, C]``.

    ``y [N]`` class index, ``prediction [N, C]`` probabilities.

    >>> confusion([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    array([[1., 0.],
           [1., 1.]])
    """
    probabilities = np.asarray(prediction, dtype=np.float64)
    classes = probabilities.shape[1]
    cell = np.asarray(y, dtype=np.int64) * classes + predicted_class(probabilities, threshold)
    weights = checked_weight(weight, len(cell))
    counts = np.bincount(cell, weights=weights, minlength=classes**2).astype(np.float64)
    return counts.reshape(classes, classes)


def per_class(
    classes: Sequence[str],
    y: ArrayLike,
    prediction: ArrayLike,
    weight: ArrayLike | None = None,
    threshold: float = 0.5,
) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and support of each class; a ratio without rows is 0.

    ``classes`` holds the labels ``[C]``; the rest as in :func:`confusion`.
    """
    table = confusion(y, prediction, weight, threshold)
    hit, predicted, true = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    precision, recall, f1 = ratio(hit, predicted), ratio(hit, true), ratio(2 * hit, predicted + true)
    return tuple(
        ClassScore(
            label=label,
            precision=float(precision[k]),
            recall=float(recall[k]),
            f1=float(f1[k]),
            support=float(true[k]),
        )
        for k, label in enumerate(classes)
    )


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """Per bin: mean predicted probability, observed frequency, weight of its rows; each ``[Q]``."""

    predicted: Array
    observed: Array
    weight: Array


def calibration_curve(
    y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None, *, bins: int = 10
) -> CalibrationCurve:
    """Predicted against observed frequency in bins that hold equal weight.

    Rows of equal probability stay in one bin, so there may be fewer than ``bins``.

    Args:
        y: ``[N]``, 1 for the positive class.
        p: ``[N]``, its probability.
        weight: ``[N]`` or None.
        bins: the most bins.
    """
    probability = np.asarray(p, dtype=np.float64)
    weights = checked_weight(weight, len(probability))
    used = weights > 0
    probability, positive, weights = probability[used], np.asarray(y)[used] == 1, weights[used]
    if not len(probability):
        return CalibrationCurve(predicted=np.zeros(0), observed=np.zeros(0), weight=np.zeros(0))
    _, of_row = np.unique(probability, return_inverse=True)
    at_value = np.bincount(of_row, weights=weights)
    middle = np.cumsum(at_value) - at_value / 2
    bin_of_value = np.minimum((middle / at_value.sum() * bins).astype(np.int64), bins - 1)
    place = np.unique(bin_of_value, return_inverse=True)[1][of_row]
    total = np.bincount(place, weights=weights).astype(np.float64)
    return CalibrationCurve(
        predicted=np.bincount(place, weights=weights * probability) / total,
        observed=np.bincount(place, weights=weights * positive) / total,
        weight=total,
    )
