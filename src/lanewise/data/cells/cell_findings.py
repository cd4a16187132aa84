"""Findings about cells of one column: which, how many, and the first of them with their rows."""

import polars as pl

from lanewise.data.findings import Finding, Severity
from lanewise.data.wording import counted

SHOWN = 3
_LONGEST = 40


def count_true(mask: pl.Series) -> int:
    """Number of marked cells; a null marks nothing.

    >>> count_true(pl.Series([True, None, False]))
    1
    """
    return mask.fill_null(value=False).arg_true().len()


def column_finding(code: str, name: str, what: str, *, severity: Severity = "info") -> Finding:
    """A finding about a column as a whole; ``what`` goes on after its name."""
    return Finding(code=code, severity=severity, column=name, message=f"column {name!r} {what}")


def cells_finding(
    code: str, cells: pl.Series, mask: pl.Series, what: str, *, severity: Severity = "info", after: str = ""
) -> Finding:
    """A finding about the marked cells; ``what`` goes on after the column's name, up to their number.

    >>> cells = pl.Series("age", ["31", "old"])
    >>> cells_finding("odd", cells, cells == "old", "stays words for", after=" without a number").message
    "column 'age' stays words for 1 cell without a number: 'old' in row 2"
    """
    message = f"column {cells.name!r} {what} {marked_cells(cells, mask, after=after)}"
    return Finding(code=code, severity=severity, column=cells.name, count=count_true(mask), message=message)


def marked_cells(cells: pl.Series, mask: pl.Series, *, after: str = "") -> str:
    """The number of the marked cells, and the first of them with their rows.

    >>> marked_cells(pl.Series(["31", "old"]), pl.Series([False, True]))
    "1 cell: 'old' in row 2"
    """
    rows = mask.fill_null(value=False).arg_true()
    return cells_in_words(rows.len(), first_marked(cells, mask), after=after)


def first_marked(cells: pl.Series, mask: pl.Series, *, before: int = 0) -> list[tuple[str, int]]:
    """The first of the marked cells, as they are shown, with their rows; ``before`` rows come before these cells."""
    rows = mask.fill_null(value=False).arg_true()
    return [(_short(cells[row]), before + row + 1) for row in rows.head(SHOWN).to_list()]


def cells_in_words(count: int, first: list[tuple[str, int]], *, after: str = "") -> str:
    """So many cells, of which the first ones are shown with their rows."""
    shown = ", ".join(f"{cell} in row {row}" for cell, row in first[:SHOWN])
    return f"{counted(count, 'cell')}{after}: {shown}"


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= _LONGEST else f"{cell[: _LONGEST - 3]}...")
