"""Tensors in the safetensors format, written and read in one pass without a second copy.

The file is 8 bytes with the size of the header, the header as JSON (name, type, shape and place of each
tensor), and the numbers themselves, little endian. The safetensors library reads what this writes and the other
way round (tested); it has no way to hash a file while it is written, and takes duplicate keys.

Source of the format: https://huggingface.co/docs/safetensors
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

from lanewise.errors import StoreError
from lanewise.storage.strict_json import parse_json

if TYPE_CHECKING:
    import numpy as np
    import torch

Framework = Literal["torch", "numpy"]

# The names of torch and numpy are the same; numpy has no bfloat16 and no float8.
_CODES = {
    "float64": ("F64", 8),
    "float32": ("F32", 4),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
    "int64": ("I64", 8),
    "int32": ("I32", 4),
    "int16": ("I16", 2),
    "int8": ("I8", 1),
    "uint64": ("U64", 8),
    "uint32": ("U32", 4),
    "uint16": ("U16", 2),
    "uint8": ("U8", 1),
    "bool": ("BOOL", 1),
}
_TYPES = {code: (name, size) for name, (code, size) in _CODES.items()}
_TORCH_ONLY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
_PREFIX = 8
_MAX_HEADER = 64 * 2**20


def write_tensors(tensors: "Mapping[str, np.ndarray | torch.Tensor]", file: BinaryIO) -> None:
    """Write named numpy arrays and torch tensors (of any device, in any order of memory).

    Tensors on the processor go to ``file`` straight from their memory, others one at a time. Equal tensors give
    equal bytes, whatever the order of the mapping.

    Raises:
        StoreError: a type that the format has not, or a sparse or meta tensor.
    """
    header: dict[str, dict[str, object]] = {}
    offset = 0
    kinds = {name: _kind(name, tensor) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (-_CODES[kinds[name]][1], name))  # widest first: all are aligned
    for name in names:
        code, width = _CODES[kinds[name]]
        shape = [int(size) for size in tensors[name].shape]
        end = offset + math.prod(shape) * width
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _PREFIX)
    file.write(len(text).to_bytes(_PREFIX, "little") + text)
    for name in names:
        file.write(_bytes_of(tensors[name]))


def _kind(name: object, tensor: Any) -> str:
    """Return the name of the element type, or say why the tensor cannot be written."""
    kind = str(tensor.dtype).removeprefix("torch.").lstrip("<>=|") if hasattr(tensor, "dtype") else ""
    if not _is_torch(tensor) and kind:
        kind = tensor.dtype.name
    if not isinstance(name, str) or name in ("", "__metadata__"):
        msg = f"{name!r} cannot name a tensor; use text that is not empty"
        raise StoreError(msg)
    if kind not in _CODES:
        found = kind or type(tensor).__name__
        msg = f"tensor {name!r} is of type {found}; allowed are {', '.join(_CODES)}"
        raise StoreError(msg)
    if _is_torch(tensor) and (tensor.is_meta or str(tensor.layout) != "torch.strided"):
        msg = f"tensor {name!r} has no plain memory (it is sparse or on the meta device); make it dense first"
        raise StoreError(msg)
    return kind


def _is_torch(tensor: object) -> bool:
    torch = sys.modules.get("torch")  # a torch tensor exists only if torch is loaded
    return torch is not None and isinstance(tensor, torch.Tensor)


def _bytes_of(tensor: Any) -> memoryview:
    """View the elements in row order as bytes, little endian; copies only what is not so already."""
    import numpy as np

    if _is_torch(tensor):
        import torch

        flat = tensor.detach().cpu().resolve_neg().contiguous().reshape(-1)
        if flat.stride(0) != 1:
            flat = flat.clone(memory_format=torch.contiguous_format)  # a single element may have any stride
        array = flat.view(torch.uint8).numpy()
        if sys.byteorder == "big":
            array = array.reshape(-1, tensor.element_size())[:, ::-1]
        return np.ascontiguousarray(array).reshape(-1).data
    array = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where one tensor lies in the file: ``start`` counts bytes from the beginning of the buffer."""

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int


