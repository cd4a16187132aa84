"""Columns in which some cells have a decimal point and others a decimal comma."""

import polars as pl

from lanewise.data.cells.cell_findings import first_marked
from lanewise.data.cells.number_cells import Decimal, Grammar, NumberFit, fit_numbers
from lanewise.data.wording import counted

TWO_MARKS = "two_decimal_marks"
"""Code of the finding about such a column."""

_MOSTLY = 0.5
_THOUSANDS: dict[Decimal, tuple[str, ...]] = {".": ("", ",", "'", " "), ",": ("", ".", "'", " ")}


def two_decimal_marks(cells: pl.Series, fit: NumberFit | None = None, *, least: float = _MOSTLY) -> str | None:
    """That a column of words has numbers with both marks, and which; goes on after its name.

    At ``least`` such a share of its cells are numbers; ``fit`` is how far they can be read as such, if that is known.

    >>> two_decimal_marks(pl.Series(["12.34", "56,7", None])).split("; ")[0]
    "mixes two decimal marks: '.' in 1 cell ('12.34' in row 1) and ',' in 1 cell ('56,7' in row 2)"
    >>> two_decimal_marks(pl.Series(["12.34", "1,234"]))
    """
    if cells.dtype != pl.String or not all(cells.str.contains(mark, literal=True).any() for mark in ".,"):
        return None
    texts = (fit or fit_numbers(cells)).cells
    reads = {mark: _reads(texts, mark) for mark in _THOUSANDS}
    numbers = reads["."] | reads[","]
    if numbers.sum() < least * cells.count():
        return None
    only = {".": reads["."] & ~reads[","], ",": reads[","] & ~reads["."]}
    if not (only["."].any() and only[","].any()):
        return None
    told = [f"{mark!r} in {_with_first(cells, own)}" for mark, own in only.items()]
    either = int((reads["."] & reads[","] & texts.str.contains("[.,]")).sum())
    open_ = f"; in {counted(either, 'cell')} the mark may be either" if either else ""
    return f"mixes two decimal marks: {' and '.join(told)}{open_}; write all numbers with one of them"


def _reads(texts: pl.Series, mark: Decimal) -> pl.Series:
    """Which cells are numbers with this decimal mark and some mark of thousands."""
    patterns = [Grammar(mark, thousands).pattern for thousands in _THOUSANDS[mark]]
    return texts.str.contains("|".join(f"(?:{pattern})" for pattern in patterns)).fill_null(value=False)


def _with_first(cells: pl.Series, mask: pl.Series) -> str:
    cell, row = first_marked(cells, mask)[0]
    return f"{counted(int(mask.sum()), 'cell')} ({cell} in row {row})"
