"""Intervals of a score by the spread of its draws, for scores that are neither a mean of losses nor a share."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lanewise.statistics.between_groups import MOST_LOG, group_freedom
from lanewise.statistics.resampling import (
    WIDENED,
    Array,
    Measure,
    Sample,
    affordable_draws,
    blocks,
    bootstrap_counts,
    keyed_generator,
    resampled_scores,
    sample_of,
)
from lanewise.statistics.tails import expanded_normal


@dataclass(frozen=True, kw_only=True)
class DrawnBounds:
    """Bounds of a score, its standard error, and the number of draws in which it is defined."""

    low: float
    high: float
    standard_error: float
    draws: int


def logarithm_bounds(
    metric: Measure, sample: Sample, value: float, level: float, *, seed: int, draws: int
) -> DrawnBounds:
    """Bounds of a score of rows in groups on the scale of a logarithm: of a median error, or of 1 - R².

    With that loss ``s`` and its standard error ``SE`` over draws of groups they are ``s exp(± t SE / s)``, t Student's
    with the degrees of freedom of :func:`lanewise.statistics.freedom_of`; or those of the rows as if they had no
    groups, where they lie further apart. Quantiles of draws of a few groups lie too close together, and a median is not
    smooth enough for a jackknife. NaN where half of the draws have no score.

    Args:
        metric: a loss that is never negative, or a score that is never above 1.
        sample: one candidate with a finite prediction, in groups of more than 1 degree of freedom.
        value: its score, other than 0 of a loss and 1 of a score.
        level: coverage.
        seed: key of the draws.
        draws: of groups, and as many of rows.
    """
    errors, reaches, defined = [], [], []
    for units in _drawn_as(sample, seed):
        wanted = affordable_draws(metric, units, draws)
        drawn = resampled_scores(metric, units, bootstrap_counts(units.units.count, wanted, seed=seed))[:, 0]
        drawn = drawn[np.isfinite(drawn)]
        defined.append(len(drawn))
        errors.append(float(drawn.std(ddof=1)) if len(drawn) * 2 > wanted else math.nan)
        reaches.append(expanded_normal(level, group_freedom(units) + 1) * errors[-1])
    loss = value if metric.sign > 0 else 1 - value
    factor = math.exp(min(float(np.max(reaches)) / loss, MOST_LOG))
    low, high = loss / factor, loss * factor
    if metric.sign < 0:
        low, high = 1 - high, 1 - low
    return DrawnBounds(low=low, high=high, standard_error=float(np.max(errors)), draws=defined[0])


def gap_bounds(metric: Measure, sample: Sample, value: float, level: float, *, seed: int, draws: int) -> DrawnBounds:
    """Bounds of a sum of absolute means, such as the calibration error, which chance can only add to.

    With the means ``g`` of the rows and ``g*`` of a draw, the score is ``Σ |g|``, and by the triangle inequality it is
    off by no more than ``Σ |g* - g|``, as often as that holds over draws: the score less its quantile is the lower
    bound, which so is 0 for a model that is calibrated. The upper bound is Student's, or the quantile of the draws'
    scores where that is higher. Both allow for few units as in :func:`lanewise.statistics.expanded_normal`, and where
    rows share groups, none is nearer than that of the rows as if they had none.

    Rows drawn again cannot show a mistake that they do not hold: each draw has two rows more in each bin that has any,
    one hit and one missed, with weights from Exp(1). That is the uniform prior of a share, for Jeffreys', of half such
    weights, left the upper bound too low where all rows are hit.

    Arguments as in :func:`logarithm_bounds`.
    """
    assert metric.values is not None
    values = metric.values(sample.y, sample.predictions[0], 0.5) * sample.weight[:, None]
    within, chance = _bins(metric, sample)
    below, above, errors = [], [], []
    for units in _drawn_as(sample, seed):
        totals, held = units.units.totals(np.column_stack([values, sample.weight])), units.units.totals(within)
        usual = np.square(held).sum(axis=0) / np.maximum(held.sum(axis=0), np.finfo(np.float64).tiny)
        hit, missed = usual * keyed_generator(seed, "prior rows").standard_exponential((2, draws, len(usual)))
        drawn = _sums(bootstrap_counts(units.units.count, draws, seed=seed), totals)
        gaps = drawn[:, :-1] + chance * (hit + missed) - hit
        means = gaps / (drawn[:, -1] + (hit + missed).sum(axis=1))[:, None]
        expanded = expanded_normal(level, group_freedom(units) + 1)
        whole = totals.sum(axis=0)
        off = np.quantile(metric.finish(means - whole[:-1] / whole[-1]), (1 + level) / 2)
        below.append(float(off) * expanded / NormalDist().inv_cdf((1 + level) / 2))
        scores = metric.finish(means)
        errors.append(float(scores.std(ddof=1)))
        above.append(max(value + expanded * errors[-1], float(np.quantile(scores, (1 + level) / 2))))
    low, high = max(value - max(below), 0.0), min(max(above), 1.0)
    return DrawnBounds(low=low, high=high, standard_error=max(errors), draws=draws)


def _bins(metric: Measure, sample: Sample) -> tuple[Array, Array]:
    """The weight of each row in the bin it lies in, ``[N, S]``, and the mean probability of each bin, ``[S]``.

    A gap may be 0: which bin it is of is told by a row's two gaps, with its likeliest class and with another.
    """
    assert metric.values is not None
    prediction = sample.predictions[0]
    likely = prediction.argmax(axis=1)
    classes = (likely, (likely + 1) % prediction.shape[1])
    one, other = (metric.values(y, prediction, 0.5) for y in classes)
    within = (one != other) * sample.weight[:, None]
    total = np.maximum(within.sum(axis=0), np.finfo(np.float64).tiny)
    return within, sample.weight @ np.maximum(one, other, out=one) / total


def _drawn_as(sample: Sample, seed: int) -> list[Sample]:
    """The sample by its units, and by its rows where these are more: of very many, both are merged alike."""
    alone = sample_of(sample.y, sample.predictions, sample.weight, None, seed=seed)
    return [sample, alone] if alone.units.count > sample.units.count else [sample]


def _sums(counts: NDArray, totals: Array) -> Array:
    """Sums of the draws ``counts [R, U]``, ``[R, S]``."""
    return np.concatenate(
        [counts[block].astype(np.float64) @ totals for block in blocks(len(counts), WIDENED * len(totals))]
    )
