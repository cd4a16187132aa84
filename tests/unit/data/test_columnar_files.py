"""Parquet and Arrow files, damaged ones and bombs."""

import contextlib
import io
import os
import re
from pathlib import Path

import polars as pl
import pytest

from lanewise.data.reading import ReadOptions, read
from lanewise.data.table_files import table_files
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
def test_damage_is_one_line(tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]) -> None:
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
    assert capfd.readouterr().err == "", "no library's words on the side either"


def test_a_panic_of_the_reader_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # The fewer rows, the more of the file are its lengths.
    frame = pl.DataFrame({"a": range(5), "b": ["some word"] * 5})
    content = packed("ipc", frame)
    for place in range(8, len(content) - 12, 3):
        with contextlib.suppress(DataError):
            read(written(tmp_path, content[:place] + b"\xff\xff\xff\x7f" + content[place + 4 :]))
    os.write(2, b"what others say stays")
    assert capfd.readouterr().err == "what others say stays"


@pytest.mark.parametrize("form", ["parquet", "ipc", "stream"])
def test_a_name_with_escape_codes_can_be_typed(tmp_path: Path, form: str) -> None:
    frame = pl.DataFrame({"\x1b[31mred\x1b[0m": [1, 2], "red": [3, 4], " kept ": [5, 6], "\x9b": [7, 8]})
    path = written(tmp_path, packed(form, frame), "t.parquet" if form == "parquet" else "t.arrow")
    dataset = read(path)
    assert dataset.frame.to_dict(as_series=False) == {
        "red_2": [1, 2],
        "red": [3, 4],
        " kept ": [5, 6],
        "column": [7, 8],
    }
    assert [finding.code for finding in dataset.findings] == ["cleaned_header"]
    if form != "stream":
        files = table_files(path)
        assert files is not None
        assert [batch.columns for _, batch in files.batches(("red_2", "red"))] == [["red_2", "red"]]


def test_what_was_cut_is_said_to_be(tmp_path: Path) -> None:
    for form, name in (("parquet", "Parquet"), ("ipc", "Arrow")):
        with pytest.raises(DataError, match=f"is cut off: a whole {name} file ends with"):
            read(written(tmp_path, packed(form)[:-9]))


def test_bomb_is_refused_by_its_metadata(tmp_path: Path) -> None:
    bomb = packed("parquet", pl.select(pl.repeat(0, 20_000_000).alias("a")))
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="20,000,000 rows of 1 columns, more than the allowed 1,000,000 bytes"):
        read(written(tmp_path, bomb), options=ReadOptions(max_bytes=1_000_000))


@pytest.mark.parametrize("form", ["parquet", "ipc", "stream"])
def test_bomb_of_long_texts_is_refused_before_it_is_unpacked(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = pl.DataFrame({"a": ["x" * 9_000_000 + str(row) for row in range(3)]})
    stream = io.BytesIO()
    if form == "parquet":
        letters.write_parquet(stream, compression="zstd")
    elif form == "ipc":
        letters.write_ipc(stream, compression="zstd")
    else:
        letters.write_ipc_stream(stream, compression="zstd")
    path = written(tmp_path, stream.getvalue())
    assert path.stat().st_size < 100_000
    for collect in ("collect", "lazy"):
        monkeypatch.setattr(pl.LazyFrame if collect == "collect" else pl.DataFrame, collect, _never)
    monkeypatch.setattr(pl, "read_ipc_stream", _never)
    with pytest.raises(DataError, match=r"unpacks to 27,[\d,]+ bytes, more than the allowed 20,000,000 bytes: take"):
        read(path, options=ReadOptions(max_bytes=20_000_000))


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical], ids=str)
@pytest.mark.parametrize("form", ["parquet", "ipc", "stream"])
def test_bomb_of_one_long_text_in_every_row_is_refused(tmp_path: Path, form: str, kind: pl.DataType) -> None:
    """The file has it once, in a dictionary, and so has the table until something is done with it."""
    table = pl.select(pl.repeat("x" * 20_000, 5_000).cast(kind).alias("a"))
    stream = io.BytesIO()
    write = {"parquet": table.write_parquet, "ipc": table.write_ipc, "stream": table.write_ipc_stream}[form]
    write(stream, compression="zstd")
    assert len(stream.getvalue()) < 20_000
    with pytest.raises(DataError, match="unpacks to 100,000,000 bytes, more than the allowed 20,000,000 bytes: take"):
        read(written(tmp_path, stream.getvalue()), options=ReadOptions(max_bytes=20_000_000))


def test_bomb_of_one_long_text_in_the_rows_of_many_files_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pl.select(pl.repeat("x" * 20_000, 700).alias("a")).write_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="unpacks to 28,000,000 bytes, more than the allowed 20,000,000 bytes: take"):
        read(tmp_path, options=ReadOptions(max_bytes=20_000_000))
    assert read(tmp_path / "a.parquet", options=ReadOptions(max_bytes=20_000_000)).frame.height == 700


def _never(*_: object, **__: object) -> None:
    pytest.fail("it was unpacked")


def test_stream_of_many_rows_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    pl.select(pl.repeat(0, 5_000_000).alias("a")).write_ipc_stream(stream, compression="zstd")
    monkeypatch.setattr(pl, "read_ipc_stream", _never)
    with pytest.raises(DataError, match=r"unpacks to 40,000,000 bytes, more than the allowed 1,000,000 bytes"):
        read(written(tmp_path, stream.getvalue()), options=ReadOptions(max_bytes=1_000_000))


def test_empty_wide_and_misnamed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(written(tmp_path, packed("parquet", FRAME.head(0))))
    with pytest.raises(DataError, match="2 columns, more than the allowed 1"):
        read(written(tmp_path, packed("ipc")), options=ReadOptions(max_columns=1))
    with pytest.raises(DataError, match=r"is no Parquet file, whatever its name.*; write it again, or give"):
        read(written(tmp_path, b"a,b\n1,2\n", "t.parquet"))
