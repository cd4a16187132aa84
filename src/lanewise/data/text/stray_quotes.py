"""Texts whose quote marks are not all proper: which marks are quotes of cells, and which are ordinary characters.

A quote mark opens a cell only at the start of a field, and closes it only before a delimiter or a line
end; every other mark is an ordinary character. So is a mark that is not closed before the next one that
would open a cell.
"""

import numpy as np
from numpy.typing import NDArray

from lanewise.data.text.records import CR, LF, Dialect, ScannedRecords, scan

ORDINARY = b"\0"
"""Stands for a quote mark that is an ordinary character: decoded text has no NUL."""

_QUOTE = ord('"')
_MAX_LINES = 10_000  # of one quoted cell: a mark far down that happens to stand before a delimiter closes nothing


def scan_loosely(text: bytes, delimiter: str, *, first_line: int = 1) -> ScannedRecords:
    r"""The records of a text whose lines end in LF or CRLF, whatever its quote marks are.

    >>> records = scan_loosely(b'a,"b,c"\n5" disk,1', ",")
    >>> records.cells(0), records.cells(1)
    (['a', 'b,c'], ['5" disk', '1'])
    """
    text = with_stand_ins(text.removesuffix(b"\r"), delimiter)
    records = scan(text, Dialect(delimiter=delimiter), first_line=first_line, stand_in=ORDINARY.decode())
    assert records is not None, "what is left are proper quotes"
    return records


def with_stand_ins(text: bytes, delimiter: str) -> bytes:
    r"""A text with lines that end in LF or CRLF, and ``ORDINARY`` for each mark that is no quote of a cell.

    All marks that are left are proper ones: around cells, or doubled within. Every byte keeps its place.

    >>> with_stand_ins(b'a,"b,c"\n5" disk,"1\n', ",")
    b'a,"b,c"\n5\x00 disk,\x001\n'
    """
    source = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(source == _QUOTE)
    begins = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    runs, lengths = places[begins], np.diff(begins, append=places.size)
    odd = lengths % 2 == 1
    opens, closes = _at_edges(source, runs, lengths, ord(delimiter))
    first, last = _pairs(runs, odd=odd, single=lengths == 1, opens=opens, closes=closes, source=source)
    number = np.arange(runs.size)
    pair = np.searchsorted(first, number, side="right") - 1
    inside = (pair >= 0) & (number <= np.append(last, -1)[pair])
    at_first, at_last = (np.isin(number, ends, assume_unique=True) for ends in (first, last))
    out = source.copy()
    out[places[np.repeat(~inside, lengths)]] = ORDINARY[0]
    # Of a run of marks inside a cell all are pairs, save a last one where they are odd without the one that opens it.
    alone = inside & ~at_last & (odd ^ at_first)
    out[runs[alone] + lengths[alone] - 1] = ORDINARY[0]
    return out.tobytes()


def _at_edges(
    source: NDArray[np.uint8], runs: NDArray[np.int64], lengths: NDArray[np.int64], delimiter: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which runs of marks stand at the start of a field, and which at the end of one."""
    padded = np.concatenate([[np.uint8(LF)], source, np.array([LF, 0], dtype=np.uint8)])
    before, after = padded[runs], padded[runs + lengths + 1]
    ends_line = (after == CR) & (padded[runs + lengths + 2] == LF) & (runs + lengths + 1 < source.size)
    return (before == LF) | (before == delimiter), (after == LF) | (after == delimiter) | ends_line


def _pairs(
    runs: NDArray[np.int64],
    *,
    odd: NDArray[np.bool_],
    single: NDArray[np.bool_],
    opens: NDArray[np.bool_],
    closes: NDArray[np.bool_],
    source: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the runs of marks that open a cell, and of those that close it (the same one: it is empty)."""
    count, number = runs.size, np.arange(runs.size)
    alone = opens & closes & ~odd
    stop = _next(np.flatnonzero(closes & odd), count)
    closed = alone | (stop < _next(np.flatnonzero(opens & single), count))
    ends = np.where(alone, number, stop)
    candidates = np.flatnonzero(opens & closed)
    line_ends = np.flatnonzero(source == LF)
    lines = np.searchsorted(line_ends, runs[ends[candidates]]) - np.searchsorted(line_ends, runs[candidates])
    candidates = candidates[lines < _MAX_LINES]
    chosen = _apart(candidates, ends[candidates])
    return candidates[chosen], ends[candidates[chosen]]


def _apart(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the cells, in order of their begin, are left when each is dropped that begins inside of the one before.

    >>> _apart(np.array([0, 1, 3, 7]), np.array([2, 5, 4, 8])).tolist()
    [True, False, True, True]
    """
    chosen = begins > np.append(-1, np.maximum.accumulate(ends)[:-1])[: begins.size]
    until = -1
    for place in np.flatnonzero(~chosen).tolist():  # few: mostly no mark at the start of a field stands inside a cell
        until = max(until, int(ends[place - 1])) if chosen[place - 1] else until
        if begins[place] > until:
            chosen[place], until = True, int(ends[place])
    return chosen


def _next(chosen: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of ``count`` numbers the next greater one that is ``chosen``; ``count`` where there is none."""
    return np.append(chosen, count)[np.searchsorted(chosen, np.arange(count), side="right")]
