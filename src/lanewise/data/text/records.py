"""Where the records of a delimited text begin and end, and how many fields each has.

The text is scanned as an array of bytes. A byte is inside quotes if an odd number of quote marks
precede it; that is exact as long as every quote mark opens a field, closes one, or is doubled inside
one, which is checked for every mark. A text that breaks this rule is mended by ``stray_quotes`` first.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

LF, CR = 10, 13
_SPARE_BYTES = (0x1E, 0x1D, 0x1C, 0x01, 0x02, 0x03)
NO_DELIMITER = "\x1f"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a text is cut: ``delimiter`` is U+001F if there is one column; ``line_end`` is LF (or CRLF) or CR."""

    delimiter: str
    quote: str | None = '"'
    line_end: int = LF


class ScannedRecords:
    """Records of a text whose quotes are all proper; cut by array operations and parsed by polars.

    ``fields [N]`` is the number of fields of each record, header included; ``blank [N]`` says which
    records have only empty ones. ``stand_in`` is the character of the text that stands for the quote mark in cells.
    """

    def __init__(
        self, text: bytes, dialect: Dialect, scan: "_Scan", *, first_line: int, stand_in: str | None = None
    ) -> None:
        self._text = text
        self._stand_in = stand_in
        self._dialect = dialect
        self._scan = scan
        self._first_line = first_line
        self.fields: NDArray[np.int64] = scan.fields
        self.blank: NDArray[np.bool_] = scan.ends - scan.starts <= scan.fields - 1

    def line(self, record: int) -> int:
        """Number of the line, from 1, on which a record begins."""
        end = int(self._scan.starts[record])
        mark = bytes([self._dialect.line_end])
        return self._first_line + self._text.count(mark, 0, end)

    def cells(self, record: int) -> list[str]:
        """Fields of one record."""
        mark = self._dialect.quote or '"'
        cells = [piece.decode() for piece in self._pieces(record)]
        if self._scan.inside is not None:
            cells = [cell[1:-1].replace(mark * 2, mark) if cell.startswith(mark) else cell for cell in cells]
        return cells if self._stand_in is None else [cell.replace(self._stand_in, mark) for cell in cells]

    def quoted(self, record: int) -> list[bool]:
        """Which fields of one record stand in quotes."""
        mark = (self._dialect.quote or "").encode()
        return [bool(mark) and piece.startswith(mark) for piece in self._pieces(record)]

    def _pieces(self, record: int) -> list[bytes]:
        """The fields of one record as they are written."""
        start, end = int(self._scan.starts[record]), int(self._scan.ends[record])
        text, delimiter = self._text[start:end], self._dialect.delimiter.encode()
        if self._scan.inside is None or (self._dialect.quote or "").encode() not in text:
            return text.split(delimiter)
        is_delimiter = np.frombuffer(text, dtype=np.uint8) == delimiter[0]
        cuts = np.flatnonzero(is_delimiter & ~self._scan.inside[start:end]).tolist()
        return [text[begin:stop] for begin, stop in zip([0, *(cut + 1 for cut in cuts)], [*cuts, None], strict=True)]

    def longest(self) -> tuple[int, int]:
        """Bytes of the longest record, and which it is."""
        lengths = self._scan.ends - self._scan.starts
        record = int(lengths.argmax())
        return int(lengths[record]), record

    def frame(self, keep: NDArray[np.bool_], width: int) -> pl.DataFrame:
        """The kept records, each of exactly ``width`` fields, as columns of text ``c0``, ``c1``, ..."""
        text, stand_in = self._canonical(keep)
        schema = {f"c{column}": pl.String for column in range(width)}
        frame = pl.DataFrame(schema=schema)
        if text:
            frame = pl.read_csv(
                text,
                has_header=False,
                schema=schema,
                separator=self._dialect.delimiter,
                quote_char=self._dialect.quote if self._scan.inside is not None else None,
            )
        if frame.height != int(keep.sum()) or frame.width != width:
            return frame_of_rows([self.cells(int(row)) for row in np.flatnonzero(keep)], width)
        stand_ins = {} if stand_in is None else {chr(stand_in): "\n"}
        stand_ins |= {} if self._stand_in is None else {self._stand_in: self._dialect.quote or '"'}
        for character, meant in stand_ins.items():
            frame = frame.with_columns(pl.all().str.replace_all(character, meant, literal=True))
        return frame

    def _canonical(self, keep: NDArray[np.bool_]) -> tuple[bytes, int | None]:
        """Text with one kept record on each line, ended by LF; line feeds in cells by a spare byte."""
        scan = self._scan
        source = np.frombuffer(self._text, dtype=np.uint8)
        out = source
        stand_in = None
        if scan.inside is not None and bool((breaks := (source == LF) & scan.inside).any()):
            stand_in = next((byte for byte in _SPARE_BYTES if not (source == byte).any()), None)
            if stand_in is None:
                return b"", None
            out = np.where(breaks, np.uint8(stand_in), source)
        # Each record is copied with one byte after it, which is its line end; a carriage return before it is not.
        kept = np.flatnonzero(keep)
        if not kept.size:
            return b"", stand_in
        if kept[-1] - kept[0] == kept.size - 1 and not scan.has_carriage_returns:  # all but a header, mostly
            return out[scan.starts[kept[0]] : scan.ends[kept[-1]]].tobytes() + b"\n", stand_in
        pad = np.concatenate([out, np.array([LF], dtype=np.uint8)])
        pad[scan.ends] = LF
        change = np.zeros(pad.size + 1, dtype=np.int8)
        change[scan.starts[keep]] += 1
        change[scan.ends[keep] + 1] -= 1
        return pad[np.cumsum(change[:-1], dtype=np.int8) > 0].tobytes(), stand_in


