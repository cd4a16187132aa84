"""Give kinds to columns that already have a type: of Parquet, Arrow, JSON, polars, pandas, NumPy.

Types are believed: words that look like numbers or dates stay words, with a finding; but dates of JSON, which has no
type for them, are dates where they begin with the year. What no kind can hold (lists, structs,
bytes, Python objects) is set aside with a finding.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from lanewise.data.cell_findings import column_finding
from lanewise.data.dataset import ColumnKind
from lanewise.data.date_cells import fit_dates
from lanewise.data.findings import Finding
from lanewise.data.missing import blank_out, strip_cells, strip_frame, without_word_markers_frame
from lanewise.data.number_cells import fit_numbers, without_named
from lanewise.data.plain_words import holding_words
from lanewise.data.typing_columns import TypedColumn, as_dates, read_as
from lanewise.data.word_cells import kinds_of_words
from lanewise.data.wording import counted

INFINITE = "infinite_values"


def type_typed_columns(
    frame: pl.DataFrame,
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, ColumnKind] | None = None,
    markers: Mapping[str, Sequence[str]] | None = None,
    without_dates: bool = False,
) -> tuple[dict[str, TypedColumn], list[Finding]]:
    """Kinds and values of typed columns, and findings about columns that were set aside.

    ``markers`` say by column which words stand for a missing cell; the other columns of words tell it by their cells.
    ``without_dates`` says that the format has no type for dates, so that they are words there.
    """
    typed: dict[str, TypedColumn] = {}
    aside: list[Finding] = []
    of_words = _words(frame.select(name for name, dtype in frame.schema.items() if _are_words(dtype)), missing, markers)
    for column in frame.get_columns():
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            what = f"of type {column.dtype} is not one value a cell and was set aside"
            aside.append(column_finding("nested_column", column.name, what, severity="warning"))
            continue
        kind = (kinds or {}).get(column.name)
        found = of_words.get(column.name) or _type_column(column, missing)
        if without_dates and kind in (None, "date") and column.dtype == pl.String:
            found = _dated(found)
        typed[column.name] = found if kind in (None, found.kind) else _turn_into(found, kind)
    return typed, aside


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
    finite = without_named(numbers.fill_nan(None).set(endless, None), missing)
    return TypedColumn(cells=finite, kind="number", findings=findings)


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
    frame: pl.DataFrame, missing: Sequence[str], markers: Mapping[str, Sequence[str]] | None
) -> dict[str, TypedColumn]:
    """Columns of words, all at once: a table may have tens of thousands."""
    if not frame.width:
        return {}
    bare = strip_frame(frame.cast(pl.String), missing)
    known = {name: own for name, own in (markers or {}).items() if name in frame.schema}
    words = bare.with_columns(
        *without_word_markers_frame(bare.drop(list(known))).get_columns(),
        *(blank_out(bare[name], own) for name, own in known.items()),
    )
    kinds, plain = kinds_of_words(words), holding_words(words)
    return {
        name: TypedColumn(
            cells=words[name], kind=kinds[name], findings=() if name in plain else _written_as_words(words[name])
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


def _turn_into(column: TypedColumn, kind: ColumnKind | None) -> TypedColumn:
    """A typed column as another kind, through its text."""
    if kind is None:
        return column
    if column.cells.dtype == pl.String:
        turned = read_as(column.cells, kind)
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
