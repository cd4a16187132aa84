"""Give columns of text their kinds, each decided on all of its rows and never by coercion.

A column is a number or a date only if every cell that is not missing is one. What the cells of one column leave
open (``1,234``; ``03/04/2024``) is settled by the file's other columns, and reported if nothing settles it.
"""

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import cast

import polars as pl

from lanewise.data.cells.cell_findings import cells_finding, column_finding
from lanewise.data.cells.date_cells import DateFit, day_comes_first, fit_dates, swapped
from lanewise.data.cells.long_decimals import long_decimals, with_long_cells
from lanewise.data.cells.missing import (
    MARKERS,
    blank_out,
    blank_out_frame,
    strip_frame,
    without_word_markers,
    without_word_markers_frame,
)
from lanewise.data.cells.near_misses import near_misses
from lanewise.data.cells.number_cells import (
    PLAIN,
    Decimal,
    NumberFit,
    choose,
    convert,
    convert_plain_columns,
    fit_numbers,
    without_named,
)
from lanewise.data.cells.number_signs import MINUS, has_minus
from lanewise.data.cells.numbers_with_units import numbers_with_units
from lanewise.data.cells.plain_words import shares_of_words
from lanewise.data.cells.word_cells import kind_of_words, kinds_of_words
from lanewise.data.conventions import (
    UNREADABLE,
    Convention,
    DateReading,
    DatesSeen,
    NumberReading,
    NumbersSeen,
    convention_of,
)
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.settings.text_form import as_names

_THREADS = 4
_MOSTLY = 0.5
_MEASURED: tuple[ColumnKind | None, ...] = ("number", "date")
_ENDLESS = r"^(?i:[+-]?inf(?:inity|inite)?)$"


@dataclass(frozen=True, kw_only=True)
class TypedColumn:
    """A column in the storage of its kind (see ``Dataset``), findings about it, and how its cells are written."""

    cells: pl.Series
    kind: ColumnKind
    findings: tuple[Finding, ...] = ()
    convention: Convention | None = None


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What the cells of one column allow, before the other columns are asked."""

    cells: pl.Series  # stripped; blanks and the user's markers null
    bare: pl.Series  # the usual markers null too
    numbers: NumberFit | None = None
    dates: DateFit | None = None
    endless: pl.Series | None = None  # which cells are infinite, where all the others are numbers


def type_text_columns(
    frame: pl.DataFrame,
    *,
    missing: Sequence[str] = (),
    decimal: str | None = None,
    usual_decimal: Decimal | None = None,
    doubt_points: bool = False,
    kinds: Mapping[str, ColumnKind] | None = None,
    conventions: Mapping[str, Convention] | None = None,
) -> dict[str, TypedColumn]:
    """Kinds and values of columns of text; those that ``kinds`` names are read as it says.

    A cell that can't be of the named kind becomes missing and is counted in a finding. ``conventions`` say how columns
    were written before. ``decimal`` is the decimal mark where a column leaves it open; failing that and proof in other
    columns, ``usual_decimal``.
    ``doubt_points``: points that may all mark thousands are warned of, as in a file of a place of decimal commas.
    """
    wanted, known = kinds or {}, conventions or {}
    cells = strip_frame(frame, missing)
    bare = blank_out_frame(cells, MARKERS)
    plain = convert_plain_columns(bare)
    words = _beyond_doubt(cells, bare.drop(list(plain)), wanted)
    with ThreadPoolExecutor(_THREADS) as pool:
        rest = [name for name in frame.columns if name not in plain and name not in words]
        readings = dict(zip(rest, pool.map(lambda name: _read_column(cells[name], bare[name]), rest), strict=True))
        proved = _decimal_of_file([reading.numbers for reading in readings.values()], bare.select(list(plain)))
        shown = cast("Decimal | None", decimal) or proved
        mark = shown or usual_decimal
        day_first = _day_first_of_file([reading.dates for reading in readings.values()])

        def settle(name: str) -> TypedColumn:
            if name in wanted:
                own = None if decimal and wanted[name] == "number" else known.get(name)
                return read_as(cells[name], wanted[name], decimal=mark, day_first=day_first, convention=own)
            reading = readings[name] if name in readings else _read_column(cells[name], bare[name])
            if (own := known.get(name)) is None:
                return _settle(reading, mark, day_first=day_first, shown=shown)
            order = day_first if own.dates is None else day_comes_first(own.dates, otherwise=day_first)
            return _settle(reading, own.decimal or mark, day_first=order, shown=own.decimal or shown)

        long = with_long_cells(bare.select(n for n in plain if n not in wanted and plain[n].dtype.is_float()))
        done = words | {
            name: TypedColumn(
                cells=numbers,
                kind="number",
                findings=long_decimals(bare[name], numbers) if name in long else (),
                convention=_plainly_written(numbers, shown),
            )
            for name, numbers in plain.items()
            if wanted.get(name, "number") == "number"
            and _is_settled(numbers, mark, None if decimal else known.get(name))
        }
        rest = [name for name in frame.columns if name not in done]
        done.update(zip(rest, pool.map(settle, rest), strict=True))
    if doubt_points and mark is None:
        for name, finding in _open_points(bare.select(name for name in plain if name not in wanted)).items():
            done[name] = replace(done[name], findings=(*done[name].findings, finding))
    return {name: _without_named(done[name], missing) for name in frame.columns}


def _is_settled(numbers: pl.Series, mark: Decimal | None, convention: Convention | None) -> bool:
    """Whether plain numbers are what they seem to be: points may mark thousands where commas are decimal marks."""
    whole = not numbers.dtype.is_float()
    return (whole or mark != ",") if convention is None else convention.takes_plain(whole=whole)


def _plainly_written(numbers: pl.Series, shown: Decimal | None) -> Convention:
    return Convention(decimal="." if numbers.dtype.is_float() else shown)


def _without_named(column: TypedColumn, missing: Sequence[str]) -> TypedColumn:
    """A column of numbers without those of the user's markers, which another row may have written otherwise."""
    if column.kind != "number" or not missing:
        return column
    return replace(column, cells=without_named(column.cells, missing))


