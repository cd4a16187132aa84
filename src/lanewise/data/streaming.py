"""A table too large for the memory: a sample of its rows, and the rest streamed from disk.

One pass over the files takes the sample and finds what only all rows can tell: missing cells, ranges and levels of
each column, and the fingerprint of the rows. Whatever looks at single rows (the target's kind, the audit, the splits,
every score) does so on the sample, which is a table in memory; all other rows, the *rest*, are there to train on.

The sample is drawn by row numbers alone, so it does not depend on how rows are spread over files or batches. A table
of no more rows than the sample has no rest, and gives exactly what it gives when read into memory.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lanewise.data.cells.missing import blank_out, strip_cells, word_markers
from lanewise.data.cells.typed_columns import is_unusable, type_typed_columns
from lanewise.data.column_facts import ColumnFacts
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.memory import free_bytes
from lanewise.data.table_files import TableFiles
from lanewise.data.wording import counted
from lanewise.errors import DataError

SAMPLE_ROWS = 100_000
"""Most rows of a sample: scores on a fifth of them have a standard error of 0.35 points at the most."""

SAMPLE_CELLS = 10_000_000
"""Most cells of a sample, down to 10,000 rows: 80 MB, for tables of many columns."""

FEWEST_SAMPLE_ROWS = 10_000

COPIES = 5
"""Times the bytes of all cells that a fit in memory takes at its peak: as read, encoded, prepared for each fold."""

_PLAIN = (pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt32, pl.UInt16, pl.UInt8)

OVERHEAD = 200 * 2**20
"""Bytes that a fit takes however small the table: libraries that it loads, models, scores, the report."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rest:
    """The rows of a table that are not in its sample, and what is known of them.

    ``files`` hold all rows, ``sample`` the numbers of those that are in memory, ascending; ``kinds`` and ``markers``
    (the words that stand for missing cells) say how cells are read. ``facts`` are those of the rest, by column.
    ``fingerprint`` is the SHA-256 of all rows, as of a table in memory.
    """

    files: TableFiles
    sample: np.ndarray
    kinds: Mapping[str, ColumnKind]
    markers: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    facts: Mapping[str, ColumnFacts]
    fingerprint: str

    @property
    def rows(self) -> int:
        """How many rows are not in the sample."""
        return self.files.rows - len(self.sample)

    def batches(self, columns: Sequence[str]) -> Iterator[Dataset]:
        """The rest, a batch at a time, in order; an empty batch is left out.

        Raises ``DataError`` where the files have changed or are damaged.
        """
        chosen = tuple(columns)
        for first, frame in self.files.batches(chosen):
            others = frame.filter(~pl.Series(_members(self.sample, first, frame.height)))
            if others.height:
                yield self._typed(others)

    def _typed(self, frame: pl.DataFrame) -> Dataset:
        kinds: dict[str, ColumnKind] = {name: self.kinds[name] for name in frame.columns}
        return Dataset(frame=_typed(frame, self.missing, self.markers), kinds=kinds, source=self.files.name)


def needed_bytes(files: TableFiles, *, beside: int = 0) -> int:
    """Memory that a fit of the whole table takes, about, with ``beside`` bytes for processes that work for it."""
    return COPIES * files.cell_bytes + OVERHEAD + beside


def is_too_large(files: TableFiles, *, most_bytes: int, processes: int = 1, beside: int = 0) -> bool:
    """Whether the table had better be streamed: its cells take over ``most_bytes``, or a fit more than is free.

    So many ``processes`` of this host are to hold it, each with ``beside`` bytes as `needed_bytes` has it.
    """
    return files.cell_bytes > most_bytes or processes * needed_bytes(files, beside=beside) > free_bytes()


