"""How well each of many columns alone tells a target, found of a block of columns at once and near enough to rank them.

`lanewise.data.leakage` judges a column by a dozen calls, some hundred microseconds whatever the number of rows, and a
table may have tens of thousands of columns, of which a few say anything. What is found here is the figure of each
column but for rounding, so that the exact one is needed only of those that may be reported.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from lanewise.task import TaskKind

CELLS_AT_ONCE = 2**19
MOST_COUNTS = 2**22
"""Rows of each class in each cell that are counted at once."""
ROUNDING = 1e-6
"""No figure of a block is farther from that of its column alone."""


def blocks(frame: pl.DataFrame, names: Sequence[str]) -> Iterator[list[str]]:
    """The names in groups of at most half a million cells together."""
    most = max(1, CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, len(names), most):
        yield list(names[start : start + most])


def quantile_bins(numbers: np.ndarray, half: int) -> np.ndarray:
    """The bin of each cell of finite ``numbers [C, N]``, cut at quantiles of the first ``half`` of the rows.

    Bins are numbered upwards, with gaps where edges are equal.
    """
    bins = int(np.clip(np.sqrt(half), 2, 64))
    edges = np.quantile(numbers[:, :half], np.arange(1, bins) / bins, axis=1, method="inverted_cdf")
    found = np.zeros(numbers.shape, dtype=np.int64)
    for edge in edges:
        found += edge[:, None] < numbers
    return found


def rough_strengths(cells: np.ndarray, y: np.ndarray, kind: TaskKind) -> np.ndarray:
    """Strength ``[C]`` of columns by the level or bin ``cells [C, N]`` of each row, from useless (0) to exact (1).

    It is learnt on the first half of the rows and judged on the second: ``2 AUC - 1``, the share of the errors of the
    most frequent class that go away, or R².
    """
    half, columns = cells.shape[1] // 2, len(cells)
    widths = cells.max(axis=1) + 1
    if kind == "multiclass" and columns > 1 and widths.sum() * (int(y.max()) + 1) > MOST_COUNTS:
        parts = (cells[: columns // 2], cells[columns // 2 :])
        return np.concatenate([rough_strengths(part, y, kind) for part in parts])
    flat = cells + (np.cumsum(widths) - widths)[:, None]
    owner = np.repeat(np.arange(columns), widths)
    first, second = flat[:, :half].ravel(), flat[:, half:]
    if kind == "multiclass":
        return _by_class(first, second, y, owner)
    rows = np.bincount(first, minlength=len(owner))
    sums = np.bincount(first, weights=np.tile(y[:half].astype(np.float64), columns), minlength=len(owner))
    means = np.where(rows > 0, sums / np.maximum(rows, 1), y[:half].mean())
    if kind == "binary":
        return _by_order(means, second, y[half:], owner)
    return _r_squared(means[second], y[half:])


def rough_lines(numbers: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R² ``[C]`` of a line on the second half of finite ``numbers [C, N]``, and the squared rank correlation there."""
    half = numbers.shape[1] // 2
    learnt, judged, mean = numbers[:, :half], numbers[:, half:], y[:half].mean()
    varies = np.ptp(learnt, axis=1) > 0
    scale = np.abs(learnt).max(axis=1)
    near = (numbers - learnt.mean(axis=1)[:, None]) / np.where(scale > 0, scale, 1.0)[:, None]
    spread = np.where(varies, np.vecdot(near[:, :half], near[:, :half]), 1.0)
    slopes = near[:, :half] @ (y[:half] - mean) / spread
    fit = _r_squared(mean + slopes[:, None] * near[:, half:], y[half:])
    ranks, (of_target,) = _centred_ranks(judged), _centred_ranks(y[None, half:])
    sizes = np.vecdot(ranks, ranks) * (of_target @ of_target)
    order = np.divide((ranks @ of_target) ** 2, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    return np.where(varies, fit, 0.0), np.where(varies, order, 0.0)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of ``values [C, n]`` in each row, equal values sharing theirs, less their mean."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(starts) - 1
    count = np.bincount(group)
    middle = np.flatnonzero(starts) % values.shape[1] + (count - 1) / 2
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, middle[group].reshape(values.shape), axis=1)
    return ranks - (values.shape[1] - 1) / 2


def _by_order(means: np.ndarray, second: np.ndarray, y: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """``2 AUC - 1`` of the cells' ``means [K]``; pairs are counted in halves, which float64 holds exactly."""
    columns, count = second.shape
    all_positive = int(y.sum())
    if not 0 < all_positive < count:
        return np.zeros(columns)
    positive = np.bincount(second.ravel(), weights=np.tile(y.astype(np.float64), columns), minlength=len(owner))
    negative = np.bincount(second.ravel(), minlength=len(owner)) - positive
    order = np.lexsort((means, owner))
    means, owner = means[order], owner[order]
    starts = np.append(True, (np.diff(means) != 0) | (np.diff(owner) != 0))
    group, owner = np.cumsum(starts) - 1, owner[starts]
    above, below = np.bincount(group, weights=positive[order]), np.bincount(group, weights=negative[order])
    lower = np.cumsum(below) - below / 2 - owner * (count - all_positive)
    pairs = np.bincount(owner, weights=above * lower, minlength=columns)
    return 2 * pairs / (all_positive * (count - all_positive)) - 1


def _by_class(first: np.ndarray, second: np.ndarray, y: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """The share of the errors of the most frequent class that go away where each cell tells its own."""
    columns, count = second.shape
    half, classes = len(y) - count, int(y.max()) + 1
    table = np.bincount(first * classes + np.tile(y[:half], columns), minlength=len(owner) * classes)
    table = table.reshape(-1, classes)
    most = int(np.argmax(np.bincount(y[:half], minlength=classes)))
    told = np.where(table.any(axis=1), table.argmax(axis=1), most)
    right, plain = np.mean(told[second] == y[half:], axis=1), float(np.mean(y[half:] == most))
    return (right - plain) / (1 - plain) if plain < 1 else np.zeros(columns)


def _r_squared(told: np.ndarray, y: np.ndarray) -> np.ndarray:
    spread = np.sum((y - y.mean()) ** 2)
    return 1 - np.sum((y - told) ** 2, axis=1) / spread if spread > 0 else np.zeros(len(told))