def _beyond_doubt(cells: pl.DataFrame, bare: pl.DataFrame, wanted: Mapping[str, ColumnKind]) -> dict[str, TypedColumn]:
    """Columns of words in most cells, and empty ones, all at once: as they come out one by one."""
    shares = shares_of_words(bare)
    found = [name for name, share in shares.items() if share > _MOSTLY or bare[name].null_count() == bare.height]
    words = without_word_markers_frame(cells.select(name for name in found if wanted.get(name) not in _MEASURED))
    kinds = kinds_of_words(words) | dict(wanted)
    units = {
        found.column: found for found in numbers_with_units(words.select(n for n in words.columns if n not in wanted))
    }
    return {
        name: TypedColumn(cells=words[name], kind=kinds[name], findings=(units[name],) if name in units else ())
        for name in words.columns
    }


def _read_column(cells: pl.Series, bare: pl.Series) -> _Reading:
    if bare.null_count() == bare.len():
        return _Reading(cells=cells, bare=bare)
    numbers = fit_numbers(bare)
    if numbers.grammars:
        return _Reading(cells=cells, bare=bare, numbers=numbers)
    endless = bare.str.contains(_ENDLESS).fill_null(value=False)
    if endless.any() and not (endless | bare.is_null()).all():
        finite = fit_numbers(bare.set(endless, None))
        if finite.grammars:
            return _Reading(cells=cells, bare=bare, numbers=finite, endless=endless)
    return _Reading(cells=cells, bare=bare, numbers=numbers, dates=fit_dates(bare))


def _decimal_of_file(fits: Sequence[NumberFit | None], plain: pl.DataFrame) -> Decimal | None:
    """The decimal mark that some column proves, if it matters for another; a proof of the comma counts more."""
    marked = [fit for fit in fits if fit is not None and fit.grammars]
    if any(fit.needs_decimal_comma for fit in marked):
        return ","
    others = (NumberFit(cells=column, grammars=(PLAIN,)) for column in plain.get_columns())
    return "." if marked and any(fit.shows_decimal_point for fit in (*marked, *others)) else None


def _open_points(plain: pl.DataFrame) -> dict[str, Finding]:
    """A warning for each column whose points all may mark thousands, where no other column shows a decimal point."""
    floats = [column for column in plain.get_columns() if column.str.contains(".", literal=True).any()]
    fits = [NumberFit(cells=column, grammars=(PLAIN,)) for column in floats]
    if any(fit.shows_decimal_point for fit in fits):
        return {}
    what = "is read with '.' as decimal mark, by a guess, as it may be the thousands mark, in"
    return {
        fit.cells.name: cells_finding(
            "open_point", fit.cells, fit.cells.str.contains(".", literal=True), what, severity="warning"
        )
        for fit in fits
        if fit.could_be_grouped()
    }


