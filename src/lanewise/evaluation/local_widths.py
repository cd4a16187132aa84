"""Intervals that are wider where the errors are larger: one conformal width for each bin of the prediction."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.evaluation.conformal import interval_half_width

MOST_BINS = 10
FEWEST_ROWS = 100
"""Of a bin: at a level of 0.9 ten of them lie outside, so that a share can be told from another."""
UNLIKELY = 0.01
"""The p below which one width for all rows is given up."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LocalWidths:
    """Half widths by bin of the prediction: ``half_widths[k]`` where just ``k`` of the ascending ``edges`` are reached.

    ``p`` is that of the test which found that one width does not hold the same share of rows in all bins.
    """

    edges: tuple[float, ...]
    half_widths: tuple[float, ...]
    p: float


def local_half_widths(
    y: ArrayLike, oof: ArrayLike, level: float = 0.9, *, half: float | None = None, clusters: ArrayLike | None = None
) -> LocalWidths | None:
    """Half widths that follow the prediction, where the out-of-fold residuals say that one width is wrong.

    The rows are cut at quantiles of their out-of-fold predictions into up to 10 bins of at least 100 rows. With
    ``k_b`` of the ``n_b`` rows of bin ``b`` outside of the one width of :func:`interval_half_width`, and ``q`` the
    share of all rows outside, the test is Pearson's of equal shares::

        X = sum_b (k_b - n_b q)^2 / (n_b q (1 - q)),  chi-square with one degree of freedom less than there are bins

    Where p < 0.01 every bin has the width of its own residuals, its rank corrected for its number of rows. So the
    promise holds within each bin, and on average over all rows as before; it does not for kinds of rows that the
    prediction does not tell apart.

    Args:
        y: ``[N]``, in its own unit.
        oof: out-of-fold means, ``[N]`` or ``[N, 1]``; rows with NaN are left out.
        level: coverage, within (0, 1).
        half: the one width, where it is known already.
        clusters: labels ``[N]`` of rows that belong together, and may err together; bins are then made, and tested, of
            one row of each.

    Returns:
        the widths; None where one does, or there are too few rows to tell.

    Raises:
        UsageError: ``level`` out of range.
        DataError: lengths differ.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world, section 4.5 (Mondrian
    conformal predictors); the bins are its taxonomy.

    >>> predicted = np.linspace(0.0, 1.0, 2000)
    >>> noise = np.tile(np.linspace(-1.0, 1.0, 20), 100)
    >>> found = local_half_widths(predicted + noise * (1 + 9 * (predicted > 0.5)), predicted)
    >>> len(found.half_widths), [round(width, 1) for width in found.half_widths[::9]]
    (10, [1.0, 10.0])
    >>> local_half_widths(predicted + noise, predicted) is None
    True
    """
    half = interval_half_width(y, oof, level) if half is None else half
    target, predicted = np.asarray(y, dtype=np.float64), np.asarray(oof, dtype=np.float64).reshape(len(np.asarray(y)))
    known = np.flatnonzero(np.isfinite(target - predicted))
    residuals, predicted = np.abs(target - predicted)[known], predicted[known]
    units = np.arange(len(known))
    if clusters is not None:
        units = np.unique(np.asarray(clusters)[known], return_index=True)[1]
    edges = _edges(np.sort(predicted[units]))
    if not edges:
        return None
    p = _equal_shares_p(residuals[units] > half, bin_of(predicted[units], edges), len(edges) + 1)
    if not p < UNLIKELY:
        return None
    bins = bin_of(predicted, edges)
    own = [residuals[bins == place] for place in range(len(edges) + 1)]
    widths = tuple(interval_half_width(part, np.zeros(len(part)), level) for part in own)
    return LocalWidths(edges=edges, half_widths=widths, p=p) if np.isfinite(widths).all() else None


def bin_of(predicted: Array, edges: tuple[float, ...]) -> NDArray[np.int64]:
    """How many of the ascending ``edges`` each prediction ``[N]`` reaches; none where it is NaN."""
    return np.count_nonzero(predicted[:, None] >= np.array(edges), axis=1)


def _edges(predicted: Array) -> tuple[float, ...]:
    """Predictions at even ranks of the ascending ``predicted``; equal ones stay together."""
    count = len(predicted)
    bins = min(MOST_BINS, count // FEWEST_ROWS)
    edges: list[float] = []
    before = 0
    for place in range(1, bins):
        edge = float(predicted[count * place // bins])
        below = int(np.searchsorted(predicted, edge))
        if min(below - before, count - below) >= FEWEST_ROWS:
            edges.append(edge)
            before = below
    assert all(low < high for low, high in pairwise(edges)), "edges ascend"
    return tuple(edges)


def _equal_shares_p(outside: NDArray[np.bool_], bins: NDArray[np.int64], count: int) -> float:
    """Whether the share of rows outside is the same in all bins."""
    from scipy.special import chdtrc

    share = float(outside.mean())
    if share in (0.0, 1.0):
        return 1.0
    rows = np.bincount(bins, minlength=count)
    expected = rows * share
    found = np.bincount(bins, weights=outside, minlength=count)
    return float(chdtrc(count - 1, (np.square(found - expected) / (expected * (1.0 - share))).sum()))
