"""Folders and patterns of Parquet and Arrow files: one table in the order of the names, or one clear sentence."""

from pathlib import Path

import polars as pl
import pytest

from lanewise.data import table_files as module
from lanewise.data.reading import ReadOptions, read
from lanewise.data.table_files import table_files
from lanewise.errors import DataError
from lanewise.fitting.fit_data import dataset_of

ROWS = pl.DataFrame({"a": range(10), "b": [str(n) for n in range(10)]})


def parts(folder: Path) -> Path:
    """Rows 0 to 9 as three files, and what tools leave beside them."""
    folder.mkdir()
    ROWS[7:].write_parquet(folder / "part-2.parquet")
    ROWS[:4].write_parquet(folder / "part-0.parquet", row_group_size=3)
    ROWS[4:7].write_ipc(folder / "part-1.arrow")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet.crc").write_bytes(b"crc")
    return folder


def test_rows_come_in_the_order_of_the_names_a_batch_at_a_time(tmp_path, monkeypatch):
    files = table_files(parts(tmp_path / "table"))
    assert files is not None
    assert (files.rows, files.columns, files.heights) == (10, 2, (4, 3, 3))
    assert files.name.endswith("table (3 files)")
    monkeypatch.setattr(module.TableFiles, "batch_rows", 3)
    found = list(files.batches())
    assert [(first, frame.height) for first, frame in found] == [(0, 3), (3, 1), (4, 3), (7, 3)]
    assert pl.concat([frame for _, frame in found]).equals(ROWS)
    assert pl.concat([frame for _, frame in files.batches(("b",))]).equals(ROWS.select("b"))


def test_a_folder_a_pattern_and_a_file_are_read_into_memory_alike(tmp_path):
    folder = parts(tmp_path / "table")
    whole = read(str(folder)).frame
    assert whole.equals(read(f"{folder}/part-?.*").frame)
    assert whole["a"].to_list() == list(range(10))
    single = table_files(folder / "part-2.parquet")
    assert single is not None
    assert single.name == str(folder / "part-2.parquet")
    with pytest.raises(DataError, match=r"10 rows of 2 columns, more than the allowed 100 bytes: fit streams such"):
        read(folder, options=ReadOptions(max_bytes=100))


def test_a_file_of_another_format_is_no_such_table(tmp_path):
    csv = tmp_path / "a.csv"
    csv.write_text("a,b\n1,2\n")
    assert table_files(csv) is None
    assert table_files(tmp_path / "absent.parquet") is None
    bracket = tmp_path / "a[1].parquet"
    ROWS.write_parquet(bracket)
    found = table_files(bracket)
    assert found is not None
    assert found.paths == (bracket,)
    assert next(found.batches())[1].equals(ROWS)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (ROWS.select("a"), r"part-1 has no column 'b', unlike .*part-0"),
        (ROWS.with_columns(c=1), r"part-1 has a column 'c' that is not in .*part-0"),
        (ROWS.cast({"a": pl.String}), r"part-1 has 'a' as String, which is Int64 in .*part-0"),
        (ROWS.cast({"a": pl.Boolean}), r"part-1 has 'a' as Boolean, which is Int64 in .*part-0"),
        (ROWS.select("b", "a"), r"part-1 has its columns in another order than .*part-0"),
    ],
)
def test_files_of_different_columns_are_refused(tmp_path, second, words):
    ROWS.write_parquet(tmp_path / "part-0")
    second.write_parquet(tmp_path / "part-1")
    with pytest.raises(DataError, match=words):
        table_files(tmp_path)


@pytest.mark.parametrize(
    ("types", "common"),
    [
        ((pl.Int16, pl.Int64), pl.Int64),
        ((pl.Int64, pl.Int8, pl.UInt16), pl.Int64),
        ((pl.UInt8, pl.Int8), pl.Int16),
        ((pl.UInt64, pl.Int8), pl.Int64),
        ((pl.Int32, pl.Float32), pl.Float64),
        ((pl.Float64, pl.Int64), pl.Float64),
        ((pl.Null, pl.Int16), pl.Int16),
    ],
)
def test_numbers_of_different_types_are_widened(tmp_path, types, common):
    for place, dtype in enumerate(types):
        cells = [None, None] if dtype == pl.Null else [place, 100 + place]
        pl.DataFrame({"a": pl.Series(cells, dtype=dtype), "b": ["x", "y"]}).write_parquet(tmp_path / f"{place}.parquet")
    files = table_files(tmp_path)
    assert files is not None
    assert files.schema["a"] == common
    assert {frame.schema["a"] for _, frame in files.batches()} == {common}
    assert [finding.code for finding in files.findings] == ["widened_column"]
    whole = read(tmp_path)
    assert whole.kinds["a"] == "number"
    assert whole.frame["a"].drop_nulls().to_list()[-2:] == [len(types) - 1, 99 + len(types)]
    streamed = dataset_of(str(tmp_path), stream="always").frame
    assert streamed["a"].cast(pl.Float64).equals(whole.frame["a"].cast(pl.Float64))


@pytest.mark.parametrize(("number", "dtype"), [(2**53 + 1, pl.Int64), (-(2**53) - 1, pl.Int64), (2**63, pl.UInt64)])
def test_whole_numbers_that_the_wider_type_would_round_are_refused(tmp_path, number, dtype):
    other = pl.Int8 if dtype == pl.UInt64 else pl.Float64
    pl.DataFrame({"a": pl.Series([1, number], dtype=dtype)}).write_parquet(tmp_path / "0.parquet")
    pl.DataFrame({"a": pl.Series([1], dtype=other)}).write_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match=rf"0.parquet has whole numbers in 'a', as large as {abs(number):,}, that"):
        table_files(tmp_path)


def test_what_is_no_table_of_files_is_said_in_one_line(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"is an empty folder, without a Parquet or Arrow file: .* name one file in it"):
        table_files(empty)
    with pytest.raises(DataError, match="no file matches"):
        table_files(f"{empty}/*.parquet")
    (empty / "year=2024").mkdir()
    with pytest.raises(DataError, match=r"holds a folder, 'year=2024': .* name the files by a pattern"):
        table_files(empty)
    mixed = parts(tmp_path / "mixed")
    (mixed / "part-3.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"part-3.csv is neither a Parquet nor an Arrow file"):
        table_files(mixed)
    ROWS.clear().write_parquet(empty / "none.parquet")
    with pytest.raises(DataError, match="is empty: it has 0 rows and 2 columns"):
        table_files(empty / "none.parquet")


@pytest.mark.parametrize("name", ["part-0.parquet", "part-1.arrow"])
def test_a_truncated_file_is_named(tmp_path, name):
    folder = parts(tmp_path / "table")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name} is cut off: a whole (Parquet|Arrow) file ends with"):
        table_files(folder)


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path):
    folder = parts(tmp_path / "table")
    files = table_files(folder)
    assert files is not None
    ROWS[:2].write_parquet(folder / "part-0.parquet")
    with pytest.raises(DataError, match=r"part-0.parquet changed while it was read"):
        list(files.batches())


def test_files_that_are_not_streamed_are_looked_into_once(tmp_path, monkeypatch):
    folder = parts(tmp_path / "table")
    looked = []
    described = module._described
    monkeypatch.setattr(module, "_described", lambda *given: looked.append(given) or described(*given))
    found = dataset_of(str(folder), stream="auto")
    assert found.rest is None
    assert found.frame.equals(read(folder).frame)
    assert len(looked) == 2, "once by each"
