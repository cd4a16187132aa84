"""The probability from which the answer of a binary model is yes, chosen on out-of-fold rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.formatting.figures import gap, score
from lanewise.formatting.metric_labels import metric_label
from lanewise.formatting.plain_text import shorten
from lanewise.metrics import Metric, best_threshold
from lanewise.metrics.metric import checked_weight
from lanewise.statistics import (
    affordable_draws,
    bootstrap_counts,
    keyed_generator,
    paired_errors,
    resampled_scores,
    sample_of,
    units_of,
)

USUAL = 0.5
DRAWS = 400
PARTS = 5
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

    @property
    def headline(self) -> str:
        """Its words, where they belong among the first of a result: the usual threshold needs none there.

        >>> [Cutoff(value=value, metric="f1", words="Why.", curve=()).headline for value in (0.5, 0.3)]
        ['', 'Why.']
        """
        return self.words if self.value != USUAL else ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Out-of-fold rows with a prediction: class ``y``, probability ``p``, ``weight``, ``clusters`` or None; ``[N]``."""

    y: NDArray[np.int64]
    p: Array
    weight: Array
    clusters: NDArray | None


def threshold_of(
    y: ArrayLike,
    oof: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    positive: str | None = None,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Cutoff:
    """The threshold that is best for ``metric`` on out-of-fold rows, or 0.5 where none is reliably better.

    Chosen exactly over all cuts (see :func:`lanewise.metrics.best_threshold`). The best of so many cuts looks
    better on its own rows than it is, so the choice is repeated on four fifths of the rows and judged on the
    fifth left out, in turn: it must beat 0.5 there by more than one paired standard error over bootstrap draws
    of the rows; a tie goes to 0.5. A metric that reads the probabilities themselves (log-loss, AUC, ...) has
    no say: 0.5.

    Args:
        y: ``[N]``, 1 for the positive class.
        oof: out-of-fold probabilities, ``[N]`` or ``[N, 2]``; rows with NaN are left out.
        metric: what the answers are to be good at.
        seed: key of the draws.
        positive: the label of the positive class, for the words.
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
        words = (
            f"The threshold is 0.5: {metric_label(metric.name)} judges the probabilities themselves, so no other "
            "serves it better."
        )
        return Cutoff(value=USUAL, metric=metric.name, words=words, curve=())
    if not weights.any() or len(np.unique(target[weights > 0])) < 2:
        words = "The threshold is 0.5: the out-of-fold rows do not hold both classes, so there is nothing to choose by."
        return Cutoff(value=USUAL, metric=metric.name, words=words, curve=())
    rows = _Rows(y=target, p=probability, weight=weights, clusters=groups)
    value, words = _chosen(rows, metric, seed, positive)
    return Cutoff(value=value, metric=metric.name, words=words, curve=_curve(rows, metric, value))


def answered(probabilities: ArrayLike, threshold: float | Array = USUAL) -> Array:
    """Probabilities ``[N, 2]`` as the answers that they are at a threshold, or at one for each row: 0 or 1.

    >>> answered([[0.7, 0.3], [0.4, 0.6]], 0.2).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    yes = (np.asarray(probabilities)[:, 1] >= threshold).astype(np.float64)
    return np.column_stack([1 - yes, yes])


def crossed_answers(
    y: ArrayLike,
    probabilities: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Array:
    """The answers ``[N, 2]`` of each part of the rows at the threshold that is best for ``metric`` on the other parts.

    Args:
        y: ``[N]``, 1 for the positive class.
        probabilities: ``[N, 2]``, of rows that were not trained on.
        metric: what the answers are to be good at.
        seed: key of the parts.
        weight: ``[N]`` or None.
        clusters: ``[N]`` labels of rows that are in one part, or None.
    """
    target, given = np.asarray(y), np.asarray(probabilities)
    weights = checked_weight(weight, len(target))
    units = units_of(len(target), None if clusters is None else np.asarray(clusters), seed=seed)
    part_of_row = (keyed_generator(seed, "threshold parts").permutation(units.count) % PARTS)[units.of_row]
    cuts = np.empty(len(target))
    for part in range(PARTS):
        here = part_of_row == part
        cuts[here], _ = best_threshold(target[~here], given[~here], metric, weights[~here])
    return answered(given, cuts)


def _chosen(rows: _Rows, metric: Metric, seed: int, positive: str | None) -> tuple[float, str]:
    """The threshold kept, and why."""
    best, _ = best_threshold(rows.y, rows.p, metric, rows.weight)
    given = np.column_stack([1 - rows.p, rows.p])
    found = crossed_answers(rows.y, given, metric, seed=seed, weight=rows.weight, clusters=rows.clusters)
    both = np.stack([found, answered(given)])
    sample = sample_of(rows.y, both, rows.weight, rows.clusters, seed=seed)
    crossed, usual = resampled_scores(metric, sample, np.ones((1, sample.units.count)))[0]
    draws = bootstrap_counts(sample.units.count, affordable_draws(metric, sample, DRAWS), seed=seed)
    error = float(paired_errors(resampled_scores(metric, sample, draws))[0, 1])
    gain = float(crossed - usual)
    name = metric_label(metric.name)
    ours, theirs = (score(metric.name, float(value)) for value in (crossed, usual))
    answer = f"{best:.3g}" if positive is None else f"{best:.3g} for {shorten(positive, 28)!r}"
    figures = f"{name} {ours} on out-of-fold rows that had no part in choosing it, against {theirs}"
    if gain > error:
        return best, f"A threshold of {answer} gives {figures} at 0.5."
    if gain <= 0:
        better = f"no other gives a better {metric_label(metric.name, positive)} on rows that did not choose it"
        return USUAL, f"The threshold stays at 0.5: {better}."
    within = f"within one paired standard error ({gap(metric.name, error)})"
    return USUAL, f"The threshold stays at 0.5: {answer} gives {figures}, {within}."


def _curve(rows: _Rows, metric: Metric, chosen: float) -> tuple[CutoffPoint, ...]:
    """The metric at some 100 thresholds: evenly spaced, at quantiles of the probabilities, and at the chosen one."""
    even = np.linspace(0, 1, HALF_OF_POINTS + 2)[1:-1]
    spread = np.quantile(rows.p, even)
    cuts = np.unique(np.concatenate([even, spread, [chosen, USUAL]]))
    # Between two cuts all rows of a class are answered alike: one row of their weight stands for them.
    place = np.searchsorted(cuts, rows.p, side="right")
    cells = len(cuts) + 1
    totals = np.bincount(rows.y * cells + place, weights=rows.weight, minlength=2 * cells)
    stand_in = np.concatenate([[cuts[0] - 1], cuts])
    both = np.tile(stand_in, 2)
    probabilities = np.column_stack([1 - both, both])
    classes = np.repeat([0, 1], cells)
    values = [metric.score(classes, probabilities, totals, threshold=float(cut)) for cut in cuts]
    return tuple(
        CutoffPoint(threshold=float(cut), value=value)
        for cut, value in zip(cuts, values, strict=True)
        if np.isfinite(value)
    )
