"""Permutation importance of the columns of a table: how much worse the score gets when one is shuffled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from lanewise.data.dataset import Dataset
from lanewise.errors import UsageError
from lanewise.metrics import Metric
from lanewise.statistics import bootstrap_counts, keyed_generator, paired_errors, resampled_scores, sample_of

MOST_COLUMNS = 100
"""More columns than this are screened first, with one shuffle of 500 rows."""
FEWEST_COLUMNS = 20
"""Columns of such a table that are shuffled at least, where time is short."""
SCREEN_ROWS = 500
DRAWS = 200
MOST_CELLS = 20_000_000
"""Shuffled copies of the rows that are predicted in one call hold at most this many cells."""
FEWEST_ROWS, ENOUGH_ROWS = 200, 500
"""Rows that are used at least, and below which shuffles are saved rather than rows, where time is short."""
ROUNDING = 4e-6
"""Single precision predicts the same row in another batch up to this share of the largest prediction."""

Array = NDArray[np.float64]
Predict = Callable[[Dataset], np.ndarray]
Reordered = Callable[[str, Sequence[NDArray[np.intp]]], np.ndarray]
"""Predictions of the rows of a table once per order of the column named, one below the other."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What one column is worth to the model: the loss that shuffling it adds, with its 95% interval."""

    column: str
    value: float
    low: float
    high: float


def _never() -> bool:
    return False


def permutation_importance(
    predict: Predict,
    dataset: Dataset,
    rows: NDArray[np.intp],
    y: ArrayLike,
    metric: Metric,
    *,
    columns: Sequence[str],
    seed: int,
    weight: ArrayLike | None = None,
    repeats: int = 5,
    max_rows: int = 2000,
    predictions: float | None = None,
    per_call: float = 0.0,
    reordering: Callable[[Dataset], Reordered] | None = None,
    stop: Callable[[], bool] = _never,
) -> tuple[Importance, ...]:
    """How much the loss rises when a column is shuffled, the most important first.

    ``I_j = mean over repeats of loss(x with column j shuffled) - loss(x)``, in the unit of the metric and
    oriented so that positive means that the column matters. The standard error adds what the choice of
    rows gives (paired bootstrap of the rows) to what the shuffles give. Columns that carry the same
    information share it: each then looks less important than both together. All columns are shuffled by the
    same draws.

    Args:
        predict: means ``[n]`` or ``[n, 1]``, or probabilities ``[n, C]``, of the rows of a dataset.
        dataset: the table; ``rows`` of it are used, at random 2,000 (``max_rows``) of them.
        rows: row numbers that the model did not train on.
        y: ``[N]``, the target of all rows of the dataset.
        metric: scores the predictions.
        columns: to be shuffled, one at a time. Of more than 100 only the 100 that one shuffle of 500 rows
            finds most important are measured, and returned.
        seed: key of the rows and shuffles.
        weight: ``[N]`` or None.
        repeats: shuffles per column.
        max_rows: bounds the work.
        predictions: of one row, that may be made about: fewer shuffles and then fewer rows are used where the whole
            would need more, the screen included, but 200 rows and one shuffle at least. The intervals say what that
            costs.
        per_call: what shuffling a column takes beside its rows, in predictions of a row.
        reordering: makes of a table what predicts its rows with one column in other orders, where that can be had for
            less than a shuffled table costs ``predict``; the predictions must be the same.
        stop: asked before every column; once true, what is known by then is returned.

    Raises:
        UsageError: a column that the table lacks, or ``repeats`` or ``max_rows`` below 1.

    Source: Breiman (2001), Random forests; Fisher, Rudin and Dominici (2019), All models are wrong, JMLR 20.
    """
    _check(dataset, columns, repeats, max_rows)
    chosen = _drawn(np.asarray(rows, dtype=np.intp), max_rows, seed)
    target, weights = np.asarray(y), None if weight is None else np.asarray(weight)

    def bench(kept: NDArray[np.intp], times: int) -> _Bench:
        own = None if weights is None else weights[kept]
        table = _take(dataset, kept)
        mix = _shuffled_tables(predict, table) if reordering is None else reordering(table)
        return _Bench(predict, mix, table, target[kept], metric, weight=own, repeats=times, seed=seed)

    if predictions is not None:
        most, repeats = _affordable(predictions, len(columns), min(max_rows, len(chosen)), repeats, per_call)
        chosen = chosen[:most]
    if len(columns) > MOST_COLUMNS:
        quick = bench(chosen[:SCREEN_ROWS], 1).measured(columns, stop)
        columns = [one.column for one in quick[:MOST_COLUMNS]]
    return bench(chosen, repeats).measured(columns, stop)


def _check(dataset: Dataset, columns: Sequence[str], repeats: int, max_rows: int) -> None:
    there = set(dataset.frame.columns)
    missing = [name for name in columns if name not in there]
    if missing:
        message = f"the table has no column {missing[0]!r} to shuffle; it has {', '.join(dataset.frame.columns[:20])}"
        raise UsageError(message)
    if repeats < 1 or max_rows < 1:
        message = f"repeats and max_rows must be at least 1, got {repeats} and {max_rows}"
        raise UsageError(message)


