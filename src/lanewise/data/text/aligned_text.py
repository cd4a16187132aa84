"""Tables whose cells stand apart by blanks alone: aligned columns, and what R's ``write.table`` writes.

Blanks are in words and in numbers too (``1 234``), so they separate cells only where nothing else does: no record of
the beginning has another delimiter, nearly all of them have the same number of cells, and at least half of the cells
below the first record are numbers or quoted.
"""

import re
from collections.abc import Collection

import numpy as np

from lanewise.data.text.sniffing import DELIMITERS

_SAMPLE_BYTES = 2**16
_STEADY = 0.95
_MOSTLY = 0.5
_CELL = re.compile(rb'"[^"]*"|[^ ]+')
_PLAIN = re.compile(rb'[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|"[^"]*"')
_BLANKS = re.compile(rb'("[^"\r\n]*")|^ +| +$| +', re.MULTILINE)


def tabs_for_blanks(text: bytes, known: Collection[str] = ()) -> bytes | None:
    r"""The text with a tab between its cells, where blanks separate them; else None.

    The first record may have a cell less than those of three or more below it: then these begin with row names.
    Names of columns that are ``known`` settle it: whether cells are numbers is not asked where the first record has one
    of them, and a first line that is one of them is not cut.

    >>> tabs_for_blanks(b"size  price\n  3.5   10\n 12.0    9\n")
    b'size\tprice\n3.5\t10\n12.0\t9\n'
    >>> tabs_for_blanks(b"text\na good film\na bad one\n")
    """
    sample = text[:_SAMPLE_BYTES]
    if any(mark.encode() in sample for mark in DELIMITERS):
        return None
    lines = [line for line in sample.splitlines() if line.strip()][: -1 if len(text) > _SAMPLE_BYTES else None]
    records = [_CELL.findall(line) for line in lines]
    if len(records) < 2 or _name(lines[0]) in known:
        return None
    counts = np.array([len(cells) for cells in records])
    usual = int(np.bincount(counts[1:]).argmax())
    named = counts[0] == usual or (counts[0] == usual - 1 and usual > 2)
    if usual < 2 or not named or (counts[1:] == usual).mean() < _STEADY:
        return None
    plain = [bool(_PLAIN.fullmatch(cell)) for cells in records[1:] for cell in cells]
    if np.mean(plain) < _MOSTLY and not any(_name(cell) in known for cell in records[0]):
        return None
    return _BLANKS.sub(_separated, text)


def _name(cell: bytes) -> str:
    return cell.strip().strip(b'"').decode(errors="replace")


def _separated(found: re.Match[bytes]) -> bytes:
    """A quoted cell as it is; blanks as a tab, or nothing at either end of a line."""
    if found[1] is not None:
        return found[1]
    whole, at = found.string, found.end()
    begins = found.start() == 0 or whole[found.start() - 1] in b"\r\n"
    return b"" if begins or at == len(whole) or whole[at] in b"\r\n" else b"\t"
