"""What the beginning of a table tells, and what it leaves to the reading proper."""

from pathlib import Path

import polars as pl
import pytest

from lanewise.data.first_look import HEAD_BYTES, first_look
from lanewise.data.read_options import ReadOptions
from lanewise.errors import DataError


def test_a_large_file_of_utf_16_without_a_mark_is_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("name,y\n" + "some,1\n" * (HEAD_BYTES // 8)).encode("utf-16-le"))
    first_look(str(path), options=ReadOptions(), target="y")
    with pytest.raises(DataError, match="'z'"):
        first_look(str(path), options=ReadOptions(), target="z")


def test_without_a_target_the_content_is_left_to_who_knows_how_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",,\n,,\n")
    first_look(str(path), options=ReadOptions())
    with pytest.raises(DataError):
        first_look(str(path), options=ReadOptions(), target="y")


def test_a_nested_target_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1, 2], "y": [[1], [2]]}).write_parquet(path)
    first_look(str(path), options=ReadOptions(), target="a", drop=("y",))
    with pytest.raises(DataError, match=r"target names 'y', and column 'y' of type List\(Int64\) is nested"):
        first_look(str(path), options=ReadOptions(), target="y")


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too long"):
        first_look(str(tmp_path / ("x" * 300)), options=ReadOptions(), target="y")