@overload
def read_tensors(buffer: bytearray, framework: Literal["torch"], *, source: str) -> "dict[str, torch.Tensor]": ...
@overload
def read_tensors(buffer: bytearray, framework: Literal["numpy"], *, source: str) -> "dict[str, np.ndarray]": ...
@overload
def read_tensors(buffer: bytearray, framework: Framework, *, source: str) -> dict[str, Any]: ...
def read_tensors(buffer: bytearray, framework: Framework, *, source: str) -> dict[str, Any]:
    """Return the tensors of a whole file in ``buffer``; they share its memory, which lives as long as one of them.

    Raises:
        StoreError: the header is not exactly what the format allows: a duplicate name, a gap, an overlap, an
            unknown type, a shape that does not fit; or a bfloat16 tensor is asked for as numpy.
    """
    make = _as_torch if framework == "torch" else _as_numpy
    return {entry.name: make(buffer, entry, source) for entry in _entries(buffer, source)}


def _as_numpy(buffer: bytearray, entry: _Entry, source: str) -> "np.ndarray":
    import numpy as np

    if entry.kind in _TORCH_ONLY:
        msg = f"{source}: tensor {entry.name!r} is of type {entry.kind}, which numpy has not; load it as torch"
        raise StoreError(msg)
    dtype = np.dtype(entry.kind).newbyteorder("<")
    return np.frombuffer(buffer, dtype, math.prod(entry.shape), entry.start).reshape(entry.shape)


def _as_torch(buffer: bytearray, entry: _Entry, source: str) -> "torch.Tensor":
    import torch

    dtype = getattr(torch, entry.kind)
    count = math.prod(entry.shape)
    if count == 0:
        return torch.empty(entry.shape, dtype=dtype)
    if sys.byteorder == "big":
        msg = f"{source}: torch tensors are read on little-endian machines only; load it as numpy"
        raise StoreError(msg)
    return torch.frombuffer(buffer, dtype=dtype, count=count, offset=entry.start).reshape(entry.shape)


def _entries(buffer: bytearray, source: str) -> Sequence[_Entry]:
    """Read the header; every byte of the data must belong to exactly one tensor."""
    size = int.from_bytes(buffer[:_PREFIX], "little")
    begin = _PREFIX + size
    if len(buffer) < _PREFIX or begin > len(buffer) or size > _MAX_HEADER:
        raise _damaged(source, "its header does not fit")
    header = parse_json(buffer[_PREFIX:begin], source=source, limit=_MAX_HEADER)
    if not isinstance(header, dict):
        raise _damaged(source, "its header is not a mapping")
    header.pop("__metadata__", None)
    entries = []
    expected = 0
    for name, fields in sorted(header.items(), key=lambda item: _offsets(item[1], source)):
        if fields.keys() != {"dtype", "shape", "data_offsets"} or fields["dtype"] not in _TYPES:
            raise _damaged(source, f"tensor {name!r} has unknown fields or an unknown type")
        kind, width = _TYPES[fields["dtype"]]
        shape, (start, end) = fields["shape"], fields["data_offsets"]
        if not isinstance(shape, list) or not all(_is_size(item) for item in shape):
            raise _damaged(source, f"tensor {name!r} has no valid shape")
        if start != expected or end - start != math.prod(shape) * width:
            raise _damaged(source, f"tensor {name!r} is not where its shape says")
        entries.append(_Entry(name=name, kind=kind, shape=tuple(shape), start=begin + start))
        expected = end
    if begin + expected != len(buffer):
        raise _damaged(source, "some of its bytes belong to no tensor")
    return entries


def _offsets(fields: object, source: str) -> tuple[int, int]:
    match fields:
        case {"data_offsets": [start, end]} if _is_size(start) and _is_size(end):
            return start, end
    raise _damaged(source, "a tensor has no valid place")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _damaged(source: str, reason: str) -> StoreError:
    return StoreError(f"{source} is damaged: {reason}; restore it from a backup")
