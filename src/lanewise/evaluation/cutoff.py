"""The probability from which the answer of a binary model is yes, chosen on out-of-fold rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.metrics import Metric, best_threshold
from lanewise.metrics.metric import checked_weight
from lanewise.statistics import affordable_draws, bootstrap_counts, paired_errors, resampled_scores, sample_of

USUAL = 0.5
DRAWS = 400
HALF_OF_POINTS = 49

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CutoffPoint:
    """The metric's ``value`` at one ``threshold``."""

    threshold: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """The threshold, the metric it was chosen for, why, and the metric at other thresholds."""

    value: float
    metric: str
    words: str
    curve: tuple[CutoffPoint, ...]


def threshold_of(
    y: ArrayLike,
    oof: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Cutoff:
    """The threshold that is best for ``metric`` on out-of-fold rows, or 0.5 where none is reliably better.

    Chosen exactly over all cuts (see :func:`lanewise.metrics.best_threshold`). It must beat 0.5 by more
    than one paired standard error over bootstrap draws of the rows; a tie goes to 0.5. A metric that reads
    the probabilities themselves (log-loss, AUC, ...) has no say: 0.5.

    Args:
        y: ``[N]``, 1 for the positive class.
        oof: out-of-fold probabilities, ``[N]`` or ``[N, 2]``; rows with NaN are left out.
        metric: what the answers are to be good at.
        seed: key of the draws.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are drawn together, or None.
    """
    given = np.asarray(oof, dtype=np.float64)
    probability = given[:, 1] if given.ndim == 2 else given
    known = np.isfinite(probability)
    probability, target = probability[known], np.asarray(y)[known].astype(np.int64)
    weights = checked_weight(None if weight is None else np.asarray(weight)[known], len(target))
    groups = None if clusters is None else np.asarray(clusters)[known]
    if not metric.uses_threshold:
        words = f"0.5: {metric.name} judges the probabilities themselves, so no threshold serves it better."
        return Cutoff(value=USUAL, metric=metric.name, words=words, curve=())
    if not weights.any() or len(np.unique(target[weights > 0])) < 2:
        words = "0.5: the out-of-fold rows do not hold both classes, so there is nothing to choose by."
        return Cutoff(value=USUAL, metric=metric.name, words=words, curve=())
    best, _ = best_threshold(target, probability, metric, weights)
    value, words = _chosen(best, target, probability, metric, weights, groups, seed)
    return Cutoff(
        value=value, metric=metric.name, words=words, curve=_curve(target, probability, weights, metric, best)
    )


def _chosen(
    best: float, y: NDArray, p: Array, metric: Metric, weight: Array, clusters: NDArray | None, seed: int
) -> tuple[float, str]:
    """The threshold kept, and why."""
    # Answers instead of probabilities, so that both thresholds are read at 0.5 under the same draws.
    answers = np.stack([p >= best, p >= USUAL]).astype(np.float64)
    sample = sample_of(y, np.stack([1 - answers, answers], axis=-1), weight, clusters, seed=seed)
    at_best, at_usual = resampled_scores(metric, sample, np.ones((1, sample.units.count)))[0]
    draws = bootstrap_counts(sample.units.count, affordable_draws(metric, sample, DRAWS), seed=seed)
    error = float(paired_errors(resampled_scores(metric, sample, draws))[0, 1])
    gain = float(at_best - at_usual)
    figures = f"{metric.name} {at_best:.3g} out of fold, against {at_usual:.3g} at 0.5"
    if gain > error:
        return best, f"{best:.3g} gives {figures}. It was chosen on these rows, so new rows may gain a little less."
    if gain <= 0:
        return USUAL, f"0.5: no other threshold gives a better {metric.name} out of fold ({at_usual:.3g})."
    return USUAL, (
        f"0.5 is kept: {best:.3g} gives {figures}, and {gain:.2g} is within one paired standard error ({error:.2g})."
    )


def _curve(y: NDArray, p: Array, weight: Array, metric: Metric, best: float) -> tuple[CutoffPoint, ...]:
    """The metric at some 100 thresholds: evenly spaced, at quantiles of the probabilities, and at the best."""
    even = np.linspace(0, 1, HALF_OF_POINTS + 2)[1:-1]
    spread = np.quantile(p, even)
    cuts = np.unique(np.concatenate([even, spread, [best, USUAL]]))
    # Between two cuts all rows of a class are answered alike: one row of their weight stands for them.
    place = np.searchsorted(cuts, p, side="right")
    cells = len(cuts) + 1
    totals = np.bincount(y * cells + place, weights=weight, minlength=2 * cells)
    stand_in = np.concatenate([[cuts[0] - 1], cuts])
    both = np.tile(stand_in, 2)
    rows = np.column_stack([1 - both, both])
    classes = np.repeat([0, 1], cells)
    values = [metric.score(classes, rows, totals, threshold=float(cut)) for cut in cuts]
    return tuple(
        CutoffPoint(threshold=float(cut), value=value)
        for cut, value in zip(cuts, values, strict=True)
        if np.isfinite(value)
    )
