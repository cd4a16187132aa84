"""Tensors: bit for bit through the file, understood by the safetensors library both ways, hostile headers refused."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lanewise.errors import StoreError
from lanewise.storage.tensorfile import read_tensors, write_tensors

NUMPY_TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f8", ">i2"]
TORCH_TYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda n: n != "__metadata__")
ARRAYS = st.sampled_from(NUMPY_TYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))


def encoded(tensors: Mapping[str, Any]) -> bytearray:
    file = io.BytesIO()
    write_tensors(tensors, file)
    return bytearray(file.getvalue())


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


@given(st.dictionaries(NAMES, ARRAYS, max_size=5))
@settings(deadline=None)
def test_numpy_round_trip(arrays: dict[str, np.ndarray]) -> None:
    data = encoded(arrays)
    for found in (read_tensors(data, "numpy", source="t"), safetensors.numpy.load(bytes(data))):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].shape == array.shape
            assert found[name].dtype == array.dtype.newbyteorder("=")
            assert found[name].tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@given(st.data())
@settings(deadline=None)
def test_torch_round_trip(data: st.DataObject) -> None:
    tensors = {}
    for name in data.draw(st.lists(NAMES, max_size=5, unique=True)):
        dtype = data.draw(st.sampled_from(TORCH_TYPES))
        shape = data.draw(SHAPES)
        generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
        width = dtype.itemsize
        raw = torch.randint(0, 2 if dtype == torch.bool else 256, (*shape, width), generator=generator).to(torch.uint8)
        tensors[name] = raw.view(dtype).reshape(shape)
    content = encoded(tensors)
    for found in (read_tensors(content, "torch", source="t"), safetensors.torch.load(bytes(content))):
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert (found[name].shape, found[name].dtype) == (tensor.shape, tensor.dtype)
            assert bits(found[name]) == bits(tensor)


# Without any tensor but with metadata, version 0.8.0 of the library writes a header that is not JSON.
@given(st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=5), st.dictionaries(NAMES, NAMES, max_size=2))
@settings(deadline=None)
def test_files_of_the_safetensors_library_are_read(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    native = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    data = bytearray(safetensors.numpy.save(native, metadata))
    found = read_tensors(data, "numpy", source="t")
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in native.items()}


@given(st.dictionaries(NAMES, ARRAYS, min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_equal_tensors_give_equal_bytes(arrays: dict[str, np.ndarray], random: Any) -> None:
    items = list(arrays.items())
    random.shuffle(items)
    assert encoded(dict(items)) == encoded(arrays)


SIZES = st.integers(-3, 80) | st.sampled_from([2**62, 2**63, 2**64, True, None, 1.0, "8"])
FIELDS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F64", "U8", "BF16", "F128", None, 1]),
        "shape": st.lists(SIZES, max_size=3) | SIZES,
        "data_offsets": st.lists(SIZES, max_size=3) | SIZES,
    },
    optional={"extra": st.none()},
)


@given(st.dictionaries(NAMES | st.just("__metadata__"), FIELDS | SIZES, max_size=3) | SIZES, st.integers(0, 64))
@settings(deadline=None, max_examples=500)
def test_hostile_headers_are_refused_or_right(header: object, size: int) -> None:
    text = json.dumps(header).encode()
    data = bytearray(len(text).to_bytes(8, "little") + text + bytes(size))
    try:
        found = read_tensors(data, "torch", source="model.safetensors")
    except StoreError as error:
        assert "model.safetensors" in str(error)  # noqa: PT017 - either outcome is allowed
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is allowed
    else:
        assert sum(tensor.nbytes for tensor in found.values()) == size


@given(st.binary(max_size=64))
@settings(deadline=None)
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        read_tensors(bytearray(data), "numpy", source="model.safetensors")
    except StoreError as error:
        assert "model.safetensors" in str(error)  # noqa: PT017 - either outcome is allowed


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b'{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,2]}}',
    ],
    ids=["duplicate", "overlap", "gap", "unused", "shape"],
)
def test_wrong_headers_are_refused(header: bytes) -> None:
    data = bytearray(len(header).to_bytes(8, "little") + header + bytes(2))
    with pytest.raises(StoreError):
        read_tensors(data, "numpy", source="model.safetensors")
