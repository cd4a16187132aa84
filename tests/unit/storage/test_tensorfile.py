import io
import json

import numpy as np
import pytest
import torch

from lanewise.errors import StoreError
from lanewise.storage.tensorfile import read_tensors, write_tensors


def encoded(**tensors: object) -> bytearray:
    file = io.BytesIO()
    write_tensors(tensors, file)  # pyright: ignore[reportArgumentType]  # wrong types are tested too
    return bytearray(file.getvalue())


def test_layout_is_aligned_and_widest_first() -> None:
    data = encoded(b=np.zeros(3, np.uint8), w=np.zeros((2, 2)), h=torch.zeros(1, dtype=torch.bfloat16))
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert list(header) == ["w", "h", "b"]
    assert header["w"] == {"dtype": "F64", "shape": [2, 2], "data_offsets": [0, 32]}
    assert header["b"]["data_offsets"] == [34, 37]


def test_any_order_of_memory_is_written_in_row_order() -> None:
    array = np.arange(12.0).reshape(3, 4)
    tensor = torch.arange(12.0).reshape(3, 4).requires_grad_()
    data = encoded(a=array.T, b=array[::-1, ::2], c=tensor.T, d=tensor[:, 1:3], e=tensor.expand(2, 3, 4))
    found = read_tensors(data, "numpy", source="t")
    np.testing.assert_array_equal(found["a"], array.T)
    np.testing.assert_array_equal(found["b"], array[::-1, ::2])
    np.testing.assert_array_equal(found["c"], array.T.astype(np.float32))
    np.testing.assert_array_equal(found["d"], array[:, 1:3].astype(np.float32))
    np.testing.assert_array_equal(found["e"], np.broadcast_to(array, (2, 3, 4)).astype(np.float32))


def test_tensors_share_one_writable_buffer() -> None:
    data = encoded(w=torch.ones(3), b=torch.zeros(()))
    found = read_tensors(data, "torch", source="t")
    before = bytes(data)
    found["w"].mul_(2)
    assert found["w"].tolist() == [2.0, 2.0, 2.0]
    assert bytes(data) != before


def test_memory_is_not_copied_to_be_written() -> None:
    class Counter(io.BytesIO):
        views: list[memoryview] = []  # noqa: RUF012 - one test, one use

        def write(self, data: object, /) -> int:
            if isinstance(data, memoryview):
                self.views.append(data)
                return data.nbytes
            return 0

    array, tensor = np.arange(1000.0), torch.arange(1000.0)
    file = Counter()
    write_tensors({"a": array, "b": tensor}, file)
    addresses = [np.frombuffer(view, np.uint8).ctypes.data for view in file.views]
    assert addresses == [array.ctypes.data, tensor.data_ptr()]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.array(["a"]), "is of type str32; allowed are float64"),
        (np.array([None]), "is of type object"),
        (np.array([1j]), "is of type complex128"),
        (torch.zeros(1, dtype=torch.complex64), "is of type complex64"),
        ([1.0], "is of type list"),
        (torch.eye(2).to_sparse(), "has no plain memory"),
        (torch.zeros(2, device="meta"), "has no plain memory"),
    ],
)
def test_what_cannot_be_kept_is_named(tensor: object, message: str) -> None:
    with pytest.raises(StoreError, match=f"tensor 'w' {message}"):
        encoded(w=tensor)


@pytest.mark.parametrize("name", ["", "__metadata__"])
def test_names_that_the_format_has_not(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a tensor"):
        encoded(**{name: np.zeros(1)})


def test_bfloat16_is_not_numpy() -> None:
    with pytest.raises(StoreError, match="tensor 'w' is of type bfloat16, which numpy has not; load it as torch"):
        read_tensors(encoded(w=torch.zeros(2, dtype=torch.bfloat16)), "numpy", source="t")


def test_a_single_element_with_stride_zero_is_written() -> None:
    """An expanded tensor of one element counts as contiguous for torch, with a stride of 0."""
    tensor = torch.ones(()).expand(1)
    file = io.BytesIO()
    write_tensors({"x": tensor}, file)
    assert read_tensors(bytearray(file.getvalue()), "torch", source="test")["x"].tolist() == [1.0]
