"""A long delimited text as parts of whole records, each cut and parsed by itself: as if the text were parsed at once.

The beginning of the text tells its encoding, dialect and header. Whatever cannot be told by it, or turns out otherwise
further down, makes the text one that is read whole (`NeedsWhole`).
"""

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lanewise.data.read_options import ReadOptions
from lanewise.data.sources import long_beginning, unpacked_chunks
from lanewise.data.table_files import MOST_PACKED
from lanewise.data.text.aligned_text import tabs_for_blanks
from lanewise.data.text.delimited import Layout, empty_last_columns, lay_out, looked_at, mend, merged
from lanewise.data.text.encodings import codec_of, decode
from lanewise.data.text.json_lines import JSON_SUFFIXES, is_json_lines
from lanewise.data.text.records import LF, Dialect, ScannedRecords, scan
from lanewise.data.text.sniffing import Preface, find_records, skip_preface
from lanewise.data.text.svmlight import is_svmlight
from lanewise.errors import DataError

PART_BYTES = 8 * 2**20
"""Bytes of text that are cut and parsed at once, about; bounds memory and decides nothing else."""

_LONE_RETURN = re.compile(rb"\r(?![\r\n]|\Z)")
_QUOTE = ord('"')


class NeedsWhole(Exception):
    """The rows turned out to be told only by all of them at once."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of a part: the cells of all columns as text ``c0``, ``c1``, ..., and what was no row.

    ``short`` are line and fields of the rows with too few fields, ``ragged`` of those that are no rows; ``fields``
    counts the records, blank ones left out, by their number of fields. Of the complete rows only the first ``needed``
    columns have a cell that is filled; None where no row is complete. ``single`` says whether single quotes are proper
    ones of cells, None where there are none; ``double`` whether there are double ones.
    """

    frame: pl.DataFrame
    blank: int
    comments: int
    short: list[tuple[int, int]]
    ragged: list[tuple[int, int]]
    fields: NDArray[np.int64]
    needed: int | None
    double: bool
    single: bool | None


@dataclass(frozen=True, kw_only=True)
class TextParts:
    """A text whose dialect and ``layout`` its first part tells; ``stamp`` is the size and time of its file.

    It is unpacked to no more than ``most_bytes``, and else one that is read whole, which refuses it.
    """

    path: Path
    codec: str
    dialect: Dialect
    preface: Preface
    layout: Layout
    options: ReadOptions
    stamp: tuple[int, int]
    most_bytes: float = math.inf

    @property
    def name(self) -> str:
        """The file, as messages name it."""
        return str(self.path)

    def parts(self, *, needed: int) -> Iterator[Part]:
        """The parts in order; rows with ``needed`` cells or more are filled up with empty ones.

        Raises `NeedsWhole`, and ``DataError`` where the file changes meanwhile or is damaged.
        """
        total = 0
        for place, (text, line) in enumerate(_whole_records(self.path, self.codec, self.options)):
            total += len(text)
            if total > self.most_bytes:
                raise NeedsWhole
            self._check_stamp()
            if b'"' not in text and _LONE_RETURN.search(text):  # told where the text is read whole
                raise NeedsWhole
            cut, first_line = (self.preface.text, self.preface.first_line) if place == 0 else (text, line)
            records = scan(cut, self.dialect, first_line=first_line)
            if records is None or not records.fields.size:
                raise NeedsWhole
            length, _ = records.longest()
            if length > self.options.max_line_bytes or records.fields.max() > self.options.max_columns:
                raise NeedsWhole
            rows = self.layout.rows if place == 0 else ~records.blank | (records.fields > 1)
            yield self._part(records, rows, cut, needed)
        self._check_stamp()  # cut off between two parts, or empty by now, it would seem to end here

    def _check_stamp(self) -> None:
        try:
            found = stamp_of(self.path)
        except OSError:
            found = None
        if found != self.stamp:
            raise changed(self.path)

    def _part(self, records: ScannedRecords, rows: NDArray[np.bool_], text: bytes, needed: int) -> Part:
        width = self.layout.width
        complete = rows & (records.fields == width)
        mended: dict[int, list[str]] = {}
        short, ragged = list[tuple[int, int]](), list[tuple[int, int]]()
        blank, comments = int((records.blank & ~rows).sum()), 0
        for record in np.flatnonzero(rows & ~complete).tolist():
            cells = records.cells(record)
            made = mend(cells, width, needed=needed, keep_empty=True)
            if made == "blank":
                blank += 1
            elif made == "comment":
                comments += 1
            elif made == "ragged":
                ragged.append((records.line(record), len(cells)))
            else:
                mended[record] = made
                if len(cells) < width and any(cell.strip() for cell in cells):
                    if cells[0].startswith("#"):  # a comment or a row, as the columns that are empty further down say
                        raise NeedsWhole
                    short.append((records.line(record), len(cells)))
        single = None
        if b"'" in text:
            quotes = Dialect(delimiter=self.dialect.delimiter, quote="'", line_end=LF)
            single = scan(text, quotes) is not None
        frame = records.frame(complete, width)
        return Part(
            frame=merged(frame, np.flatnonzero(complete), mended),
            blank=blank,
            comments=comments,
            short=short,
            ragged=ragged,
            fields=np.bincount(records.fields[~records.blank]),
            needed=width - empty_last_columns(frame) if frame.height else None,
            double=b'"' in text,
            single=single,
        )


