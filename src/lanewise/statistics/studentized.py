"""Interval of a mean loss by the bootstrap-t, for losses with a long tail."""

import numpy as np
from numpy.typing import NDArray

from lanewise.statistics.resampling import WIDENED, Array, Measure, Sample, blocks

LEAST_ERROR = 0.2
"""A draw's standard error counts as at least this part of the sample's: a draw of near equal rows says little."""


def is_mean_loss(metric: Measure) -> bool:
    """Smaller is better, and a row has a loss of its own: log loss, RMSE, ...; none of them is ever negative."""
    return metric.sign > 0 and metric.averages and metric.values is not None


def studentized_bounds(metric: Measure, sample: Sample, counts: NDArray, level: float) -> tuple[float, float]:
    """Bootstrap-t bounds of a metric that is a function of one mean of losses.

    With the mean ``m``, its standard error ``s``, and both of each draw, ``t* = (m* - m) / s*``; the
    bounds of the mean are ``m - s t*_(1 - a)`` and ``m - s t*_a``. A sample without its rare large losses
    has a low mean and a small error at once; t* knows that and quantiles of m* do not. Errors are
    those of a ratio of sums over units: ``s² = Σ_u (v_u - m w_u)² / (Σ_u w_u)²``.

    Args:
        metric: see :func:`is_mean_loss`.
        sample: one candidate with a finite prediction, in at least two units.
        counts: ``[R, U]``, how often each draw takes each unit.
        level: coverage.

    Source: Efron and Tibshirani (1993), An introduction to the bootstrap, section 12.5; Hall (1988),
    Theoretical comparison of bootstrap confidence intervals, Annals of Statistics 16.
    """
    assert metric.values is not None
    losses = metric.values(sample.y, sample.predictions[0], 0.5)[:, 0]
    sums = sample.units.totals(np.stack([losses * sample.weight, sample.weight], axis=1))
    whole = sums.sum(axis=0)
    mean = float(whole[0] / whole[1])
    # Gaps from the mean, rather than losses: squares of near equal losses would cancel.
    gap, weight = sums[:, 0] - mean * sums[:, 1], sums[:, 1]
    error = float(np.sqrt((gap**2).sum()) / whole[1])
    if not error > 0:
        return _finished(metric, mean, mean)
    drawn, errors = _drawn(counts, gap, weight)
    t = drawn / np.maximum(errors, LEAST_ERROR * error)
    below, above = np.quantile(t[np.isfinite(t)], [(1 - level) / 2, (1 + level) / 2])
    return _finished(metric, mean - above * error, mean - below * error)


def _drawn(counts: NDArray, gap: Array, weight: Array) -> tuple[Array, Array]:
    """``m* - m`` and ``s*`` of each draw, ``[R]`` each, from the units' gaps and weights ``[U]``."""
    products = np.stack([gap, weight, gap**2, gap * weight, weight**2], axis=1)
    parts = blocks(len(counts), WIDENED * len(gap))
    sums = np.concatenate([counts[block].astype(np.float64) @ products for block in parts])
    of_gap, of_weight, square, cross, of_square = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = of_gap / of_weight
        spread = square - 2 * shift * cross + shift**2 * of_square
        return shift, np.sqrt(np.maximum(spread, 0.0)) / of_weight


def _finished(metric: Measure, low: float, high: float) -> tuple[float, float]:
    ends = metric.finish(np.maximum(np.array([[low], [high]]), 0.0))
    return float(ends[0]), float(ends[1])
