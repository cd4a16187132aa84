"""Parquet and Arrow files: typed tables, whose size is checked before their rows are read."""

import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

import polars as pl

from lanewise.data.findings import Finding
from lanewise.data.sources import COLUMNAR, Payload
from lanewise.data.text.headers import cleaned_names
from lanewise.data.unpacked_size import arrow_size, parquet_size
from lanewise.errors import DataError

T = TypeVar("T")

FORMATS = {".parquet": "Parquet", ".arrow": "Arrow", ".feather": "Arrow", ".ipc": "Arrow"}
_PARQUET, _ARROW_FILE, _ARROW_STREAM = COLUMNAR
_BYTES_PER_CELL = 8
_TURNING = threading.Lock()


def is_columnar(payload: Payload) -> bool:
    """Whether the bytes are Parquet or Arrow; raises ``DataError`` if only the name says so."""
    if payload.content.startswith(COLUMNAR):
        return True
    if payload.suffix in FORMATS:
        message = (
            f"{payload.name} is no {FORMATS[payload.suffix]} file, whatever its name says: it does not begin as such a "
            "file does; write it again, or give it a name that says what it is (.csv for text)"
        )
        raise DataError(message)
    return False


def read_columnar(payload: Payload, *, max_bytes: int, max_columns: int) -> tuple[pl.DataFrame, list[Finding]]:
    """The table of a Parquet file, an Arrow file or an Arrow stream, and what was mended of its header.

    Raises ``DataError`` if it is damaged, empty, or its rows times columns, or what it unpacks to, need more than
    ``max_bytes``.
    """
    name, content = payload.name, payload.content
    check_end(name, content, content)
    with unsaid_panics():
        if not content.startswith(_PARQUET):
            rows, unpacked = arrow_size(content)
            check_unpacked(name, max(unpacked, rows * _BYTES_PER_CELL), max_bytes)
        lazy = _scanned(name, content)
        schema = guarded(name, lazy.collect_schema)
        columns = schema.names()
        # Cells of one length are bounded by their number, which costs less to know in a table of many columns.
        if content.startswith(_PARQUET) and not all(map(is_of_one_length, schema.dtypes())):
            check_unpacked(name, parquet_size(content), max_bytes)
        rows = int(guarded(name, lambda: lazy.select(pl.len()).collect()).item())
        _check_size(name, rows, len(columns), max_bytes=max_bytes, max_columns=max_columns)
        titles, findings = cleaned_names(columns)
        table = guarded(name, lazy.collect).rename(titles)
        check_unpacked(name, guarded(name, lambda: repeated_text(table)), max_bytes)
        return table, findings


def _scanned(name: str, content: bytes) -> pl.LazyFrame:
    if content.startswith(_PARQUET):
        return guarded(name, lambda: pl.scan_parquet(io.BytesIO(content)))
    if content.startswith(_ARROW_FILE):
        return guarded(name, lambda: pl.scan_ipc(io.BytesIO(content)))
    return guarded(name, lambda: pl.read_ipc_stream(io.BytesIO(content))).lazy()


def _check_size(name: str, rows: int, columns: int, *, max_bytes: int, max_columns: int) -> None:
    message = ""
    if rows == 0 or columns == 0:
        message = f"{name} is empty: it has {rows} rows and {columns} columns"
    elif columns > max_columns:
        message = (
            f"{name} has {columns:,} columns, more than the allowed {max_columns:,}: leave some out of the file; "
            "Python takes more by ReadOptions(max_columns=...)"
        )
    elif rows * columns * _BYTES_PER_CELL > max_bytes:
        message = (
            f"{name} unpacks to {rows:,} rows of {columns:,} columns, more than the allowed {max_bytes:,} bytes: "
            f"take a sample of its rows, or allow more (max_bytes)"
        )
    if message:
        raise DataError(message)


def is_of_one_length(kind: pl.DataType) -> bool:
    """Whether every cell of a type takes as many bytes, whatever it holds."""
    return kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean


def repeated_text(table: pl.DataFrame) -> int:
    """Bytes of all texts, each as often as it stands there: read from a dictionary, they share their letters so far."""
    lengths = [
        column.str.len_bytes() if column.dtype == pl.String else column.cat.len_bytes()
        for column in table
        if column.dtype == pl.String or isinstance(column.dtype, (pl.Categorical, pl.Enum))
    ]
    return sum(int(own.cast(pl.UInt64).sum()) for own in lengths)


def check_unpacked(name: str, size: int, max_bytes: int) -> None:
    """Raises ``DataError`` for a table of more bytes than are allowed."""
    if size > max_bytes:
        message = (
            f"{name} unpacks to {size:,} bytes, more than the allowed {max_bytes:,} bytes: take a sample of its rows, "
            "or allow more (max_bytes)"
        )
        raise DataError(message)


def check_end(name: str, begins: bytes, ends: bytes) -> None:
    """Raises ``DataError`` for a file that ends before its format does: a download or a copy that was cut."""
    for mark, form in ((_PARQUET, "Parquet"), (_ARROW_FILE, "Arrow")):
        if begins.startswith(mark) and not ends.rstrip(b"\0").endswith(mark):
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


@contextmanager
def unsaid_panics() -> Iterator[None]:
    """What the reader prints on stderr about a panic of its own is dropped: the error that follows is in our words.

    It prints past Python, so the descriptor itself is turned aside meanwhile, by one thread at a time: another one
    leaves it as it finds it.
    """
    with ExitStack() as ending:
        kept = aside = None
        if _TURNING.acquire(blocking=False):
            ending.callback(_TURNING.release)
            with suppress(OSError):  # stderr is closed, or no folder takes a file
                kept = os.dup(2)
                ending.callback(os.close, kept)
                aside = ending.enter_context(tempfile.TemporaryFile())
        if kept is None or aside is None:
            yield
            return
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            aside.seek(0)
            said = aside.read()
            if said and b"panicked at" not in said:
                os.write(2, said)
