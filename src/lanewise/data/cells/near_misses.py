"""Why a column of words is one, where most of its cells are numbers or dates."""

import shlex
from dataclasses import replace

import polars as pl

from lanewise.data.cells.cell_findings import cells_finding, column_finding, count_true, first_marked
from lanewise.data.cells.date_cells import DateFit, DateForm, forms_of, with_offset
from lanewise.data.cells.missing import share_matching
from lanewise.data.cells.number_cells import LEADING_ZERO, NumberFit
from lanewise.data.cells.numbers_with_units import WITH_UNITS, numbers_with_units
from lanewise.data.cells.two_decimal_marks import TWO_MARKS, two_decimal_marks
from lanewise.data.findings import Finding
from lanewise.data.wording import counted

NON_NUMBERS = "non_number_cells"
"""Code of the finding about the cells for which a column is no number."""

NOT_NUMBERS = frozenset({NON_NUMBERS, TWO_MARKS, WITH_UNITS})
"""Codes of the findings about what keeps a column from being numbers."""

_MOSTLY = 0.5
_NEARLY_ALL = 0.99
_MOST_CODES = 20  # different numbers beside a word: more of them are no levels
_ALMOST_NUMBER = r"^[+-]?(?:\d[\d_]*|0[xXoObB][0-9a-fA-F]+|[iI]nf(?:inity|inite)?|INF|\d*\.?\d+[eE][+-]?\d+)$"


def near_misses(bare: pl.Series, numbers: NumberFit | None, dates: DateFit | None) -> list[Finding]:
    """What kept a column of words from being numbers or dates, if most of its cells are.

    ``bare`` are its cells, missing ones null, ``numbers`` and ``dates`` how far they can be read as such.
    """
    if numbers is None:
        return []
    if (found := _near_dates(bare, dates) or _of_two_marks(bare, numbers)) is not None:
        return [found]
    zeros = bare.str.contains(LEADING_ZERO)
    if zeros.any() and share_matching(bare, r"^[+-]?[0-9]+(?:\.[0-9]*)?$") == 1.0:
        return [cells_finding("leading_zeros", bare, zeros, "was kept as words, because of leading zeros in")]
    odd = numbers.cells.is_not_null() & ~numbers.cells.str.contains(numbers.nearest.pattern)
    is_special = share_matching(bare.filter(odd), _ALMOST_NUMBER) == 1.0
    if numbers.share < _MOSTLY and not is_special:
        return numbers_with_units(bare.to_frame())
    mark = _mark_of_missing(bare, odd)
    severity = "warning" if is_special or numbers.share >= _NEARLY_ALL or mark is not None else "info"
    what = "was kept as words, because no plain number can be read from"
    finding = cells_finding(NON_NUMBERS, bare, odd, what, severity=severity)
    if mark is None:
        return [finding]
    them = "it" if finding.count == 1 else "them"
    advice = f"; mend {them} or declare {them} missing (--missing={shlex.quote(mark)})"
    return [replace(finding, message=finding.message + advice)]


def _mark_of_missing(bare: pl.Series, odd: pl.Series) -> str | None:
    """The one word that stands among more different numbers than a code has; None where there is none such."""
    marks = bare.filter(odd)
    if marks.n_unique() != 1 or bare.filter(~odd).n_unique() <= _MOST_CODES:
        return None
    return None if "," in marks[0] else marks[0]


def _of_two_marks(bare: pl.Series, numbers: NumberFit) -> Finding | None:
    mixed = two_decimal_marks(bare, numbers)
    if mixed is None:
        return None
    return column_finding(TWO_MARKS, bare.name, f"was kept as words, because it {mixed}", severity="warning")


def _near_dates(bare: pl.Series, dates: DateFit | None) -> Finding | None:
    if dates is not None:
        readings = [found for found in (dates.day_first, dates.month_first) if found is not None]
        best = max(readings, key=pl.Series.count)
        if best.count() >= _MOSTLY * bare.count():
            odd = best.is_null() & bare.is_not_null()
            severity = "warning" if best.count() >= _NEARLY_ALL * bare.count() else "info"
            what = "was kept as words, because no date can be read from"
            return cells_finding("non_date_cells", bare, odd, what, severity=severity)
    elif len(forms := forms_of(bare)) > 1:
        what = f"holds dates written in {len(forms)} forms ({', '.join(forms)}) and was kept as words; write all in one"
        return column_finding("mixed_dates", bare.name, what, severity="warning")
    elif forms:
        return _of_both_sorts(bare, forms[0])
    return None


def _of_both_sorts(bare: pl.Series, form: DateForm) -> Finding | None:
    """That some dates have an offset to UTC and others none."""
    sorts = with_offset(bare, form)
    if not all(own.any() for own in sorts):
        return None
    shown = [(counted(count_true(own), "cell"), *first_marked(bare, own)[0]) for own in sorts]
    with_one, without = (f"{cells} ({cell} in row {row})" for cells, cell, row in shown)
    what = f"holds dates with an offset to UTC in {with_one} and without in {without}, and was kept as words"
    return column_finding("mixed_dates", bare.name, f"{what}; write all alike", severity="warning")
