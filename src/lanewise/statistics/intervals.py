"""Intervals of a score, by drawing its rows again."""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from lanewise.errors import UsageError
from lanewise.statistics.bayesian_bootstrap import is_share, share_draws
from lanewise.statistics.between_groups import (
    can_be_jackknifed,
    is_grouped,
    jackknife_bounds,
    too_few_groups,
)
from lanewise.statistics.drawn_bounds import gap_bounds, logarithm_bounds
from lanewise.statistics.resampling import (
    Array,
    Measure,
    Sample,
    affordable_draws,
    bootstrap_counts,
    keyed_generator,
    resampled_scores,
    sample_of,
)
from lanewise.statistics.studentized import is_mean_loss, studentized_bounds
from lanewise.statistics.tails import expanded_normal

JACKKNIFE_GROUPS = 200
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score with its interval.

    ``draws`` is the number of draws used, or how often groups were left out; those in which the
    score is not defined (a draw of equal targets has no R²) are left out and counted in
    ``undefined``. The bounds are NaN with fewer than two units or too few groups, or when more than
    half of the draws are undefined.
    """

    value: float
    low: float
    high: float
    level: float
    standard_error: float
    draws: int
    undefined: int = 0


def bootstrap_interval(
    metric: Measure,
    y: ArrayLike,
    prediction: ArrayLike,
    *,
    seed: int,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval of a metric over rows, for new rows and this one model, not for training it again.

    Which bootstrap depends on the metric, each for where plain quantiles of the draws cover too little:

    - shares of class probabilities (accuracy, recall, F1, area under a curve, ...): quantiles of a
      Bayesian bootstrap with a prior, see :func:`share_draws`, for with few mistakes the draws
      are nearly equal. Where every row is hit or every row missed, the exact binomial bound of an accuracy.
    - means of losses (log loss, RMSE, ...): bootstrap-t, see :func:`studentized_bounds`, for their tail is long.
    - the calibration error, see :func:`gap_bounds`: chance adds to it, in draws twice.
    - others (R², median error): bias-corrected and accelerated (BCa). The bound at ``z`` standard errors
      is the quantile of the draws at ``Φ(z0 + (z0 + z) / (1 - k (z0 + z)))``, ``z0`` from the share of draws
      below the score, the acceleration ``k`` from a delete-a-group jackknife, and z as in
      :func:`expanded_normal`.

    Where rows share groups, losses and shares take neither bootstrap, but a jackknife over the groups, see
    :func:`lanewise.statistics.between_groups.jackknife_bounds`: draws of a few groups of unequal size are nearly
    discrete, and cover too little for losses, too much for shares. Shares of classes keep theirs where a class lies in
    no more than three groups of one size. R² and median error are as sure as their draws, see :func:`logarithm_bounds`.
    Where all rows lie in so few groups, no interval can be known.

    Draws are not stratified. The score itself always lies within.

    Args:
        metric: see :class:`lanewise.metrics.Metric`.
        y: ``[N]``.
        prediction: ``[N]`` or ``[N, C]``.
        seed: key of the draws.
        weight: ``[N]`` or None.
        groups: ``[N]`` labels; rows of one group are drawn together, or left out together.
        draws: fewer, but at least 100, for a large N and a metric that depends on order.
        level: coverage, within (0, 1).

    Raises:
        UsageError: ``level`` or ``draws`` out of range.
        DataError: lengths do not match.

    Source: Efron (1987), Better bootstrap confidence intervals, JASA 82.
    """
    check_settings(draws, level)
    sample = sample_of(y, np.asarray(prediction)[None], weight, groups, seed=seed)
    units = sample.units.count
    value = float(resampled_scores(metric, sample, np.ones((1, units)))[0, 0])
    known = Interval(value=value, low=np.nan, high=np.nan, level=level, standard_error=np.nan, draws=0)
    by_groups = groups is not None and is_grouped(sample)  # many rows are drawn in units, too
    if units < 2 or not np.isfinite(value) or (by_groups and too_few_groups(sample)):
        return known
    if by_groups and can_be_jackknifed(metric, sample, value):
        own = jackknife_bounds(metric, sample, value, level, seed=seed, draws=draws)
        if own.standard_error > ROUNDING * value:  # else no row told anything: a ranking by one probability for all
            return replace(known, low=own.low, high=own.high, standard_error=own.standard_error, draws=own.left_out)
    if metric.gaps or (by_groups and _on_logarithm(metric, sample, value)):
        bounds = gap_bounds if metric.gaps else logarithm_bounds
        found = bounds(metric, sample, value, level, seed=seed, draws=draws)
        return replace(known, low=found.low, high=found.high, standard_error=found.standard_error, draws=found.draws)
    wanted = affordable_draws(metric, sample, draws)
    counts = None if is_share(metric, sample) else bootstrap_counts(units, wanted, seed=seed)
    if counts is None:
        drawn = share_draws(metric, sample, wanted, seed=seed)
    else:
        drawn = resampled_scores(metric, sample, counts)[:, 0]
    defined = drawn[np.isfinite(drawn)]
    low = high = error = np.nan
    if len(defined) * 2 > wanted:
        error = float(defined.std(ddof=1))
        if counts is None:
            low, high = certain_bounds(metric, sample, 0, level) or _quantiles(defined, level)
        elif is_mean_loss(metric):
            low, high = studentized_bounds(metric, sample, counts, level)
        else:
            reach = expanded_normal(level, units)
            low, high = _bca(defined, value, _acceleration(metric, sample, seed), reach)
        low, high = min(low, value), max(high, value)
    return replace(known, low=low, high=high, standard_error=error, draws=len(defined), undefined=wanted - len(defined))


