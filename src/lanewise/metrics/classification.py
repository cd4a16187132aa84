"""Scores of predicted classes and of predicted probabilities."""

import numpy as np
from numpy.typing import NDArray

from lanewise.metrics.metric import Array, Finish, Metric
from lanewise.task import TaskKind

CLASSES: tuple[TaskKind, ...] = ("binary", "multiclass")
_BINARY: tuple[TaskKind, ...] = ("binary",)
CLIP = float(np.finfo(np.float64).eps)
"""Probabilities are kept within [CLIP, 1 - CLIP] in a logarithm, so a row costs at most 36.04."""
ECE_BINS = 15


def predicted_class(prediction: Array, threshold: float = 0.5) -> NDArray[np.int64]:
    """Class index ``[N]`` of probabilities ``[N, C]``.

    Two classes: the second where its probability is at least ``threshold``. More: the likeliest,
    the first of equals.
    """
    if prediction.shape[1] == 2:
        return (prediction[:, 1] >= threshold).astype(np.int64)
    return prediction.argmax(axis=1)


def _hit(y: NDArray, prediction: Array, threshold: float) -> Array:
    return (predicted_class(prediction, threshold) == y).astype(np.float64)[:, None]


def _share(means: Array) -> Array:
    """A mean of hits; weights round, and it is not more than 1."""
    return np.minimum(means[..., 0], 1.0)


def class_cells(y: NDArray, predicted: NDArray, classes: int) -> Array:
    """Per row and class, whether it is hit, predicted, true: ``[N, 3 C]``, 0 or 1."""
    every = np.arange(classes)
    is_true = y[:, None] == every
    is_predicted = predicted[:, None] == every
    return np.concatenate([is_true & is_predicted, is_predicted, is_true], axis=1).astype(np.float64)


def _cells(y: NDArray, prediction: Array, threshold: float) -> Array:
    return class_cells(y, predicted_class(prediction, threshold), prediction.shape[1])


def ratio(part: Array, whole: Array) -> Array:
    """``part / whole``, and 0 where ``whole`` is 0, as is the custom for precision and recall.

    Sums of weights round each in its own way: no part is more than the whole.
    """
    return np.where(whole > 0, np.minimum(part / np.where(whole > 0, whole, 1.0), 1.0), 0.0)


def _per_class(means: Array) -> tuple[Array, Array, Array]:
    hit, predicted, true = np.split(means, 3, axis=-1)
    return hit, predicted, true


def _over_known(values: Array, means: Array, known: NDArray[np.bool_]) -> Array:
    """Mean over the classes that occur; NaN where the rows weigh nothing."""
    count = known.sum(axis=-1)
    mean = (values * known).sum(axis=-1) / np.maximum(count, 1)
    return np.where(np.isfinite(means).all(axis=-1) & (count > 0), mean, np.nan)


def _class_precision(means: Array) -> Array:
    hit, predicted, _ = _per_class(means)
    return ratio(hit, predicted)


def _class_recall(means: Array) -> Array:
    hit, _, true = _per_class(means)
    return ratio(hit, true)


def _class_f1(means: Array) -> Array:
    hit, predicted, true = _per_class(means)
    return ratio(2 * hit, predicted + true)


def _occurs(means: Array) -> NDArray[np.bool_]:
    _, predicted, true = _per_class(means)
    return predicted + true > 0


def _balanced_accuracy(means: Array) -> Array:
    return _over_known(_class_recall(means), means, _per_class(means)[2] > 0)


def _of_positive(values: Array, means: Array) -> Array:
    return np.where(np.isfinite(means).all(axis=-1), values[..., 1], np.nan)


def _precision(means: Array) -> Array:
    return _of_positive(_class_precision(means), means)


def _recall(means: Array) -> Array:
    return _of_positive(_class_recall(means), means)


def _f1(means: Array) -> Array:
    return _of_positive(_class_f1(means), means)


def _f1_macro(means: Array) -> Array:
    return _over_known(_class_f1(means), means, _occurs(means))


def _precision_macro(means: Array) -> Array:
    return _over_known(_class_precision(means), means, _occurs(means))


def _recall_macro(means: Array) -> Array:
    return _over_known(_class_recall(means), means, _occurs(means))


def _f1_weighted(means: Array) -> Array:
    true = _per_class(means)[2]
    return (true * _class_f1(means)).sum(axis=-1) / true.sum(axis=-1)


def _log_loss(y: NDArray, prediction: Array, _threshold: float) -> Array:
    chosen = prediction[np.arange(len(y)), y]
    return -np.log(np.clip(chosen, CLIP, 1 - CLIP))[:, None]


def _brier(y: NDArray, prediction: Array, _threshold: float) -> Array:
    squares = ((prediction - (y[:, None] == np.arange(prediction.shape[1]))) ** 2).sum(axis=1)
    return (squares / 2 if prediction.shape[1] == 2 else squares)[:, None]


def _gaps(y: NDArray, prediction: Array, _threshold: float) -> Array:
    if prediction.shape[1] == 2:
        confidence, hit = prediction[:, 1], y == 1
    else:
        confidence, hit = prediction.max(axis=1), prediction.argmax(axis=1) == y
    place = np.clip((confidence * ECE_BINS).astype(np.int64), 0, ECE_BINS - 1)
    gaps = np.zeros((len(y), ECE_BINS))
    gaps[np.arange(len(y)), place] = confidence - hit
    return gaps


def _ece(means: Array) -> Array:
    return np.abs(means).sum(axis=-1)


def _of_classes(name: str, words: str, finish: Finish, kinds: tuple[TaskKind, ...] = CLASSES) -> Metric:
    return Metric(
        name=name,
        direction="max",
        kinds=kinds,
        words=words,
        values=_cells,
        finish=finish,
        uses_threshold=True,
        of_positive=kinds == _BINARY,
    )


CLASSIFICATION_METRICS: tuple[Metric, ...] = (
    Metric(
        name="accuracy",
        direction="max",
        kinds=CLASSES,
        words="Share of rows whose class is predicted right.",
        values=_hit,
        finish=_share,
        averages=True,
        uses_threshold=True,
    ),
    _of_classes("balanced_accuracy", "Mean over the classes of the share of its rows found.", _balanced_accuracy),
    _of_classes("precision", "Share of the rows called positive that are.", _precision, _BINARY),
    _of_classes("recall", "Share of the positive rows that are found.", _recall, _BINARY),
    _of_classes("f1", "Harmonic mean of precision and recall of the positive class.", _f1, _BINARY),
    _of_classes("f1_macro", "Mean over the classes of their F1.", _f1_macro),
    _of_classes("f1_weighted", "Mean over the classes of their F1, weighted by their rows.", _f1_weighted),
    _of_classes("precision_macro", "Mean over the classes of their precision.", _precision_macro),
    _of_classes("recall_macro", "Mean over the classes of their recall.", _recall_macro),
    Metric(
        name="log_loss",
        direction="min",
        kinds=CLASSES,
        words="Mean negative log of the probability given to the true class: a sure and wrong answer costs most.",
        values=_log_loss,
        averages=True,
    ),
    Metric(
        name="brier",
        direction="min",
        kinds=CLASSES,
        words="Mean squared error of the probabilities: of the positive class, or summed over more than two.",
        values=_brier,
        averages=True,
    ),
    Metric(
        name="ece",
        direction="min",
        kinds=CLASSES,
        words="Expected calibration error: mean gap between probability and frequency over 15 equal bins of "
        "probability, of the positive class or, for more than two, of the likeliest (Guo et al. 2017).",
        values=_gaps,
        finish=_ece,
        gaps=True,
    ),
)
