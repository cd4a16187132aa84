"""Give kinds to columns that already have a type: of Parquet, Arrow, JSON, polars, pandas, NumPy.

Types are believed: words that look like numbers or dates stay words, with a finding; but dates of JSON, which has no
type for them, are dates where they begin with the year. What no kind can hold (lists, structs,
bytes, Python objects) is set aside with a finding.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

import polars as pl

from lanewise.data.cells.cell_findings import column_finding
from lanewise.data.cells.date_cells import fit_dates
from lanewise.data.cells.missing import blank_out, strip_cells, strip_frame, without_word_markers_frame
from lanewise.data.cells.number_cells import fit_numbers, without_named
from lanewise.data.cells.numbers_with_units import numbers_with_units
from lanewise.data.cells.plain_words import holding_words
from lanewise.data.cells.typing_columns import TypedColumn, as_dates, read_as
from lanewise.data.cells.word_cells import kinds_of_words
from lanewise.data.common_types import MOST_EXACT
from lanewise.data.conventions import Convention
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.wording import counted

_SURE_DIGITS = 15  # which every number of 64 bits holds
INFINITE = "infinite_values"
AS_WORDS = ("numbers_as_words", "dates_as_words")
"""Codes of the findings about columns of words that could be of another kind."""

NESTED = "nested_column"
"""Code of the finding about a column that no kind can hold."""


def type_typed_columns(
    frame: pl.DataFrame,
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, ColumnKind] | None = None,
    conventions: Mapping[str, Convention] | None = None,
    markers: Mapping[str, Sequence[str]] | None = None,
    without_dates: bool = False,
) -> tuple[dict[str, TypedColumn], list[Finding]]:
    """Kinds and values of typed columns, and findings about columns that were set aside.

    ``conventions`` say how words that have to be numbers or dates were written before, ``markers`` by column which
    words stand for a missing cell; the other columns of words tell it by their cells.
    ``without_dates`` says that the format has no type for dates, so that they are words there.
    """
    typed: dict[str, TypedColumn] = {}
    aside: list[Finding] = []
    words = frame.select(name for name, dtype in frame.schema.items() if _are_words(dtype))
    of_words = _words(words, missing, markers, named=(kinds or {}))
    for column in frame.get_columns():
        if is_unusable(column.dtype):
            aside.append(unusable_column(column.name, column.dtype))
            continue
        kind = (kinds or {}).get(column.name)
        found = of_words.get(column.name) or _type_column(column, missing)
        if without_dates and kind in (None, "date") and column.dtype == pl.String:
            found = _dated(found)
        own = (conventions or {}).get(column.name)
        typed[column.name] = found if kind in (None, found.kind) else _turn_into(found, kind, own)
    return typed, aside


def is_unusable(dtype: pl.DataType) -> bool:
    """Whether no kind can hold the cells of a type."""
    return dtype.is_nested() or dtype in (pl.Binary, pl.Object)


def unusable_column(name: str, dtype: pl.DataType) -> Finding:
    """That a column of such a type is set aside."""
    why = "is nested, several values a cell," if dtype.is_nested() else "is not one value a cell"
    what = f"of type {_short(dtype)} {why} and was set aside; make columns of single values of it to use it"
    return column_finding(NESTED, name, what, severity="warning")


def _short(dtype: pl.DataType) -> str:
    """A type by its name and, for lists, that of its values; the fields of a struct may be hundreds."""
    inner = f"({_short(pl.Series(dtype=dtype.inner).dtype)})" if isinstance(dtype, pl.List) else ""
    return f"{dtype.base_type()}{inner}"


def _are_words(dtype: pl.DataType) -> bool:
    """Whether cells of a type are words: not numbers, times or levels, nor what no kind can hold."""
    others = (pl.Boolean, pl.Categorical, pl.Enum, pl.Binary, pl.Object)
    return not (dtype.is_numeric() or dtype.is_temporal() or dtype.is_nested() or dtype in others)


def _type_column(column: pl.Series, missing: Sequence[str]) -> TypedColumn:
    dtype = column.dtype
    if dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0):  # as databases export whole numbers
        return _integers(column, missing)
    if dtype.is_float() or dtype.is_decimal():
        return _floats(column, missing)
    if dtype in (pl.Date, pl.Datetime):
        return _dates(column)
    if dtype == pl.Duration:
        return _durations(column)
    return TypedColumn(cells=strip_cells(column.cast(pl.String), missing), kind="category")


def _integers(column: pl.Series, missing: Sequence[str]) -> TypedColumn:
    numbers = column.cast(pl.Int64, strict=False)
    if numbers.null_count() > column.null_count():
        what = "holds whole numbers beyond 64 bits and was kept as words"
        finding = column_finding("beyond_64_bit", column.name, what, severity="warning")
        return TypedColumn(cells=column.cast(pl.String), kind="category", findings=(finding,))
    return TypedColumn(cells=without_named(numbers, missing), kind="number")


def _floats(column: pl.Series, missing: Sequence[str]) -> TypedColumn:
    numbers = column.cast(pl.Float64)
    endless = numbers.is_infinite().fill_null(value=False)
    findings: tuple[Finding, ...] = ()
    if endless.any():
        findings = (infinite_cells(column.name, numbers.filter(endless).len()),)
    if isinstance(column.dtype, pl.Decimal):
        findings = rounded_decimals(column, numbers)
    finite = without_named(numbers.fill_nan(None).set(endless, None), missing)
    return TypedColumn(cells=finite, kind="number", findings=findings)


def rounded_decimals(column: pl.Series, numbers: pl.Series) -> tuple[Finding, ...]:
    """That decimals have digits that their ``numbers`` of 64 bits do not hold; a warning where these are whole ones."""
    digits = column.cast(pl.String).str.replace_all(r"^[-0.]+|\.|\.?0+$", "").str.len_chars()
    long = (digits > _SURE_DIGITS).fill_null(value=False)
    pairs = zip(column.filter(long), numbers.filter(long), strict=True)
    lost = [(exact, number) for exact, number in pairs if Decimal(repr(number)) != exact]
    if not lost:
        return ()
    exact, number = lost[0]
    severity = "warning" if any(abs(number) >= MOST_EXACT for _, number in lost) else "info"
    message = (
        f"column {column.name!r} has {counted(len(lost), 'decimal')} with more digits than 64 bits hold, which "
        f"{'was' if len(lost) == 1 else 'were'} rounded, as {exact} to {number!r}"
    )
    return (Finding(code="rounded_decimals", severity=severity, column=column.name, count=len(lost), message=message),)


def infinite_cells(name: str, count: int) -> Finding:
    """That so many cells of a column of numbers are infinite."""
    message = f"column {name!r} has {counted(count, 'infinite cell')}, read as missing"
    return Finding(code=INFINITE, severity="warning", column=name, count=count, message=message)


def _dates(column: pl.Series) -> TypedColumn:
    findings: tuple[Finding, ...] = ()
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        findings = (column_finding("time_zone", column.name, "has a time zone; times were turned into UTC"),)
    return TypedColumn(cells=column.cast(pl.Datetime("us")), kind="date", findings=findings)


def _durations(column: pl.Series) -> TypedColumn:
    finding = column_finding("duration_seconds", column.name, "holds spans of time; they were turned into seconds")
    return TypedColumn(cells=column.dt.total_microseconds() / 1e6, kind="number", findings=(finding,))


def _words(
    frame: pl.DataFrame,
    missing: Sequence[str],
    markers: Mapping[str, Sequence[str]] | None,
    *,
    named: Collection[str],
) -> dict[str, TypedColumn]:
    """Columns of words, all at once: a table may have tens of thousands.

    Of those whose kind was ``named`` it is no news that they are words.
    """
    if not frame.width:
        return {}
    bare = strip_frame(frame.cast(pl.String), missing)
    known = {name: own for name, own in (markers or {}).items() if name in frame.schema}
    words = bare.with_columns(
        *without_word_markers_frame(bare.drop(list(known))).get_columns(),
        *(blank_out(bare[name], own) for name, own in known.items()),
    )
    open_ = words.select(name for name in words.columns if name not in named)
    kinds, plain = kinds_of_words(words), holding_words(open_)
    plain = {*plain, *named}
    units = {found.column: found for found in numbers_with_units(open_)}
    told = {name: () if name in plain else _written_as_words(words[name]) for name in frame.columns}
    return {
        name: TypedColumn(
            cells=words[name],
            kind=kinds[name],
            findings=(*told[name], *((units[name],) if name in units and not told[name] else ())),
        )
        for name in frame.columns
    }


def _written_as_words(words: pl.Series) -> tuple[Finding, ...]:
    """That a column of words holds numbers or dates only, if it does."""
    if words.null_count() == words.len():
        return ()
    if fit_numbers(words).grammars:
        what = "holds only numbers, but as words, and was kept so; name its kind to change that"
        return (column_finding("numbers_as_words", words.name, what, severity="warning"),)
    if _year_first(words) is not None:
        what = "holds only dates, but as words, and was kept so; make it a column of dates to change that"
        return (column_finding("dates_as_words", words.name, what, severity="warning"),)
    return ()


def _year_first(words: pl.Series) -> TypedColumn | None:
    """The dates that all of the words are, where no order of day and month is in doubt."""
    fit = fit_dates(words)
    return as_dates(fit, day_first=None) if fit is not None and fit.month_first is None else None


def _dated(column: TypedColumn) -> TypedColumn:
    return _year_first(column.cells) or column


def _turn_into(column: TypedColumn, kind: ColumnKind | None, convention: Convention | None) -> TypedColumn:
    """A typed column as another kind, through its text."""
    if kind is None:
        return column
    if column.cells.dtype == pl.String:
        turned = read_as(column.cells, kind, convention=convention)
    elif column.kind == "number":
        turned = read_as(_number_texts(column.cells), kind)
    else:
        turned = read_as(column.cells.dt.strftime("%Y-%m-%dT%H:%M:%S"), kind)
    # Of words that were turned it is no longer true that they were kept so.
    kept = () if column.cells.dtype == pl.String and kind in ("number", "date") else column.findings
    return TypedColumn(cells=turned.cells, kind=turned.kind, findings=(*kept, *turned.findings))


def _number_texts(numbers: pl.Series) -> pl.Series:
    """Numbers as text; whole ones without a decimal point, because levels are compared as text."""
    if numbers.dtype.is_float() and (numbers == numbers.floor()).all() and (numbers.abs() < 2.0**53).all():
        numbers = numbers.cast(pl.Int64)
    return numbers.cast(pl.String)
