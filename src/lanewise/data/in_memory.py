"""Tables that are already in memory: polars, pandas, NumPy, or a dict of columns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lanewise.data.findings import Finding
from lanewise.data.text.headers import column_names
from lanewise.errors import DataError

TypedTable = tuple[pl.DataFrame, str, list[Finding]]


def from_memory(source: object) -> TypedTable:
    """A typed table, its name in words, and findings.

    Raises ``DataError`` for another kind of object, an array that is not two-dimensional, or columns
    of different lengths.
    """
    if isinstance(source, pl.LazyFrame):
        source = _collected(source)
    if isinstance(source, pl.DataFrame):
        return from_columns("the polars table", source.columns, source.get_columns())
    if isinstance(source, np.ndarray):
        return from_columns("the NumPy array", *_array_columns(source))
    if isinstance(source, Mapping):
        return from_columns("the dict of columns", list(source), list(source.values()))
    if _is_pandas(source):
        return _from_pandas(source)
    message = (
        f"a table of type {type(source).__name__} can't be read: give a path, a polars or pandas table, "
        f"a NumPy array or a dict of columns"
    )
    raise DataError(message)


def _is_pandas(source: object) -> bool:
    """Whether this is a pandas table; pandas is not imported to tell."""
    kind = type(source)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def _collected(lazy: pl.LazyFrame) -> pl.DataFrame:
    try:
        return lazy.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        message = f"the lazy polars table can't be computed: {str(error).splitlines()[0]}"
        raise DataError(message) from None


def _array_columns(array: NDArray[Any]) -> tuple[list[str], list[Any]]:
    if array.dtype.names is not None and array.ndim == 1:
        return list(array.dtype.names), [array[name] for name in array.dtype.names]
    if array.ndim != 2:
        message = f"the NumPy array has {array.ndim} dimensions: give rows and columns, or a structured array"
        raise DataError(message)
    return [f"x{place}" for place in range(array.shape[1])], list(array.T)


def _from_pandas(source: Any) -> TypedTable:
    columns = [_pandas_column(source.iloc[:, place]) for place in range(source.shape[1])]
    frame, name, findings = from_columns("the pandas table", list(source.columns), columns)
    if not _is_plain_index(source.index):
        message = "the index of the pandas table is not a column and was left out: reset_index() keeps it"
        findings.append(Finding(code="index_left_out", message=message))
    return frame, name, findings


def _is_plain_index(index: Any) -> bool:
    """Whether an index only numbers the rows."""
    return index.name is None and getattr(index.dtype, "kind", "O") in "iu"


def _pandas_column(column: Any) -> Any:
    """A pandas column as something that polars takes without pyarrow."""
    kind = str(column.dtype)
    if kind == "category":
        gone = column.isna().to_numpy()
        levels = [None if missing else str(value) for value, missing in zip(column.tolist(), gone, strict=True)]
        return pl.Series(levels, dtype=pl.Categorical)
    if kind.startswith("period["):
        column = column.dt.to_timestamp()  # where a period begins
        kind = str(column.dtype)
    if kind.startswith("datetime64"):
        if getattr(column.dt, "tz", None) is None:
            return column.to_numpy().astype("datetime64[us]")
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return pl.Series(moments).dt.replace_time_zone("UTC")
    if (
        column.dtype.kind in "biufm"
        and isinstance(column.to_numpy(), np.ndarray)
        and kind == str(column.to_numpy().dtype)
    ):
        return column.to_numpy()
    missing = column.isna().to_numpy()
    return [None if gone else value for value, gone in zip(column.tolist(), missing, strict=True)]


def from_columns(name: str, names: Sequence[Any], columns: Sequence[Any]) -> TypedTable:
    """A typed table of columns of values; ``name`` says in messages where they come from."""
    titles, findings = column_names([str(title) for title in names])
    series: list[pl.Series] = []
    for title, column in zip(titles, columns, strict=True):
        made, finding = _series(title, column)
        series.append(made)
        findings += [finding] if finding else []
    lengths = {column.len() for column in series}
    if len(lengths) > 1:
        shown = ", ".join(f"{column.name!r} {column.len()}" for column in series[:5])
        message = f"{name} has columns of different lengths ({shown}): give all the same number of rows"
        raise DataError(message)
    if not series or lengths == {0}:
        message = f"{name} is empty: it has {len(series)} columns and no rows"
        raise DataError(message)
    return pl.DataFrame(series), name, findings


def _series(title: str, column: Any) -> tuple[pl.Series, Finding | None]:
    if isinstance(column, pl.Series):
        return column.alias(title), None
    if isinstance(column, str) or not hasattr(column, "__len__"):
        message = f"column {title!r} is a single {type(column).__name__}: give one value for each row"
        raise DataError(message)
    try:
        values = _plain_array(column) if isinstance(column, np.ndarray) else column
        return pl.Series(title, values, strict=True), None
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return _mixed(title, list(column))


def _plain_array(column: NDArray[Any]) -> Any:
    """An array of a type that polars takes; masked cells are missing."""
    if isinstance(column, np.ma.MaskedArray):
        return pl.Series(_plain_array(column.data)).set(pl.Series(np.ma.getmaskarray(column)), None)
    kind = column.dtype.kind
    if kind in "OV":
        return column.tolist()
    if kind == "S":
        return np.char.decode(column, "latin-1")
    if kind in "mM":
        return column.astype("timedelta64[us]" if kind == "m" else "datetime64[us]")
    return np.ascontiguousarray(column, dtype=np.float32 if column.dtype == np.float16 else column.dtype)


def _mixed(title: str, values: list[Any]) -> tuple[pl.Series, Finding | None]:
    """A column of values of several types: numbers if all are, else their text."""
    values = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    present = [value for value in values if value is not None]
    if all(_is_exact_float(value) for value in present):
        return pl.Series(title, [None if value is None else float(value) for value in values], dtype=pl.Float64), None
    kinds = sorted({type(value).__name__ for value in present})
    texts = [None if value is None else str(value) for value in values]
    if kinds == ["int"]:
        message = f"column {title!r} holds whole numbers beyond 64 bits and was kept as words"
        finding = Finding(code="beyond_64_bit", severity="warning", column=title, message=message)
        return pl.Series(title, texts, dtype=pl.String), finding
    message = f"column {title!r} mixes values of the types {', '.join(kinds[:5])} and was kept as words"
    finding = Finding(code="mixed_types", severity="warning", column=title, message=message)
    return pl.Series(title, texts, dtype=pl.String), finding


def _is_exact_float(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return not isinstance(value, (int, np.integer)) or abs(int(value)) <= 2**53
