"""Moments of many columns at once: what `lanewise.features.fold_statistics` says of each one, to the last bit.

One by one, a column costs some hundred microseconds of calls whatever its number of rows, and a table may have tens of
thousands of columns and ten folds. Each step here is that of a single column, in the same order of additions.
"""

import numpy as np

CELLS_AT_ONCE = 2**17
"""Cells of a block of columns: few enough for its arrays to stay in a processor's cache."""


def means_and_deviations(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and population deviation ``[C]`` of columns ``values [C, n]``, ascending; 0 for equal values.

    >>> means_and_deviations(np.array([[1.0, 3.0], [2.0, 2.0]]), np.ones((2, 2)))
    (array([2., 2.]), array([1., 0.]))
    """
    equal = values[:, 0] == values[:, -1]
    total = weights.sum(axis=1)
    mean = np.vecdot(weights, values / total[:, None])
    mean += np.vecdot(weights, (values - mean[:, None]) / total[:, None])
    offsets = values - mean[:, None]
    largest = np.where(equal, 1.0, np.abs(offsets).max(axis=1))
    deviation = largest * np.sqrt(np.vecdot(weights, (offsets / largest[:, None]) ** 2) / total)
    return np.where(equal, values[:, 0], mean), np.where(equal, 0.0, deviation)


def medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted median ``[C]`` of columns ``values [C, n]``, ascending, with positive ``weights [C, n]``.

    >>> medians(np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 8.0]]), np.ones((2, 3)))
    array([2., 1.])
    """
    middles = np.cumsum(weights, axis=1) - weights / 2
    length = middles[:, -1] - middles[:, 0]
    shares = (middles - middles[:, :1]) / np.where(length == 0, 1.0, length)[:, None]
    last = values.shape[1] - 1
    below = np.minimum((shares <= 0.5).sum(axis=1) - 1, last)
    # As numpy.interp has it: the line from the point below, unless that is met.
    beside, line = np.minimum(below + 1, last), np.arange(len(values))
    low, share = values[line, below], shares[line, below]
    met = (share == 0.5) | (below == last) | (length == 0)
    run = np.where(met, 1.0, shares[line, beside] - share)
    slope = (values[line, beside] - low) / run
    return np.where(length == 0, values[:, 0], np.where(met, low, slope * (0.5 - share) + low))
