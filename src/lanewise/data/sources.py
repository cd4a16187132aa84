"""From a path or standard input to bytes: bounded, unpacked, and refused with a reason."""

import codecs
import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from lanewise.data.text.encodings import BINARY, BYTE_ORDER_MARKS
from lanewise.errors import DataError, closest

STANDARD_INPUT = "-"
_CHUNK = 4 * 2**20
MOST_BESIDE = 1000
"""Files of a folder among which the name of a missing one is looked for."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd")

_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV"),
    (b"BZh", "packed with bzip2: unpack it, or pack it with gzip or zstd"),
    (b"\xfd7zXZ\x00", "packed with xz: unpack it, or pack it with gzip or zstd"),
    (_GZIP, "packed twice: unpack it once"),
    (_ZSTD, "packed twice: unpack it once"),
    (b"%PDF", "a PDF document, not a table"),
    (b"\x89PNG", "a PNG image, not a table"),
    (b"\xff\xd8\xff", "a JPEG image, not a table"),
    (b"GIF8", "a GIF image, not a table"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy file: load it and give the array"),
    (b"\x89HDF", "an HDF5 file: export the table as CSV or Parquet"),
    (b"ORC", "an ORC file: export the table as CSV or Parquet"),
    (b"Obj\x01", "an Avro file: export the table as CSV or Parquet"),
    (b"\x7fELF", "a program, not a table"),
    (b"{\\rtf", "an RTF document, not a table"),
)
_TAR_MAGIC_AT = 257
COLUMNAR = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
"""What Parquet files, Arrow files and Arrow streams begin with."""

_LOOKED_AT, _MOST_NULS = 2**16, 0.001
_LINE_ENDS = (0x000A, 0x000D, 0x0A00, 0x0D00)  # of UTF-16, in either order


@dataclass(frozen=True, kw_only=True)
class Payload:
    """Unpacked bytes, the name to use in messages, and the lower-case suffix of the file's name."""

    content: bytes
    name: str
    suffix: str = ""


def load(source: str | Path, *, max_bytes: int) -> Payload:
    """Bytes of a file or of standard input (``-``), unpacked if gzip or zstd.

    Raises ``DataError`` if there is no such file, it is a folder, unreadable, empty, damaged, of a
    format that is no table, or has more than ``max_bytes`` bytes once unpacked.
    """
    if str(source) == STANDARD_INPUT:
        name, packed = "standard input", _bounded(sys.stdin.buffer.read, "standard input", max_bytes)
    else:
        name = _shown(source)
        packed = _read_file(Path(source), name, lambda read: _bounded(read, name, max_bytes))
    return _payload(_unpack(packed, name, max_bytes), source, name)


def _shown(source: str | Path) -> str:
    return str(source) if str(source).isprintable() else repr(str(source))


def _payload(content: bytes, source: str | Path, name: str) -> Payload:
    """The bytes of a table; ``DataError`` where there are none, or they are those of something else."""
    if not content:
        message = f"{name} is empty: it has no bytes; give a file with a table"
        raise DataError(message)
    _refuse_foreign(content, name)
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    while suffixes and suffixes[-1] in _PACKED_SUFFIXES:
        suffixes.pop()
    return Payload(content=content, name=name, suffix=suffixes[-1] if suffixes else "")


def beginning(source: str | Path, *, most: int) -> tuple[Payload | None, bool]:
    """The first ``most`` bytes of a file, and whether these are all; None for one that is packed.

    Raises ``DataError`` as :func:`load` does.
    """
    name = _shown(source)
    content = _read_file(Path(source), name, lambda read: read(most + 1))
    if content.startswith((_GZIP, _ZSTD)):
        return None, False
    return _payload(content[:most], source, name), len(content) <= most


def refuse_device(source: str | Path) -> None:
    """Raise as :func:`load` for what is no table by its beginning, though no file: a device such as /dev/zero.

    Nothing is read of a pipe, and of a terminal, which give their bytes once.
    """
    if not stat.S_ISCHR(os.stat(source).st_mode):
        return
    name = _shown(source)
    with suppress(OSError), open(source, "rb") as stream:  # what cannot be opened the reading words
        if not stream.isatty():
            _refuse_binary(_payload(stream.read(_CHUNK), source, name).content, name)


def unpacked_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file a part at a time, unpacked if gzip or zstd.

    Raises ``DataError`` where it is damaged or cannot be read.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        packed, kind, damages = _opened(stream, magic)
        try:
            with packed:
                while chunk := packed.read(_CHUNK):
                    yield chunk
        except damages as error:
            message = f"{_shown(path)} is a damaged {kind} file ({error}): copy it again"
            raise DataError(message) from None


def _opened(stream: BinaryIO, magic: bytes) -> tuple[BinaryIO, str, tuple[type[Exception], ...]]:
    """The unpacked bytes of a stream that begins so, its format, and the errors of a damaged one."""
    if magic.startswith(_GZIP):
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream)), "gzip", (EOFError, zlib.error, gzip.BadGzipFile)
    if magic.startswith(_ZSTD):
        from backports import zstd

        return cast("BinaryIO", zstd.ZstdFile(stream)), "zstd", (EOFError, zstd.ZstdError)
    return stream, "plain", ()


