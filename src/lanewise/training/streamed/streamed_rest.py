"""Which rows of a streamed table train beside its sample, and what they tell the preparation: one pass over them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import compress
from typing import final

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
from lanewise.training.streamed.rest_parts import NOWHERE, Parts

MOST_TWINS = 0.5
"""Share of the rest beyond which twins of the sample stay: new cases of such a table will repeat old ones as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRest:
    """The rows of ``rest`` that train: those with a target, no twin of a row of the sample, and not held out.

    All rows of the sample judge, in a fold or in the test set, so a twin of one would make a score too good. ``kept``
    marks the training rows, batch by batch, as bits; ``parts`` says in which folds they train. ``statistics`` and
    ``target`` (moments of the target, or None for classes) are of the rows of each part. They are written for training
    where ``placing`` says, those of the sample as numbers 0 to ``first`` and these behind them: ``held [W, P]`` of
    each part in each window, with ``words [W, P]`` words of texts. ``weight`` is the column of their weights;
    ``weights [C]`` are the sums of those by class, ``counts [C]`` of the rows (one class where the target is a number).
    """

    rest: Rest
    task: Task
    layout: Layout
    features: tuple[str, ...]
    kept: tuple[np.ndarray, ...]
    parts: Parts
    statistics: tuple[StreamedStatistics, ...]
    target: tuple[Moments, ...] | None
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
        return sum(own.rows for own in self.statistics)

    def trains(self, fold: int | None) -> np.ndarray:
        """Which parts a fold trains on: bool ``[P]``; None: a refit, which trains on all."""
        return np.ones(self.parts.count, dtype=bool) if fold is None else self.parts.trains[fold]

    def statistics_of(self, fold: int | None) -> StreamedStatistics:
        """Those of the rows that a fold trains on; None: a refit."""
        return reduce(StreamedStatistics.plus, compress(self.statistics, self.trains(fold)))

    def target_of(self, fold: int | None) -> Moments | None:
        """Moments of the target of the rows that a fold trains on; None for classes."""
        return None if self.target is None else reduce(Moments.plus, compress(self.target, self.trains(fold)))

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
        others = (name for name in (self.task.target, self.weight, self.parts.column) if name is not None)
        return tuple(dict.fromkeys((*self.features, *others)))


def training_rest(
    dataset: Dataset,
    *,
    task: Task,
    layout: Layout,
    features: tuple[str, ...],
    parts: Parts | None,
    groups: np.ndarray | None,
    seed: int,
    weight: str | None = None,
) -> TrainingRest | None:
    """What trains beside the rows of ``dataset``, a sample; None where there are no ``parts`` of a rest.

    The parts say in which folds rows train. ``groups [N]`` label equal rows of the sample that stay together; None
    where they repeat by nature, or other groups or times stay together: then twins stay. ``seed`` is that of the order,
    ``weight`` names the column of weights.

    Raises ``DataError`` for weights below zero.
    """
    if parts is None:
        return None
    rest = parts.rest
    if weight is not None and (rest.facts[weight].low or 0.0) < 0:
        message = f"weight must name a column of numbers from zero up, and {weight!r} has {rest.facts[weight].low:g}"
        raise DataError(message)
    first, count = len(parts.own), parts.count
    windows = placed_windows(first + rest.rows, 4 * layout.dense_width * len(parts.trains))
    empty = TrainingRest(
        rest=rest,
        task=task,
        layout=layout,
        features=features,
        kept=(),
        parts=parts,
        statistics=(StreamedStatistics.none(layout),) * count,
        target=None if task.is_classification else (Moments.none(1),) * count,
        first=first,
        placing=Placing(windows=windows, seed=seed),
        held=np.zeros((windows, count), dtype=np.int64),
        words=np.zeros((windows, count), dtype=np.int64),
        weights=np.zeros(max(1, len(task.classes))),
        counts=np.zeros(max(1, len(task.classes)), dtype=np.int64),
        weight=weight,
    )
    twins = None if groups is None else np.unique(_hashes(_only(dataset, ~common_rows(groups)), features))
    found, equal, held_out = _pass(empty, twins)
    if equal > MOST_TWINS * rest.rows:
        found, _, held_out = _pass(empty, None)
        equal = 0
    return replace(found, findings=_left_out(found, equal, held_out))


