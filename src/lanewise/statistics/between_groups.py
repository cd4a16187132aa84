"""Interval of a score on rows in groups, of which there may be few and of unequal size: the jackknife over groups."""

import math
from dataclasses import dataclass, replace

import numpy as np

from lanewise.statistics.bayesian_bootstrap import is_share, prior_mass, with_prior_rows
from lanewise.statistics.resampling import Array, Measure, Sample, Units, keyed_generator, resampled_scores
from lanewise.statistics.studentized import is_mean_loss
from lanewise.statistics.tails import student_quantile

MOST_PARTS, FEWEST_PARTS = 200, 32
"""More groups are left out several at a time, in parts at random: half as many as draws, within these."""

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
    if metric.averages or not is_share(metric, sample):
        return group_freedom(sample)
    classes = np.unique(sample.y[sample.weight > 0])
    totals = sample.units.totals(sample.weight[:, None] * (sample.y[:, None] == classes))
    return min(freedom_of(weights) for weights in totals.T)


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
    scale on which no score is out of reach: f is the logarithm of a loss, the log-odds of a share. A share is left
    without groups together with the prior of :func:`lanewise.statistics.share_draws`, in rows rather than groups: so it
    is defined where only one group has a class.

    No bound is nearer than that of the rows as if they had no groups, found alike: a few groups may score the same by
    chance.

    Args:
        metric: a mean loss or a share.
        sample: one candidate with a finite prediction, in groups of more than 1 degree of freedom.
        value: its score, see :func:`can_be_jackknifed`.
        level: coverage.
        seed: key of the parts in which many groups, or rows, are left out.
        draws: scores to take at the most, half of them without groups and half without rows; but 64 at least.

    Source: MacKinnon, Nielsen and Webb (2023), Fast and reliable jackknife and bootstrap methods for cluster-robust
    inference, Journal of Applied Econometrics 38, for the jackknife; Imbens and Kolesár (2016), Robust standard errors
    in small samples, Review of Economics and Statistics 98, for Student's quantile with such degrees of freedom.
    """
    sample = sample.take(np.flatnonzero(sample.weight > 0))
    most = min(max(draws // 2, FEWEST_PARTS), MOST_PARTS)
    rows = Units(of_row=np.arange(len(sample.y)), count=len(sample.y))
    groups, alone = (replace(sample, units=_parts(units, most, seed)) for units in (sample.units, rows))
    share = is_share(metric, sample)
    errors, reaches = [], []
    for own in (groups, alone):
        errors.append(_left_out_error(metric, own))
        # By chance, a class may lie in one of many parts.
        freedom = max(score_freedom(metric, own), 1.0)
        reaches.append(student_quantile(freedom, (1 + level) / 2) * errors[-1])
    reach = max(reaches) / (value * (1 - value) if share else value)
    factor = math.exp(min(reach, 700.0))  # beyond, it would overflow; a share is 0 or 1 long before
    if share:
        low, high = value / (value + (1 - value) * factor), value / (value + (1 - value) / factor)
    else:
        low, high = value / factor, value * factor
    return Bounds(low=low, high=high, standard_error=max(errors), left_out=groups.units.count)


def _parts(units: Units, most: int, seed: int) -> Units:
    """The units, or as many parts of them at random as ``most``."""
    if units.count <= most:
        return units
    part = keyed_generator(seed, "jackknife").permutation(units.count) % most
    return Units(of_row=part[units.of_row], count=most)


def _left_out_error(metric: Measure, sample: Sample) -> float:
    """Standard error of a score by leaving out each unit of its sample."""
    parts = sample.units.count
    kept = 1 - np.eye(parts)
    if is_share(metric, sample):
        sample, prior = with_prior_rows(sample, prior_mass(metric) * float(sample.weight.mean()))
        kept = np.concatenate([kept, np.full((parts, prior), 1 / prior)], axis=1)
    left = resampled_scores(metric, sample, kept)[:, 0]
    return float(np.sqrt((parts - 1) / parts * np.square(left - left.mean()).sum()))