def long_beginning(path: Path, *, most: int, least: int) -> bytes | None:
    """The first ``most`` bytes of a file, unpacked, if it has more than ``least``.

    Raises ``DataError`` as `unpacked_chunks`, and for a format that is no table.
    """
    held, total = bytearray(), 0
    for chunk in unpacked_chunks(path):
        held += chunk[: max(0, most - len(held))]
        total += len(chunk)
        if total > least and len(held) == most:
            break
    if total <= least:
        return None
    _refuse_foreign(bytes(held), _shown(path))
    return bytes(held)


def missing_file(name: str) -> DataError:
    """The error for a file that is not there."""
    if "://" in name:
        return DataError(f"{name} is an address: fetch it to a file first, only files are read")
    near = _nearby(Path(name))
    return DataError(f"no file {name}: check the path{f'; did you mean {near}?' if near else ''}")


def _nearby(path: Path) -> str:
    """What may have been meant by the path of no file: one beside it, or an example; empty if there is neither."""
    from lanewise.data.examples import EXAMPLES  # here, as that reads by this

    try:
        with os.scandir(path.parent) as entries:
            beside = list(islice((one.name for one in entries if one.is_file()), MOST_BESIDE))
    except OSError:
        beside = []
    # Names are alike without their endings too: any two tables of a folder end alike.
    alike = closest(path.stem, (Path(name).stem for name in beside))
    if near := [name for name in closest(path.name, beside) if Path(name).stem in alike]:
        return str(path.with_name(near[0]))
    called = path.stem.lower().replace("_", "-")
    return f"example:{called}" if called in EXAMPLES and not path.parent.name else ""


def _read_file(path: Path, name: str, take: Callable[[Callable[[int], bytes]], bytes]) -> bytes:
    try:
        if path.is_dir():
            message = f"{name} is a folder: name one file in it"
            raise DataError(message)
        with path.open("rb") as stream:
            return take(stream.read)
    except FileNotFoundError:
        raise missing_file(name) from None
    except PermissionError:
        message = f"{name} can't be read: permission denied"
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        message = f"{name} is not a usable path: {error}"
    except OSError as error:
        message = f"{name} can't be read: {error.strerror or error}"
    raise DataError(message)


def _bounded(read: Callable[[int], bytes], name: str, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while chunk := read(_CHUNK):
        chunks.append(chunk)
        total += len(chunk)
        if total > max_bytes:
            message = f"{name} has more than the allowed {max_bytes:,} bytes: take a sample, or allow more (max_bytes)"
            raise DataError(message)
        if total == len(chunk):
            _refuse_binary(chunk, name)
    return b"".join(chunks)


def _unpack(packed: bytes, name: str, max_bytes: int) -> bytes:
    if packed.startswith(_GZIP):
        unpacked = f"{name}, unpacked,"
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
                return _bounded(stream.read, unpacked, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"{name} is a damaged gzip file ({error}): copy it again"
            raise DataError(message) from None
    if packed.startswith(_ZSTD):
        return _unpack_zstd(packed, name, max_bytes)
    return packed


def _unpack_zstd(packed: bytes, name: str, max_bytes: int) -> bytes:
    from backports import zstd

    try:
        with zstd.ZstdFile(io.BytesIO(packed)) as stream:
            return _bounded(stream.read, f"{name}, unpacked,", max_bytes)
    except (EOFError, zstd.ZstdError) as error:
        message = f"{name} is a damaged zstd file ({error}): copy it again"
        raise DataError(message) from None


def _refuse_binary(begin: bytes, name: str) -> None:
    """Refuse what is no table by its beginning: a device such as /dev/zero never ends.

    A shorter file is left to the decoding, which can say in which line it is damaged.
    """
    known = (_GZIP, _ZSTD, *COLUMNAR, *(mark for mark, _ in BYTE_ORDER_MARKS))
    if len(begin) < _CHUNK or begin.startswith(known):
        return
    _refuse_foreign(begin, name)
    head = begin[:_LOOKED_AT]
    if head.count(0) > _MOST_NULS * len(head) and not (any(head) and _is_wide(head)):
        raise DataError(BINARY.format(name=name, what="NUL bytes"))


def _is_wide(head: bytes) -> bool:
    """Whether bytes with many NULs may be UTF-16 or UTF-32, in either order."""
    if any(not any(head[start::4]) for start in (0, 3)) or any(0 not in head[start::2] for start in (0, 1)):
        return True
    # The low bytes of letters such as U+4E00 are NUL too, but never both of a letter.
    units = np.frombuffer(head, dtype=np.uint16)
    return bool(units.all()) and bool(np.isin(units, _LINE_ENDS).any())


def _refuse_foreign(content: bytes, name: str) -> None:
    reason = next((words for magic, words in _FOREIGN if content.startswith(magic)), None)
    if content[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        reason = "a tar archive: unpack it and name one file in it"
    if content[:256].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        reason = "a web page or XML document, not a table: download the data file itself"
    if re.match(rb"\[\s*[\[{]|\{\s*[\r\n]", content[:4096].removeprefix(codecs.BOM_UTF8).lstrip()):
        reason = "one JSON document: write a line for each row, with one object in it (JSON lines)"
    if reason is not None:
        message = f"{name} is {reason}"
        raise DataError(message)
