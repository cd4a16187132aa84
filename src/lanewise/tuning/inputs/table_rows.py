"""Rows of Parquet and Arrow files as a data set for PyTorch, which may be larger than the memory."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lanewise.data.column_facts import ColumnFacts
from lanewise.data.dataset import Dataset as Table
from lanewise.data.roles import cut_names
from lanewise.data.sources import missing_file
from lanewise.data.streaming import Rest, read_streamed, with_target_of_rest
from lanewise.data.table_files import TableFiles, table_files
from lanewise.data.target import encode_target, name_hint, resolve_task
from lanewise.data.wording import counted
from lanewise.distributed.joining import joined_for_good
from lanewise.distributed.ranks import Ranks
from lanewise.errors import DataError, UsageError, all_of
from lanewise.features.encoding import require_columns
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.lanes.windows import Placing, placed_windows
from lanewise.models.batch import Tree, mapped
from lanewise.task import Task, TaskKind
from lanewise.training.streamed.row_maps import Writing
from lanewise.training.streamed.row_store import CODES, NARROW, TARGET, RowForm, RowStore
from lanewise.tuning.inputs.sources import Source, as_tensors

LARGEST = float(np.finfo(np.float32).max)


def table_rows(
    source: str | Path,
    *,
    target: str,
    inputs: Sequence[str] | None = None,
    task: TaskKind | None = None,
    folder: str | Path | None = None,
) -> "TableRows":
    """A table of Parquet or Arrow files as rows that stay on disk: ``train=`` of :func:`lanewise.tune`, or a data set.

    Every row is written once, as arrays, in random windows; the files have no name any more once they are open, so
    that their space is free again when the process ends. Under torchrun all ranks call this alike: the first on each
    host writes, and the others open what it has written. The largest part of the table that is in memory is a sample
    of 100,000 rows, while it is written.

    Args:
        source: a file, a folder of files, or a pattern such as ``"parts/*.parquet"``.
        target: the column to be learned. Rows without it are left out.
        inputs: the columns that the module gets; None: all others.
        task: ``"binary"``, ``"multiclass"``, ``"regression"`` or ``"count"``, where what the target holds leaves it
            open.
        folder: where the rows are written; None: the system's place for temporary files.

    Returns:
        the rows as :class:`TableRows`: numbers float32 ``[N, D]`` (a date becomes several), codes of categories int64
        ``[N, K]``, and the target: classes int64 ``[N]``, or numbers float32 ``[N, 1]``.

    Raises:
        UsageError: the source is of another format, or a column is not there, or is text.
        DataError: a file is damaged, numbers are missing or beyond float32, or the disk has no room.

    >>> import tempfile
    >>> import polars as pl
    >>> folder = tempfile.TemporaryDirectory()
    >>> numbers = {"a": [0.5, 1.5, 2.5] * 20, "town": ["Oslo", "Rome", "Bern"] * 20, "y": ["no", "yes", "no"] * 20}
    >>> pl.DataFrame(numbers).write_parquet(folder.name + "/part.parquet")
    >>> rows = table_rows(folder.name, target="y")
    >>> len(rows), rows.names, rows.levels, rows.classes
    (60, ('a',), {'town': ('Bern', 'Oslo', 'Rome')}, ('no', 'yes'))
    >>> (numbers, codes), wanted = rows[0]
    >>> numbers.shape, codes.shape, wanted.dtype
    (torch.Size([1]), torch.Size([1]), torch.int64)
    >>> folder.cleanup()
    """
    return written_rows(source, target=target, inputs=inputs, task=task, folder=folder)


def written_rows(
    source: str | Path,
    *,
    target: str,
    inputs: Sequence[str] | None = None,
    task: TaskKind | None = None,
    folder: str | Path | None = None,
    ranks: Ranks | None = None,
) -> "TableRows":
    """What :func:`table_rows` gives, of ``ranks`` that have met; None: of those of torchrun, or of this process."""
    table = _read(source)
    names = tuple(name for name in table.kinds if name != target) if inputs is None else tuple(inputs)
    _check_there(table.source, table.kinds, target, names)
    text = next((name for name in names if table.kinds[name] == "text"), None)
    if text is not None:
        message = f"column {text!r} is text, and inputs are numbers, dates and categories; leave it out of inputs"
        raise UsageError(message)
    found, _ = resolve_task(with_target_of_rest(table, target), target, kind=task)
    beyond = None if table.rest is None else table.rest.facts
    layout = Layout.fit(table, names, np.arange(table.rows), settings=LayoutSettings(), beyond=beyond)
    return TableRows(table, layout, found, folder, ranks)


def check_columns(source: str | Path, *, target: str, inputs: Sequence[str] | None) -> None:
    """Raise what :func:`table_rows` would raise of the form of a table and of its columns, by their names."""
    files = _files(source)
    _check_there(files.name, files.schema, target, inputs or ())


def _check_there(source: str, columns: Collection[str], target: str, names: Sequence[str]) -> None:
    absent = [name for name in dict.fromkeys((target, *names)) if name not in columns]
    if absent:
        lines = [f"{source} has no column {name!r} that can be used: {name_hint(name, columns)}" for name in absent]
        lines += cut_names("inputs", names, columns)
        raise all_of(UsageError, lines, heading=f"{len(absent)} columns cannot be found")
    if target in names:
        message = f"column {target!r} cannot be both target and one of the inputs; name it once"
        raise UsageError(message)


@final
class TableRows(Dataset[tuple[Tensor | tuple[Tensor, ...], Tensor]]):
    """Rows that :func:`table_rows` wrote, a map-style data set: ``rows[i]`` is a pair of inputs and target.

    The inputs are ``numbers [D]``, ``codes [K]``, or where there are both the pair of them, which a module is called
    with by place. ``names`` are those of the numbers, ``levels`` what the codes of each category stand for from code 2
    on: 0 is any other level, 1 a missing cell, so an embedding table has ``len(levels) + 2`` rows. ``classes`` are
    those of the target, none where it is a number. The rows lie in random windows, the places ``edges [W + 1]`` of
    which are known to :func:`lanewise.tune`: it reads one after another, from front to end.
    """

    def __init__(
        self, table: Table, layout: Layout, task: Task, folder: str | Path | None, ranks: Ranks | None
    ) -> None:
        self.names = layout.number_names
        self.levels: Mapping[str, tuple[str, ...]] = {own.name: own.levels for own in layout.categories}
        self.classes = task.classes
        self.name = table.source
        self._layout, self._task, self._folder, self._ranks = layout, task, folder, ranks
        with joined_for_good() if ranks is None else nullcontext(ranks) as together:
            store = _stored(table, layout, task, folder, together)
        self.edges = torch.from_numpy(store.edges)
        parts = [store.mapped(part) for part, there in ((NARROW, self.names), (CODES, self.levels)) if there]
        *inputs, y = as_tensors(self.name, (*parts, store.mapped(TARGET)))
        self.X: Tree = tuple(inputs) if len(inputs) > 1 else inputs[0]
        self.y: Tensor = y[:, 0] if task.is_classification else y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Tensor | tuple[Tensor, ...], Tensor]:
        return mapped(lambda own: own[row], self.X), self.y[row]

    def like(self, source: str | Path) -> "TableRows":
        """The rows of another table in the same columns, codes and classes, such as ``valid=`` of a race.

        Raises as :func:`table_rows`, and ``DataError`` for a class that these rows do not have.
        """
        return TableRows(_read(source), self._layout, self._task, self._folder, self._ranks)

    def source(self, name: str) -> Source:
        """The rows as a race reads them."""
        words = f"{name}: {len(self):,} rows of {self.name} lie on disk, in {len(self.edges) - 1:,} random windows"
        return Source(name=name, rows=len(self), table=(self.X, self.y), words=(words,), mapped=True, edges=self.edges)


def _read(source: str | Path) -> Table:
    return read_streamed(_files(source), asked=True)


def _files(source: str | Path) -> TableFiles:
    files = table_files(source)
    if files is None and not os.path.exists(source):
        raise missing_file(str(source))
    if files is None:
        message = (
            f"{source} is neither a Parquet nor an Arrow file nor a folder of them; write it as one, as "
            "polars.scan_csv(...).sink_parquet(...) does, or read it yourself and give tensors"
        )
        raise UsageError(message)
    return files


def _stored(table: Table, layout: Layout, task: Task, folder: str | Path | None, ranks: Ranks) -> RowStore:
    """All rows with a target, the sample of ``table`` and then the rest, in windows that their numbers draw."""
    require_columns(table, (*(column.name for column in layout.columns), task.target))
    whole = _Whole(table)
    _check_numbers(whole, layout, task)
    rows = whole.rows - whole.facts(task.target).missing
    form = RowForm(
        narrow=np.ones(len(layout.numbers), dtype=bool),
        codes=len(layout.categories),
        code_type=np.dtype(np.int64),
        target_type=np.dtype(np.int64 if task.is_classification else np.float32),
        weighed=False,
    )
    needed = form.needed_bytes(rows, 0)
    placing = Placing(windows=placed_windows(rows, needed // max(1, rows)), seed=0)
    held = np.bincount(placing.of(0, rows), minlength=placing.windows)[:, None]
    place = None if folder is None else Path(folder)
    store_in = partial(RowStore, form=form, placing=placing, rows=held, words=np.zeros_like(held))

    def fill(store: RowStore) -> None:
        first = 0
        for batch in whole.batches((*(column.name for column in layout.columns), task.target)):
            y = encode_target(batch, task)
            there = y >= 0 if task.is_classification else ~np.isnan(y)
            encoded = layout.encode(batch).only(there)
            store.write(first, encoded, y[there], np.ones(encoded.rows), np.zeros(encoded.rows, dtype=np.int64))
            first += encoded.rows

    with Writing(place, needed, ranks, elsewhere="give another folder, or let TMPDIR name one") as files:
        return files.stored(store_in, fill)


@final
class _Whole:
    """All rows of a table: those of its sample, and those that are streamed."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._facts: dict[str, ColumnFacts] = {}
        self._rest: Rest | None = table.rest if table.rest is not None and table.rest.rows else None

    @property
    def rows(self) -> int:
        return self._table.rows + (0 if self._rest is None else self._rest.rows)

    def facts(self, column: str) -> ColumnFacts:
        if column not in self._facts:
            own = ColumnFacts.of(self._table.frame[column], self._table.kinds[column])
            self._facts[column] = own if self._rest is None else own.plus(self._rest.facts[column])
        return self._facts[column]

    def batches(self, columns: tuple[str, ...]) -> Iterator[Table]:
        yield self._table
        if self._rest is not None:
            yield from self._rest.batches(columns)


def _check_numbers(whole: _Whole, layout: Layout, task: Task) -> None:
    """``DataError`` for numbers that a module cannot be given."""
    names = dict.fromkeys(number.column for number in layout.numbers)
    for name in names:
        missing = whole.facts(name).missing
        if missing:
            message = f"column {name!r} is missing in {counted(missing, 'row')}; fill it in, or leave it out of inputs"
            raise DataError(message)
    plain = [column.name for column in layout.columns if column.kind == "number"]
    for name in [*plain, *([] if task.is_classification else [task.target])]:
        facts = whole.facts(name)
        largest = max(abs(facts.low or 0.0), abs(facts.high or 0.0))
        if largest > LARGEST:
            message = f"column {name!r} holds {largest:g}, beyond what 32 bits hold; scale it, or leave it out"
            raise DataError(message)
