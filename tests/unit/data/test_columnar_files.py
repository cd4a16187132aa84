"""Parquet and Arrow files, damaged ones and bombs."""

import io
import re
from pathlib import Path

import polars as pl
import pytest

from lanewise.data.reading import ReadOptions, read
from lanewise.errors import DataError

FRAME = pl.DataFrame({"a": [1, 2], "b": ["x", None]})


def packed(form: str, frame: pl.DataFrame = FRAME) -> bytes:
    stream = io.BytesIO()
    {"parquet": frame.write_parquet, "ipc": frame.write_ipc, "stream": frame.write_ipc_stream}[form](stream)
    return stream.getvalue()


def written(folder: Path, content: bytes, name: str = "data") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["parquet", "ipc", "stream"])
def test_read_by_content(tmp_path: Path, form: str) -> None:
    dataset = read(written(tmp_path, packed(form), "misnamed.csv"))
    assert dataset.frame.equals(FRAME)
    assert dataset.kinds == {"a": "number", "b": "category"}


@pytest.mark.parametrize("form", ["parquet", "ipc", "stream"])
def test_damage_is_one_line(tmp_path: Path, form: str) -> None:
    content = packed(form)
    for cut in range(8, len(content) - 8, max(1, len(content) // 12)):
        for damaged in (content[:cut], content[:cut] + b"\xff" * 8 + content[cut + 8 :]):
            message = ""
            try:  # damage to a value goes unnoticed, so there may be no error
                read(written(tmp_path, damaged))
            except DataError as error:
                message = str(error)
                ours = r"(is cut off: a whole|can't be read: it begins as).*copy it or write it again"
                assert re.search(rf"{ours}|is empty", message), "what to do, in no library's words"
            assert "\n" not in message


def test_what_was_cut_is_said_to_be(tmp_path: Path) -> None:
    for form, name in (("parquet", "Parquet"), ("ipc", "Arrow")):
        with pytest.raises(DataError, match=f"is cut off: a whole {name} file ends with"):
            read(written(tmp_path, packed(form)[:-9]))


def test_bomb_is_refused_by_its_metadata(tmp_path: Path) -> None:
    bomb = packed("parquet", pl.select(pl.repeat(0, 20_000_000).alias("a")))
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="20,000,000 rows of 1 columns, more than the allowed 1,000,000 bytes"):
        read(written(tmp_path, bomb), options=ReadOptions(max_bytes=1_000_000))


def test_empty_wide_and_misnamed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(written(tmp_path, packed("parquet", FRAME.head(0))))
    with pytest.raises(DataError, match="2 columns, more than the allowed 1"):
        read(written(tmp_path, packed("ipc")), options=ReadOptions(max_columns=1))
    with pytest.raises(DataError, match=r"is no Parquet file, whatever its name.*; write it again, or give"):
        read(written(tmp_path, b"a,b\n1,2\n", "t.parquet"))
