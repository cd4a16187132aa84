"""The probability from which to call a row positive."""

import numpy as np
from numpy.typing import ArrayLike

from lanewise.metrics.metric import Array, Metric, checked_weight


def best_threshold(y: ArrayLike, p: ArrayLike, metric: Metric, weight: ArrayLike | None = None) -> tuple[float, float]:
    """The threshold with the best score, exact over all cuts, and that score.

    Candidates are the middles between neighbouring probabilities, and the two that call all or
    no row positive; among equal scores the one nearest to 0.5. A metric that needs no classes
    (log-loss, AUC, ...) gives 0.5. The score is optimistic for the rows that it was chosen on.

    Args:
        y: ``[N]``, 1 for the positive class.
        p: its probability, ``[N]`` or as the second column of ``[N, 2]``.
        metric: scores a binary task.
        weight: ``[N]`` or None.

    >>> from lanewise.metrics import METRICS
    >>> best_threshold([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], METRICS["accuracy"])
    (0.25, 1.0)
    """
    given = np.asarray(p, dtype=np.float64)
    probability = given[:, 1] if given.ndim == 2 else given
    target = np.asarray(y, dtype=np.int64)
    weights = checked_weight(weight, len(target))
    both = np.column_stack([1 - probability, probability])
    if not metric.uses_threshold or not weights.any() or not np.isfinite(probability).all():
        return 0.5, metric.score(target, both, weights)
    used = weights > 0
    distinct, of_row = np.unique(probability[used], return_inverse=True)
    cuts = _cuts(distinct)
    # Cut q calls the values of index >= q positive; the counts below it are called negative.
    positive = _upwards(of_row, weights[used] * (target[used] == 1), len(distinct))
    negative = _upwards(of_row, weights[used] * (target[used] != 1), len(distinct))
    scores = _scores(metric, positive, negative)
    assert metric.direction == "max", metric.name
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    chosen = best[np.argmin(np.abs(cuts[best] - 0.5))]
    return float(cuts[chosen]), float(scores[chosen])


def _cuts(distinct: Array) -> Array:
    middles = (distinct[:-1] + distinct[1:]) / 2
    # Between two neighbouring floats the middle rounds to one of them; the upper one separates.
    middles = np.where(middles > distinct[:-1], middles, distinct[1:])
    top = (distinct[-1] + 1) / 2
    none = top if top > distinct[-1] else np.nextafter(distinct[-1], np.inf)
    return np.concatenate([[distinct[0] / 2], middles, [none]])


def _upwards(of_row: np.ndarray, weights: Array, size: int) -> Array:
    """Weight of the rows at or above each distinct value, and 0 above the last: ``[Q + 1]``."""
    at_value = np.bincount(of_row, weights=weights, minlength=size)
    return np.append(np.cumsum(at_value[::-1])[::-1], 0.0)


def _scores(metric: Metric, positive: Array, negative: Array) -> Array:
    all_positive, all_negative = positive[0], negative[0]
    total = all_positive + all_negative
    missed, rejected = all_positive - positive, all_negative - negative
    if metric.averages:
        return metric.finish(((positive + rejected) / total)[:, None])
    true = np.broadcast_to([all_negative, all_positive], (len(positive), 2))
    cells = np.column_stack([rejected, positive, rejected + missed, positive + negative, true])
    return metric.finish(cells / total)
