"""Read columns of text as numbers, all cells or none.

A number is ASCII: an optional sign, digits without leading zeros, an optional decimal mark with digits, an
optional exponent. ``007``, ``1_0``, ``0x1F``, ``inf`` and digits of other scripts are none. A column may
share one thousands mark (in groups of three, or as in India ``12,34,567``) and one currency or percent sign; U+2212 is
a minus sign too, and so are brackets and a hyphen behind where that is beyond doubt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from lanewise.data.cells.missing import share_matching
from lanewise.data.cells.number_signs import (
    Minus,
    Sign,
    minus_of,
    sign_of,
    with_minus_before,
    with_plain_minus,
    without_sign,
)
from lanewise.data.cells.text_columns import Look, changed, in_all_cells, in_some_cell

Decimal = Literal[".", ","]

_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_WHOLE = r"^[+-]?[0-9]+$"
_NO_FRACTION = r"\.0*$"
_WHOLE_POINT = r"^[+-]?[0-9]+\.0*$"
_PROBE = 2000
_PROBE_SHARE = 0.3
LEADING_ZERO = r"^[+-]?0[0-9]"
_GROUPED_POINT = r"^[+-]?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})?|0)$"


@dataclass(frozen=True)
class Grammar:
    """How a column writes numbers: decimal mark, and thousands mark (empty if none)."""

    decimal: Decimal = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        mark = "\\" + self.decimal
        whole = "(?:0|[1-9][0-9]*)"
        if self.thousands:
            indian = "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}" if self.thousands == "," else ""
            whole = rf"(?:0|[1-9][0-9]{{0,2}}(?:\{self.thousands}[0-9]{{3}})+{indian}|[1-9][0-9]*)"
        if self.thousands == " ":
            whole = whole.replace("\\ ", "[ ]")
        after = "*" if self.decimal == "." else "+"  # "5." is a number of computers, "5," is the end of a clause
        return rf"^[+-]?(?:{whole}(?:{mark}[0-9]{after})?|{mark}[0-9]+){_EXPONENT}$"

    def plain(self, cells: pl.Series) -> pl.Series:
        """Cells written without thousands mark and with a decimal point."""
        if self.thousands:
            cells = cells.str.replace_all(self.thousands, "", literal=True)
        return cells.str.replace(",", ".", literal=True) if self.decimal == "," else cells

    def is_beyond(self, cells: pl.Series) -> pl.Series:
        """Which cells are larger than any number of 64 bits, as ``1e999``; a row of digits alone is never among them.

        >>> PLAIN.is_beyond(pl.Series(["1e999", "2.5", None])).to_list()
        [True, False, False]
        """
        texts = self.plain(cells).str.strip_prefix("+")
        endless = texts.cast(pl.Float64, strict=False).is_infinite() & ~texts.str.contains(_WHOLE)
        return endless.fill_null(value=False)


PLAIN = Grammar()
_OTHERS = (
    Grammar(".", ","),
    Grammar(",", ""),
    Grammar(",", "."),
    Grammar(".", "'"),
    Grammar(",", "'"),
    Grammar(".", " "),
    Grammar(",", " "),
)


@dataclass(frozen=True, kw_only=True)
class NumberFit:
    """Grammars that read every cell; if there are none, the one that reads the largest ``share``.

    ``cells`` are the cells without currency or percent sign (``unit``, empty if none was there), with their minus signs
    in front, wherever they stood (``minus``).
    """

    cells: pl.Series
    grammars: tuple[Grammar, ...]
    nearest: Grammar = PLAIN
    share: float = 1.0
    unit: Sign = ""
    minus: Minus = ""

    @property
    def needs_decimal_comma(self) -> bool:
        return bool(self.grammars) and all(grammar.decimal == "," for grammar in self.grammars)

    @property
    def shows_decimal_point(self) -> bool:
        """Whether some cell can only be read with a decimal point."""
        if not self.grammars or any(grammar.decimal == "," for grammar in self.grammars):
            return False
        texts = self.cells.drop_nulls()
        return bool((texts.str.contains(r"\.") & ~texts.str.contains(_GROUPED_POINT)).any())

    def could_be_grouped(self) -> bool:
        """Whether every point may as well be a thousands mark, and there is one."""
        texts = self.cells.drop_nulls()
        return bool(texts.str.contains(r"\.").any()) and bool(texts.str.contains(_GROUPED_POINT).all())


def fit_numbers(cells: pl.Series, *, amounts: bool = False) -> NumberFit:
    """How the cells (stripped, missing ones null) can be read as numbers.

    ``amounts``: it is known that they are numbers, so that letters before one are no part of a name (``PEN 3``).
    """
    share = share_matching(cells, PLAIN.pattern)
    if share == 1.0:
        return NumberFit(cells=cells, grammars=(PLAIN,))
    minus = minus_of(cells)
    in_front = with_minus_before(with_plain_minus(cells), minus)
    signed = bool((in_front != cells).any())
    unit = sign_of(in_front, amounts=amounts)
    texts = with_plain_blanks(without_sign(in_front) if unit else in_front)
    probe = texts.drop_nulls().head(_PROBE)
    hopeful = [grammar for grammar in _OTHERS if share_matching(probe, grammar.pattern) >= _PROBE_SHARE]
    if unit or signed:
        hopeful.insert(0, PLAIN)
    nearest, fitting = PLAIN, []
    for grammar in hopeful:
        reached = share_matching(texts, grammar.pattern)
        if reached == 1.0:
            fitting.append(grammar)
        elif reached > share:
            nearest, share = grammar, reached
    if fitting:
        simplest = fitting[:1] if fitting[0] == PLAIN else fitting
        return NumberFit(cells=texts, grammars=tuple(simplest), unit=unit, minus=minus)
    return NumberFit(cells=texts, grammars=(), nearest=nearest, share=share, unit=unit, minus=minus)


def with_plain_blanks(cells: pl.Series) -> pl.Series:
    """Cells with a space for blanks of all kinds, and a straight apostrophe for a bent one."""
    return cells.str.replace_all("[\u00a0\u202f\u2009]", " ").str.replace_all("\u2019", "'", literal=True)


def choose(fit: NumberFit, decimal: Decimal | None) -> tuple[Grammar, bool]:
    """The grammar to read with, and whether that was in doubt, given the file's decimal mark if known."""
    grammars = fit.grammars
    if PLAIN in grammars:
        if decimal == "," and fit.could_be_grouped():
            return Grammar(",", "."), True
        return PLAIN, False
    points = [grammar for grammar in grammars if grammar.decimal == "."]
    commas = [grammar for grammar in grammars if grammar.decimal == ","]
    if points and commas:
        in_doubt = bool(fit.cells.str.contains(",", literal=True).any())
        return (commas[0] if decimal == "," else points[0]), in_doubt and decimal is None
    return grammars[0], False