def _day_first_of_file(fits: Sequence[DateFit | None]) -> bool | None:
    """Whether days come before months in the columns that leave no doubt; None if none of them, or both."""
    two_way = [fit for fit in fits if fit is not None and fit.month_first is not None]
    day_first = any(fit.reads_all(fit.day_first) and not fit.reads_all(fit.month_first) for fit in two_way)
    month_first = any(fit.reads_all(fit.month_first) and not fit.reads_all(fit.day_first) for fit in two_way)
    return day_first if day_first != month_first else None


def _settle(
    reading: _Reading, decimal: Decimal | None, *, day_first: bool | None, shown: Decimal | None
) -> TypedColumn:
    """The column that a reading is; ``shown`` is the decimal mark that the file shows, ``decimal`` the likely one."""
    if reading.numbers is not None and reading.numbers.grammars:
        return _as_numbers(reading, reading.numbers, decimal, shown)
    if reading.dates is not None and (dated := as_dates(reading.dates, day_first=day_first)) is not None:
        return dated
    return _as_words(reading, near_misses(reading.bare, reading.numbers, reading.dates))


def _as_numbers(reading: _Reading, fit: NumberFit, decimal: Decimal | None, shown: Decimal | None) -> TypedColumn:
    cells, name = reading.cells, reading.cells.name
    grammar, in_doubt = choose(fit, decimal)
    numbers, lost = convert(fit.cells, grammar)
    findings: list[Finding] = []
    beyond = lost & grammar.is_beyond(fit.cells)
    if beyond.any() and not (beyond | fit.cells.is_null()).all():
        numbers, lost = convert(fit.cells.set(beyond, None), grammar)
        what = "is beyond the largest number of 64 bits, which counts as infinite and so as missing, in"
        findings.append(cells_finding("infinite_values", cells, beyond, what, severity="warning"))
    if lost.any():
        what = "is kept as words, not numbers, only because 64 bits cannot hold exactly"
        mark = shlex.quote(as_names([cells.filter(lost)[0]]))  # a thousands mark may be the comma between marks
        advice = f"; correct it, or declare it missing (--missing={mark})"
        finding = cells_finding("beyond_64_bit", cells, lost, what, severity="warning")
        return _as_words(reading, [replace(finding, message=finding.message + advice)])
    if reading.endless is not None:
        what = "is infinite, which counts as missing, in"
        findings.append(cells_finding("infinite_values", cells, reading.endless, what, severity="warning"))
    if grammar.decimal == "," and fit.cells.str.contains(",", literal=True).any():  # points may all mark thousands
        findings.append(column_finding("decimal_comma", name, "is written with decimal commas"))
    if grammar.thousands:
        marked = fit.cells.str.contains(grammar.thousands, literal=True)
        what = f"has {grammar.thousands!r} as thousands mark in"
        doubt = ", by a guess, as it may be the decimal mark" if in_doubt else ""
        severity = "warning" if in_doubt else "info"
        findings.append(cells_finding("thousands_mark", cells, marked, what, severity=severity, after=doubt))
    if numbers.dtype.is_float():
        findings += long_decimals(grammar.plain(fit.cells), numbers)
    minus = cells.str.starts_with(MINUS).fill_null(value=False)
    if minus.any():
        findings.append(cells_finding("minus_sign", cells, minus, f"is read with {MINUS} (U+2212) as minus sign in"))
    if fit.minus:
        stands = "its minus sign stands behind" if fit.minus == "after" else "it stands in brackets"
        what = f"is read as negative, as {stands}, in"
        findings.append(cells_finding("minus_sign", cells, has_minus(cells, fit.minus), what))
    if fit.unit:
        signed = cells.str.contains(fit.unit, literal=True)
        what = f"is read without the sign {fit.unit} of"
        findings.append(cells_finding("unit_sign", cells, signed, what))
    convention = convention_of(fit, grammar, shown)
    return TypedColumn(cells=numbers.alias(name), kind="number", findings=tuple(findings), convention=convention)


