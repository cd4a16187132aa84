"""Delimited text as a table of text: header, rows of one width, and what was set aside.

A line without any character is no row, and neither is a row of nothing but empty cells, unless ``keep_empty`` says so.
Rows of another width than the header are not guessed at. They are set aside and counted, and the file
is refused if they are more than one in twenty. Two deviations carry no doubt and are mended: empty fields
beyond the last column, and absent fields of last columns that are empty in every complete row.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lanewise.data.findings import Finding
from lanewise.data.read_options import ReadOptions
from lanewise.data.text.aligned_text import tabs_for_blanks
from lanewise.data.text.headers import column_names, looks_like_header
from lanewise.data.text.records import LF, ScannedRecords, frame_of_rows
from lanewise.data.text.sniffing import SINGLE_QUOTES, Preface, find_records, skip_preface
from lanewise.data.wording import counted
from lanewise.errors import DataError

NO_HEADER = "no_header"
"""Code of the finding that the columns have no names of their own."""

_MAX_RAGGED_SHARE = 0.05
_SAMPLE_RECORDS, _LEAST_RECORDS, _SAMPLE_CELLS = 400, 25, 500_000
"""Records that the header is told by: so many, and of wide tables fewer, for each cell is looked at by itself."""

_MAX_TITLES = 20
SHOWN_RAGGED = 3


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Columns of text, the delimiter that was found, and findings."""

    frame: pl.DataFrame
    delimiter: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which records are rows, and the header (None if there is none) of ``width`` names."""

    header: list[str] | None
    width: int
    rows: NDArray[np.bool_]
    findings: tuple[Finding, ...] = ()


def parse(text: bytes, *, name: str, options: ReadOptions) -> TextTable:
    """Cut UTF-8 text into columns of text.

    Columns that ``options.kinds`` names help to tell whether there is a header.

    Raises ``DataError`` if there are no rows, too many ragged rows or columns, or a line too long.
    """
    _check_lines(text, name, options)
    preface = skip_preface(text)
    if not preface.text.strip():
        message = f"{name} has no table: it holds only blank lines"
        if preface.comments:
            message = (
                f"{name} has no table: every line begins with '#', which marks comments before a table; take the marks "
                "away, or put a line with the names of the columns, without '#', first"
            )
        raise DataError(message)
    delimiter = options.delimiter or preface.delimiter
    aligned = None if delimiter else tabs_for_blanks(preface.text, (*options.kinds, *options.beside))
    cut, delimiter = (preface.text, delimiter) if aligned is None else (aligned, "\t")
    records, dialect, findings = find_records(cut, delimiter, first_line=preface.first_line)
    if aligned is not None:
        message = "cells stand apart by blanks alone; however many there are, they count as one delimiter"
        findings.append(Finding(code="aligned_columns", message=message))
    _check_records(records, name, options)
    layout = lay_out(records, options)
    frame, ragged_findings = _rows(records, layout, name, keep_empty=options.keep_empty)
    frame, named_findings = _named(frame, layout)
    if frame.height == 0 or frame.width == 0:
        message = f"{name} has a header but no rows: give a file with data"
        raise DataError(message)
    findings += [*preface_findings(preface), *layout.findings, *ragged_findings, *named_findings, *_lone_returns(text)]
    if dialect.quote == "'":
        columns = _quoted(records, layout)
        findings = [replace(one, columns=columns) if one.code == SINGLE_QUOTES else one for one in findings]
    return TextTable(frame=frame, delimiter=dialect.delimiter, findings=tuple(findings))


def _lone_returns(text: bytes) -> list[Finding]:
    """That lines of a text without quotes seem to end in two ways, of which one does not cut them."""
    if b"\r" not in text or b"\n" not in text or b'"' in text:
        return []
    count = len(re.findall(rb"\r(?![\r\n]|\Z)", text))
    message = (
        f"{counted(count, 'carriage return')} inside rows: where lines end in LF, one does not end a line; "
        "write the file with line ends of one kind"
    )
    return [Finding(code="lone_returns", severity="warning", count=count, message=message)] if count else []


def preface_findings(preface: Preface) -> list[Finding]:
    """What stood before the table."""
    findings = []
    if preface.comments:
        message = f"{counted(preface.comments, 'comment line')} before the table skipped"
        findings.append(Finding(code="comment_lines", count=preface.comments, message=message))
    if preface.marked:
        message = "the column names stood behind a comment mark (#); the mark was dropped"
        findings.append(Finding(code="marked_header", count=1, message=message))
    return findings


def _quoted(records: ScannedRecords, layout: Layout) -> tuple[str, ...]:
    """The columns of which cells stand in quotes, as far as the first rows tell."""
    rows = np.flatnonzero(layout.rows & (records.fields == layout.width))[:_SAMPLE_RECORDS]
    each = [records.quoted(int(row)) for row in rows[: max(1, _SAMPLE_CELLS // layout.width)]]
    names = column_names(layout.header or [""] * layout.width)[0]
    return tuple(name for place, name in enumerate(names) if any(row[place] for row in each))


def _check_lines(text: bytes, name: str, options: ReadOptions) -> None:
    if len(text) <= options.max_line_bytes:
        return
    mark = LF if b"\n" in text else 13
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == mark)
    lengths = np.diff(ends, prepend=-1, append=len(text)) - 1
    longest = int(lengths.argmax())
    if lengths[longest] > options.max_line_bytes:
        _refuse_line(name, longest + 1, int(lengths[longest]), options)


def _check_records(records: ScannedRecords, name: str, options: ReadOptions) -> None:
    length, record = records.longest()
    if length > options.max_line_bytes:
        _refuse_line(name, records.line(record), length, options)
    widest = int(records.fields.argmax())
    if records.fields[widest] > options.max_columns:
        message = (
            f"{name} has {records.fields[widest]:,} fields in line {records.line(widest)}, "
            f"more than the allowed {options.max_columns:,} columns: check its line ends and quote marks; "
            "Python takes more by ReadOptions(max_columns=...)"
        )
        raise DataError(message)


def _refuse_line(name: str, line: int, length: int, options: ReadOptions) -> None:
    message = (
        f"{name} has a row of {length:,} bytes at line {line}, more than the allowed {options.max_line_bytes:,}: "
        f"check its line ends and quote marks; Python takes longer ones by ReadOptions(max_line_bytes=...)"
    )
    raise DataError(message)


def lay_out(records: ScannedRecords, options: ReadOptions) -> Layout:
    """The layout of records by their first ones, and by how many fields most of them have."""
    present = np.flatnonzero(~records.blank)
    rows = ~records.blank
    if present.size == 0:
        return Layout(header=None, width=1, rows=rows)
    findings: list[Finding] = []
    usual = int(np.bincount(records.fields[present]).argmax())
    sample = [records.cells(int(record)) for record in present[: looked_at(usual)]]
    titles = _count_titles(sample, usual)
    if titles:
        rows[present[:titles]] = False
        sample, present = sample[titles:], present[titles:]
        message = f"{counted(titles, 'title line')} before the header skipped"
        findings.append(Finding(code="title_lines", severity="warning", count=titles, message=message))
    if not _has_header(sample, options):
        if options.header is None:
            message = "no header was found; columns are called by their place: column_1, column_2, ..."
            findings.append(Finding(code=NO_HEADER, message=message))
        rows |= _empty_rows(records, options, after=int(present[0]))
        return Layout(header=None, width=usual, rows=rows, findings=tuple(findings))
    rows[present[0]] = False
    rows |= _empty_rows(records, options, after=int(present[0]))
    body = records.fields[present[1:]]
    usual = int(np.bincount(body).argmax()) if body.size else len(sample[0])
    names, finding = _fit_header(sample[0], usual, sample[1:])
    if finding is not None:
        findings.append(finding)
    return Layout(header=names, width=len(names), rows=rows, findings=tuple(findings))


def looked_at(usual: int) -> int:
    """How many records tell the header of a table of so many columns."""
    return max(_LEAST_RECORDS, min(_SAMPLE_RECORDS, _SAMPLE_CELLS // max(usual, 1)))


def _empty_rows(records: ScannedRecords, options: ReadOptions, *, after: int) -> NDArray[np.bool_]:
    """Records of delimiters alone that are to be kept as rows; none before the table begins."""
    keep = records.blank & (records.fields > 1)
    keep[: after + 1] = False
    return keep if options.keep_empty else np.zeros_like(keep)


def _has_header(sample: list[list[str]], options: ReadOptions) -> bool:
    if options.header is not None:
        return options.header
    if any(name in options.kinds for name in column_names(sample[0])[0]):
        return True
    if options.kinds and all(re.fullmatch(r"column_\d+", name) for name in options.kinds):
        return False
    return looks_like_header(sample[0], sample[1:])


def _count_titles(sample: list[list[str]], usual: int) -> int:
    """Leading records with one cell filled in a table of three columns or more."""
    if usual <= 2:
        return 0
    filled = [sum(1 for cell in cells if cell.strip()) for cells in sample[: _MAX_TITLES + 1]]
    titles = next((place for place, count in enumerate(filled) if count > 1), 0)
    return titles if titles < len(sample) else 0


def _fit_header(header: list[str], usual: int, sample: list[list[str]]) -> tuple[list[str], Finding | None]:
    """The header with names for the columns of row names and of trailing delimiters, if rows have them."""
    if len(header) > usual and not any(name.strip() for name in header[usual:]):
        return header[:usual], None
    if usual <= len(header):
        return header, None
    rows = [cells for cells in sample if len(cells) == usual]
    if rows and not any(cell.strip() for cells in rows for cell in cells[len(header) :]):
        return [*header, *[""] * (usual - len(header))], None
    if usual == len(header) + 1 and len(rows) == len(sample):
        message = "the header has one name less than the rows have fields; the first column was taken for row names"
        return ["", *header], Finding(code="row_names", severity="warning", message=message)
    return header, None


def _rows(
    records: ScannedRecords, layout: Layout, name: str, *, keep_empty: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """Rows of the layout's width; the others mended where there is no doubt, else set aside."""
    complete = layout.rows & (records.fields == layout.width)
    frame = records.frame(complete, layout.width)
    others = np.flatnonzero(layout.rows & ~complete)
    blank = int((records.blank & ~layout.rows).sum())
    if others.size:
        needed = layout.width - empty_last_columns(frame) if frame.height else layout.width
        mended: dict[int, list[str]] = {}
        ragged: list[int] = []
        comments = 0
        for record in others.tolist():
            cells = records.cells(record)
            made = mend(cells, layout.width, needed=needed, keep_empty=keep_empty)
            if made == "blank":
                blank += 1
            elif made == "comment":
                comments += 1
            elif made == "ragged":
                ragged.append(record)
            else:
                mended[record] = made
        places = [(records.line(record), int(records.fields[record])) for record in ragged[:SHOWN_RAGGED]]
        findings = set_aside(name, places, len(ragged), width=layout.width, kept=frame.height + len(mended))
        findings += comment_findings(comments)
        frame = merged(frame, np.flatnonzero(complete), mended)
    else:
        findings = []
    filled = frame.filter(filled_rows(frame))
    empty = frame.height - filled.height
    findings += empty_findings(empty if keep_empty else 0)
    findings += blank_findings(blank + (0 if keep_empty else empty))
    return (frame if keep_empty else filled), findings