def _on_logarithm(metric: Measure, sample: Sample, value: float) -> bool:
    """Whether it is R² or a median error that has a logarithm: no mean loss, no share, and not perfect."""
    plain = not is_mean_loss(metric) and not is_share(metric, sample)
    return plain and (value > 0 if metric.sign > 0 else value < 1)


def check_settings(draws: int, level: float) -> None:
    """Raises UsageError unless there are at least 2 draws and the level lies within (0, 1)."""
    if draws < 2:
        message = f"draws must be at least 2, got {draws}"
        raise UsageError(message)
    if not 0 < level < 1:
        message = f"level must lie between 0 and 1, such as 0.95, got {level}"
        raise UsageError(message)


def _quantiles(draws: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _bca(draws: Array, value: float, acceleration: float, reach: float) -> tuple[float, float]:
    normal = NormalDist()
    below = (np.count_nonzero(draws < value) + np.count_nonzero(draws == value) / 2) / len(draws)
    z0 = normal.inv_cdf(float(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws))))
    places = []
    for z in (z0 - reach, z0 + reach):
        places.append(normal.cdf(z0 + z / max(1 - acceleration * z, 1e-3)))
    low, high = np.quantile(draws, places)
    return float(low), float(high)


def _acceleration(metric: Measure, sample: Sample, seed: int) -> float:
    """Skewness / 6 of the scores with one group of units left out; at most 200 random groups."""
    units = sample.units.count
    groups = min(units, JACKKNIFE_GROUPS)
    place = keyed_generator(seed, "jackknife").permutation(units) % groups
    kept = (place[None] != np.arange(groups)[:, None]).astype(np.float64)
    scores = resampled_scores(metric, sample, kept)[:, 0]
    scores = scores[np.isfinite(scores)]
    if len(scores) < 2:
        return 0.0
    gaps = scores.mean() - scores
    spread = float((gaps**2).sum())
    return float((gaps**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def certain_bounds(metric: Measure, sample: Sample, candidate: int, level: float) -> tuple[float, float] | None:
    """Exact (Clopper-Pearson) bounds of a share where all rows are hit or all are missed, else None.

    With U units the bound on the open side is ``((1 - level) / 2)^(1 / U)``.
    """
    if not metric.averages or metric.values is None:
        return None
    values = metric.values(sample.y, sample.predictions[candidate], 0.5)[sample.weight > 0, 0]
    hit, missed = bool((values == 1).all()), bool((values == 0).all())
    # Only a share of hits is a binomial count: a loss that is 0 everywhere is not.
    if metric.sign < 0 and (hit or missed):
        open_side = ((1 - level) / 2) ** (1 / sample.units.count)
        return (open_side, 1.0) if hit else (0.0, 1 - open_side)
    return None
