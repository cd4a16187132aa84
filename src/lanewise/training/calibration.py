"""Probabilities from the margins of a support vector machine: a sigmoid fitted on rows that did not train it."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

MARGIN_LOSSES = frozenset({"hinge", "squared_hinge"})
"""Losses whose outputs are margins: they order rows, but their logistic transform is no probability."""

MOST_ROWS = 5_000
"""Rows that a fit reads, evenly spaced; it has few parameters."""

FEWEST_ROWS = 10
_LEAST = 1e-15
_RIDGE = 1e-6


@final
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """``p(x) = softmax(scale f(x) + offsets)`` of the margins ``f [n, K]``, for two classes ``sigmoid`` of one margin.

    ``offsets`` has an entry for each margin: one for two classes, K for more.

    >>> Calibration(scale=2.0, offsets=(0.0,)).apply(np.array([[0.5, 0.5], [0.2, 0.8]])).round(3)
    array([[0.5  , 0.5  ],
           [0.059, 0.941]])
    """

    scale: float
    offsets: tuple[float, ...]

    def apply(self, predicted: np.ndarray) -> np.ndarray:
        """Probabilities ``[n, K]`` from those that the margins alone gave: ``softmax(f)``, or ``sigmoid(f)``."""
        from scipy.special import softmax

        return softmax(_scores(predicted) * self.scale + self._full(), axis=1)

    def _full(self) -> np.ndarray:
        return np.array((0.0, *self.offsets) if len(self.offsets) == 1 else self.offsets)


def fit_calibration(predicted: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Calibration:
    """The scale and the offsets that give the rows ``y [n]`` (class indices) the largest likelihood.

    ``predicted [n, K]`` are uncalibrated probabilities of rows that did not train the model. The targets are those of
    Platt: ``(n_c + 1) / (n_c + K)`` for the class of a row, the rest shared by the others, so that separable rows give
    no certainty. The scale is never negative. Where nothing can be fitted, the probabilities stay as they are.

    Source: Platt (1999), Probabilistic outputs for support vector machines; Lin, Lin and Weng (2007).
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    step = -(-len(y) // MOST_ROWS) or 1
    predicted, y = predicted[::step], y[::step].astype(np.int64)
    rows, classes = predicted.shape
    free = 1 if classes == 2 else classes
    if rows < FEWEST_ROWS or not np.isfinite(predicted).all():
        return Calibration(scale=1.0, offsets=(0.0,) * free)
    weight = np.ones(rows) if weight is None else weight[::step]
    scores = _scores(predicted)
    unit = float(scores.std()) or 1.0
    targets = _targets(y, classes)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        offsets = np.append(0.0, parameters[1:]) if classes == 2 else parameters[1:]
        logs = log_softmax(scores * (parameters[0] / unit) + offsets, axis=1)
        miss = (np.exp(logs) - targets) * weight[:, None]
        total = weight.sum()
        slope = np.append((miss * scores).sum() / unit, miss.sum(axis=0)[-free:]) / total
        value = -(targets * logs * weight[:, None]).sum() / total + _RIDGE * (parameters**2).sum() / 2
        return float(value), slope + _RIDGE * parameters

    start = np.append(unit, np.zeros(free))
    bounds: list[Any] = [(0.0, None), *[(None, None)] * free]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100})
    return Calibration(scale=float(found.x[0]) / unit, offsets=tuple(float(value) for value in found.x[1:]))


def cross_calibrated(predicted: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The rows' probabilities, each half of them calibrated on the other: no row is calibrated by its own label."""
    result = predicted.copy()
    for own in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - own.start, None, 2)
        fitted = fit_calibration(predicted[other], y[other], None if weight is None else weight[other])
        result[own] = fitted.apply(predicted[own])
    return result


def _scores(predicted: np.ndarray) -> np.ndarray:
    """Margins ``[n, K]`` up to a constant of each row, which a softmax does not see."""
    logs = np.log(np.clip(predicted, _LEAST, 1.0))
    return np.stack([np.zeros(len(logs)), logs[:, 1] - logs[:, 0]], axis=1) if logs.shape[1] == 2 else logs


def _targets(y: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(y, minlength=classes)
    own = (counts + 1) / (counts + classes)
    targets = np.repeat((1 - own)[y][:, None] / (classes - 1), classes, axis=1)
    targets[np.arange(len(y)), y] = own[y]
    return targets
