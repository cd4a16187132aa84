"""Interval of a score on rows in groups, of which there may be few and of unequal size: the jackknife over groups."""

import math
from dataclasses import dataclass, replace

import numpy as np

from lanewise.statistics.bayesian_bootstrap import is_share, prior_mass, share_draws, with_prior_rows
from lanewise.statistics.resampling import (
    Array,
    Measure,
    Sample,
    Units,
    affordable_draws,
    keyed_generator,
    resampled_scores,
    sample_of,
)
from lanewise.statistics.studentized import is_mean_loss
from lanewise.statistics.tails import student_quantile

MOST_PARTS, FEWEST_PARTS = 200, 32
"""More groups are left out several at a time, in parts at random: half as many as draws, within these."""

MOST_LOG = 700.0
"""Logarithm of the widest factor that bounds get: beyond it overflows, and a share is 0 or 1 long before."""

LEAST_FREEDOM = 2.0 + 1e-9
"""With no more degrees of freedom, those of three groups of one size, bounds lie so far apart that they say nothing."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of a score, its standard error, and how often a part of the groups was left out for them."""

    low: float
    high: float
    standard_error: float
    left_out: int


def is_grouped(sample: Sample) -> bool:
    """Whether some rows share a unit; so do those of more than 50,000 groups, whose units are merged."""
    return sample.units.count < len(sample.y)


def group_freedom(sample: Sample) -> float:
    """Degrees of freedom that the groups of a sample have, each as heavy as its rows."""
    return freedom_of(sample.units.totals(sample.weight[:, None])[:, 0])


def too_few_groups(sample: Sample) -> bool:
    """Whether rows share groups that have too few degrees of freedom for any interval."""
    return is_grouped(sample) and group_freedom(sample) <= LEAST_FREEDOM


def score_freedom(metric: Measure, sample: Sample) -> float:
    """Degrees of freedom of a score: of all rows, or for a share of classes, of the class in the fewest groups."""
    return min(freedom_of(weights) for weights in unit_weights(metric, sample).T)


def unit_weights(metric: Measure, sample: Sample) -> Array:
    """Weights of the units that a score rests on, ``[U, 1]``, or for a share of classes, of each class, ``[U, K]``."""
    weights = sample.weight[:, None]
    if not metric.averages and is_share(metric, sample):
        weights = weights * (sample.y[:, None] == np.unique(sample.y[sample.weight > 0]))
    return sample.units.totals(weights)


def can_be_jackknifed(metric: Measure, sample: Sample, value: float) -> bool:
    """Whether the score ``value`` is a loss, or a share with groups enough that says how far from its limits it is."""
    if is_share(metric, sample):
        return 0 < value < 1 and score_freedom(metric, sample) > LEAST_FREEDOM
    return is_mean_loss(metric) and value > 0


def freedom_of(weights: Array) -> float:
    """Degrees of freedom of a variance between groups of those total weights, by Satterthwaite.

    With the shares ``p_g`` of the weight and ``q_g = p_g² / (1 - p_g)`` they are
    ``1 / (Σ p² + (Σ q)² - Σ q²)``: G - 1 for G groups of the same weight, near 1 where one group outweighs the rest.

    Source: Bell and McCaffrey (2002), Bias reduction in standard errors for linear regression with multi-stage
    samples, Survey Methodology 28, for a mean of rows of the same variance.

    >>> round(freedom_of(np.full(10, 3.0)), 6), round(freedom_of(np.array([60.0, 5, 5, 5])), 2)
    (9.0, 1.34)
    """
    shares = weights[weights > 0] / weights.sum()
    if len(shares) < 2:
        return 0.0
    q = shares**2 / (1 - shares)
    return float(1 / ((shares**2).sum() + q.sum() ** 2 - (q**2).sum()))