def read_streamed(
    files: TableFiles,
    *,
    missing: tuple[str, ...] = (),
    asked: bool = False,
    tell: Callable[[str], object] = str,
    processes: int = 1,
    beside: int = 0,
) -> Dataset:
    """The sample of a table as a ``Dataset`` whose ``rest`` is streamed; ``asked`` says that it need not have been.

    ``missing`` are more marks of missing cells. ``tell`` hears why before the table is read, which may take long (a
    finding says it of a small one); each of ``processes`` of this host would have held it, and ``beside`` bytes.

    Raises ``DataError`` where a file is damaged or no column can be used.
    """
    wanted = _sample_numbers(files)
    if not asked or len(wanted) < files.rows:
        tell(_why(files, asked=asked, processes=processes, beside=beside))
    kept = [name for name, dtype in files.schema.items() if not is_unusable(dtype)]
    looked = _Look(kept=kept, missing=missing)
    parts = []
    for first, frame in files.batches():
        inside = _members(wanted, first, frame.height)
        parts.append(frame.filter(pl.Series(inside)))
        looked.see(frame.select(kept), ~inside)
    sample = pl.concat(parts)
    markers = {name: word_markers(looked.words(name, sample[name])) for name in kept if looked.is_words(name)}
    columns, aside = type_typed_columns(sample, missing=missing, markers=markers)
    if not columns:
        message = f"{files.name} has no column that can be used: {aside[0].message}"
        raise DataError(message)
    kinds: dict[str, ColumnKind] = {name: column.kind for name, column in columns.items()}
    facts = {name: _settled(looked.facts[name], markers.get(name)) for name in kept}
    rest = Rest(
        files=files,
        sample=wanted,
        kinds=kinds,
        markers=markers,
        missing=missing,
        facts=facts,
        fingerprint=looked.fingerprint(),
    )
    found = [finding for column in columns.values() for finding in column.findings]
    return Dataset(
        frame=pl.DataFrame([column.cells.alias(name) for name, column in columns.items()]),
        kinds=kinds,
        source=files.name,
        findings=(*files.findings, *aside, *found, *_streamed_finding(rest)),
        rest=rest,
    )


class _Look:
    """What one pass over a table finds beside the sample."""

    def __init__(self, *, kept: Sequence[str], missing: tuple[str, ...]) -> None:
        self.facts = dict.fromkeys(kept, ColumnFacts())
        self._missing = missing
        self._digest = hashlib.sha256()
        self._dtypes: dict[str, pl.DataType] = {}

    def see(self, frame: pl.DataFrame, rest: np.ndarray) -> None:
        """A batch; ``rest`` marks the rows that are not in the sample."""
        self._dtypes = dict(frame.schema)
        table = _typed(frame, self._missing, {})
        self._digest.update(table.hash_rows().to_numpy().tobytes())
        others = table.filter(pl.Series(rest))
        if others.height:
            for column in others.get_columns():
                seen = ColumnFacts.of(column, _kind(frame[column.name]))
                self.facts[column.name] = self.facts[column.name].plus(seen)

    def is_words(self, name: str) -> bool:
        return self._dtypes[name] == pl.String

    def words(self, name: str, sample: pl.Series) -> pl.Series:
        """The different words of a column, of the sample and of the rest."""
        own = strip_cells(sample, self._missing).drop_nulls().unique()
        return pl.concat([own.alias("level"), self.facts[name].levels["level"]]).unique()

    def fingerprint(self) -> str:
        return self._digest.hexdigest()


def _settled(facts: ColumnFacts, markers: tuple[str, ...] | None) -> ColumnFacts:
    return facts if markers is None else facts.without(markers)


def _kind(column: pl.Series) -> ColumnKind:
    """The kind of raw cells by their type; words are told apart from text later."""
    if column.dtype.is_numeric() or column.dtype == pl.Duration:
        return "number"
    return "date" if column.dtype in (pl.Date, pl.Datetime) else "category"


