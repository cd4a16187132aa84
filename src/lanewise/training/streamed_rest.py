"""Which rows of a streamed table train beside its sample, and what they tell the preparation: one pass over them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import common_rows
from lanewise.data.findings import Finding
from lanewise.data.streaming import Rest
from lanewise.data.target import encode_target
from lanewise.data.wording import counted
from lanewise.errors import DataError
from lanewise.features.layout import Layout
from lanewise.features.streamed_statistics import Moments, StreamedStatistics
from lanewise.lanes.windows import Placing, placed_windows
from lanewise.task import Task

MOST_TWINS = 0.5
"""Share of the rest beyond which twins of the sample stay: new cases of such a table will repeat old ones as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRest:
    """The rows of ``rest`` that train: those with a target, and no twin of a row of the sample.

    All rows of the sample judge, in a fold or in the test set, so a twin of one would make a score too good. ``kept``
    marks the training rows, batch by batch, as bits. ``statistics`` and ``target`` (moments of the target, or
    None for classes) are of the rows that train; every fold trains on all of them. They are written for training where
    ``placing`` says, those of the sample as numbers 0 to ``first`` and these behind them: ``held [W]`` of them in each
    window, with ``words [W]`` words of texts. ``weight`` is the column of their weights; ``weights [C]`` are the sums
    of those by class, ``counts [C]`` of the rows (one class where the target is a number).
    """

    rest: Rest
    task: Task
    layout: Layout
    features: tuple[str, ...]
    kept: tuple[np.ndarray, ...]
    statistics: StreamedStatistics
    target: Moments | None
    first: int
    placing: Placing
    held: np.ndarray
    words: np.ndarray
    weights: np.ndarray
    counts: np.ndarray
    weight: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows train."""
        return self.statistics.rows

    def batches(self) -> Iterator[tuple[Dataset, np.ndarray, np.ndarray]]:
        """The rows that train, a batch at a time, in order; their target in its own units and their weights ``[n]``."""
        for kept, batch in zip(self.kept, self.rest.batches(self.columns), strict=True):
            inside = np.unpackbits(kept, count=batch.rows).astype(bool)
            if inside.any():
                rows = _only(batch, inside)
                yield rows, encode_target(rows, self.task), weights_of(rows, self.weight)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (*self.features, self.task.target, *([] if self.weight is None else [self.weight]))


def training_rest(
    dataset: Dataset,
    *,
    task: Task,
    layout: Layout,
    features: tuple[str, ...],
    groups: np.ndarray | None,
    first: int,
    folds: int,
    seed: int,
    weight: str | None = None,
) -> TrainingRest | None:
    """What trains beside the rows of ``dataset``; None where it is no sample, or the sample is all there is.

    ``groups [N]`` label equal rows of the sample that stay together; None where they repeat by nature: then twins stay.
    ``first`` rows of the sample train; there are so many ``folds``. ``seed`` is that of the order, ``weight`` names
    the column of weights.

    Raises ``DataError`` for weights below zero.
    """
    rest = dataset.rest
    if rest is None or not rest.rows:
        return None
    if weight is not None and (rest.facts[weight].low or 0.0) < 0:
        message = f"{weight!r} has a weight of {rest.facts[weight].low:g}; weights must be numbers from zero up"
        raise DataError(message)
    windows = placed_windows(first + rest.rows, 4 * layout.dense_width * folds)
    empty = TrainingRest(
        rest=rest,
        task=task,
        layout=layout,
        features=features,
        kept=(),
        statistics=StreamedStatistics.none(layout),
        target=None if task.is_classification else Moments.none(1),
        first=first,
        placing=Placing(windows=windows, seed=seed),
        held=np.zeros(windows, dtype=np.int64),
        words=np.zeros(windows, dtype=np.int64),
        weights=np.zeros(max(1, len(task.classes))),
        counts=np.zeros(max(1, len(task.classes)), dtype=np.int64),
        weight=weight,
    )
    twins = None if groups is None else np.unique(_hashes(_only(dataset, ~common_rows(groups)), features))
    found, left_out = _pass(empty, twins)
    if left_out > MOST_TWINS * rest.rows:
        found, _ = _pass(empty, None)
    elif left_out:
        message = (
            f"{counted(left_out, 'row')} of the {rest.rows:,} beyond the sample equal rows that judge, in every column "
            "that is used, and do not train"
        )
        found = replace(found, findings=(Finding(code="twins_left_out", message=message, count=left_out),))
    return found


def _pass(empty: TrainingRest, twins: np.ndarray | None) -> tuple[TrainingRest, int]:
    """The rest without the rows whose hashes are in ``twins``, and how many those are."""
    task, layout, features = empty.task, empty.layout, empty.features
    statistics, target = empty.statistics, empty.target
    held, words = empty.held.copy(), empty.words.copy()
    weights, counts = empty.weights.copy(), empty.counts.copy()
    kept, left_out = [], 0
    for batch in empty.rest.batches(empty.columns):
        y = encode_target(batch, task)
        inside = y >= 0 if task.is_classification else ~np.isnan(y)
        if empty.weight is not None:
            inside &= batch.frame[empty.weight].is_not_null().to_numpy()
        if twins is not None:
            equal = np.isin(_hashes(batch, features), twins)
            left_out += int((equal & inside).sum())
            inside &= ~equal
        kept.append(np.packbits(inside))
        if not inside.any():
            continue
        rows = _only(batch, inside)
        encoded = layout.encode(rows)
        classes = y[inside].astype(np.int64) if task.is_classification else np.zeros(encoded.rows, dtype=np.int64)
        weights += np.bincount(classes, weights=weights_of(rows, empty.weight), minlength=len(weights))
        counts += np.bincount(classes, minlength=len(counts))
        windows = empty.placing.of(empty.first + statistics.rows, encoded.rows)
        held += np.bincount(windows, minlength=len(held))
        if encoded.tokens is not None:
            spoken = np.bincount(windows, weights=np.diff(encoded.tokens.indptr), minlength=len(words))
            words += spoken.astype(np.int64)
        statistics = statistics.seeing(encoded)
        if target is not None:
            target = target.plus(Moments.of(y[inside][:, None].astype(np.float64)))
    found = replace(
        empty,
        kept=tuple(kept),
        statistics=statistics,
        target=target,
        held=held,
        words=words,
        weights=weights,
        counts=counts,
    )
    return found, left_out


def weights_of(dataset: Dataset, column: str | None) -> np.ndarray:
    """The weights ``[N]`` that rows came with, 0 where there is none; all 1 without a column of weights."""
    if column is None:
        return np.ones(dataset.rows)
    return dataset.frame[column].cast(float).fill_null(0.0).to_numpy().astype(np.float64)


def _only(dataset: Dataset, inside: np.ndarray) -> Dataset:
    frame = dataset.frame if inside.all() else dataset.frame[np.flatnonzero(inside)]
    return Dataset(frame=frame, kinds=dataset.kinds, source=dataset.source)


def _hashes(dataset: Dataset, features: tuple[str, ...]) -> np.ndarray:
    """A number ``[N]`` for each row that equal features share; others share it once in 10^19 pairs."""
    return dataset.frame.select(features).hash_rows().to_numpy()
