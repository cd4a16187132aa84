"""A table as arrays: raw numbers, codes of levels, counts of words. Nothing here is fitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lanewise.errors import DataError
from lanewise.features.columns import (
    CYCLES,
    FIRST_LEVEL_CODE,
    MISSING_CODE,
    OTHER_CODE,
    CategoryColumn,
    Column,
    DateColumn,
    NumberColumn,
    TextColumn,
)
from lanewise.features.hashing import count_buckets
from lanewise.features.table import Table

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_MICROSECONDS_A_DAY = 86_400e6
_AT_ONCE = 1_000
"""Categories that are encoded at a time."""

_CELLS_AT_ONCE = 2**20
"""Numbers that are copied at a time."""

_FEW_ROWS = 2_000
"""Rows up to which a dictionary finds codes sooner than a call of polars for each column does."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Rows as arrays, in the order of the table.

    ``numbers [N, Dn]`` float64, NaN where missing; ``codes [N, Kc]`` int64; ``tokens [N, H]`` float32 counts in
    CSR, or None where there is no text.
    """

    numbers: np.ndarray
    codes: np.ndarray
    tokens: "csr_array | None"

    @property
    def rows(self) -> int:
        return len(self.numbers)

    def only(self, inside: np.ndarray) -> "Encoded":
        """The rows that ``inside [N]`` marks or numbers."""
        if inside.dtype == bool and inside.all():
            return self
        tokens = None if self.tokens is None else self.tokens[inside]
        return Encoded(numbers=self.numbers[inside], codes=self.codes[inside], tokens=tokens)


def require_columns(table: Table, names: Iterable[str]) -> None:
    """`DataError` that names every column of ``names`` that ``table`` lacks."""
    present = set(table.frame.columns)
    absent = [name for name in names if name not in present]
    if absent:
        message = (
            f"{table.source} has no column {', '.join(repr(name) for name in absent)}; the model reads them: "
            "add them, or rename the columns that hold them"
        )
        raise DataError(message)


def encode(columns: Sequence[Column], table: Table) -> Encoded:
    """All rows of ``table`` as arrays; ``columns`` give their order.

    Integers beyond 2^53 are rounded to the nearest float64. `DataError` where a column is absent or holds cells
    of another type than the model was trained on.
    """
    require_columns(table, (column.name for column in columns))
    types = dict(table.frame.schema)
    apart: dict[int, np.ndarray] = {}
    plain: dict[int, str] = {}  # of the number at each place, its column
    tokens: list[csr_array] = []
    place = 0
    for column in columns:
        if isinstance(column, NumberColumn) and types[column.name].is_numeric():
            plain[place] = column.name
            place += 1
            continue
        cells = table.frame[column.name]
        _require_type(cells, column, table.source)
        if isinstance(column, NumberColumn):
            apart[place] = _floats(cells)
            place += 1
        elif isinstance(column, DateColumn):
            for part in _encode_date(cells, column):
                apart[place] = part
                place += 1
        elif isinstance(column, TextColumn):
            tokens.append(count_buckets(cells, buckets=column.buckets, character_ngrams=column.character_ngrams))
    numbers = np.empty((table.frame.height, place))
    for place, values in apart.items():
        numbers[:, place] = values
    _put_numbers(numbers, table.frame, plain)
    return Encoded(
        numbers=numbers,
        codes=_encode_categories(table.frame, [column for column in columns if isinstance(column, CategoryColumn)]),
        tokens=_side_by_side(tokens) if tokens else None,
    )


def _side_by_side(tokens: "list[csr_array]") -> "csr_array":
    from scipy.sparse import csr_array, hstack

    return csr_array(hstack(tokens, format="csr"))


def date_parts(cells: pl.Series) -> pl.DataFrame:
    """The parts of each point in time: days since 1970 with their fraction, year, month, weekday, day, hour.

    >>> import datetime
    >>> date_parts(pl.Series([datetime.datetime(1969, 12, 31, 18, 30)])).row(0)
    (-0.229..., 1969, 12, 3, 31, 18.5)
    """
    stamp = cells.cast(pl.Datetime("us"))
    parts = {
        "days": _ratio(stamp.to_physical(), _MICROSECONDS_A_DAY),
        "year": stamp.dt.year(),
        "month": stamp.dt.month(),
        "weekday": stamp.dt.weekday(),
        "day": stamp.dt.day(),
        "hour": stamp.dt.hour() + _ratio(stamp.dt.minute(), 60.0),
    }
    return pl.DataFrame([part.alias(name) for name, part in parts.items()])


def _ratio(values: pl.Series, divisor: float) -> pl.Series:
    # polars multiplies longer columns by 1 / divisor, so the last bit would depend on the number of rows.
    return pl.Series(_floats(values) / divisor).fill_nan(None)


def _encode_date(cells: pl.Series, column: DateColumn) -> Iterable[np.ndarray]:
    parts = date_parts(cells)
    for part in column.parts:
        values = _floats(parts[part])
        if part in CYCLES:
            length, first = CYCLES[part]
            angle = (values - first) * (2 * np.pi / length)
            yield np.sin(angle)
            yield np.cos(angle)
        else:
            yield values


def _encode_categories(frame: pl.DataFrame, columns: Sequence[CategoryColumn]) -> np.ndarray:
    """Codes ``[N, Kc]`` of all categories at once: there may be tens of thousands."""
    codes = np.empty((frame.height, len(columns)), dtype=np.int64)
    if frame.height <= _FEW_ROWS:
        words = frame.select([column.name for column in columns]).cast(pl.String)
        for place, column in enumerate(columns):
            known: dict[str | None, int] = {level: code for code, level in enumerate(column.levels, FIRST_LEVEL_CODE)}
            known[None] = MISSING_CODE
            codes[:, place] = [known.get(word, OTHER_CODE) for word in words[column.name].to_list()]
        return codes
    for start in range(0, len(columns), _AT_ONCE):
        some = columns[start : start + _AT_ONCE]
        found = frame.select(_code(pl.col(column.name), column).alias(str(place)) for place, column in enumerate(some))
        codes[:, start : start + len(some)] = found.to_numpy()
    return codes


def _code(cells: pl.Expr, column: CategoryColumn) -> pl.Expr:
    words = cells.cast(pl.String)
    places = words.cast(pl.Enum(column.levels), strict=False).to_physical().cast(pl.Int64)
    return pl.when(words.is_null()).then(MISSING_CODE).otherwise((places + FIRST_LEVEL_CODE).fill_null(OTHER_CODE))


def _floats(cells: pl.Series) -> np.ndarray:
    return cells.cast(pl.Float64).to_numpy()  # NaN where a cell is missing


def _put_numbers(numbers: np.ndarray, frame: pl.DataFrame, columns: Mapping[int, str]) -> None:
    """Write columns of numbers to their places in ``numbers [N, Dn]``, many at once."""
    places, names = list(columns), list(columns.values())
    at_once = max(1, _CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, len(names), at_once):
        block = slice(start, start + at_once)
        numbers[:, places[block]] = frame.select(pl.col(names[block]).cast(pl.Float64)).to_numpy()


def _require_type(cells: pl.Series, column: Column, source: str) -> None:
    """A column may come in another type than at training; an empty one has none, and is merely missing."""
    if cells.null_count() == len(cells):
        return
    if isinstance(column, NumberColumn):
        fits = cells.dtype.is_numeric()
    elif isinstance(column, DateColumn):
        fits = cells.dtype in (pl.Datetime, pl.Date)
    elif isinstance(column, TextColumn):
        fits = cells.dtype == pl.String
    else:
        # Levels such as 1 and 2 may look like whole numbers in a small file.
        fits = cells.dtype == pl.String or cells.dtype.is_integer()
    if not fits:
        message = (
            f"column {column.name!r} of {source} holds {cells.dtype}, but was a {column.kind} when the model was "
            f"trained; give it as {column.kind}"
        )
        raise DataError(message)
