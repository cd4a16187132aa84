"""The score to expect of a candidate that was picked because it scored best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.errors import UsageError
from lanewise.statistics.intervals import certain_bounds, check_settings
from lanewise.statistics.paired import paired_errors
from lanewise.statistics.resampling import (
    Array,
    Measure,
    affordable_draws,
    bootstrap_counts,
    resampled_scores,
    sample_of,
)

SelectRule = Callable[[Array, Array], NDArray[np.intp]]
"""``(losses [R, M], standard errors of differences [M, M]) -> chosen [R]``."""


@dataclass(frozen=True, kw_only=True)
class CorrectedScore:
    """A score corrected for the selection that it was part of.

    ``value`` is the corrected score with its interval, ``naive`` the score of the selected one on
    the rows it was selected on, ``chosen`` its index. ``shares [M]`` says how often each candidate
    was selected over the draws: how stable the choice is.
    """

    value: float
    low: float
    high: float
    level: float
    naive: float
    chosen: int
    shares: Array
    draws: int

    @property
    def optimism(self) -> float:
        """``naive - value``: what picking the best of many added."""
        return self.naive - self.value


def bias_corrected_interval(
    y: ArrayLike,
    predictions: ArrayLike,
    metric: Measure,
    select_rule: SelectRule,
    *,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> CorrectedScore:
    """Bootstrap bias-corrected cross-validation (BBC-CV) of a selection.

    Each draw takes rows with replacement, repeats the whole selection on them and scores the
    selected candidate on the rows not drawn; ``value`` is the mean of these scores. The standard
    errors that the rule reads are the bootstrap's over the same draws, held at their estimate
    for all rows.

    The interval: the quantiles of those scores, drawn in towards ``value`` by ``c``,
    ``c² = 1 / (1/f - 1) + Var(all-row scores of the picks) / Var(scores)``, at most 1, where
    ``f = (1 - 1/U)^U`` (about 1/e) is the share of units not drawn. A mean over a fraction f of the
    units varies ``1/f - 1`` (1.72) times as much as a mean of all U varies between samples, so
    plain quantiles cover too much; the second term keeps what comes from picking different
    candidates. Predictions are held fixed: the variation from training again on other rows is
    not in the interval.

    Args:
        y: ``[N]``.
        predictions: out of fold, ``[M, N]`` or ``[M, N, C]``.
        metric: see :class:`lanewise.metrics.Metric`.
        select_rule: the selection, over draws at once.
        seed: key of the draws.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are drawn together, or None.
        draws: fewer, but at least 100, for many rows and a metric that depends on order. Above
            50,000 units, random groups of units are drawn.
        level: coverage.

    Raises:
        UsageError: no candidate, or ``level`` or ``draws`` out of range.

    Source: Tsamardinos, Greasidou and Borboudakis (2018), Machine Learning 107, algorithm 5.
    """
    check_settings(draws, level)
    sample = sample_of(y, predictions, weight, clusters, seed=seed)
    if not sample.candidates:
        message = "no candidate was given; give the predictions of at least one, [candidates, rows]"
        raise UsageError(message)
    units = sample.units.count
    wanted = affordable_draws(metric, sample, draws)
    counts = bootstrap_counts(units, wanted, seed=seed)
    inside = resampled_scores(metric, sample, counts)
    outside = resampled_scores(metric, sample, counts == 0)
    errors = paired_errors(inside)
    everything = resampled_scores(metric, sample, np.ones((1, units)))
    chosen = int(select_rule(metric.sign * everything, errors)[0])

    picks = select_rule(metric.sign * inside, errors)
    scored = outside[np.arange(wanted), picks]
    defined = np.isfinite(scored) & np.isfinite(inside[np.arange(wanted), picks])
    value, low, high = _summary(scored[defined], everything[0, picks[defined]], units, level)
    exact = certain_bounds(metric, sample, chosen, level)
    if exact is not None and low == high:
        low, high = exact
    return CorrectedScore(
        value=value,
        low=low,
        high=high,
        level=level,
        naive=float(everything[0, chosen]),
        chosen=chosen,
        shares=np.bincount(picks[defined], minlength=sample.candidates) / max(1, int(defined.sum())),
        draws=int(defined.sum()),
    )


def _summary(scores: Array, of_all_rows: Array, units: int, level: float) -> tuple[float, float, float]:
    if len(scores) < 2 or units < 2:
        return np.nan, np.nan, np.nan
    value, variance = float(scores.mean()), float(scores.var())
    if variance == 0:
        return value, value, value
    left_out = (1 - 1 / units) ** units
    inward = min(1.0, np.sqrt(1 / (1 / left_out - 1) + of_all_rows.var() / variance))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return value, float(value + inward * (low - value)), float(value + inward * (high - value))
