"""Read columns of text as dates, all cells or none.

Forms: ``2024-01-31`` (also with ``/`` or ``.``), day and month before the year with ``/``, ``-`` or ``.``, and months
by their English name or its first three letters, as ``31-Jan-24``, ``31 January 2024`` or ``Jan. 31, 2024``; a time of
day, AM or PM, and an offset to UTC may follow. A year of two digits lies in 1969 to 2068, as in POSIX.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from lanewise.data.cells.missing import share_matching

_TIME = (
    r"(?:[T ]\s*(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp][Mm]))?(?:\s*(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2}))?)?$"
)
_FORMS = (
    *(rf"^(?P<year>[0-9]{{4}}){mark}(?P<b>[0-9]{{1,2}}){mark}(?P<a>[0-9]{{1,2}}){_TIME}" for mark in ("-", "/", r"\.")),
    *(rf"^(?P<a>[0-9]{{1,2}}){mark}(?P<b>[0-9]{{1,2}}){mark}(?P<year>[0-9]{{4}}|[0-9]{{2}}){_TIME}" for mark in "-/"),
    rf"^(?P<a>[0-9]{{1,2}})\.(?P<b>[0-9]{{1,2}})\.(?P<year>[0-9]{{4}}){_TIME}",
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
MONTH_NAME = rf"(?i:{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|sept)"
_NAMED = (
    rf"^(?P<a>[0-9]{{1,2}})[ -](?P<b>{MONTH_NAME})\.?[ -](?P<year>[0-9]{{4}}|[0-9]{{2}}){_TIME}",
    rf"^(?P<b>{MONTH_NAME})\.? (?P<a>[0-9]{{1,2}}),? (?P<year>[0-9]{{4}}){_TIME}",
)
DateForm = Literal[
    "Y-m-d", "Y/m/d", "Y.m.d", "d-m-Y", "d/m/Y", "d.m.Y", "d month Y", "month d Y", "m-d-Y", "m/d/Y", "m.d.Y"
]
"""What comes first in a date, and the mark between; the last three are the others of their patterns, month first."""

_PATTERNS = (*_FORMS, *_NAMED)
_DAY_FIRST: tuple[DateForm, ...] = get_args(DateForm)[: len(_PATTERNS)]
_SWAPPED: dict[DateForm, DateForm] = {"d-m-Y": "m-d-Y", "d/m/Y": "m/d/Y", "d.m.Y": "m.d.Y"}
_MONTH_FIRST: dict[DateForm, DateForm] = {other: form for form, other in _SWAPPED.items()}
_PROBE = 1000
_PROBE_SHARE = 0.5
_NEAR = 0.99


@dataclass(frozen=True, kw_only=True)
class DateFit:
    """The readings of a column whose cells all have one form; a cell that is no date is null.

    ``day_first`` is the reading ``day/month/year``, ``month_first`` the other; for dates that begin
    with the year, or name the month, only ``day_first`` is there. ``form`` is that of ``day_first``.
    """

    cells: pl.Series
    day_first: pl.Series
    form: DateForm
    month_first: pl.Series | None = None
    short_years: bool = False
    zoned: bool = False

    def reads_all(self, reading: pl.Series | None) -> bool:
        return reading is not None and reading.null_count() == self.cells.null_count()

    @property
    def is_ambiguous(self) -> bool:
        return (
            self.month_first is not None
            and self.reads_all(self.day_first)
            and self.reads_all(self.month_first)
            and bool((self.day_first != self.month_first).any())
        )


def fit_dates(cells: pl.Series, *, all_cells: bool = True) -> DateFit | None:
    """The readings of the cells (stripped, missing ones null) as dates; None if they are of no form.

    With ``all_cells`` false, cells of another form become null instead of turning the column down.
    """
    probe = cells.drop_nulls().head(_PROBE)
    if probe.is_empty():
        return None
    shares = [share_matching(probe, pattern) for pattern in _PATTERNS]
    best = max(range(len(_PATTERNS)), key=shares.__getitem__)
    if shares[best] < (_PROBE_SHARE if all_cells else 1e-9):
        return None
    if all_cells and share_matching(cells, _PATTERNS[best]) < _NEAR:
        return None
    fit = fit_form(cells, _DAY_FIRST[best])
    return fit if fit is not None or all_cells else _of_most(cells, _DAY_FIRST[best])


def _of_most(cells: pl.Series, form: DateForm) -> DateFit | None:
    """The readings of dates with an offset to UTC, or of those without, whichever are more."""
    without, with_offset = (fit_form(cells, form, zoned=zoned) for zoned in (False, True))
    assert without is not None, "dates of one sort have a reading"
    assert with_offset is not None, "dates of one sort have a reading"
    return with_offset if with_offset.day_first.count() > without.day_first.count() else without


def fit_form(cells: pl.Series, form: DateForm, *, zoned: bool | None = None) -> DateFit | None:
    """The readings of the cells by the pattern of a form.

    Dates with an offset to UTC are read alone if ``zoned``, those without if it is false; None: the one sort that there
    is, and no fit where there are both.
    """
    place = _DAY_FIRST.index(_MONTH_FIRST.get(form, form))
    pattern = _PATTERNS[place]
    parts = cells.str.extract_groups(pattern).struct.unnest()
    if pattern in _NAMED:
        numbers = {name[:3]: str(place + 1) for place, name in enumerate(_MONTHS)}
        months = pl.col("b").str.slice(0, 3).str.to_lowercase().replace_strict(numbers, default=None)
        parts = parts.with_columns(months.alias("b"))
    if zoned is not None:
        fits = pl.col("zone").is_not_null() if zoned else pl.col("zone").is_null()
        parts = parts.select(pl.when(fits).then(pl.all()).otherwise(None).name.keep())
    zones = parts["zone"].null_count() < parts.height
    if zones and parts["zone"].null_count() != parts["year"].null_count():
        return None
    day_first = _assemble(parts, day="a", month="b")
    month_first = _assemble(parts, day="b", month="a") if _DAY_FIRST[place] in _SWAPPED else None
    short = bool((parts["year"].str.len_chars() == 2).any())
    return DateFit(
        cells=cells,
        day_first=day_first,
        form=_DAY_FIRST[place],
        month_first=month_first,
        short_years=short,
        zoned=zones,
    )


def with_offset(cells: pl.Series, form: DateForm) -> tuple[pl.Series, pl.Series]:
    """Which of the cells are dates of a form with an offset to UTC, and which are such without.

    >>> cells = pl.Series(["2024-01-31 08:15Z", "2024-01-31 08:15", "soon"])
    >>> [own.to_list() for own in with_offset(cells, "Y-m-d")]
    [[True, False, False], [False, True, False]]
    """
    place = _DAY_FIRST.index(_MONTH_FIRST.get(form, form))
    parts = cells.str.extract_groups(_PATTERNS[place]).struct.unnest()
    fits, zone = parts["year"].is_not_null(), parts["zone"].is_not_null()
    return fits & zone, fits & ~zone


def forms_of(cells: pl.Series) -> list[DateForm]:
    """The forms of dates, month and day in either order, that the cells are together; none if a cell has none of them.

    >>> forms_of(pl.Series(["2024-01-31", "31.1.2024", None])), forms_of(pl.Series(["2024-01-31", "soon"]))
    (['Y-m-d', 'd.m.Y'], [])
    """
    found, rest = list[DateForm](), cells.drop_nulls()
    for form, pattern in zip(_DAY_FIRST, _PATTERNS, strict=True):
        fits = rest.str.contains(pattern)
        if fits.any():
            found.append(form)
            rest = rest.filter(~fits)
    return [] if len(rest) else found


def swapped(form: DateForm) -> DateForm | None:
    """The form with day and month in the other order, where both are numbers before the year.

    >>> swapped("d/m/Y"), swapped("m/d/Y"), swapped("Y-m-d")
    ('m/d/Y', 'd/m/Y', None)
    """
    return (_SWAPPED | _MONTH_FIRST).get(form)


def day_comes_first(form: DateForm, *, otherwise: bool | None) -> bool | None:
    """Whether the day comes before the month in a form of numbers that end with the year.

    >>> day_comes_first("d/m/Y", otherwise=None), day_comes_first("Y-m-d", otherwise=None)
    (True, None)
    """
    return otherwise if swapped(form) is None else form in _SWAPPED


def in_form(fit: DateFit, form: DateForm) -> pl.Series:
    """The reading of a fit by that form."""
    chosen = fit.day_first if form == fit.form else fit.month_first
    assert chosen is not None, "the form is one of the fit's pattern"
    return chosen


def _assemble(parts: pl.DataFrame, *, day: str, month: str) -> pl.Series:
    year = pl.col("year").cast(pl.Int64)
    full_year = (
        pl.when(pl.col("year").str.len_chars() == 2)
        .then(year + pl.when(year >= 69).then(1900).otherwise(2000))
        .otherwise(year)
    )
    number = {name: pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hour", "minute", "second")}
    half = pl.col("half").str.to_lowercase()
    hour = number["hour"]
    clock_hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + pl.when(half == "pm").then(12).otherwise(0))
    hour_fits = pl.when(half.is_null()).then(hour < 24).otherwise(hour.is_between(1, 12))
    fits = hour_fits & (number["minute"] < 60) & (number["second"] < 60)
    offset = pl.when(pl.col("zone").is_null() | (pl.col("zone") == "Z")).then(0).otherwise(
        (pl.col("zone").str.slice(1, 2).cast(pl.Int64, strict=False) * 60)
        + pl.col("zone").str.slice(-2).cast(pl.Int64, strict=False)
    ) * pl.when(pl.col("zone").str.starts_with("-")).then(-1).otherwise(1)
    fraction = pl.col("part").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    text = pl.concat_str(
        full_year.cast(pl.String).str.zfill(4),
        pl.lit("-"),
        pl.col(month).str.zfill(2),
        pl.lit("-"),
        pl.col(day).str.zfill(2),
    )
    date = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    moment = date + pl.duration(
        microseconds=((clock_hour * 60 + number["minute"] - offset) * 60 + number["second"]) * 1_000_000 + fraction
    )
    return parts.select(pl.when(fits).then(moment).otherwise(None).alias("date")).to_series()
