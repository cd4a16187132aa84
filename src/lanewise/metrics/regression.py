"""Scores of predicted numbers and counts."""

import numpy as np
from numpy.typing import NDArray

from lanewise.metrics.metric import Array, Metric
from lanewise.task import TaskKind

NUMBERS: tuple[TaskKind, ...] = ("regression", "count")
SMALLEST_MEAN = 1e-12
"""Predicted means of counts are raised to this before a logarithm is taken."""


def _squared_error(y: NDArray, prediction: Array, _threshold: float) -> Array:
    return ((prediction - y) ** 2)[:, None]


def _absolute_error(y: NDArray, prediction: Array, _threshold: float) -> Array:
    return np.abs(prediction - y)[:, None]


def _relative_error(y: NDArray, prediction: Array, _threshold: float) -> Array:
    # A target of zero has no relative error: the score is then NaN, not a huge number.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(y == 0, np.nan, np.abs(prediction - y) / np.abs(y))[:, None]


def _poisson_deviance(y: NDArray, prediction: Array, _threshold: float) -> Array:
    mean = np.maximum(prediction, SMALLEST_MEAN)
    logarithm = np.zeros(len(y))
    counted = y > 0
    logarithm[counted] = y[counted] * np.log(y[counted] / mean[counted])
    return (2 * (logarithm - y + mean))[:, None]


def _squares(y: NDArray, prediction: Array, _threshold: float) -> Array:
    # Centred first, because the variance is a difference of two means.
    centred = y - y.mean()
    return np.column_stack([centred, centred**2, (prediction - y) ** 2])


def _r2(means: Array) -> Array:
    total = means[..., 1] - means[..., 0] ** 2
    # A constant target leaves only rounding, about 1e-16 of the mean square.
    constant = total <= 1e-14 * means[..., 1]
    return np.where(constant, np.nan, 1 - means[..., 2] / np.where(constant, 1.0, total))


def _rmse(means: Array) -> Array:
    return np.sqrt(means[..., 0])


def _median_error(y: NDArray, prediction: Array, weights: Array) -> Array:
    errors = np.abs(prediction - y)
    order = np.argsort(errors, kind="stable")
    errors = errors[order]
    below = np.cumsum(weights[:, order], axis=1)
    total = below[:, -1:]
    last = len(errors) - 1
    lower = np.minimum((below < total * (0.5 - 1e-14)).sum(axis=1), last)
    upper = np.minimum((below <= total * (0.5 + 1e-14)).sum(axis=1), last)
    return np.where(total[:, 0] > 0, (errors[lower] + errors[upper]) / 2, np.nan)


REGRESSION_METRICS: tuple[Metric, ...] = (
    Metric(
        name="rmse",
        direction="min",
        kinds=NUMBERS,
        words="Root of the mean squared error, in the unit of the target.",
        values=_squared_error,
        finish=_rmse,
        averages=True,
    ),
    Metric(
        name="mae",
        direction="min",
        kinds=NUMBERS,
        words="Mean absolute error, in the unit of the target.",
        values=_absolute_error,
        averages=True,
    ),
    Metric(
        name="median_ae",
        direction="min",
        kinds=NUMBERS,
        words="Median absolute error: half of the rows are predicted closer than this.",
        ordered=_median_error,
    ),
    Metric(
        name="r2",
        direction="max",
        kinds=NUMBERS,
        words="Share of the target's variance that is explained; 0 is the mean's. Not defined for a constant target.",
        values=_squares,
        finish=_r2,
    ),
    Metric(
        name="mape",
        direction="min",
        kinds=NUMBERS,
        words="Mean absolute error relative to the target; not defined where a target is 0.",
        values=_relative_error,
        averages=True,
    ),
    Metric(
        name="poisson_deviance",
        direction="min",
        kinds=("count",),
        words=f"Deviance of counts, 2 mean(y log(y/p) - y + p); means below {SMALLEST_MEAN:g} are raised to it.",
        values=_poisson_deviance,
        averages=True,
    ),
)
