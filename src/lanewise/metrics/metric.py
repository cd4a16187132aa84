"""What a metric is: a score of rows that takes a weight per row.

A metric is either a smooth function of weighted means of values per row (log-loss, RMSE, R²,
F1, ...) or depends on the order of the predictions (area under a curve, median). Both forms
score many weightings of the same rows at once, ``weights [R, N] -> scores [R]``. A bootstrap
draw is such a weighting, so resampling needs nothing else of a metric.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.errors import DataError
from lanewise.task import TaskKind

Array = NDArray[np.float64]
Direction = Literal["min", "max"]
Finish = Callable[[Array], Array]
Ordered = Callable[[NDArray, Array, Array], Array]


def first_mean(means: Array) -> Array:
    """Score of a metric that is a plain mean: ``means [..., 1] -> [...]``."""
    return means[..., 0]


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named score of predictions.

    With row values ``v_i [S]`` and weights ``w_i`` the score is ``finish(Σ w_i v_i / Σ w_i)``;
    a metric that depends on the order of predictions gives ``ordered`` instead of ``values``.

    Args:
        name: what it is called in settings and reports.
        direction: ``"min"`` where smaller is better, else ``"max"``.
        kinds: the kinds of task that it can score.
        words: one sentence for a reader who does not know it.
        values: ``(y [N], prediction [N] or [N, C], threshold) -> [N, S]``.
        finish: ``means [..., S] -> [...]``.
        ordered: ``(y, prediction, weights [R, N]) -> [R]``.
        averages: the score is ``finish`` of one mean (S = 1), so a row has a loss of its own.
        gaps: the score is the sum of absolute means, gaps between probabilities and frequencies.
        uses_threshold: a probability is turned into a class before it is scored.
        of_positive: the score is of the second of two classes alone.
    """

    name: str
    direction: Direction
    kinds: tuple[TaskKind, ...]
    words: str
    values: Callable[[NDArray, Array, float], Array] | None = None
    finish: Finish = first_mean
    ordered: Ordered | None = None
    averages: bool = False
    gaps: bool = False
    uses_threshold: bool = False
    of_positive: bool = False

    def __post_init__(self) -> None:
        assert (self.values is None) != (self.ordered is None), self.name

    @property
    def sign(self) -> float:
        """``sign * score`` is a loss: smaller is better."""
        return 1.0 if self.direction == "min" else -1.0

    @property
    def pointwise(self) -> Callable[[NDArray, Array], Array] | None:
        """``(y, prediction) -> [N]``, values whose mean gives the score; None where rows have no value of their own."""
        values = self.values
        if values is None or not self.averages:
            return None
        return lambda y, prediction: values(y, prediction, 0.5)[:, 0]

    def says_something(self, y: ArrayLike, weight: ArrayLike | None = None) -> bool:
        """Whether any row with weight is of the class that is scored.

        By custom precision, recall and F1 are 0 where none is, for any prediction: that tells nothing of it.
        """
        target = np.asarray(y)
        return not self.of_positive or bool(((target == 1) & (checked_weight(weight, len(target)) > 0)).any())

    def score(
        self, y: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, *, threshold: float = 0.5
    ) -> float:
        """The score of a prediction; NaN where it is not defined, without a warning.

        Args:
            y: target ``[N]``, or class index ``[N]``.
            prediction: mean ``[N]``, or probabilities ``[N, C]``.
            weight: ``[N]``, not negative; None counts each row once.
            threshold: probability from which a row of a binary task counts as positive.

        Raises:
            DataError: the shapes do not match, or a weight is negative.
        """
        target, predicted = _checked(y, prediction, per_class=self._per_class)
        weights = checked_weight(weight, len(target))
        return float(self.scores(target, predicted, weights[None], threshold=threshold)[0])

    def scores(self, y: NDArray, prediction: Array, weights: Array, *, threshold: float = 0.5) -> Array:
        """The score under each of R weightings: ``y [N]``, ``weights [R, N]`` give ``[R]``.

        A prediction that is not finite, or a weighting of zeros, gives NaN.
        """
        if not len(y) or not np.isfinite(prediction).all():
            return np.full(len(weights), np.nan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.ordered is not None:
                return self.ordered(y, prediction, weights)
            assert self.values is not None
            means = weights @ self.values(y, prediction, threshold) / weights.sum(axis=1, keepdims=True)
            return self.finish(means)

    @property
    def _per_class(self) -> bool:
        return self.kinds[0] in ("binary", "multiclass")


def over_trainings(metric: Metric) -> Metric:
    """The mean of the scores of several trainings, of predictions ``[N, K, S]``; of others the score that it is."""
    ordered = partial(_over_trainings, metric)
    return replace(metric, values=None, finish=first_mean, ordered=ordered, averages=False, gaps=False)


def _over_trainings(metric: Metric, y: NDArray, prediction: Array, weights: Array) -> Array:
    if prediction.ndim < 3:
        return metric.scores(y, prediction, weights)
    own = prediction[:, 0] if prediction.shape[1] == 1 else prediction
    return np.mean([metric.scores(y, one, weights) for one in np.moveaxis(own, -1, 0)], axis=0)


def checked_weight(weight: ArrayLike | None, rows: int) -> Array:
    """Weights ``[N]``: ones for None.

    Raises:
        DataError: another length, a negative weight or one that is not finite.
    """
    if weight is None:
        return np.ones(rows)
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != (rows,):
        message = f"weights have shape {weights.shape}; give one per row: ({rows},)"
        raise DataError(message)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        message = "a weight is negative or not finite; weights must be finite and at least 0"
        raise DataError(message)
    return weights


def _checked(y: ArrayLike, prediction: ArrayLike, *, per_class: bool) -> tuple[NDArray, Array]:
    predicted = np.asarray(prediction, dtype=np.float64)
    target = np.asarray(y)
    wanted = 2 if per_class else 1
    if target.ndim != 1 or predicted.ndim != wanted or len(predicted) != len(target):
        form = "[rows, classes]" if per_class else "[rows]"
        message = f"prediction has shape {predicted.shape} for {target.shape} targets; give {form} in the same rows"
        raise DataError(message)
    if not per_class:
        return target.astype(np.float64), predicted
    index = target.astype(np.int64)
    if len(index) and (index.min() < 0 or index.max() >= predicted.shape[1]):
        message = f"class index {index.min()}..{index.max()} does not fit {predicted.shape[1]} columns of probabilities"
        raise DataError(message)
    return index, predicted