def jackknife_bounds(metric: Measure, sample: Sample, value: float, level: float, *, seed: int, draws: int) -> Bounds:
    """Bounds of a loss that is a mean, or of a share, from the scores with one group left out each.

    With the scores ``s_g`` of all but one of G groups, ``SE² = (G - 1) / G Σ_g (s_g - mean)²``. The bounds are
    Student's around the score ``s`` with the degrees of freedom of :func:`score_freedom`, ``f(s) ± t f'(s) SE`` on a
    scale on which no score is out of reach: f is the logarithm of a loss, the log-odds of a share. Scores of a share,
    ``s`` itself too, are taken together with the prior of :func:`lanewise.statistics.share_draws`, in rows rather than
    groups: so they are defined where only one group has a class, and a share near 1 keeps a scale.

    No bound is nearer than that of the rows as if they had no groups, of a loss found alike, of a share by its draws: a
    few groups may score the same by chance, and where rows of a class are all hit, leaving some out shows no mistake.

    Args:
        metric: a mean loss or a share.
        sample: one candidate with a finite prediction, in groups of more than 1 degree of freedom.
        value: its score, see :func:`can_be_jackknifed`.
        level: coverage.
        seed: key of the parts in which many groups, or rows, are left out, and of the draws.
        draws: draws of a share; as many scores are taken of a loss at the most, but 64 at least.

    Source: MacKinnon, Nielsen and Webb (2023), Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference, Journal of Applied Econometrics 38, for the jackknife; Imbens and Kolesár (2016), Robust standard errors
    in small samples, Review of Economics and Statistics 98, for Student's quantile with such degrees of freedom.
    """
    sample = sample.take(np.flatnonzero(sample.weight > 0))
    alone = sample_of(sample.y, sample.predictions, sample.weight, None, seed=seed)
    most = min(max(draws // 2, FEWEST_PARTS), MOST_PARTS)
    center, error, parts = _left_out(metric, sample, most, seed)
    reach = student_quantile(score_freedom(metric, sample), (1 + level) / 2) * error
    if is_share(metric, sample):
        drawn = share_draws(metric, alone, affordable_draws(metric, alone, draws), seed=seed)
        drawn = drawn[np.isfinite(drawn)]
        factor = math.exp(min(reach / (center * (1 - center)), MOST_LOG))
        low, high = center / (center + (1 - center) * factor), center / (center + (1 - center) / factor)
        own_low, own_high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(own_low), value), max(high, float(own_high), value)
        return Bounds(low=low, high=high, standard_error=max(error, float(drawn.std(ddof=1))), left_out=parts)
    _, own_error, _ = _left_out(metric, alone, most, seed)
    own_reach = student_quantile(group_freedom(alone), (1 + level) / 2) * own_error
    factor = math.exp(min(max(reach, own_reach) / value, MOST_LOG))
    return Bounds(low=value / factor, high=value * factor, standard_error=max(error, own_error), left_out=parts)


def _left_out(metric: Measure, sample: Sample, most: int, seed: int) -> tuple[float, float, int]:
    """The score, its standard error by leaving out each unit, or so many parts of them at random, and their number.

    A share is that with the rows of its prior.
    """
    units, parts = sample.units, min(sample.units.count, most)
    if units.count > most:
        part = keyed_generator(seed, "jackknife").permutation(units.count) % most
        sample = replace(sample, units=Units(of_row=part[units.of_row], count=most))
    kept = np.concatenate([np.ones((1, parts)), 1 - np.eye(parts)])
    if is_share(metric, sample):
        sample, prior = with_prior_rows(sample, prior_mass(metric) * float(sample.weight.mean()))
        kept = np.concatenate([kept, np.full((parts + 1, prior), 1 / prior)], axis=1)
    scores = resampled_scores(metric, sample, kept)[:, 0]
    left = scores[1:]
    error = float(np.sqrt((parts - 1) / parts * np.square(left - left.mean()).sum()))
    return float(scores[0]), error, parts