def mend(
    cells: list[str], width: int, *, needed: int, keep_empty: bool
) -> list[str] | Literal["blank", "comment", "ragged"]:
    """A record of another number of cells than ``width`` as a row, where there is no doubt, or what else it is.

    The columns from the ``needed`` first ones on are empty in every complete row.
    """
    if not any(cell.strip() for cell in cells):
        return [""] * width if keep_empty and len(cells) > 1 else "blank"
    if (1 < len(cells) < width and len(cells) >= needed) or (
        len(cells) > width and not any(cell.strip() for cell in cells[width:])
    ):
        return (cells + [""] * width)[:width]
    return "comment" if cells[0].startswith("#") else "ragged"


def comment_findings(count: int) -> list[Finding]:
    """That so many comment lines stand among the rows."""
    message = f"{counted(count, 'comment line')} inside the table skipped"
    return [Finding(code="comment_lines", count=count, message=message)] if count else []


def empty_findings(count: int) -> list[Finding]:
    """That so many rows of empty cells are kept."""
    message = f"{counted(count, 'row')} {'has' if count == 1 else 'have'} no value in any column"
    return [Finding(code="empty_rows", severity="warning", count=count, message=message)] if count else []


def blank_findings(count: int) -> list[Finding]:
    """That so many rows without a cell are no rows."""
    return [Finding(code="blank_lines", count=count, message=f"{counted(count, 'blank row')} skipped")] if count else []