def _typed(frame: pl.DataFrame, missing: tuple[str, ...], markers: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
    """Raw cells as typed ones; the rules are those of ``type_typed_columns``, with the ``markers`` of all rows."""
    plain = [] if missing else [name for name, dtype in frame.schema.items() if dtype in _PLAIN]
    # All plain numbers at once: the same as one by one, without the price of a call for each.
    quick = frame.select(
        pl.when(pl.col(name).is_finite()).then(pl.col(name).cast(pl.Float64)).alias(name)
        if frame.schema[name].is_float()
        else pl.col(name).cast(pl.Int64)
        for name in plain
    )
    done = set(plain)
    return pl.DataFrame(
        [
            quick[name] if name in done else _cells(frame[name], missing, markers.get(name), _kind(frame[name]))
            for name in frame.columns
        ]
    )


def _cells(column: pl.Series, missing: tuple[str, ...], markers: tuple[str, ...] | None, kind: ColumnKind) -> pl.Series:
    if column.dtype == pl.String:
        words = strip_cells(column, missing)
        return words if markers is None else blank_out(words, markers)
    typed = type_typed_columns(column.to_frame(), missing=missing)[0][column.name]
    if kind == "number" and typed.kind != "number":
        message = f"column {column.name!r} holds whole numbers beyond 64 bits; drop it, or store it as text"
        raise DataError(message)
    return typed.cells


def _sample_numbers(files: TableFiles) -> np.ndarray:
    """The row numbers of the sample, ascending: always the same ones of a table of that shape."""
    size = min(SAMPLE_ROWS, max(FEWEST_SAMPLE_ROWS, SAMPLE_CELLS // files.columns))
    if files.rows <= size:
        return np.arange(files.rows)
    return np.sort(np.random.default_rng(0).choice(files.rows, size, replace=False, shuffle=False)).astype(np.int64)


def _members(chosen: np.ndarray, first: int, count: int) -> np.ndarray:
    """Which of the rows from ``first`` on are among the ascending numbers ``chosen``: bool ``[count]``."""
    low, high = np.searchsorted(chosen, [first, first + count])
    inside = np.zeros(count, dtype=bool)
    inside[chosen[low:high] - first] = True
    return inside


def _why(files: TableFiles, *, asked: bool, processes: int, beside: int) -> str:
    needed, free = processes * needed_bytes(files, beside=beside), free_bytes()
    if asked and needed <= free:
        return f"{files.name}: rows are streamed from disk, as asked"
    over = f", and {size_words(free)} are free" if needed > free else ", more than may be read into it"
    held = f", in {processes} processes" if processes > 1 else ""
    words = f"the table needs about {size_words(needed)} of memory{held}{over}"
    return f"{files.name}: {words}: rows are streamed from disk"


def size_words(amount: float) -> str:
    """An amount of bytes.

    >>> size_words(2.5e9), size_words(3e6), size_words(2.5e5)
    ('2.5 GB', '3 MB', '250 kB')
    """
    if amount >= 1e8:
        return f"{amount / 1e9:,.1f} GB"
    return f"{amount / 1e6:,.0f} MB" if amount >= 1e6 else f"{amount / 1e3:,.0f} kB"


def _streamed_finding(rest: Rest) -> list[Finding]:
    if not rest.rows:
        message = f"the {counted(rest.files.rows, 'row')} all fit into memory, so that none is left to stream"
        return [Finding(code="streamed_rows", message=message)]
    message = (
        f"rows are streamed from disk: {len(rest.sample):,} of {rest.files.rows:,}, drawn at random, were looked at "
        "one by one, judge all candidates and train single trees and full-batch methods; missing cells, ranges, "
        f"levels, means and deviations are those of all rows, and the other {counted(rest.rows, 'row')} train "
        "mini-batch methods, and boosted trees as far as time and memory allow"
    )
    return [Finding(code="streamed_rows", message=message, count=rest.rows)]


def with_target_of_rest(dataset: Dataset, target: str) -> Dataset:
    """The target's cells with what only the rest has: its levels, at most 30 rows of each, or its range."""
    if dataset.rest is None or not dataset.rest.rows or target not in dataset.kinds:
        return dataset
    facts, cells = dataset.rest.facts[target], dataset.frame[target]
    if dataset.kinds[target] in ("category", "text"):
        more = facts.levels.select(pl.col("level").repeat_by(pl.col("rows").clip(upper_bound=30)).explode())["level"]
    else:
        bounds = [bound for bound in (facts.low, facts.high) if bound is not None]
        more = pl.Series(bounds, dtype=pl.Float64)
        more = more.cast(pl.Int64).cast(cells.dtype) if dataset.kinds[target] == "date" else more.cast(cells.dtype)
    return replace(dataset, frame=pl.concat([cells, more.alias(target)]).to_frame())
