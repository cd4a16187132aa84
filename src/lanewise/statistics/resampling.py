"""Drawing rows again: which rows move together, how often each is drawn, what a draw scores.

A draw is a vector of counts per unit. A unit is a row, or a cluster of rows that must stay
together. All scores of all draws are then one matrix product, ``counts [R, U] @ totals [U, M]``,
for every metric that is a function of weighted means.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.errors import DataError

Array = NDArray[np.float64]

MOST_UNITS = 50_000
"""More rows than this are drawn in random groups: same variance in expectation, bounded work."""
BLOCK_CELLS = 8_000_000
WIDENED = 8
"""Cells that a count is taken for where it becomes a number of 64 bits: so a block of them takes 8 MB, not 64."""
BLOCK_COLUMNS = 256
ORDERED_WORK = 1_000_000_000
FEWEST_DRAWS = 100
KEPT_CELLS = 10_000_000
DRAWN_CELLS = 200_000
"""Units drawn by one call: one call for each draw spends its time on calls."""


class Measure(Protocol):
    """What resampling asks of a metric; :class:`lanewise.metrics.Metric` is one."""

    @property
    def sign(self) -> float: ...
    @property
    def averages(self) -> bool: ...
    @property
    def gaps(self) -> bool: ...
    @property
    def values(self) -> Callable[[NDArray, Array, float], Array] | None: ...
    @property
    def finish(self) -> Callable[[Array], Array]: ...
    def scores(self, y: NDArray, prediction: Array, weights: Array) -> Array: ...


def keyed_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A stream of random numbers that depends on its seed and keys, and on nothing else.

    >>> keyed_generator(1, "draws").integers(1000) == keyed_generator(1, "draws").integers(1000)
    np.True_
    """
    words = [crc32(key.encode()) if isinstance(key, str) else key for key in keys]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))


@dataclass(frozen=True, kw_only=True)
class Units:
    """Which unit each row belongs to, ``of_row [N]``, and how many there are, ``count`` (U)."""

    of_row: NDArray[np.intp]
    count: int

    def totals(self, values: Array) -> Array:
        """Sums of row values per unit: ``[N, S] -> [U, S]``."""
        if self.count == len(self.of_row):
            # One row per unit: a sum is the row itself, moved to its unit's place.
            placed = np.empty_like(values)
            placed[self.of_row] = values
            return placed
        columns = [np.bincount(self.of_row, weights=column, minlength=self.count) for column in values.T]
        return np.stack(columns, axis=1).astype(np.float64)