def filled_rows(frame: pl.DataFrame) -> pl.Series:
    """Which rows have a cell that is not blank; the first columns mostly tell it of all rows."""
    filled = pl.repeat(value=False, n=frame.height, eager=True)
    for column in frame.get_columns():
        filled |= (column.str.strip_chars() != "").fill_null(value=False)
        if filled.all():
            break
    return filled


def empty_last_columns(frame: pl.DataFrame) -> int:
    """How many of the last columns have no cell that is filled."""
    empty = 0
    for column in reversed(frame.get_columns()):
        if column.str.strip_chars().ne("").any():
            break
        empty += 1
    return empty


def set_aside(name: str, places: list[tuple[int, int]], count: int, *, width: int, kept: int) -> list[Finding]:
    """That ``count`` rows beside those ``kept`` are ragged, the first at ``places``: their lines and fields.

    Raises ``DataError`` if they are too many.
    """
    if not count:
        return []
    total, expected = kept + count, counted(width, "field")
    if count > _MAX_RAGGED_SHARE * total:
        message = (
            f"{name} has {count:,} of {total:,} rows without the expected {expected}, first line {places[0][0]} "
            f"with {places[0][1]}: mend them, or name the file's delimiter (delimiter)"
        )
        raise DataError(message)
    shown = [f"line {line} has {fields}" for line, fields in places[:SHOWN_RAGGED]]
    rest = [f"and {count - len(shown):,} more"] if count > len(shown) else []
    message = f"{counted(count, 'row')} of {total:,} set aside for want of {expected}: {', '.join([*shown, *rest])}"
    return [Finding(code="ragged_rows", severity="warning", count=count, message=message)]


