"""Read a table of any supported kind into a ``Dataset``.

Formats are told by their content, and by the name of the file only where the content leaves it open: Parquet,
Arrow, JSON lines, svmlight, and delimited text; the text formats also packed with gzip or zstd.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from lanewise.data.cells.missing_marks import missing_marks
from lanewise.data.cells.typed_columns import type_typed_columns
from lanewise.data.cells.typing_columns import type_text_columns
from lanewise.data.columnar_files import check_unpacked, is_columnar, read_columnar, repeated_text
from lanewise.data.dataset import Dataset
from lanewise.data.examples import PREFIX, example
from lanewise.data.findings import Finding
from lanewise.data.in_memory import from_columns, from_memory
from lanewise.data.kinds import ColumnKind
from lanewise.data.read_options import ReadOptions
from lanewise.data.sources import Payload, load
from lanewise.data.table_files import TableFiles, is_pattern, table_files
from lanewise.data.text.delimited import parse
from lanewise.data.text.encodings import decode
from lanewise.data.text.json_lines import JSON_SUFFIXES, is_json_lines, parse_json_lines
from lanewise.data.text.svmlight import is_svmlight, parse_svmlight
from lanewise.errors import DataError, UsageError

__all__ = ["ReadOptions", "read", "read_like"]


def read(source: object, *, options: ReadOptions | None = None) -> Dataset:
    """Read a table and find the kind of each column on all of its rows.

    ``source`` is a path, a folder of Parquet or Arrow files or a pattern for them (or the :class:`TableFiles` found
    there), ``"-"`` for standard input, ``"example:iris"`` for an example, a polars or pandas table, a NumPy array
    ``[N, D]`` (columns ``x0``, ``x1``, ...) or structured array, or a dict of columns.

    Raises ``DataError`` if there is no usable table, ``UsageError`` if ``options.kinds`` names an unknown column.

    >>> read({"age": [31, 45], "city": ["Rome", None]}).kinds
    {'age': 'number', 'city': 'category'}
    """
    options = options or ReadOptions()
    dataset = _read(source, options)
    unknown = [name for name in options.kinds if name not in dataset.kinds]
    if unknown:
        shown = ", ".join(list(dataset.kinds)[:20])
        message = (
            f"kinds names the column {unknown[0]!r}, which {dataset.source} does not have; its columns are: {shown}"
        )
        raise UsageError(message)
    return dataset


def read_like(source: object, kinds: Mapping[str, ColumnKind], *, options: ReadOptions | None = None) -> Dataset:
    """Read a table with the kinds of columns that a stored model expects.

    A cell that can't be of the expected kind becomes missing, and a finding counts such cells. Columns beyond
    those of ``kinds`` get the kind found for them; expected columns that the table lacks are left out, save
    that svmlight text may leave out its last features, which are zero.

    Raises ``DataError`` as ``read`` does.
    """
    options = options or ReadOptions()
    return _read(source, replace(options, kinds=dict(kinds)))


@dataclass(frozen=True, kw_only=True)
class _Raw:
    """A table before its columns have kinds."""

    frame: pl.DataFrame
    source: str
    findings: list[Finding]
    delimiter: str | None = None  # of columns of text; None for typed columns
    without_dates: bool = False  # of typed columns: the format has no type for dates
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)  # those that are known, and not found


def _read(source: object, options: ReadOptions) -> Dataset:
    raw = _read_raw(source, options)
    aside: list[Finding] = []
    if raw.delimiter is not None:
        columns = type_text_columns(
            raw.frame,
            missing=options.missing,
            decimal=options.decimal,
            usual_decimal="." if raw.delimiter == "," else None,
            doubt_points=raw.delimiter == ";",
            kinds=options.kinds,
            conventions=options.conventions,
        )
        if not options.kinds:  # of a table that is read like another one these are known
            cells = {name: column.cells for name, column in columns.items()}
            aside = missing_marks(raw.frame, cells)
    else:
        columns, aside = type_typed_columns(
            raw.frame,
            missing=options.missing,
            kinds={**raw.kinds, **options.kinds},
            conventions=options.conventions,
            without_dates=raw.without_dates,
        )
        if not columns:
            message = f"{raw.source} has no column that can be used: {aside[0].message}"
            raise DataError(message)
    return Dataset(
        frame=pl.DataFrame([column.cells.alias(name) for name, column in columns.items()]),
        kinds={name: column.kind for name, column in columns.items()},
        source=raw.source,
        findings=(*raw.findings, *aside, *(finding for column in columns.values() for finding in column.findings)),
        conventions={name: column.convention for name, column in columns.items() if column.convention is not None},
    )


def _read_raw(source: object, options: ReadOptions) -> _Raw:
    if isinstance(source, TableFiles):
        return _Raw(frame=_read_files(source, options), source=source.name, findings=list(source.findings))
    if isinstance(source, str) and source.startswith(PREFIX):
        table = example(source.removeprefix(PREFIX))
        return _Raw(frame=table.frame, source=table.source, findings=[], kinds=table.kinds)
    if not isinstance(source, (str, Path)):
        frame, name, findings = from_memory(source)
        return _Raw(frame=frame, source=name, findings=findings)
    if Path(source).is_dir() or (is_pattern(str(source)) and not Path(source).exists()):
        files = table_files(source)
        assert files is not None
        return _Raw(frame=_read_files(files, options), source=files.name, findings=list(files.findings))
    payload = load(source, max_bytes=options.byte_limit)
    if is_columnar(payload):
        frame, findings = read_columnar(payload, max_bytes=options.byte_limit, max_columns=options.max_columns)
        return _Raw(frame=frame, source=payload.name, findings=findings)
    return _read_text(payload, options)


def _read_files(files: TableFiles, options: ReadOptions) -> pl.DataFrame:
    if files.cell_bytes > options.byte_limit:
        message = (
            f"{files.name} holds {files.rows:,} rows of {files.columns:,} columns, more than the allowed "
            f"{options.byte_limit:,} bytes: fit streams such a table from disk; elsewhere take a sample of its rows, "
            "or allow more (max_bytes)"
        )
        raise DataError(message)
    frames, texts = [], 0
    for _, frame in files.batches():
        texts += repeated_text(frame)
        check_unpacked(files.name, texts, options.byte_limit)
        frames.append(frame)
    return pl.concat(frames)


def _read_text(payload: Payload, options: ReadOptions) -> _Raw:
    text, findings = decode(payload.content, name=payload.name, encoding=options.encoding)
    lines = text if b"\n" in text else text.replace(b"\r", b"\n")  # delimited text may hold a CR in a cell
    if (options.delimiter is None or payload.suffix in JSON_SUFFIXES) and is_json_lines(lines, payload.suffix):
        values, noticed = parse_json_lines(lines, name=payload.name)
        frame, _, more = from_columns(payload.name, list(values), list(values.values()))
        return _Raw(frame=frame, source=payload.name, findings=[*findings, *noticed, *more], without_dates=True)
    if options.delimiter is None and is_svmlight(lines, payload.suffix):
        frame, noticed = parse_svmlight(
            lines,
            name=payload.name,
            max_bytes=options.byte_limit,
            max_columns=options.max_columns,
            known=_features(options),
        )
        return _Raw(frame=frame, source=payload.name, findings=[*findings, *noticed])
    table = parse(text, name=payload.name, options=options)
    return _Raw(
        frame=table.frame, source=payload.name, findings=[*findings, *table.findings], delimiter=table.delimiter
    )


def _features(options: ReadOptions) -> list[int]:
    """The numbers of the features that are known to exist, of names ``f<number>``."""
    names = [*options.kinds, *options.beside]
    return [int(name[1:]) for name in names if name[:1] == "f" and name[1:].isascii() and name[1:].isdigit()]