def shortlist(
    columns: Sequence[str], attention: Mapping[str, float], *, predictions: float, rows: int, per_call: float = 0.0
) -> tuple[str, ...]:
    """The columns that there are ``predictions`` enough to shuffle once, of ``rows`` rows at hand.

    Columns of which the model reads nothing, whose ``attention`` is 0, need none. Where the others are too many those
    go that most of the model is about, 20 at least, in the order of the table; 100 columns are never too many.

    >>> shortlist(["a", "b", "c"], {"a": 0.0, "b": 0.1, "c": 0.9}, predictions=1e6, rows=500)
    ('b', 'c')
    """
    read = [name for name in columns if attention[name] > 0]
    each = min(FEWEST_ROWS, max(rows, 1)) + per_call
    once = int(predictions // each)
    # Those of more than the most that are measured are screened first, which takes a shuffle of each as well.
    most = once - MOST_COLUMNS if once > 2 * MOST_COLUMNS else max(FEWEST_COLUMNS, min(once, MOST_COLUMNS))
    if len(read) <= max(most, MOST_COLUMNS):
        return tuple(read)
    kept = set(sorted(read, key=lambda name: -attention[name])[:most])
    return tuple(name for name in read if name in kept)


def _affordable(
    predictions: float, columns: int, max_rows: int, repeats: int, per_call: float = 0.0
) -> tuple[int, int]:
    """Rows and shuffles per column that need about so many predictions of a row, a screen of many columns included."""
    screened = min(SCREEN_ROWS, max_rows)
    if columns > MOST_COLUMNS:
        left = predictions - columns * (screened + per_call)
        if left < MOST_COLUMNS * (screened + per_call):
            # Fewer rows than the screen wants: both read the same ones, once.
            rows = int(predictions // (columns + MOST_COLUMNS) - per_call)
            return max(min(FEWEST_ROWS, max_rows), min(screened, rows)), 1
        predictions, columns = left, MOST_COLUMNS
    per_shuffle = predictions / max(columns, 1) - per_call
    times = max(1, min(repeats, int(per_shuffle // max(1, min(ENOUGH_ROWS, max_rows)))))
    return max(min(FEWEST_ROWS, max_rows), min(max_rows, int(per_shuffle // times))), times


class _Bench:
    """The rows as they are, predicted once, against which shuffled ones are held."""

    def __init__(
        self,
        predict: Predict,
        mix: Reordered,
        dataset: Dataset,
        y: NDArray,
        metric: Metric,
        *,
        weight: NDArray | None,
        repeats: int,
        seed: int,
    ) -> None:
        self.predict = predict
        self.mix = mix
        self.dataset = dataset
        self.y = y
        self.weight = weight
        self.metric = metric
        self.seed = seed
        self.orders = [keyed_generator(seed, "importance", time).permutation(len(y)) for time in range(repeats)]
        self.counts = bootstrap_counts(len(y), DRAWS, seed=seed)

    def measured(self, columns: Sequence[str], stop: Callable[[], bool]) -> tuple[Importance, ...]:
        """Every column until told to stop, the most important first; equal ones in their order."""
        found: list[Importance] = []
        base = None
        for column in columns:
            if stop():
                break
            base = _flat(self.predict(self.dataset)) if base is None else base
            found.append(self._importance(column, base))
        return tuple(sorted(found, key=lambda one: -one.value if np.isfinite(one.value) else np.inf))

    def _importance(self, column: str, base: Array) -> Importance:
        stack = np.stack([base, *self._shuffled(column)])
        if len(base) and np.abs(stack - base).max() <= ROUNDING * np.abs(base).max():
            return Importance(column=column, value=0.0, low=0.0, high=0.0)
        sample = sample_of(self.y, stack, self.weight, None, seed=self.seed)
        losses = self.metric.sign * resampled_scores(self.metric, sample, np.ones((1, len(self.y))))[0]
        rises = losses[1:] - losses[0]
        drawn = self.metric.sign * resampled_scores(self.metric, sample, self.counts)
        # The mean over the shuffles against the rows as they are, in the same draws.
        of_rows = paired_errors(np.column_stack([drawn[:, 0], drawn[:, 1:].mean(axis=1)]))[0, 1]
        of_shuffles = rises.std(ddof=1) / np.sqrt(len(rises)) if len(rises) > 1 else 0.0
        value = float(rises.mean())
        half = NormalDist().inv_cdf(0.975) * float(np.hypot(of_rows, of_shuffles))
        return Importance(column=column, value=value, low=value - half, high=value + half)

    def _shuffled(self, column: str) -> list[Array]:
        """Predictions with the column shuffled, one per repeat; as many repeats per call as fit."""
        frame = self.dataset.frame
        at_once = max(1, MOST_CELLS // max(1, frame.height * frame.width))
        found: list[Array] = []
        for start in range(0, len(self.orders), at_once):
            orders = self.orders[start : start + at_once]
            predicted = _flat(self.mix(column, orders))
            found += list(predicted.reshape(len(orders), len(self.y), *predicted.shape[1:]))
        return found


def _shuffled_tables(predict: Predict, dataset: Dataset) -> Reordered:
    """The plain way: the shuffled tables, one below the other."""
    frame = dataset.frame

    def mix(column: str, orders: Sequence[NDArray[np.intp]]) -> np.ndarray:
        mixed = pl.concat([frame[column].gather(pl.Series(order)) for order in orders], rechunk=True)
        copies = pl.concat([frame] * len(orders), rechunk=True).with_columns(mixed.alias(column))
        return predict(replace(dataset, frame=copies))

    return mix


def _flat(predicted: np.ndarray) -> Array:
    """Means as ``[n]`` where they come as ``[n, 1]``; probabilities ``[n, C]`` as they are."""
    predicted = np.asarray(predicted, dtype=np.float64)
    return predicted[:, 0] if predicted.ndim == 2 and predicted.shape[1] == 1 else predicted


def _drawn(rows: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """At most so many rows, in random order."""
    return rows[keyed_generator(seed, "importance rows").permutation(len(rows))[:most]]


def _take(dataset: Dataset, rows: NDArray[np.intp]) -> Dataset:
    return replace(dataset, frame=dataset.frame[rows.tolist()])
