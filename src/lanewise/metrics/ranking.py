"""Scores of how well probabilities rank the rows, and the curves behind them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.metrics.classification import CLASSES
from lanewise.metrics.metric import Array, Metric, checked_weight

MOST_POINTS = 200


def binary_auc(positive: NDArray[np.bool_], score: Array, weights: Array) -> Array:
    """Area under the ROC curve, P(score of a positive > score of a negative) + half of ties.

    Args:
        positive: ``[N]``.
        score: ``[N]``, higher is more likely positive.
        weights: ``[R, N]``.

    Returns:
        ``[R]``; NaN where one of the classes weighs nothing.
    """
    order = np.argsort(score[~positive], kind="stable")
    negatives = score[~positive][order]
    weight_below = np.zeros((len(weights), len(negatives) + 1))
    np.cumsum(weights[:, ~positive][:, order], axis=1, out=weight_below[:, 1:])
    lower = np.searchsorted(negatives, score[positive], side="left")
    upper = np.searchsorted(negatives, score[positive], side="right")
    of_positives = weights[:, positive]
    beaten = np.einsum("rn,rn->r", of_positives, weight_below[:, lower] + weight_below[:, upper]) / 2
    pairs = of_positives.sum(axis=1) * weight_below[:, -1]
    return np.where(pairs > 0, np.minimum(beaten / np.where(pairs > 0, pairs, 1.0), 1.0), np.nan)


def average_precision(positive: NDArray[np.bool_], score: Array, weights: Array) -> Array:
    """Area under the precision-recall curve by steps: ``Σ (R_k - R_{k-1}) P_k`` over the distinct scores.

    Shapes as in :func:`binary_auc`; NaN where no positive row has weight.
    """
    order = np.argsort(-score, kind="stable")
    ends = _group_ends(score[order])
    sorted_weights = weights[:, order]
    called = np.cumsum(sorted_weights, axis=1)[:, ends]
    found = np.cumsum(sorted_weights * positive[order], axis=1)[:, ends]
    gained = np.diff(found, axis=1, prepend=0.0)
    precision = found / np.where(called > 0, called, 1.0)
    total = found[:, -1]
    area = (gained * precision).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, np.minimum(area, 1.0), np.nan)  # sums of weights may round to more


def _group_ends(ordered: Array) -> NDArray[np.int64]:
    """Index of the last of each run of equal values."""
    return np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)


def _one_against_rest(
    measure: Callable[[NDArray[np.bool_], Array, Array], Array], y: NDArray, prediction: Array, weights: Array
) -> Array:
    """Two classes: of the second. More: the mean over the classes for which it is defined."""
    classes = prediction.shape[1]
    if classes == 2:
        return measure(y == 1, prediction[:, 1], weights)
    each = np.stack([measure(y == k, prediction[:, k], weights) for k in range(classes)])
    defined = np.isfinite(each)
    total = np.where(defined, each, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve over all cuts of a probability: ``x [Q]``, ``y [Q]``, ``threshold [Q]``."""

    x: Array
    y: Array
    threshold: Array


def roc_curve(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> Curve:
    """False-positive rate (x) and true-positive rate (y) at each cut, from (0, 0) to (1, 1).

    ``y [N]`` is 1 for positive, ``p [N]`` its probability. At most 200 points, chosen evenly
    along the curve. Empty where the rows hold one class only.
    """
    found, missed, cuts = _cumulated(y, p, weight)
    if not len(cuts) or found[-1] <= 0 or missed[-1] <= 0:
        return _empty()
    return _thinned(missed / missed[-1], found / found[-1], cuts)


def pr_curve(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> Curve:
    """Recall (x) and precision (y) at each cut, from the highest probability down.

    Arguments and thinning as in :func:`roc_curve`; empty without a positive row.
    """
    found, missed, cuts = _cumulated(y, p, weight)
    if not len(cuts) or found[-1] <= 0:
        return _empty()
    called = found + missed
    kept = called > 0
    return _thinned(found[kept] / found[-1], found[kept] / called[kept], cuts[kept])


def _cumulated(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Weight of the positives and of the negatives at or above each cut, and the cuts; empty without a row.

    Each is summed by itself: the difference of two sums would lose the light rows beside the heavy ones.
    """
    score = np.asarray(p, dtype=np.float64)
    weights = checked_weight(weight, len(score))
    used = weights > 0
    score, positive, weights = score[used], np.asarray(y)[used] == 1, weights[used]
    if not len(score):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(-score, kind="stable")
    ends = _group_ends(score[order])

    def cumulated(of: NDArray[np.bool_]) -> Array:
        return np.append(0.0, np.cumsum((weights * of)[order])[ends])

    return cumulated(positive), cumulated(~positive), np.append(np.inf, score[order][ends])


def _thinned(x: Array, y: Array, cuts: Array) -> Curve:
    if len(x) > MOST_POINTS:
        length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        nearest = np.searchsorted(length, np.linspace(0, length[-1], MOST_POINTS - 1))
        keep = np.unique(np.append(np.minimum(nearest, len(x) - 1), len(x) - 1))
        x, y, cuts = x[keep], y[keep], cuts[keep]
    return Curve(x=x, y=y, threshold=cuts)


def _empty() -> Curve:
    return Curve(x=np.zeros(0), y=np.zeros(0), threshold=np.zeros(0))


RANKING_METRICS: tuple[Metric, ...] = (
    Metric(
        name="roc_auc",
        direction="max",
        kinds=CLASSES,
        words="Chance that a positive row is ranked above a negative one; for more classes, the mean of each "
        "against the rest. Not defined where the rows hold one class only.",
        ordered=partial(_one_against_rest, binary_auc),
    ),
    Metric(
        name="pr_auc",
        direction="max",
        kinds=CLASSES,
        words="Average precision over the recall levels; for more classes, the mean of each against the rest.",
        ordered=partial(_one_against_rest, average_precision),
    ),
)
