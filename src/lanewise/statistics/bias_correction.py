"""The score to expect of a candidate that was picked because it scored best."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

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
from lanewise.statistics.tails import expanded_normal

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
    trained_rows: float | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> CorrectedScore:
    """Bootstrap bias-corrected cross-validation (BBC-CV) of a selection.

    Each draw takes rows with replacement, repeats the whole selection on them and scores the
    selected candidate on the rows not drawn; ``value`` is the mean of these scores. The standard
    errors that the rule reads are the bootstrap's over the same draws, held at their estimate
    for all rows.

    The interval holds three sources of variation. A mean over the share ``f = (1 - 1/U)^U`` (about
    1/e) of the units that a draw leaves out varies ``1/f - 1`` (1.72) times as much as a mean of all
    U does between samples. Relative to the variance of those scores there are therefore

    - the rows: ``1 / (1/f - 1)``, and ``Var(all-row scores of the picks) / Var(scores)`` for picking
      different candidates, together at most 1;
    - training again on other rows, which predictions held fixed do not show:
      ``(N / trained_rows) / (1/f - 1)``. This is the ``n_test / n_train`` that Nadeau and Bengio add to
      ``1 / folds``, with the variance of a fold's score put as that of a row's over n_test.

    With ``c²`` their sum, the bounds are the quantiles of the scores at ``Φ(± c t sqrt(U / (U - 1)))``,
    t Student's with U - 1 degrees of freedom. They stay within what a metric can be.

    Args:
        y: ``[N]``.
        predictions: out of fold, ``[M, N]`` or ``[M, N, C]``.
        metric: see :class:`lanewise.metrics.Metric`.
        select_rule: the selection, over draws at once.
        seed: key of the draws.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are drawn together, or None.
        trained_rows: rows that the model behind each prediction was trained on, at least 1; None for
            predictions of models that are themselves in question, which nobody will train again.
        draws: fewer, but at least 100, for many rows and a metric that depends on order. Above
            50,000 units, random groups of units are drawn.
        level: coverage.

    Raises:
        UsageError: no candidate, or ``level``, ``draws`` or ``trained_rows`` out of range.

    Source: Tsamardinos, Greasidou and Borboudakis (2018), Machine Learning 107, algorithm 5;
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52;
    Hesterberg (2015), The American Statistician 69, for the expanded quantiles.
    """
    check_settings(draws, level)
    if trained_rows is not None and not trained_rows >= 1:
        message = f"trained_rows must be at least 1, got {trained_rows}; give None for models that stay as they are"
        raise UsageError(message)
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
    retraining = 0.0 if trained_rows is None else len(sample.y) / trained_rows
    value, low, high = _summary(scored[defined], everything[0, picks[defined]], units, level, retraining)
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


def _summary(
    scores: Array, of_all_rows: Array, units: int, level: float, retraining: float
) -> tuple[float, float, float]:
    """Mean and bounds of the scores on rows left out; ``retraining`` is N / trained_rows, 0 without."""
    if len(scores) < 2 or units < 2:
        return np.nan, np.nan, np.nan
    value, variance = float(scores.mean()), float(scores.var())
    if variance == 0:
        return value, value, value
    left_out = (1 - 1 / units) ** units
    of_rows = 1 / (1 / left_out - 1)
    share = min(1.0, of_rows + of_all_rows.var() / variance) + retraining * of_rows
    reach = np.sqrt(share) * expanded_normal(level, units)
    low, high = np.quantile(scores, [NormalDist().cdf(-reach), NormalDist().cdf(reach)])
    return value, float(low), float(high)
