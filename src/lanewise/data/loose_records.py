"""Records of a text whose quotes are not all proper, read field by field.

A quote mark opens a cell only at the start of a field, and closes it only before a delimiter or a line
end; every other mark is an ordinary character. So is a mark that is not closed before the next one that
would open a cell.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

_MAX_PIECES = 20_000  # of one quoted cell: lines, delimiters, marks, and runs of other characters
_MAX_UNCLOSED = 1_000  # marks that nothing closes; each costs a look at up to that many pieces


@dataclass(frozen=True, kw_only=True)
class LooseRecord:
    """Fields of one record, and the number of its first line."""

    cells: list[str]
    line: int
    size: int


class LooseRecords:
    """Records read one by one; see ``ScannedRecords`` for the meaning of the methods."""

    def __init__(self, records: list[LooseRecord]) -> None:
        self._records = records
        self.fields: NDArray[np.int64] = np.array([len(record.cells) for record in records], dtype=np.int64)
        self.blank: NDArray[np.bool_] = np.array([not any(record.cells) for record in records], dtype=np.bool_)

    def line(self, record: int) -> int:
        return self._records[record].line

    def cells(self, record: int) -> list[str]:
        return self._records[record].cells

    def lines_where(self, matches: Callable[[str], bool]) -> list[int]:
        """The first line of the record of each cell that matches."""
        return [record.line for record in self._records for cell in record.cells if matches(cell)]

    def longest(self) -> tuple[int, int]:
        sizes = [record.size for record in self._records]
        record = int(np.argmax(sizes))
        return sizes[record], record

    def frame(self, keep: NDArray[np.bool_], width: int) -> pl.DataFrame:
        return self.of_rows([self._records[int(row)].cells for row in np.flatnonzero(keep)], width)

    @staticmethod
    def of_rows(rows: list[list[str]], width: int) -> pl.DataFrame:
        """Rows of exactly ``width`` cells as columns of text ``c0``, ``c1``, ..."""
        columns = list(zip(*rows, strict=True)) or [()] * width
        return pl.DataFrame(
            [pl.Series(f"c{column}", cells, dtype=pl.String) for column, cells in enumerate(columns)],
        )


def split_records(
    text: str, delimiter: str, quote: str | None, *, first_line: int = 1, limit: int | None = None
) -> list[LooseRecord]:
    """Records of a text whose lines end in LF or CRLF; at most ``limit`` of them.

    >>> [record.cells for record in split_records('a,"b,c"\\n5" disk,1', ",", '"')]
    [['a', 'b,c'], ['5" disk', '1']]
    """
    text = text.removesuffix("\r")
    cutter = _Cutter(delimiter, quote) if quote else None
    records: list[LooseRecord] = []
    at, line = 0, first_line
    while at < len(text) and (limit is None or len(records) < limit):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if cutter is not None and cutter.is_needed(text, at, end):
            cells, end = cutter.cut(text, at)
        else:
            cells = text[at:end].removesuffix("\r").split(delimiter)
        records.append(LooseRecord(cells=cells, line=line, size=end - at))
        line += text.count("\n", at, end) + 1
        at = end + 1
    return records


class _Cutter:
    """Cuts records with quote marks into cells."""

    def __init__(self, delimiter: str, quote: str) -> None:
        stop, mark = re.escape(delimiter), re.escape(quote)
        closes = rf"{stop}|\r?\n|\Z"
        opens = rf"{mark}(?!{mark})"
        # Possessive groups: a doubled mark is always taken as a pair, so a match takes linear time.
        inner = rf"(?:[^{mark}\n{stop}]++|[\n{stop}](?!{opens})|{mark}{mark}|{mark}(?!{closes}))"
        self._quoted = re.compile(rf"{mark}({inner}{{0,{_MAX_PIECES}}}+){mark}(?={closes})")
        self._plain = re.compile(rf"[^{stop}\n]*")
        self._quote = quote
        self._tries = _MAX_UNCLOSED

    def is_needed(self, text: str, start: int, end: int) -> bool:
        """Whether a line may have a quoted cell."""
        return self._tries > 0 and text.find(self._quote, start, end) >= 0

    def cut(self, text: str, at: int) -> tuple[list[str], int]:
        """Cells of the record that starts at a place, and where its line end is."""
        cells: list[str] = []
        while True:
            opens = self._tries > 0 and text.startswith(self._quote, at)
            match = self._quoted.match(text, at) if opens else None
            if match is not None:
                cells.append(match[1].replace(self._quote * 2, self._quote))
            else:
                self._tries -= opens
                match = self._plain.match(text, at)
                assert match is not None, "the pattern matches the empty string"
                cells.append(match[0])
            at = match.end()
            at += text.startswith("\r\n", at)
            if at >= len(text) or text[at] == "\n":
                if match.re is self._plain:
                    cells[-1] = cells[-1].removesuffix("\r")
                return cells, at
            at += 1