def frame_of_rows(rows: list[list[str]], width: int) -> pl.DataFrame:
    """Rows of exactly ``width`` cells as columns of text ``c0``, ``c1``, ..."""
    columns = list(zip(*rows, strict=True)) or [()] * width
    return pl.DataFrame(
        [pl.Series(f"c{column}", cells, dtype=pl.String) for column, cells in enumerate(columns)],
    )


@dataclass(frozen=True, kw_only=True)
class _Scan:
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    fields: NDArray[np.int64]
    inside: NDArray[np.bool_] | None
    has_carriage_returns: bool


def scan(text: bytes, dialect: Dialect, *, first_line: int = 1, stand_in: str | None = None) -> ScannedRecords | None:
    """The records of a text, or None if some quote mark is not a proper one; ``stand_in`` means one that is none."""
    source = np.frombuffer(text, dtype=np.uint8)
    quote = ord(dialect.quote) if dialect.quote else None
    inside: NDArray[np.bool_] | None = None
    if quote is not None and bytes([quote]) in text:
        marks = source == quote
        if not _quotes_are_proper(source, np.flatnonzero(marks), dialect):
            return None
        inside = np.cumsum(marks, dtype=np.uint8) % 2 == 1
    found = _cut(source, dialect, inside)
    return ScannedRecords(text, dialect, found, first_line=first_line, stand_in=stand_in)


def field_counts(sample: bytes, delimiter: str, quote: str | None, line_end: int) -> NDArray[np.int64]:
    """Fields of each record of a sample; quotes are taken at their word."""
    source = np.frombuffer(sample, dtype=np.uint8)
    inside = np.cumsum(source == ord(quote), dtype=np.uint8) % 2 == 1 if quote else None
    return _cut(source, Dialect(delimiter=delimiter, quote=quote, line_end=line_end), inside).fields


def _cut(source: NDArray[np.uint8], dialect: Dialect, inside: NDArray[np.bool_] | None) -> _Scan:
    is_end = source == dialect.line_end
    is_delimiter = source == ord(dialect.delimiter)
    if inside is not None:
        is_end &= ~inside
        is_delimiter &= ~inside
    ends = np.flatnonzero(is_end)
    if source.size and (ends.size == 0 or ends[-1] != source.size - 1):
        ends = np.append(ends, source.size)
    starts = np.concatenate([np.zeros(min(1, ends.size), dtype=np.int64), ends[:-1] + 1])
    places = np.flatnonzero(is_delimiter)
    fields = np.searchsorted(places, ends) - np.searchsorted(places, starts) + 1
    has_carriage_returns = dialect.line_end == CR
    if dialect.line_end == LF and ends.size:
        before = source[np.maximum(ends - 1, 0)]
        returns = (before == CR) & (ends > starts)
        has_carriage_returns = bool(returns.any())
        ends = ends - returns
    return _Scan(starts=starts, ends=ends, fields=fields, inside=inside, has_carriage_returns=has_carriage_returns)


def _quotes_are_proper(source: NDArray[np.uint8], marks: NDArray[np.int64], dialect: Dialect) -> bool:
    """Whether each opening mark starts a field and each closing one ends it, doubled marks apart."""
    if marks.size % 2:
        return False
    opening, closing = marks[0::2], marks[1::2]
    edges = [ord(dialect.delimiter), dialect.line_end]
    starts_field = (opening == 0) | np.isin(source[opening - 1], edges)
    starts_field[1:] |= opening[1:] == closing[:-1] + 1
    padded = np.concatenate([source, np.array([dialect.line_end] * 2, dtype=np.uint8)])
    after = padded[closing + 1]
    ends_field = np.isin(after, edges) | ((after == CR) & (padded[closing + 2] == LF))
    ends_field[:-1] |= opening[1:] == closing[:-1] + 1
    return bool(starts_field.all() and ends_field.all())