def as_dates(fit: DateFit, *, day_first: bool | None) -> TypedColumn | None:
    """The column of dates that all cells of a fit are, with what was noticed; None where they are not.

    ``day_first`` settles which of day and month comes first where both are possible; None: it is told.
    """
    name = fit.cells.name
    findings: list[Finding] = []
    if fit.is_ambiguous:
        chosen = fit.month_first if day_first is False else fit.day_first
        if day_first is None:
            what = "may be day/month or month/day; every row fits both, and it was read as day/month"
            findings.append(column_finding("ambiguous_dates", name, what, severity="warning"))
    else:
        chosen = fit.day_first if fit.reads_all(fit.day_first) else fit.month_first
    if chosen is None or not fit.reads_all(chosen):
        return None
    if fit.short_years:
        findings.append(column_finding("short_years", name, "has years of two digits, read as 1969 to 2068"))
    if fit.zoned:
        findings.append(column_finding("time_zone", name, "has offsets to UTC; times were turned into UTC"))
    form = fit.form if chosen is fit.day_first else swapped(fit.form)
    return TypedColumn(
        cells=chosen.alias(name), kind="date", findings=tuple(findings), convention=Convention(dates=form)
    )


def _as_words(reading: _Reading, findings: Sequence[Finding] = ()) -> TypedColumn:
    words = without_word_markers(reading.cells)
    return TypedColumn(cells=words, kind=kind_of_words(words), findings=tuple(findings))


def read_as(
    cells: pl.Series,
    kind: ColumnKind,
    *,
    decimal: Decimal | None = None,
    day_first: bool | None = None,
    convention: Convention | None = None,
) -> TypedColumn:
    """Text cells as a given kind, read by their ``convention`` if one is known.

    Those that can't be of that kind become missing, and are counted.
    """
    if kind in ("category", "text"):
        return TypedColumn(cells=without_word_markers(cells), kind=kind)
    bare = blank_out(cells, MARKERS)
    if convention is not None and (kind == "date") == (convention.dates is not None):
        return _read_by(convention, bare, decimal, day_first=day_first)
    if kind == "number":
        typed = _numbers_where_possible(bare, decimal)
    else:
        typed = _dates_where_possible(bare, day_first=day_first)
    odd = typed.is_null() & bare.is_not_null()
    findings: tuple[Finding, ...] = ()
    if odd.any():
        what = f"can't be read as {kind} and counts as missing in"
        findings = (cells_finding(UNREADABLE, bare, odd, what, severity="warning"),)
    return TypedColumn(cells=typed.alias(cells.name), kind=kind, findings=findings)


def _read_by(
    convention: Convention, bare: pl.Series, decimal: Decimal | None, *, day_first: bool | None
) -> TypedColumn:
    """Cells as those of training were written; of those written otherwise it is told what was made of them."""
    if convention.dates is None:
        reading = NumberReading.of(convention, NumbersSeen.of(bare, convention), decimal)
        typed, told = reading.numbers(bare)
    else:
        seen = DatesSeen.of(bare, convention.dates)
        typed, told = DateReading.of(convention.dates, seen, day_first=day_first).dates(bare)
    findings = tuple(cells_finding(one.code, bare, one.cells, one.what, severity="warning") for one in told)
    kind = "number" if convention.dates is None else "date"
    return TypedColumn(cells=typed.alias(bare.name), kind=kind, findings=findings, convention=convention)


def _numbers_where_possible(bare: pl.Series, decimal: Decimal | None) -> pl.Series:
    without_zeros = bare.str.replace(r"^([+-]?)0+([0-9])", "${1}${2}")
    fit = fit_numbers(without_zeros, amounts=True)
    grammar = choose(fit, decimal)[0] if fit.grammars else fit.nearest
    fitting = fit.cells.str.contains(grammar.pattern).fill_null(value=False)
    readable = fit.cells.set(~fitting, None)
    numbers, lost = convert(readable, grammar)
    if not lost.any():
        return numbers
    rounded = grammar.plain(readable).str.strip_prefix("+").cast(pl.Float64, strict=False)
    return rounded.set(rounded.is_infinite().fill_null(value=False), None)


def _dates_where_possible(bare: pl.Series, *, day_first: bool | None) -> pl.Series:
    fit = fit_dates(bare, all_cells=False)
    if fit is None:
        return pl.Series(bare.name, [None] * bare.len(), dtype=pl.Datetime("us"))
    if fit.month_first is None:
        return fit.day_first
    more_by_month = _present(fit.month_first) > _present(fit.day_first)
    tie = _present(fit.month_first) == _present(fit.day_first)
    return fit.month_first if more_by_month or (tie and day_first is False) else fit.day_first


def _present(cells: pl.Series) -> int:
    return cells.len() - cells.null_count()