def _left_out(found: TrainingRest, equal: int, held_out: int) -> tuple[Finding, ...]:
    """How many rows beyond the sample do not train: those ``equal`` to rows of it, and those ``held_out`` with them."""
    by, beyond = found.parts.column, f"of the {found.rest.rows:,} beyond the sample"
    whose = "are of the groups of the test rows" if found.parts.groups is not None else "are as late as the test rows"
    said = {
        "twins_left_out": (equal, "equal rows that judge, in every column that is used"),
        "held_out_beyond": (held_out, f"{whose} by {by!r}"),
    }
    return tuple(
        Finding(code=code, message=f"{counted(count, 'row')} {beyond} {words}, and do not train", count=count)
        for code, (count, words) in said.items()
        if count
    )


def _pass(empty: TrainingRest, twins: np.ndarray | None) -> tuple[TrainingRest, int, int]:
    """The rest without the rows whose hashes are in ``twins``, how many those are, and how many are held out."""
    task, features = empty.task, empty.features
    tally = _Tally(empty)
    kept, left_out, held_out = [], 0, 0
    for batch in empty.rest.batches(empty.columns):
        y = encode_target(batch, task)
        inside = y >= 0 if task.is_classification else ~np.isnan(y)
        if empty.weight is not None:
            inside &= batch.frame[empty.weight].is_not_null().to_numpy()
        if twins is not None:
            equal = np.isin(_hashes(batch, features), twins)
            left_out += int((equal & inside).sum())
            inside &= ~equal
        parts = empty.parts.of(batch)
        held_out += int((inside & (parts == NOWHERE)).sum())
        inside &= parts != NOWHERE
        kept.append(np.packbits(inside))
        if inside.any():
            tally.see(_only(batch, inside), y[inside], parts[inside])
    return replace(tally.found(), kept=tuple(kept)), left_out, held_out


@final
class _Tally:
    """Adds up what the rows that train tell."""

    def __init__(self, empty: TrainingRest) -> None:
        self._empty, self._rows = empty, 0
        self._statistics = list(empty.statistics)
        self._target = None if empty.target is None else list(empty.target)
        self._held, self._words = empty.held.copy(), empty.words.copy()
        self._weights, self._counts = empty.weights.copy(), empty.counts.copy()

    def see(self, rows: Dataset, y: np.ndarray, parts: np.ndarray) -> None:
        """The next rows that train, their target and parts ``[n]``."""
        empty, encoded = self._empty, self._empty.layout.encode(rows)
        classes = y.astype(np.int64) if empty.task.is_classification else np.zeros(encoded.rows, dtype=np.int64)
        self._weights += np.bincount(classes, weights=weights_of(rows, empty.weight), minlength=len(self._weights))
        self._counts += np.bincount(classes, minlength=len(self._counts))
        cells = empty.placing.of(empty.first + self._rows, encoded.rows) * empty.parts.count + parts
        self._held += np.bincount(cells, minlength=self._held.size).reshape(self._held.shape)
        if encoded.tokens is not None:
            spoken = np.bincount(cells, weights=np.diff(encoded.tokens.indptr), minlength=self._words.size)
            self._words += spoken.astype(np.int64).reshape(self._words.shape)
        for part in np.unique(parts).tolist():
            own = encoded.only(parts == part)
            self._statistics[part] = self._statistics[part].seeing(own)
            if self._target is not None:
                values = y[parts == part].astype(np.float64)[:, None]
                self._target[part] = self._target[part].plus(Moments.of(values))
        self._rows += encoded.rows

    def found(self) -> TrainingRest:
        return replace(
            self._empty,
            statistics=tuple(self._statistics),
            target=None if self._target is None else tuple(self._target),
            held=self._held,
            words=self._words,
            weights=self._weights,
            counts=self._counts,
        )


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
