"""Messages between the race and a worker process: a JSON header and plain arrays, never a pickle.

::

    4 bytes   length of the header, big endian
    header    JSON object; "arrays" lists [name, dtype, shape] in order
    bytes     each array, little endian, C order, end to end

Lengths are checked before memory is taken, so that a broken peer cannot ask for all of it.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from typing import IO, Any, NoReturn

import numpy as np

HEADER_LIMIT = 1 << 20
ARRAY_LIMIT = 1 << 36
DTYPES = ("<f8", "<f4", "<i8", "|u1", "|b1")

Header = dict[str, Any]
Arrays = dict[str, np.ndarray]


class FrameError(Exception):
    """The peer sent something that is no frame."""


def write_frame(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Write one message and flush it.

    >>> import io
    >>> stream = io.BytesIO()
    >>> write_frame(stream, {"op": "drop"}, {"rows": np.array([3, 4])})
    >>> _ = stream.seek(0)
    >>> read_frame(stream)
    ({'op': 'drop'}, {'rows': array([3, 4])})
    """
    plain = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}
    plain = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in plain.items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in plain.items()]
    text = json.dumps({**header, "arrays": described}, allow_nan=False).encode()
    if len(text) > HEADER_LIMIT or any(array.dtype.str not in DTYPES for array in plain.values()):
        message = f"a message with a header of {len(text)} bytes and arrays {described} is outside the protocol"
        raise FrameError(message)
    stream.write(struct.pack(">I", len(text)) + text)
    for array in plain.values():
        stream.write(array.data.cast("B") if array.size else b"")
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[Header, Arrays]:
    """Read one message: header without ``arrays``, and the arrays by name.

    Raises ``EOFError`` where the peer is gone and ``FrameError`` where it sent no frame.
    """
    (length,) = struct.unpack(">I", _read(stream, 4))
    if length > HEADER_LIMIT:
        message = f"a header of {length} bytes is longer than the protocol allows"
        raise FrameError(message)
    try:
        header = json.loads(_read(stream, length), parse_constant=_reject)
        described = header.pop("arrays")
        arrays = {name: _empty(dtype, shape) for name, dtype, shape in described}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"not a frame: {error}"
        raise FrameError(message) from error
    for array in arrays.values():
        if array.size:
            _fill(stream, array.data.cast("B"))
    return header, arrays


def _empty(dtype: str, shape: list[int]) -> np.ndarray:
    if dtype not in DTYPES or not all(isinstance(size, int) and size >= 0 for size in shape):
        message = f"an array {dtype} {shape} is outside the protocol"
        raise ValueError(message)
    if prod(shape) * np.dtype(dtype).itemsize > ARRAY_LIMIT:
        message = f"an array {dtype} {shape} is larger than the protocol allows"
        raise ValueError(message)
    return np.empty(shape, dtype=dtype)


def _read(stream: IO[bytes], length: int) -> bytes:
    buffer = bytearray(length)
    _fill(stream, memoryview(buffer))
    return bytes(buffer)


def _fill(stream: IO[bytes], view: memoryview) -> None:
    while len(view):
        count = stream.readinto(view)  # pyright: ignore[reportAttributeAccessIssue] every binary stream has it
        if not count:
            raise EOFError
        view = view[count:]


def _reject(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)
