"""Columns of words that are nearly numbers: but for a few cells, two decimal marks, a unit, or too many digits."""

import re

import polars as pl

from lanewise.data.cells.cell_findings import marked_cells
from lanewise.data.cells.number_cells import LEADING_ZERO, convert, fit_numbers
from lanewise.data.cells.numbers_with_units import unit_of
from lanewise.data.cells.two_decimal_marks import two_decimal_marks

_FEW = 0.1
_MOST_MARKS = 3
_PLAIN_MARK = re.compile(r"[\w.+-]+")
_WHOLE = r"^[+-]?(0|[1-9][0-9]*)$"
_LONG = r"^[+-]?[1-9][0-9]{18,}$"
"""A whole number that 64 bits may not hold: any of fewer digits fits."""


def number_but_for(words: pl.Series) -> str | None:
    """What keeps a column of words from being numbers; goes on after its name.

    That is one cell in ten or fewer, or that numbers have two decimal marks, or units. Cells with leading zeros alone
    do not count: such words are codes.

    >>> number_but_for(pl.Series(["units", "1.5", "2.25", None, "3"]))
    "is a number but for 1 cell: 'units' in row 1; mend it or declare it missing (--missing=units)"
    >>> number_but_for(pl.Series(["red", "green", "7"]))
    """
    if words.dtype != pl.String or words.null_count() == words.len():
        return None
    fit = fit_numbers(words)
    if (mixed := two_decimal_marks(words, fit, least=1 - _FEW)) is not None:
        return mixed
    if (unit := unit_of(words)) is not None:
        return unit.what
    grammar = fit.grammars[0] if fit.grammars else fit.nearest
    fits = fit.cells.str.contains(grammar.pattern).fill_null(value=False)
    _, lost = convert(fit.cells.set(~fits, None), grammar)
    odd = words.is_not_null() & (~fits | lost)
    marks = words.filter(odd).unique(maintain_order=True).to_list()
    count = int(odd.sum())
    if not count or count > max(1, _FEW * (words.len() - words.null_count())):
        return None
    if all(re.match(LEADING_ZERO, mark) for mark in marks):
        return None
    advice = f"mend {'it' if count == 1 else 'them'}"
    if len(marks) <= _MOST_MARKS and all(_PLAIN_MARK.fullmatch(mark) for mark in marks):
        advice += f" or declare {'it' if count == 1 else 'them'} missing (--missing={','.join(marks)})"
    return f"is a number but for {marked_cells(words, odd)}; {advice}"


def beyond_64_bits(words: pl.Series) -> str | None:
    """That words are whole numbers, some with more digits than 64 bits hold, and what to do; goes on after their name.

    >>> beyond_64_bits(pl.Series(["12345678901234567890", "7"]))[:52]
    'holds whole numbers of up to 20 digits, more than 64'
    >>> beyond_64_bits(pl.Series(["1234567890123456789a", "7"]))
    """
    if words.dtype != pl.String or not words.str.contains(_LONG).any():
        return None
    cells = words.drop_nulls()
    if not cells.str.contains(_WHOLE).all():
        return None
    digits = max(len(cell.lstrip("+-")) for cell in cells)
    return (
        f"holds whole numbers of up to {digits} digits, more than 64 bits hold, so they are read as words, as "
        "identifiers are; give another target, or write amounts with an exponent, such as 1.234e+25"
    )