def text_parts(path: Path, options: ReadOptions, *, least: int) -> TextParts | None:
    """The parts of a delimited text of more than ``least`` bytes; None for other files and for shorter ones.

    Raises `NeedsWhole` where its beginning does not tell how to read it.
    """
    stamp = stamp_of(path)
    if options.max_bytes is not None and stamp[0] > options.max_bytes:
        raise NeedsWhole  # which refuses it
    head = long_beginning(path, most=PART_BYTES, least=least)
    if head is None:
        return None
    codec = codec_of(head, options.encoding)
    if codec is None or _is_other(path, head, options):
        return None
    first, _ = next(_whole_records(path, codec, options))
    preface = skip_preface(first)
    delimiter = options.delimiter or preface.delimiter
    if b"\n" not in first or not preface.text.strip():
        raise NeedsWhole
    if not delimiter and tabs_for_blanks(preface.text, (*options.kinds, *options.beside)) is not None:
        raise NeedsWhole
    records, dialect, findings = find_records(preface.text, delimiter, first_line=preface.first_line)
    if findings:
        raise NeedsWhole
    present = records.fields[~records.blank]
    if not len(present) or len(present) < looked_at(int(np.bincount(present).argmax())):
        raise NeedsWhole
    layout = lay_out(records, options)
    # A stated limit is kept, and a file that unpacks as only those do that are made to exhaust a machine is refused.
    most = options.max_bytes or max(options.byte_limit, MOST_PACKED * stamp[0])
    return TextParts(
        path=path,
        codec=codec,
        dialect=dialect,
        preface=preface,
        layout=layout,
        options=options,
        stamp=stamp,
        most_bytes=most,
    )


def _is_other(path: Path, head: bytes, options: ReadOptions) -> bool:
    """Whether a file that begins so is none of delimited text in an encoding beyond doubt."""
    end = head.rfind(b"\n") + 1
    end += head[end : end + 1] == b"\0"  # the other half of a line end of UTF-16
    try:
        text, guessed = decode(head[:end], name=str(path), encoding=options.encoding)
    except DataError:
        return True  # the reading proper says why
    suffix = next((own for own in reversed(path.suffixes) if own not in (".gz", ".gzip", ".zst", ".zstd")), "").lower()
    lines = (options.delimiter is None or suffix in JSON_SUFFIXES) and is_json_lines(text, suffix)
    return bool(guessed) or lines or (options.delimiter is None and is_svmlight(text, suffix))


def changed(path: Path) -> DataError:
    """The error for a file that is not the one that was looked at first."""
    return DataError(f"{path} changed while it was read; start again when it is complete")


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _whole_records(path: Path, codec: str, options: ReadOptions) -> Iterator[tuple[bytes, int]]:
    """The text as UTF-8, some bytes at a time, each to the end of a record, and the number of its first line."""
    held, line = b"", 1
    for text in _texts(path, codec):
        held += text
        end = _last_end(held) if len(held) >= PART_BYTES else 0
        if end:
            yield held[:end], line
            line += held.count(b"\n", 0, end)
            held = held[end:]
        elif len(held) > PART_BYTES + options.max_line_bytes:
            raise NeedsWhole
    if held:
        yield held, line


def _texts(path: Path, codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    begun = False
    try:
        for chunk in unpacked_chunks(path):
            text = decoder.decode(chunk)
            text, begun = (text if begun else text.removeprefix("\ufeff")), begun or bool(text)
            if "\0" in text:
                raise NeedsWhole
            yield text.encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise NeedsWhole from None


def _last_end(text: bytes) -> int:
    """Where the last whole record of a text ends, of which the first one begins with it; 0 if none does."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    source = np.frombuffer(text, dtype=np.uint8)
    outside = np.cumsum(source == _QUOTE, dtype=np.uint8) % 2 == 0
    ends = np.flatnonzero((source == LF) & outside)
    return int(ends[-1]) + 1 if ends.size else 0
