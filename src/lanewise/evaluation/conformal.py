"""How far from its prediction a value may lie: conformal intervals from out-of-fold residuals."""

import math

import numpy as np
from numpy.typing import ArrayLike

from lanewise.errors import DataError, UsageError


def interval_half_width(y: ArrayLike, oof: ArrayLike, level: float = 0.9) -> float:
    """Half width ``h`` such that ``prediction ± h`` holds a new row's value with probability ``level``.

    The k-th smallest of the n absolute residuals, ``k = ceil((n + 1) level)``. The residuals are out of
    fold, so each comes from a model that did not see its row; the model that predicts in the end has seen
    more rows, which as a rule makes the interval a little too wide. The promise is for rows like the
    training rows, on average over them: it does not hold for each kind of row, nor under drift.

    Args:
        y: ``[N]``, in its own unit.
        oof: out-of-fold means, ``[N]`` or ``[N, 1]``; rows with NaN, held out by no fold, are left out.
        level: coverage, within (0, 1).

    Returns:
        the half width in the unit of ``y``; infinite where n is too small for the level (below 9 for 0.9).

    Raises:
        UsageError: ``level`` out of range.
        DataError: lengths differ.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world; Barber, Candès,
    Ramdas and Tibshirani (2021), Predictive inference with the jackknife+, Annals of Statistics 49.

    >>> interval_half_width([0.0] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    9.0
    """
    if not 0 < level < 1:
        message = f"level must lie between 0 and 1, such as 0.9, got {level}"
        raise UsageError(message)
    target, predicted = np.asarray(y, dtype=np.float64), np.asarray(oof, dtype=np.float64)
    predicted = predicted[:, 0] if predicted.ndim == 2 else predicted
    if target.shape != predicted.shape:
        message = f"predictions have shape {predicted.shape} for {target.shape} targets; give the same rows"
        raise DataError(message)
    residuals = np.abs(target - predicted)
    residuals = np.sort(residuals[np.isfinite(residuals)])
    # Rounding must not lift an exact product, such as 20 * 0.9, to the next rank.
    rank = math.ceil((len(residuals) + 1) * level - 1e-9)
    return float(residuals[rank - 1]) if rank <= len(residuals) else math.inf
