"""What a file unpacks to is read from what it says of itself, whoever wrote it; damage never raises."""

import io
import random
import struct
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lanewise.data.unpacked_size import arrow_size, parquet_size

Packing = Literal["zstd", "lz4"]
FRAME = pl.DataFrame({"a": range(5000), "s": ["word", None] * 2500, "d": ["x", "y"] * 2500}).with_columns(
    pl.col("d").cast(pl.Categorical)
)


def streams(compression: Packing | None) -> dict[str, bytes]:
    """The table as files and streams of polars, whose texts are views, and of Arrow itself, whose texts are not."""
    table = FRAME.to_arrow(compat_level=pl.CompatLevel.oldest())
    options = pa.ipc.IpcWriteOptions(compression=compression)
    found = {}
    for name, opened in (("arrow file", pa.ipc.new_file), ("arrow stream", pa.ipc.new_stream)):
        stream = io.BytesIO()
        with opened(stream, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=2000)
        found[name] = stream.getvalue()
    file, stream = io.BytesIO(), io.BytesIO()
    FRAME.write_ipc(file, compression=compression or "uncompressed")
    FRAME.write_ipc_stream(stream, compression=compression or "uncompressed")
    return {**found, "polars file": file.getvalue(), "polars stream": stream.getvalue()}


@pytest.mark.parametrize("name", ["arrow file", "arrow stream", "polars file", "polars stream"])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_arrow_unpacks_to_what_it_is_unpacked(name: str, compression: Packing) -> None:
    packed, plain = streams(compression)[name], streams(None)[name]
    assert len(packed) < len(plain) / 2
    rows, size = arrow_size(packed)
    assert rows == FRAME.height
    assert size == pytest.approx(arrow_size(plain)[1], rel=0.01)  # but for what aligns a buffer
    assert 0.9 * len(plain) < size <= len(plain)


@pytest.mark.parametrize("rows", [700, 5000])
@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_says_what_arrow_reads_from_its_footer(rows: int, dictionary: bool) -> None:
    stream = io.BytesIO()
    pq.write_table(FRAME.to_arrow(), stream, row_group_size=rows, use_dictionary=dictionary)
    groups = pq.ParquetFile(stream).metadata
    expected = sum(groups.row_group(place).total_byte_size for place in range(groups.num_row_groups))
    assert parquet_size(stream.getvalue()) == expected > 0


def test_damage_is_left_to_the_reader() -> None:
    drawn = random.Random(0)
    parquet = io.BytesIO()
    FRAME.head(50).write_parquet(parquet)
    sound = [(parquet_size, parquet.getvalue()), *((arrow_size, content) for content in streams("zstd").values())]
    for size, content in sound:
        for _ in range(200):
            damaged = bytearray(content)
            for _ in range(drawn.randint(1, 5)):
                damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
            cut = drawn.randint(8, len(damaged))
            size(bytes(damaged))
            size(bytes(damaged[:cut]))


@pytest.mark.parametrize("inner", [1, 3, 7, 8])
def test_a_list_that_claims_more_entries_than_the_file_has_bytes_is_damage(inner: int) -> None:
    endless = b"\xff" * 8 + b"\x7f"  # 2^63 - 1 entries
    footer = bytes([0x19, 0xF0 | inner]) + endless + bytes(4)
    assert parquet_size(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1") == 0


def test_places_beyond_any_file_are_damage() -> None:
    content = streams("zstd")["arrow file"]
    length = struct.unpack_from("<I", content, len(content) - 10)[0]
    start = len(content) - 10 - length
    for place in range(start, len(content) - 17):
        damaged = bytearray(content)
        damaged[place : place + 8] = struct.pack("<q", 2**63 - 1)
        arrow_size(bytes(damaged))
    for place in range(8, start, 8):
        damaged = bytearray(content)
        damaged[place : place + 8] = struct.pack("<q", 2**63 - 1)
        arrow_size(bytes(damaged))
