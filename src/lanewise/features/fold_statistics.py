"""Statistics of training rows, one set per fold: what a preparation knows of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from lanewise.errors import UsageError
from lanewise.features.column_blocks import CELLS_AT_ONCE, means_and_deviations, medians

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Values beyond this, and infinities, are left out of every statistic: their sums and slopes would overflow.
LARGEST_USABLE = 1e200

IQR_OF_NORMAL = 1.3489795003921634
"""The interquartile range of normal values, in standard deviations."""

Imputation = Literal["median", "mean"]


@dataclass(frozen=True, kw_only=True)
class NumberStatistics:
    """What each fold knows of each number.

    ``centre`` and ``scale`` (mean and deviation, or robust ones; the scale is 0 where constant) and ``impute`` (in
    place of a missing value) are ``[G, Dn]``; ``knots`` and ``scores`` ``[G, Dq, Q]`` are the piecewise linear maps to
    normal scores of the ranked columns.
    """

    centre: np.ndarray
    scale: np.ndarray
    impute: np.ndarray
    knots: np.ndarray
    scores: np.ndarray


def fold_weights(folds: Sequence[np.ndarray], rows: int, weight: np.ndarray | None) -> np.ndarray:
    """Row weights ``[G, N]`` of the folds' training rows: 0 outside, mean 1 inside; a row given twice counts twice.

    Only ratios of ``weight [N]`` matter. `UsageError` where a fold has no row of positive weight.
    """
    if not folds:
        message = "no fold was given; give the training rows of at least one fold"
        raise UsageError(message)
    if weight is not None and (weight.shape != (rows,) or not np.isfinite(weight).all() or (weight < 0).any()):
        message = f"weight must hold {rows} finite numbers of 0 or more, one a row, got shape {weight.shape}"
        raise UsageError(message)
    weights = np.zeros((len(folds), rows))
    for place, fold in enumerate(folds):
        if not np.issubdtype(fold.dtype, np.integer) or (fold.size and (fold.min() < 0 or fold.max() >= rows)):
            message = f"the training rows of fold {place} must be row numbers in 0 to {rows - 1}, got {fold.dtype}"
            raise UsageError(message)
        times = np.bincount(fold, minlength=rows).astype(np.float64)
        inside = times if weight is None else times * weight
        if not inside.any():
            message = f"fold {place} has no training row of positive weight; use fewer folds or other weights"
            raise UsageError(message)
        weights[place] = inside if weight is None else inside * (times.sum() / inside.sum())
    return weights


def number_statistics(
    numbers: np.ndarray,
    weights: np.ndarray,
    *,
    unscaled: Sequence[int],
    ranked: Sequence[int],
    imputation: Imputation,
    knots: int,
    robust: bool = False,
) -> NumberStatistics:
    """Statistics of each column of ``numbers [N, Dn]`` over the rows of each fold of ``weights [G, N]``.

    The columns at the places ``unscaled`` keep centre 0, scale 1 and imputation 0; those at ``ranked`` get normal
    scores too. With ``robust`` centre and scale are those of `robust_centre_and_scale`. A fold in which a column has no
    usable cell gets 0 for everything.
    """
    rank_places = {place: rank for rank, place in enumerate(ranked)}
    moments = np.zeros((3, len(weights), numbers.shape[1]))
    maps = np.zeros((2, len(weights), len(ranked), knots))
    moments[1, :, list(unscaled)] = 1.0
    scaled = np.setdiff1d(np.arange(numbers.shape[1]), unscaled)
    at_once = max(1, CELLS_AT_ONCE // max(1, len(numbers)))
    for start in range(0, len(scaled), at_once):
        places = scaled[start : start + at_once]
        block = np.ascontiguousarray(numbers[:, places].T)
        # Sorted once; a fold's rows, taken in this order, are sorted too.
        orders = np.argsort(block, axis=1, kind="stable")
        block = np.take_along_axis(block, orders, axis=1)
        usable = np.abs(block) <= LARGEST_USABLE
        whole = np.asarray(usable.all(axis=1) & (not robust))
        if whole.any():
            moments[:, :, places[whole]] = _of_whole_columns(block[whole], orders[whole], weights, imputation)
        for place, column, order, held, done in zip(places.tolist(), block, orders, usable, whole, strict=True):
            if done and place not in rank_places:
                continue
            own, rows = column[held], order[held]
            for fold, fold_weight in enumerate(weights):
                inside = fold_weight[rows]
                values, inside = own[inside > 0], inside[inside > 0]
                if not values.size:
                    continue
                if not done:
                    moments[:, fold, place] = _centre_scale_impute(values, inside, imputation, robust=robust)
                if place in rank_places:
                    maps[:, fold, rank_places[place]] = _normal_scores(values, inside, knots)
    return NumberStatistics(centre=moments[0], scale=moments[1], impute=moments[2], knots=maps[0], scores=maps[1])


def _of_whole_columns(block: np.ndarray, orders: np.ndarray, weights: np.ndarray, imputation: Imputation) -> np.ndarray:
    """Centre, scale and imputation ``[3, G, C]`` of columns ``block [C, N]``, ascending, with no cell to leave out."""
    found = np.zeros((3, len(weights), len(block)))
    for fold, fold_weight in enumerate(weights):
        inside = fold_weight[orders]
        counted = inside > 0  # the same number of rows in every column
        values, inside = block[counted].reshape(len(block), -1), inside[counted].reshape(len(block), -1)
        mean, deviation = means_and_deviations(values, inside)
        found[:, fold] = mean, deviation, mean if imputation == "mean" else medians(values, inside)
    return found


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Quantiles of ascending ``values [n]`` with positive ``weights [n]``, by linear interpolation.

    Each value stands at the middle of its share of the weight, stretched so that the first is at 0 and the last
    at 1. With equal weights this is numpy's default (type 7 of Hyndman and Fan, 1996).

    >>> weighted_quantiles(np.array([1.0, 2.0, 4.0]), np.ones(3), np.array([0.5, 0.75]))
    array([2., 3.])
    """
    middles = np.cumsum(weights) - weights / 2
    length = middles[-1] - middles[0]
    if length == 0:
        return np.full(len(probabilities), values[0])
    return np.interp(probabilities, (middles - middles[0]) / length, values)


