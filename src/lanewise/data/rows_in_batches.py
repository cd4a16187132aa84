"""Rows for a stored model, read from Parquet and Arrow files a batch at a time: as if they were read at once.

What is told of a column by all of its cells (which words stand for missing ones, how it differs from training) is
found in a first pass; a second one gives the cells. The values are those of the table read into memory, and so are
the findings. A column whose cells have to be turned into another kind, which takes all of them at once, makes its
table one that is read whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path

import polars as pl

from lanewise.data.cells.missing import MARKERS, strip_cells, word_markers
from lanewise.data.cells.typed_columns import (
    AS_WORDS,
    INFINITE,
    infinite_cells,
    is_unusable,
    type_typed_columns,
    unusable_column,
)
from lanewise.data.columnar_files import is_of_one_length
from lanewise.data.contract import DataContract, Differences
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.memory import free_bytes
from lanewise.data.read_options import ReadOptions
from lanewise.data.table_files import BATCH_CELLS, MOST_PACKED, TableFiles, is_pattern, table_files
from lanewise.data.text.text_parts import NeedsWhole
from lanewise.data.unpacked_size import arrow_size, parquet_size

COPIES = 3
"""Times the bytes of all cells that reading a table whole takes at its peak, about."""

MOST_WORDS = 1_000
"""Different words of a column that are kept to tell its markers of missing cells, for which 26 * 26 + 1 suffice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowsInBatches:
    """The rows of ``files`` as a model of a ``contract`` reads them, looked through already.

    ``findings`` are those of reading and of the contract; ``markers`` the words of each column that stand for missing
    cells, ``missing`` the marks that were declared.
    """

    files: TableFiles
    contract: DataContract
    missing: tuple[str, ...]
    markers: Mapping[str, tuple[str, ...]]
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> int:
        return self.files.rows

    def blocks(self, rows: int) -> Iterator[Dataset]:
        """All rows in order, ``rows`` at a time, whatever the batches and files they lie in.

        Raises ``DataError`` where a file has changed or is damaged.
        """
        kinds: dict[str, ColumnKind] = {column.name: column.kind for column in self.contract.columns}
        names = tuple(kinds)
        yield from in_blocks(self._typed(names), rows, kinds, self.files.name)

    def _typed(self, names: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        for _, frame in self.files.batches(names, rows=batch_rows(self.files)):
            typed = type_typed_columns(frame, missing=self.missing, markers=self.markers)[0]
            yield pl.DataFrame([typed[name].cells.alias(name) for name in names])


def in_blocks(
    frames: Iterable[pl.DataFrame], rows: int, kinds: Mapping[str, ColumnKind], source: str
) -> Iterator[Dataset]:
    """The rows of tables one after another, ``rows`` at a time."""
    parts: list[pl.DataFrame] = []
    for frame in frames:
        parts.append(frame)
        while sum(part.height for part in parts) >= rows:
            held = pl.concat(parts)
            yield Dataset(frame=held.head(rows), kinds=kinds, source=source)
            parts = [held.slice(rows)] if held.height > rows else []
    if parts:
        yield Dataset(frame=pl.concat(parts), kinds=kinds, source=source)


def rows_in_batches(source: object, contract: DataContract, *, options: ReadOptions) -> RowsInBatches | None:
    """The rows of Parquet or Arrow files too large to be read at once; None for what is better read whole.

    A limit that was stated (``options.max_bytes``) is kept: a table beyond it is refused where it is read.

    Raises ``DataError`` where a file is damaged, or lacks a column of the contract.
    """
    if not isinstance(source, (str, Path)) or str(source) == "-":
        return None
    if not (Path(source).is_file() or Path(source).is_dir() or is_pattern(str(source))):
        return None
    files = table_files(source)
    if files is None or not is_too_large_to_predict(files, options) or not _by_rows(files, contract):
        return None
    try:
        return _looked_through(files, contract, options.missing)
    except NeedsWhole:
        return None


def is_too_large_to_predict(files: TableFiles, options: ReadOptions) -> bool:
    """Whether a table should not be read whole, and may be read otherwise."""
    size = unpacked_bytes(files)
    if options.max_bytes is not None and size > options.max_bytes:
        return False
    if size > MOST_PACKED * sum(size for size, _ in files.stamps):
        return False
    return size > options.byte_limit or COPIES * size > free_bytes()


def unpacked_bytes(files: TableFiles) -> int:
    """Memory of all cells: eight bytes each, or what the files say of themselves where that is more."""
    told, plain = 0, all(map(is_of_one_length, files.schema.dtypes()))
    for path, kind in zip(files.paths, files.kinds, strict=True):
        if plain and kind == "parquet":  # bounded by the number of cells; of thousands of columns this reads for long
            continue
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            told += parquet_size(content) if kind == "parquet" else arrow_size(content)[1]
    return max(told, files.cell_bytes)


def batch_rows(files: TableFiles) -> int:
    """Rows of a batch: fewer than of numbers where the cells are long."""
    return max(64, min(files.batch_rows, 8 * BATCH_CELLS * files.rows // unpacked_bytes(files)))


def _by_rows(files: TableFiles, contract: DataContract) -> bool:
    """Whether every cell can be told without the others of its column, but for the markers of missing words."""
    return all(
        _is_told_by_rows(files.schema[column.name], column.kind)
        for column in contract.columns
        if column.name in files.schema
    )


def _is_told_by_rows(dtype: pl.DataType, kind: ColumnKind) -> bool:
    if kind == "number":
        return dtype.is_numeric() or dtype == pl.Duration
    if kind == "date":
        return dtype in (pl.Date, pl.Datetime)
    return dtype == pl.String or (kind == "category" and dtype in (pl.Boolean, pl.Categorical, pl.Enum))


@dataclass(kw_only=True)
class _Column:
    """What the batches so far told of a column; ``found`` counts the cells of each finding of reading."""

    words: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))
    found: dict[str, tuple[Finding, int]] = field(default_factory=dict[str, tuple[Finding, int]])
    differences: Differences | None = None

    def findings(self, name: str) -> Iterator[Finding]:
        for code, (finding, cells) in self.found.items():
            yield infinite_cells(name, cells) if code == INFINITE else finding


def _looked_through(files: TableFiles, contract: DataContract, missing: tuple[str, ...]) -> RowsInBatches:
    bare = {name: dtype for name, dtype in files.schema.items() if not is_unusable(dtype)}
    aside = tuple(unusable_column(name, dtype) for name, dtype in files.schema.items() if name not in bare)
    header = Dataset(
        frame=pl.DataFrame(schema=bare), kinds=dict.fromkeys(bare, "category"), source=files.name, findings=aside
    )
    extra = contract.check(header)  # raises where columns are absent
    wanted = {column.name: column for column in contract.columns}
    names = tuple(name for name in files.schema if name in wanted)
    columns = {name: _Column() for name in names}
    markers: dict[str, tuple[str, ...]] = {}
    of_words = tuple(name for name in names if files.schema[name] == pl.String)
    if of_words:
        for _, frame in files.batches(of_words, rows=batch_rows(files)):
            for name in of_words:
                columns[name].words = more_words(columns[name].words, strip_cells(frame[name], missing))
        markers = {name: word_markers(columns[name].words) for name in of_words}
    for _, frame in files.batches(names, rows=batch_rows(files)):
        typed = type_typed_columns(frame, missing=missing, markers=markers)[0]
        for name, found in typed.items():  # each as its type says: no batch decides anything for the others
            own, kind = columns[name], wanted[name].kind
            if (found.kind == "number") != (kind == "number"):  # whole numbers beyond 64 bits
                raise NeedsWhole
            for finding in found.findings:
                if finding.code in AS_WORDS:  # which the contract knows
                    continue
                _, cells = own.found.get(finding.code, (finding, 0))
                own.found[finding.code] = (finding, cells + (finding.count or 0))
            differences = Differences.of(wanted[name], found.cells)
            own.differences = differences if own.differences is None else own.differences.plus(differences)
    read = [finding for name in names for finding in columns[name].findings(name)]
    unlike = [
        finding
        for name, column in wanted.items()
        if (differences := columns[name].differences) is not None
        for finding in differences.findings(column)
    ]
    findings = (*files.findings, *read, *unlike, *extra)
    return RowsInBatches(files=files, contract=contract, missing=missing, markers=markers, findings=findings)


def more_words(words: pl.Series, cells: pl.Series) -> pl.Series:
    """The different words that are no markers, so many of them as tell which markers hold."""
    if len(words) >= MOST_WORDS:
        return words
    new = cells.drop_nulls().unique()
    new = new.filter(~new.is_in(list(MARKERS)))
    more = pl.concat([words.alias("word"), new.alias("word")]).unique().head(MOST_WORDS)
    return pl.Series(more.to_list(), dtype=pl.String)  # a view would hold the memory of the whole batch
