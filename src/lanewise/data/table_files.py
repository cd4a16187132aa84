"""Tables kept as many files: Parquet and Arrow files of the same columns, in a folder or matched by a pattern.

The rows of a table follow the files in the order of their names, so a row has the same number however it is read.
"""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lanewise.data.columnar_files import check_end, guarded, unsaid_panics
from lanewise.data.common_types import bound_of, common_schema
from lanewise.data.findings import Finding
from lanewise.data.text.headers import cleaned_names
from lanewise.data.wording import counted
from lanewise.errors import DataError

BATCH_CELLS = 4_000_000
"""Cells that are read at a time: some 32 MB. It bounds memory and decides nothing else."""

END_BYTES = 64
"""So much of the end of a file tells whether it is whole, a few bytes of padding included."""

MOST_PACKED = 200
"""How many times its size a table may unpack to and still be read by batches unasked: real ones stay well below."""

_MARKS = {b"PAR1": "parquet", b"ARRO": "arrow"}
_PATTERN = set("*?[")


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """Files of one table: ``kinds`` are their formats, ``heights`` their rows, ``schema`` the type of each column.

    ``stamps`` are size and time of each, by which a change is noticed. ``name`` says in messages where the table is;
    ``findings`` what was mended of the header.
    """

    name: str
    paths: tuple[Path, ...]
    kinds: tuple[str, ...]
    heights: tuple[int, ...]
    stamps: tuple[tuple[int, int], ...]
    schema: pl.Schema
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> int:
        return sum(self.heights)

    @property
    def columns(self) -> int:
        return len(self.schema)

    @property
    def cell_bytes(self) -> int:
        """Memory of all cells, at eight bytes each."""
        return 8 * self.rows * self.columns

    @property
    def batch_rows(self) -> int:
        """Rows of a batch, the same for every reader of this table."""
        return max(1_024, min(131_072, BATCH_CELLS // max(1, self.columns)))

    def batches(
        self, columns: tuple[str, ...] | None = None, *, rows: int | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """All rows in order, a batch at a time (of at most ``rows``), each with the number of its first row.

        Raises ``DataError`` where a file is damaged, gone, or has changed meanwhile.
        """
        first, most = 0, rows or self.batch_rows
        each = zip(self.paths, self.kinds, self.heights, self.stamps, strict=True)
        for path, kind, height, stamp in each:
            lazy, _ = _scan(path, kind)
            if columns is not None:
                lazy = lazy.select(columns)
            for start in range(0, height, most):
                part = lazy.slice(start, most)
                frame = guarded(str(path), lambda part=part: self._widened(part.collect()))
                if frame.height != min(most, height - start) or _stamp(path) != stamp:
                    message = f"{path} changed while it was read; start again when it is complete"
                    raise DataError(message)
                yield first + start, frame
            first += height

    def _widened(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of one file in the types of the table."""
        narrow = {name: self.schema[name] for name, dtype in frame.schema.items() if dtype != self.schema[name]}
        return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in narrow.items()) if narrow else frame


def table_files(source: str | Path) -> TableFiles | None:
    """The files of a folder or of a pattern such as ``parts/*.parquet``, or one Parquet or Arrow file; else None.

    Files and folders whose names begin with ``_`` or a dot are passed over, as tools that write such folders expect.

    Raises ``DataError`` where a folder or pattern holds no such file, files of other formats, files of different
    columns or types, a damaged file, or no row.
    """
    name, many = str(source), True
    path = Path(source)
    if path.is_dir() or (_PATTERN & set(name) and not path.exists()):
        paths = paths_of(source)
    else:
        paths, many = [path], False
        if not path.is_file() or _format(path) is None:
            return None
    return _described(f"{name} ({counted(len(paths), 'file')})" if many else name, paths)


def paths_of(source: str | Path) -> list[Path]:
    """The files of a folder or of a pattern, by name; ``DataError`` where there are none that make up a table."""
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    paths = sorted(
        Path(found) for found in glob.glob(str(source)) if not _hidden(Path(found)) and Path(found).is_file()
    )
    if not paths:
        message = f"no file matches {source}: check the pattern"
        raise DataError(message)
    return paths


def is_pattern(source: str) -> bool:
    """Whether a source that is no file names several by ``*``, ``?`` or ``[...]``.

    >>> is_pattern("parts/*.parquet"), is_pattern("part.parquet")
    (True, False)
    """
    return bool(_PATTERN & set(source))


def _hidden(path: Path) -> bool:
    return path.name.startswith(("_", "."))


def _of_folder(folder: Path) -> list[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if not _hidden(path))
    except OSError as error:
        message = f"{folder} can't be read: {error.strerror or error}"
        raise DataError(message) from None
    files = [path for path in inside if path.is_file()]
    deeper = next((path for path in inside if path.is_dir()), None)
    if deeper is not None:
        message = (
            f"{folder} holds a folder, {deeper.name!r}: only files side by side are read, for what the names of "
            f"folders say would be lost; name the files by a pattern such as {folder}/*/*.parquet"
        )
        raise DataError(message)
    if not any(_format(path) for path in files):
        what = (
            f"is a folder of {counted(len(files), 'file')}, none of which is"
            if files
            else "is an empty folder, without"
        )
        message = f"{folder} {what} a Parquet or Arrow file: only these make up a table together; name one file in it"
        raise DataError(message)
    return files


def _format(path: Path) -> str | None:
    """The format that a file begins and, as a whole one does, ends as; ``DataError`` where it was cut."""
    try:
        with path.open("rb") as stream:
            begins = stream.read(8)
            stream.seek(max(0, path.stat().st_size - END_BYTES))
            check_end(str(path), begins, stream.read())
            return _MARKS.get(begins[:4])
    except OSError as error:
        message = f"{path} can't be read: {(error.strerror or str(error)).lower()}"
        raise DataError(message) from None


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of the last change, in whole seconds, which every file system keeps."""
    try:
        found = path.stat()
    except OSError as error:
        message = f"{path} can't be read: {error.strerror or error}"
        raise DataError(message) from None
    return found.st_size, int(found.st_mtime)


def _scan(path: Path, kind: str) -> tuple[pl.LazyFrame, list[Finding]]:
    """The rows of a file, and what was mended of its header."""
    # A path is no pattern here, whatever characters it has.
    scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
    lazy = guarded(str(path), lambda: scan(path, glob=False))
    titles, findings = cleaned_names(guarded(str(path), lazy.collect_schema).names())
    return lazy.rename(titles), findings


def _described(name: str, paths: list[Path]) -> TableFiles:
    kinds, heights, findings, schemas = [], [], list[Finding](), list[pl.Schema]()
    stamps = tuple(_stamp(path) for path in paths)
    for path in paths:
        kind = _format(path)
        if kind is None:
            message = f"{path} is neither a Parquet nor an Arrow file; only these can make up a table of many files"
            raise DataError(message)
        with unsaid_panics():
            lazy, mended = _scan(path, kind)
            own = guarded(str(path), lazy.collect_schema)
            heights.append(int(guarded(str(path), lambda lazy=lazy: lazy.select(pl.len()).collect()).item()))
        findings = findings or mended
        schemas.append(own)
        kinds.append(kind)
    schema, widened = common_schema(paths, schemas)
    _check_whole_numbers(schema, paths, kinds, schemas)
    if not sum(heights) or not len(schema):
        message = f"{name} is empty: it has {sum(heights)} rows and {len(schema)} columns"
        raise DataError(message)
    return TableFiles(
        name=name,
        paths=tuple(paths),
        kinds=tuple(kinds),
        heights=tuple(heights),
        stamps=stamps,
        schema=schema,
        findings=(*findings, *widened),
    )


def _check_whole_numbers(
    schema: pl.Schema, paths: Sequence[Path], kinds: Sequence[str], own: Sequence[pl.Schema]
) -> None:
    """``DataError`` where a file has whole numbers that the wider type of the table cannot hold."""
    for path, kind, types in zip(paths, kinds, own, strict=True):
        bounds = {name: bound for name, dtype in types.items() if (bound := bound_of(dtype, schema[name])) is not None}
        if not bounds:
            continue
        lazy, _ = _scan(path, kind)
        ends = [lazy.select(pl.col(list(bounds)).max()), lazy.select(pl.col(list(bounds)).min())]
        (most,), (least,) = (guarded(str(path), lambda end=end: end.collect()).rows(named=True) for end in ends)
        for name, bound in bounds.items():
            largest = max(abs(most[name] or 0), abs(least[name] or 0))
            if largest > bound:
                message = (
                    f"{path} has whole numbers in {name!r}, as large as {largest:,}, that {schema[name]}, which "
                    "other files ask for, cannot hold exactly: write all files with one type"
                )
                raise DataError(message)