def inverse_document_frequencies(
    tokens: "csr_array", weights: np.ndarray, beside: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """``ln((1 + n) / (1 + df)) + 1`` of each bucket in each fold ``[G, H]``; 0 for a bucket the fold never saw.

    ``beside`` are the rows ``[G, 1]`` that train beside those of ``tokens``, and how many hold each bucket ``[G, H]``.
    """
    from scipy.sparse import csr_array

    # SciPy states no types, and a type checker would work out for seconds what its products are.
    present: Any = cast("Any", csr_array)((np.ones(tokens.nnz), tokens.indices, tokens.indptr), shape=tokens.shape)
    more, holding = (0, 0.0) if beside is None else beside
    rows = weights.sum(axis=1, keepdims=True) + more
    frequency = np.asarray((present.T @ weights.T).T) + holding
    return np.where(frequency > 0, np.log((1 + rows) / (1 + frequency)) + 1, 0.0)


def levels_present(codes: np.ndarray, width: int) -> np.ndarray:
    """Whether each of ``width`` codes occurs in each column of ``codes [n, Kc]``: bool ``[Kc, width]``."""
    found = np.zeros((codes.shape[1], width), dtype=np.bool_)
    found[np.arange(codes.shape[1]), codes] = True
    return found


def robust_centre_and_scale(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Median, and interquartile range in units of the standard deviation of normal values, of ascending ``values [n]``.

    Where over half of the values are the median, as of amounts that are mostly zero, the range is that of the others;
    where those are all equal too, the standard deviation is the scale. It is 0 for equal values.

    >>> centre, scale = robust_centre_and_scale(np.array([0.0, 1.0, 2.0, 3.0, 1e9]), np.ones(5))
    >>> centre, round(scale * IQR_OF_NORMAL, 9)
    (2.0, 2.0)
    """
    quarter, median, three_quarters = weighted_quantiles(values, weights, np.array([0.25, 0.5, 0.75])).tolist()
    moving = values != median
    if not moving.any():
        return median, 0.0
    if 2 * weights[moving].sum() < weights.sum():
        quarter, three_quarters = weighted_quantiles(values[moving], weights[moving], np.array([0.25, 0.75])).tolist()
    spread = (three_quarters - quarter) / IQR_OF_NORMAL
    return median, spread or _mean_and_deviation(values, weights)[1]


def _centre_scale_impute(
    values: np.ndarray, weights: np.ndarray, imputation: Imputation, *, robust: bool
) -> tuple[float, float, float]:
    mean, deviation = _mean_and_deviation(values, weights)
    median = float(weighted_quantiles(values, weights, np.array([0.5])).item())
    centre, scale = robust_centre_and_scale(values, weights) if robust else (mean, deviation)
    return centre, scale, mean if imputation == "mean" else median


def _mean_and_deviation(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean and population standard deviation in two passes, free of overflow; 0 for equal values."""
    first, last = float(values[0]), float(values[-1])
    if first == last:
        return first, 0.0
    total = weights.sum()
    mean = float(weights @ (values / total))
    offsets = values - mean
    mean += float(weights @ (offsets / total))
    offsets = values - mean
    largest = float(np.abs(offsets).max())
    return mean, largest * float(np.sqrt(weights @ (offsets / largest) ** 2 / total))


def _normal_scores(values: np.ndarray, weights: np.ndarray, knots: int) -> np.ndarray:
    """Knots at evenly spaced probabilities and their normal scores ``[2, Q]``.

    Equal knots are merged, at the mean of their probabilities. The ends are scored as half a row from the end, so
    that the largest of n rows gets the score of ``1 - 1 / (2 n)`` and not infinity. The last knot fills the rest.
    """
    from scipy.special import ndtri

    probabilities = np.linspace(0.0, 1.0, min(knots, values.size))
    quantiles = weighted_quantiles(values, weights, probabilities)
    knot, place, times = np.unique(quantiles, return_inverse=True, return_counts=True)
    probability = np.bincount(place, weights=probabilities) / times
    half_row = 0.5 * float((weights**2).sum() / weights.sum() ** 2)
    score = ndtri(np.clip(probability, half_row, 1 - half_row))
    return np.pad(np.stack([knot, score]), ((0, 0), (0, knots - knot.size)), mode="edge")
