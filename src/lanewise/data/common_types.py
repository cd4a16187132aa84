"""The types of a table whose files disagree on them: numbers are widened where nothing is lost, else it is refused."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lanewise.data.findings import Finding
from lanewise.errors import DataError

MOST_EXACT = 2**53
"""Whole numbers up to this one are held exactly by 64 bits with a fraction."""

_SIGNED = {8: pl.Int8(), 16: pl.Int16(), 32: pl.Int32(), 64: pl.Int64()}
_SIZES = {pl.Int8: 8, pl.Int16: 16, pl.Int32: 32, pl.Int64: 64}
_SIZES |= {pl.UInt8: 8, pl.UInt16: 16, pl.UInt32: 32, pl.UInt64: 64}
_TOO_LONG = 128  # bits, which no kind holds


def common_schema(paths: Sequence[Path], schemas: Sequence[pl.Schema]) -> tuple[pl.Schema, list[Finding]]:
    """The columns of all files in types that hold those of each, and which were widened.

    Raises ``DataError`` where columns or their order differ, or their types have no common one.
    """
    first = schemas[0]
    common = dict(first)
    widened: dict[str, list[pl.DataType]] = {}
    for path, own in zip(paths[1:], schemas[1:], strict=True):
        if own == first:
            continue
        if (difference := _difference(own, first)) is not None:
            message = f"{path} has {difference} {paths[0]}: files of one table need the same columns"
            raise DataError(message)
        for name, dtype in own.items():
            if dtype == first[name]:
                continue
            wider = wider_type(common[name], dtype)
            if wider is None:
                message = (
                    f"{path} has {name!r} as {dtype}, which is {first[name]} in {paths[0]}: files of one table need "
                    "columns of the same type, or numbers"
                )
                raise DataError(message)
            common[name] = wider
            found = widened.setdefault(name, [first[name]])
            found += [] if dtype in found else [dtype]
    findings = [
        Finding(
            code="widened_column",
            column=name,
            message=f"column {name!r} is {' or '.join(map(str, found))}, by file, and was read as {common[name]}",
        )
        for name, found in widened.items()
    ]
    return pl.Schema(common), findings


def wider_type(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The type that holds the cells of both; None where there is none without a change of meaning.

    >>> wider_type(pl.Int16(), pl.Int64()), wider_type(pl.UInt8(), pl.Int8()), wider_type(pl.Int8(), pl.String())
    (Int64, Int16, None)
    """
    if pl.Null in (one, other):
        return other if one == pl.Null else one
    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime) and one.time_zone == other.time_zone:
        return pl.Datetime("us", one.time_zone)
    if not all(dtype.is_integer() or dtype.is_float() for dtype in (one, other)):
        return None
    if one.is_float() or other.is_float():
        return pl.Float64()
    return _wider_integer(one, other)


def _wider_integer(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    sizes = _SIZES.get(one.base_type(), _TOO_LONG), _SIZES.get(other.base_type(), _TOO_LONG)
    if _TOO_LONG in sizes:
        return None
    if one.is_unsigned_integer() == other.is_unsigned_integer():
        return one if sizes[0] > sizes[1] else other
    unsigned, signed = sizes if one.is_unsigned_integer() else sizes[::-1]
    return _SIGNED[max(signed, min(2 * unsigned, max(_SIGNED)))]


def bound_of(own: pl.DataType, common: pl.DataType) -> int | None:
    """The largest whole number of a file's type that the common one holds; None where it holds all of them."""
    if own == common or not own.is_integer() or _SIZES.get(own.base_type(), _TOO_LONG) < max(_SIGNED):
        return None
    return MOST_EXACT if common.is_float() else 2**63 - 1


def _difference(own: pl.Schema, first: pl.Schema) -> str | None:
    """How a file's columns differ from those of the first one, in name or order."""
    lacking = [column for column in first if column not in own]
    if lacking:
        return f"no column {lacking[0]!r}, unlike"
    extra = [column for column in own if column not in first]
    if extra:
        return f"a column {extra[0]!r} that is not in"
    return None if list(own) == list(first) else "its columns in another order than"
