"""The protocol between the race and its workers."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lanewise.training.workers.frames import DTYPES, HEADER_LIMIT, FrameError, read_frame, write_frame


@given(
    arrays=st.dictionaries(
        st.text(max_size=5),
        st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))),
        max_size=3,
    ),
    header=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "arrays"), st.integers() | st.text()),
)
@settings(deadline=None, max_examples=50)
def test_what_was_written_is_read(header: dict, arrays: dict) -> None:
    stream = io.BytesIO()
    for _ in range(2):
        write_frame(stream, header, arrays)
    stream.seek(0)
    for _ in range(2):
        got, results = read_frame(stream)
        assert got == header
        assert results.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (results[name].dtype, results[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(results[name], array)
    assert not stream.read()


def test_strided_and_big_endian_arrays_arrive() -> None:
    stream = io.BytesIO()
    array = np.arange(12, dtype=">f8").reshape(3, 4)[:, ::2]
    write_frame(stream, {}, {"a": array})
    stream.seek(0)
    np.testing.assert_array_equal(read_frame(stream)[1]["a"], array)


def test_objects_and_nan_in_the_header_are_never_written() -> None:
    with pytest.raises(FrameError, match="outside the protocol"):
        write_frame(io.BytesIO(), {}, {"a": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_frame(io.BytesIO(), {"a": float("nan")})


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"a": NaN, "arrays": []}',
        b'{"arrays": [["a", "|O", [1]]]}',
        b'{"arrays": [["a", "<f8", [-1]]]}',
        b'{"arrays": [["a", "<f8", [1.5]]]}',
        b'{"arrays": [["a", "<f8", [99999999999, 99999999999]]]}',
        b'{"arrays": [["a", "<f8"]]}',
        b'{"arrays": 3}',
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken(header: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(struct.pack(">I", len(header)) + header))


def test_a_long_header_is_refused() -> None:
    with pytest.raises(FrameError, match="longer than the protocol allows"):
        read_frame(io.BytesIO(struct.pack(">I", HEADER_LIMIT + 1)))


@pytest.mark.parametrize("keep", [0, 2, 10, -1])
def test_a_peer_that_stops_midway_is_gone(keep: int) -> None:
    stream = io.BytesIO()
    write_frame(stream, {"op": "x"}, {"a": np.ones(4)})
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(stream.getvalue()[:keep]))
