"""Parquet and Arrow files: typed tables, whose size is checked before their rows are read."""

import io
from collections.abc import Callable
from typing import TypeVar

import polars as pl

from lanewise.data.sources import Payload
from lanewise.errors import DataError

T = TypeVar("T")

FORMATS = {".parquet": "Parquet", ".arrow": "Arrow", ".feather": "Arrow", ".ipc": "Arrow"}
_PARQUET = b"PAR1"
_ARROW_FILE = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"
_BYTES_PER_CELL = 8


def is_columnar(payload: Payload) -> bool:
    """Whether the bytes are Parquet or Arrow; raises ``DataError`` if only the name says so."""
    if payload.content.startswith((_PARQUET, _ARROW_FILE, _ARROW_STREAM)):
        return True
    if payload.suffix in FORMATS:
        message = (
            f"{payload.name} is no {FORMATS[payload.suffix]} file, whatever its name says: it does not begin as such a "
            "file does; write it again, or give it a name that says what it is (.csv for text)"
        )
        raise DataError(message)
    return False


def read_columnar(payload: Payload, *, max_bytes: int, max_columns: int) -> pl.DataFrame:
    """The table of a Parquet file, an Arrow file or an Arrow stream.

    Raises ``DataError`` if it is damaged, empty, or its rows times columns need more than ``max_bytes``.
    """
    name, content = payload.name, payload.content
    _check_end(name, content)
    if content.startswith(_PARQUET):
        lazy = guarded(name, lambda: pl.scan_parquet(io.BytesIO(content)))
    elif content.startswith(_ARROW_FILE):
        lazy = guarded(name, lambda: pl.scan_ipc(io.BytesIO(content)))
    else:
        lazy = guarded(name, lambda: pl.read_ipc_stream(io.BytesIO(content))).lazy()
    columns = len(guarded(name, lazy.collect_schema))
    rows = int(guarded(name, lambda: lazy.select(pl.len()).collect()).item())
    if rows == 0 or columns == 0:
        message = f"{name} is empty: it has {rows} rows and {columns} columns"
        raise DataError(message)
    if columns > max_columns:
        message = f"{name} has {columns:,} columns, more than the allowed {max_columns:,} (max_columns)"
        raise DataError(message)
    if rows * columns * _BYTES_PER_CELL > max_bytes:
        message = (
            f"{name} unpacks to {rows:,} rows of {columns:,} columns, more than the allowed {max_bytes:,} bytes: "
            f"take a sample of its rows, or allow more (max_bytes)"
        )
        raise DataError(message)
    return guarded(name, lazy.collect)


def _check_end(name: str, content: bytes) -> None:
    """Raises ``DataError`` for a file that ends before its format does: a download or a copy that was cut."""
    for mark, form in ((_PARQUET, "Parquet"), (_ARROW_FILE, "Arrow")):
        if content.startswith(mark) and not content.rstrip(b"\0").endswith(mark):
            message = f"{name} is cut off: a whole {form} file ends with {mark.decode()}; copy it or write it again"
            raise DataError(message)


def guarded(name: str, act: Callable[[], T]) -> T:
    """What ``act`` returns; every complaint of the reader, a panic too, as a ``DataError`` in words of our own."""
    try:
        return act()
    except MemoryError as error:
        message = f"{name} does not fit into memory: give fewer rows or columns"
        raise DataError(message) from error
    except FileNotFoundError as error:
        message = f"{name} is gone: it was there when reading began; put it back, or start again without it"
        raise DataError(message) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        message = (
            f"{name} can't be read: it begins as a Parquet or Arrow file and is damaged, cut off or of an unknown "
            "version; copy it or write it again, or give it as CSV"
        )
        raise DataError(message) from error
