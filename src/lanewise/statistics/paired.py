"""Differences of two candidates on the same rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lanewise.errors import DataError
from lanewise.statistics.resampling import (
    Array,
    Measure,
    Sample,
    affordable_draws,
    bootstrap_counts,
    resampled_scores,
    sample_of,
    units_of,
)
from lanewise.statistics.tails import student_quantile


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference, its standard error and its interval at ``level``; NaN where unknown."""

    mean: float
    standard_error: float
    low: float
    high: float
    level: float = 0.95

    @property
    def beyond_one_error(self) -> bool:
        """The difference is larger than one standard error; False where either is unknown."""
        return bool(abs(self.mean) > self.standard_error)


def paired_difference(
    losses_a: ArrayLike,
    losses_b: ArrayLike,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> Difference:
    """Mean of ``a - b`` over rows, with the cluster-robust paired standard error.

    ``m = Σ w_i d_i / Σ w_i`` with ``d = a - b``, and
    ``SE² = G / (G - 1) Σ_g (Σ_{i in g} w_i (d_i - m))² / (Σ w_i)²`` over the G clusters, each row its
    own by default; the interval is Student's with G - 1 degrees of freedom. Give the fold of each
    row as its cluster to let the error hold what varies between folds, and see
    :func:`fold_difference` to add what comes from training again.

    Args:
        losses_a: ``[N]``.
        losses_b: ``[N]``, of the same rows.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels or None.
        level: coverage of the interval.

    Raises:
        DataError: lengths differ.

    Source: Liang and Zeger (1986), Biometrika 73.

    >>> d = paired_difference([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 2.0, 4.0])
    >>> d.mean, round(d.standard_error, 4)
    (0.5, 0.2887)
    """
    a, b = np.asarray(losses_a, dtype=np.float64), np.asarray(losses_b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        message = f"losses have shapes {a.shape} and {b.shape}; give one loss per row for the same rows"
        raise DataError(message)
    weights = np.ones(len(a)) if weight is None else np.asarray(weight, dtype=np.float64)
    total = weights.sum()
    if not total > 0:
        return _interval(np.nan, np.nan, 1, level)
    differences = a - b
    mean = float(weights @ differences / total)
    used = weights > 0
    units = units_of(int(used.sum()), None if clusters is None else np.asarray(clusters)[used], seed=0)
    if units.count < 2:
        return _interval(mean, np.nan, 1, level)
    sums = units.totals((weights * (differences - mean))[used][:, None])
    error = float(np.sqrt(units.count / (units.count - 1) * (sums**2).sum()) / total)
    return _interval(mean, error, units.count - 1, level)


def fold_difference(differences: ArrayLike, *, test_share: float, level: float = 0.95) -> Difference:
    """Mean difference over folds, with the error that allows for overlapping training rows.

    ``SE² = (1 / F + q / (1 - q)) s²`` for the variance ``s²`` of the F differences and the share ``q``
    of rows that a fold tests on; Student's interval with F - 1 degrees of freedom. Unlike
    :func:`paired_difference` it holds the variation from training on other rows, and it is wide.

    Args:
        differences: ``[F]``, one per fold (or fold and seed).
        test_share: q, within (0, 1): 1 / F in F-fold cross-validation.
        level: coverage of the interval.

    Source: Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return _interval(float(values.mean()) if len(values) else np.nan, np.nan, 1, level)
    variance = (1 / len(values) + test_share / (1 - test_share)) * values.var(ddof=1)
    return _interval(float(values.mean()), float(np.sqrt(variance)), len(values) - 1, level)


def bootstrap_difference(
    measure: Measure,
    y: ArrayLike,
    one: ArrayLike,
    other: ArrayLike,
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
) -> Difference:
    """By how much ``one`` scores better than ``other``, with the standard error over bootstrap draws of the rows.

    For scores of all rows together, such as an area under a curve; of means over rows :func:`paired_difference` is
    exact. The interval is Student's with a degree of freedom less than there are rows.

    Args:
        measure: the metric.
        y: ``[N]``.
        one: predictions, ``[N]`` or ``[N, C]``.
        other: those of the other, of the same rows.
        seed: key of the draws.
        draws: fewer, but at least 100, for many rows and a metric that depends on order.
        level: coverage of the interval.
    """
    sample = sample_of(y, np.stack([np.asarray(one), np.asarray(other)]), None, None, seed=seed)
    mean, error = drawn_lead(measure, sample, seed=seed, draws=draws)
    return _interval(mean, error, max(sample.units.count - 1, 1), level)


def drawn_lead(measure: Measure, sample: Sample, *, seed: int, draws: int) -> tuple[float, float]:
    """By how much the first of two candidates scores better than the second, and the spread of that over draws."""
    units = sample.units.count
    one, other = measure.sign * resampled_scores(measure, sample, np.ones((1, units)))[0]
    counts = bootstrap_counts(units, affordable_draws(measure, sample, draws), seed=seed)
    return float(other - one), float(paired_errors(resampled_scores(measure, sample, counts))[0, 1])


def paired_errors(scores: Array) -> Array:
    """Standard error of the difference of each pair of candidates: ``[R, M] -> [M, M]``.

    The standard deviation over bootstrap draws of ``score_i - score_j``. A draw in which a
    candidate has no score is left out for all; a candidate without any score has error 0.
    """
    usable = np.isfinite(scores).any(axis=0)
    errors = np.zeros((scores.shape[1], scores.shape[1]))
    kept = scores[:, usable]
    kept = kept[np.isfinite(kept).all(axis=1)]
    if min(kept.shape) < 2:
        return errors
    # What the candidates share in a draw cancels in every difference; taken off first, it costs no digits.
    centred = kept - kept.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=0)
    covariance = centred.T @ centred / (len(kept) - 1)
    variance = np.diag(covariance)[:, None] + np.diag(covariance)[None] - 2 * covariance
    errors[np.ix_(usable, usable)] = np.sqrt(np.maximum(variance, 0.0))
    np.fill_diagonal(errors, 0.0)
    return errors


def _interval(mean: float, error: float, freedom: int, level: float) -> Difference:
    half = student_quantile(freedom, (1 + level) / 2) * error
    return Difference(mean=mean, standard_error=error, low=mean - half, high=mean + half, level=level)