def convert_plain_columns(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Numbers of those columns whose every cell is plainly written and held exactly by 64 bits.

    The same as ``convert`` gives, for all columns at once: a table may have tens of thousands.
    """
    present = [name for name in frame.columns if frame[name].null_count() < frame.height]
    for rows in (frame.head(_PROBE), frame):
        plain = in_all_cells(rows.select(present), lambda cells: cells.str.contains(PLAIN.pattern))
        present = [name for name, fits in zip(present, plain, strict=True) if fits]
    if not present:
        return {}
    texts = changed(frame.select(present), lambda cells: cells.str.strip_prefix("+"))
    whole = dict.fromkeys(present, True)
    for rows in (texts.head(_PROBE), texts):
        some = [name for name in present if whole[name]]
        whole |= zip(some, in_all_cells(rows.select(some), lambda cells: cells.str.contains(_WHOLE)), strict=True)
    fractions = [name for name in present if not whole[name]]
    numbers = {
        column.name: column
        for names, dtype in (([name for name in present if whole[name]], pl.Int64()), (fractions, pl.Float64()))
        for column in changed(texts.select(names), _as_type(dtype)).get_columns()
    }
    lost = {column.name for column in texts.get_columns() if numbers[column.name].null_count() > column.null_count()}
    # The text of a cell is asked only where its number is one that may have lost something.
    held = pl.DataFrame([numbers[name] for name in fractions if name not in lost])
    doubtful = in_some_cell(held, _may_be_lost)
    for name in (name for name, some in zip(held.columns, doubtful, strict=True) if some):
        some = pl.DataFrame({"text": texts[name], "number": numbers[name]}).filter(_may_be_lost(pl.col("number")))
        if some.select(_is_lost(pl.col("text"), pl.col("number"), whole=False).any()).item():
            lost.add(name)
    return {name: numbers[name] for name in present if name not in lost}


def _as_type(dtype: pl.DataType) -> Look:
    return lambda cells: cells.cast(dtype, strict=False)


def _may_be_lost(numbers: pl.Expr) -> pl.Expr:
    """Which numbers are such as a cell becomes that is not held exactly."""
    return ((numbers == 0) | (numbers.abs() >= 2.0**53)).fill_null(value=False)


def _is_lost(texts: pl.Expr, value: pl.Expr, *, whole: bool) -> pl.Expr:
    """Which cells are not held exactly: beyond 64 bits, infinite, vanished to zero, or a rounded whole number."""
    unreadable = texts.is_not_null() & value.is_null()
    if whole:
        return unreadable
    vanished = (value == 0) & texts.str.contains(r"^-?[0-9.]*[1-9]")
    large = value.abs() >= 2.0**53
    digits = texts.str.replace(_NO_FRACTION, "").cast(pl.Int128, strict=False)
    # Written as a whole number, it would have been one in a column of whole numbers; else its digits are compared.
    # Nobody writes an identifier of more than 38 digits with a point; who prints floats by %f does.
    changed_digits = (digits != value.cast(pl.Int128, strict=False)).fill_null(value=False)
    rounded = large & (texts.str.contains(_WHOLE) | (texts.str.contains(_WHOLE_POINT) & changed_digits))
    return (unreadable | value.is_infinite() | vanished | rounded).fill_null(value=False)


def without_named(numbers: pl.Series, named: Sequence[str]) -> pl.Series:
    """Numbers with those equal to a marker of the user as null; a marker is a number where a cell would be one.

    >>> without_named(pl.Series([1.5, -200.0, 10.0]), ["-200", "none", "1_0"]).to_list()
    [1.5, None, 10.0]
    """
    for marker in named:
        if re.fullmatch(PLAIN.pattern, marker.strip()):
            numbers = numbers.set((numbers == float(marker)).fill_null(value=False), None)
    return numbers


def convert(cells: pl.Series, grammar: Grammar) -> tuple[pl.Series, pl.Series]:
    """Numbers of cells that all fit the grammar, and which cells no 64-bit number holds.

    ``Int64`` if every cell is a whole number without decimal mark or exponent, else ``Float64``.
    """
    texts = grammar.plain(cells).str.strip_prefix("+")
    whole = texts.str.contains(_WHOLE).all()
    numbers = texts.cast(pl.Int64 if whole else pl.Float64, strict=False)
    lost = texts.to_frame("text").select(_is_lost(pl.col("text"), pl.lit(numbers), whole=whole)).to_series()
    return numbers, lost