def merged(frame: pl.DataFrame, places: NDArray[np.int64], mended: dict[int, list[str]]) -> pl.DataFrame:
    """Complete rows, of the records ``places``, with the mended ones among them."""
    if not mended:
        return frame
    extra = frame_of_rows(list(mended.values()), frame.width).with_columns(place=pl.Series(list(mended)))
    both = pl.concat([frame.with_columns(place=pl.Series(places, dtype=pl.Int64)), extra])
    return both.sort("place").drop("place")


def _named(frame: pl.DataFrame, layout: Layout) -> tuple[pl.DataFrame, list[Finding]]:
    """Give columns their names, and drop empty columns that have none."""
    names, unnamed = names_of(layout)
    frame.columns = names
    empty = empty_of(frame, unnamed)
    return frame.drop(empty), header_findings(layout, empty)


def names_of(layout: Layout) -> tuple[list[str], list[str]]:
    """The names of all columns, and of those that got one by their place."""
    header = layout.header or [""] * layout.width
    names, _ = column_names(header)
    return names, [name for name, given in zip(names, header, strict=True) if not given.strip()]


def empty_of(frame: pl.DataFrame, names: list[str]) -> list[str]:
    """Which of the columns have no cell that is filled."""
    filled = frame.select((pl.col(names).str.strip_chars() != "").any()).row(0) if names else ()
    return [name for name, some in zip(names, filled, strict=True) if not some]


def header_findings(layout: Layout, empty: list[str]) -> list[Finding]:
    """What was made of the header, and that the columns ``empty``, which have no name, were dropped."""
    header = layout.header or [""] * layout.width
    findings = column_names(header)[1] if layout.header is not None else []
    if not empty:
        return findings
    unnamed = sum(not given.strip() for given in header)
    message = f"{counted(len(empty), 'empty column')} without a name dropped"
    findings = [finding for finding in findings if finding.code != "blank_header" or unnamed > len(empty)]
    return [*findings, Finding(code="empty_columns", count=len(empty), message=message)]