def units_of(rows: int, clusters: ArrayLike | None, *, seed: int) -> Units:
    """Each row a unit, or each cluster (``clusters [N]``, any labels).

    Above 50,000 units, units are merged at random into 50,000 of near equal size.

    Raises:
        DataError: ``clusters`` has another length.
    """
    if clusters is None:
        of_row, count = np.arange(rows), rows
    else:
        labels = np.asarray(clusters)
        if labels.shape != (rows,):
            message = f"clusters have shape {labels.shape}; give one label per row: ({rows},)"
            raise DataError(message)
        distinct, of_row = np.unique(labels, return_inverse=True)
        count = len(distinct)
    if count > MOST_UNITS:
        merged = keyed_generator(seed, "merge units").permutation(count) % MOST_UNITS
        of_row, count = merged[of_row], MOST_UNITS
    return Units(of_row=of_row.astype(np.intp), count=count)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Candidates' predictions of the same rows, ready to be drawn again.

    ``y [N]``, ``predictions [M, N]`` or ``[M, N, C]``, ``weight [N]``, and the units of the rows.
    """

    y: NDArray
    predictions: Array
    weight: Array
    units: Units

    @property
    def candidates(self) -> int:
        return len(self.predictions)

    def take(self, rows: NDArray[np.intp]) -> "Sample":
        """The sample of some rows; units that lose all rows are dropped."""
        left, of_row = np.unique(self.units.of_row[rows], return_inverse=True)
        return Sample(
            y=self.y[rows],
            predictions=self.predictions[:, rows],
            weight=self.weight[rows],
            units=Units(of_row=of_row, count=len(left)),
        )


def sample_of(
    y: ArrayLike, predictions: ArrayLike, weight: ArrayLike | None, clusters: ArrayLike | None, *, seed: int
) -> Sample:
    """The sample of M candidates; weights are ones and units are rows where None is given.

    Raises:
        DataError: rows, weights or clusters do not match, or a weight is negative.
    """
    target, stack = np.asarray(y), np.asarray(predictions, dtype=np.float64)
    if target.ndim != 1 or stack.ndim < 2 or stack.shape[1] != len(target):
        message = f"predictions have shape {stack.shape} for {target.shape} targets; give [candidates, rows, ...]"
        raise DataError(message)
    weights = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=np.float64)
    if weights.shape != target.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        message = f"weights must be finite, at least 0 and one per row: {target.shape}, got {weights.shape}"
        raise DataError(message)
    return Sample(y=target, predictions=stack, weight=weights, units=units_of(len(target), clusters, seed=seed))


def bootstrap_counts(units: int, draws: int, *, seed: int) -> NDArray[np.uint8]:
    """How often each unit is drawn: ``[R, U]``; a row sums to U (drawn with replacement, never stratified).

    A count above 255 has a probability below 1e-500. Few counts are kept, read-only: all candidates of a race are drawn
    alike.
    """
    return (_kept_counts if units * draws <= KEPT_CELLS else _drawn_counts)(units, draws, seed)


def _drawn_counts(units: int, draws: int, seed: int) -> NDArray[np.uint8]:
    generator = keyed_generator(seed, "bootstrap")
    counts = np.empty((draws, units), dtype=np.uint8)
    size = max(1, DRAWN_CELLS // max(1, units))
    for block in (counts[start : start + size] for start in range(0, draws, size)):
        # The generator deals the same numbers to one call for many draws as to one call for each.
        drawn = generator.integers(0, units, block.shape)
        drawn += units * np.arange(len(block))[:, None]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    counts.flags.writeable = False
    return counts


_kept_counts = functools.lru_cache(maxsize=4)(_drawn_counts)


def affordable_draws(measure: Measure, sample: Sample, draws: int) -> int:
    """``draws``, or fewer (never below 100) where the metric must walk all rows for each draw and candidate."""
    if measure.values is not None:
        return draws
    work = max(1, sample.candidates * len(sample.y))
    return min(draws, max(FEWEST_DRAWS, ORDERED_WORK // work))


def resampled_scores(measure: Measure, sample: Sample, counts: NDArray) -> Array:
    """Score of each candidate under each draw.

    Args:
        measure: the metric.
        sample: M candidates on N rows in U units.
        counts: ``[R, U]``, any non-negative weights of the units.

    Returns:
        ``[R, M]``; NaN where a score is not defined.
    """
    scores = np.full((len(counts), sample.candidates), np.nan)
    if not len(sample.y):
        return scores
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if measure.values is None:
            _ordered_scores(measure, sample, counts, scores)
        else:
            _mean_scores(measure, sample, counts, scores)
    return scores


def blocks(total: int, cells_each: int) -> Iterator[slice]:
    """Slices that share ``total`` draws out, of at most 8 million cells each."""
    size = max(1, BLOCK_CELLS // max(1, cells_each))
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _ordered_scores(measure: Measure, sample: Sample, counts: NDArray, scores: Array) -> None:
    for block in blocks(len(counts), 4 * len(sample.y)):
        weights = counts[block][:, sample.units.of_row] * sample.weight
        for m, prediction in enumerate(sample.predictions):
            scores[block, m] = measure.scores(sample.y, prediction, weights)


def _mean_scores(measure: Measure, sample: Sample, counts: NDArray, scores: Array) -> None:
    weight_totals = sample.units.totals(sample.weight[:, None])[:, 0]
    start = 0
    while start < sample.candidates:
        columns, stop, width = [], start, 1
        while stop < sample.candidates and (not columns or (len(columns) + 1) * width <= BLOCK_COLUMNS):
            columns.append(_unit_totals(measure, sample, stop))
            width = columns[0].shape[1]
            stop += 1
        stacked = np.concatenate(columns, axis=1)
        for block in blocks(len(counts), WIDENED * sample.units.count):
            drawn = counts[block].astype(np.float64)
            means = drawn @ stacked / (drawn @ weight_totals)[:, None]
            scores[block, start:stop] = measure.finish(means.reshape(len(drawn), stop - start, width))
        start = stop


def _unit_totals(measure: Measure, sample: Sample, candidate: int) -> Array:
    """Weighted sums of the row values per unit, ``[U, S]``; NaN for a prediction that is not finite."""
    assert measure.values is not None
    prediction = sample.predictions[candidate]
    finite = np.isfinite(prediction).all()
    values = measure.values(sample.y, prediction if finite else np.zeros_like(prediction), 0.5)
    return sample.units.totals(values * sample.weight[:, None] if finite else np.full_like(values, np.nan))
