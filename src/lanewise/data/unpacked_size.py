"""How much memory a Parquet or Arrow file asks for, read from what it says of itself before anything is unpacked.

A few kilobytes may unpack to more than any machine has: runs of one value compress by a factor of thousands.
"""

import struct
from collections.abc import Iterator
from mmap import mmap

_CONTINUES = 0xFFFFFFFF
_ARROW_FILE = b"ARROW1"
_DICTIONARY, _BATCH = 2, 3
"""Kinds of Arrow messages whose bodies hold columns."""
_DICTIONARIES, _BATCHES = 2, 3
"""Fields of the footer of an Arrow file that list them."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
"""Types of Thrift's compact protocol; those between are whole numbers of any length."""

_DAMAGED = (struct.error, IndexError, OverflowError, RecursionError)


def arrow_size(content: bytes | mmap) -> tuple[int, int]:
    """Rows of an Arrow file or stream, and the bytes of its columns once unpacked; of a damaged one up to the damage.

    Each compressed buffer begins with the length that it unpacks to, and the reader keeps to that
    (https://arrow.apache.org/docs/format/Columnar.html).
    """
    rows = size = 0
    try:
        for kind, message, body in _messages(content):
            if kind not in (_DICTIONARY, _BATCH):
                continue
            batch = message if kind == _BATCH else _Table.at(content, message.place(1))
            rows += batch.number(0) if kind == _BATCH else 0
            packed = batch.place(3) is not None
            for start, length in batch.structs(2, "<qq"):
                size += _unpacked(content, body + start, length) if packed and length else length
    except _DAMAGED:
        pass  # the reader says what is wrong
    return rows, size


def _unpacked(content: bytes | mmap, start: int, length: int) -> int:
    (claimed,) = struct.unpack_from("<q", content, start)
    return length if claimed < 0 else claimed


class _Table:
    """A table of FlatBuffers: fields by their number, absent ones None or 0."""

    def __init__(self, content: bytes | mmap, place: int) -> None:
        self._content, self._place = content, place
        self._fields = place - struct.unpack_from("<i", content, place)[0]
        (self._size,) = struct.unpack_from("<H", content, self._fields)

    @classmethod
    def at(cls, content: bytes | mmap, place: int | None) -> "_Table":
        """The table to which the offset at ``place`` leads."""
        if place is None:
            raise IndexError
        return cls(content, place + struct.unpack_from("<I", content, place)[0])

    def place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._content, self._fields + entry)[0] if entry < self._size else 0
        return self._place + offset if offset else None

    def number(self, field: int, form: str = "<q") -> int:
        place = self.place(field)
        return 0 if place is None else max(0, struct.unpack_from(form, self._content, place)[0])

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """A vector of structures, each as the numbers that it is made of."""
        place = self.place(field)
        if place is not None:
            start = place + struct.unpack_from("<I", self._content, place)[0]
            (count,) = struct.unpack_from("<I", self._content, start)
            vector = self._content[start + 4 : start + 4 + struct.calcsize(form) * count]
            yield from struct.iter_unpack(form, vector)


def _messages(content: bytes | mmap) -> Iterator[tuple[int, "_Table", int]]:
    """The kind of each message, its header, and where its body begins: of a file as its footer lists them."""
    if content[: len(_ARROW_FILE)] == _ARROW_FILE:
        (length,) = struct.unpack_from("<I", content, len(content) - len(_ARROW_FILE) - 4)
        footer = _Table.at(content, len(content) - len(_ARROW_FILE) - 4 - length)
        for field in (_DICTIONARIES, _BATCHES):
            for start, *_ in footer.structs(field, "<qiiq"):
                kind, header, body, _ = _message(content, start)
                if header is not None:
                    yield kind, header, body
        return
    place = 0
    while place + 8 <= len(content):
        kind, header, body, place = _message(content, place)
        if header is None:  # the end of the stream
            return
        yield kind, header, body


def _message(content: bytes | mmap, place: int) -> tuple[int, "_Table | None", int, int]:
    """Kind, header, and the places of its body and of what follows; no header at the end of a stream."""
    (length,) = struct.unpack_from("<I", content, place)
    place += 4
    if length == _CONTINUES:
        (length,) = struct.unpack_from("<I", content, place)
        place += 4
    if length == 0:
        return 0, None, place, place
    message, body = _Table.at(content, place), place + length
    return message.number(1, "<B"), _Table.at(content, message.place(2)), body, body + message.number(3)


def parquet_size(content: bytes | mmap) -> int:
    """Bytes of the row groups of a whole Parquet file once unpacked, as its footer says; 0 where that is damaged.

    (https://parquet.apache.org/docs/file-format/metadata)
    """
    (length,) = struct.unpack_from("<I", content, len(content) - 8)
    reader = _Compact(content[max(0, len(content) - 8 - length) : -8])
    try:
        return sum(reader.row_groups())
    except _DAMAGED:
        return 0


class _Compact:
    """Reads just enough of Thrift's compact protocol to find what is asked for, and skips the rest."""

    def __init__(self, content: bytes | mmap) -> None:
        self._content, self._place = content, 0

    def row_groups(self) -> Iterator[int]:
        """The unpacked bytes of each row group: field 2 of the entries of field 4 of the metadata."""
        for field, kind in self._fields():
            if (field, kind) != (4, _LIST):
                self._skip(kind)
                continue
            for _ in range(self._list()[0]):
                for inner, inner_kind in self._fields():
                    if inner == 2:
                        yield self._whole()
                    else:
                        self._skip(inner_kind)

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a structure; whoever asks must read or skip its value."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._whole()
            yield field, head & 15

    def _skip(self, kind: int) -> None:
        if kind in (_TRUE, _FALSE):  # within a field the type is the value
            return
        if kind in (_BYTE, _DOUBLE):
            self._pass(1 if kind == _BYTE else 8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            for _ in range(count):
                self._element(inner)
        elif kind == _MAP:
            if count := self._varint():
                kinds = self._byte()
                for _ in range(count):
                    self._element(kinds >> 4)
                    self._element(kinds & 15)
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner)
        else:
            self._varint()

    def _element(self, kind: int) -> None:
        if kind in (_TRUE, _FALSE):
            self._pass(1)
        else:
            self._skip(kind)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def _whole(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise IndexError  # longer than any number of the format

    def _byte(self) -> int:
        self._pass(1)
        return self._content[self._place - 1]

    def _pass(self, length: int) -> None:
        self._place += length
        if self._place > len(self._content):  # else a list that claims 2^60 entries is walked through to its end
            raise IndexError
