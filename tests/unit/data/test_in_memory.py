"""Tables in memory and typed columns: types are believed, what no kind can hold is set aside."""

import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.reading import ReadOptions, read
from lanewise.errors import DataError


def codes(dataset: Dataset) -> dict[str, str | None]:
    return {finding.code: finding.column for finding in dataset.findings}


def test_polars_types() -> None:
    frame = pl.DataFrame(
        {
            "i": pl.Series([1, None], dtype=pl.Int8),
            "f": [1.5, float("nan")],
            "inf": [float("inf"), 2.0],
            "dec": [Decimal("1.25"), None],
            "b": [True, None],
            "cat": pl.Series(["u", None], dtype=pl.Categorical),
            "d": [date(2024, 1, 2), None],
            "t": [time(1, 2), None],
            "span": [timedelta(minutes=1), None],
            "s": [" x ", "NA"],
            "u": pl.Series([2**64 - 1, 1], dtype=pl.UInt64),
            "l": [[1], [2]],
            "bin": [b"x", b"y"],
        }
    )
    dataset = read(frame)
    assert dataset.frame.row(0, named=True) == {
        "i": 1, "f": 1.5, "inf": None, "dec": 1.25, "b": "true", "cat": "u", "d": datetime(2024, 1, 2),
        "t": "01:02:00", "span": 60.0, "s": "x", "u": str(2**64 - 1),
    }  # fmt: skip
    assert dataset.frame.row(1)[:2] == (None, None)
    assert codes(dataset).keys() == {"infinite_values", "nested_column", "beyond_64_bit", "duration_seconds"}
    assert set(dataset.frame.dtypes) <= {pl.Int64, pl.Float64, pl.String, pl.Datetime("us")}


def test_whole_decimals_are_whole_numbers_and_never_rounded() -> None:
    small, large = [Decimal(2**62 + 1), None], [Decimal(2**70 + 1), Decimal(5)]
    columns = {"small": pl.Series(small, dtype=pl.Decimal(38, 0)), "large": pl.Series(large, dtype=pl.Decimal(38, 0))}
    dataset = read(pl.DataFrame(columns))
    assert dataset.frame["small"].to_list() == [2**62 + 1, None]
    assert dataset.frame["large"].to_list() == [str(2**70 + 1), "5"]
    assert codes(dataset) == {"beyond_64_bit": "large"}


def test_time_zones_become_utc() -> None:
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1, 12)]}).with_columns(pl.col("t").dt.replace_time_zone("Asia/Tokyo"))
    assert read(frame).frame["t"].to_list() == [datetime(2024, 1, 1, 3)]


def test_words_that_are_numbers_stay_words() -> None:
    dataset = read({"x": ["1", "2"]})
    assert dataset.kinds == {"x": "category"}
    assert codes(dataset) == {"numbers_as_words": "x"}


def test_lazy_table() -> None:
    assert read(pl.LazyFrame({"a": [1, 2]})).rows == 2
    with pytest.raises(DataError, match="can't be computed"):
        read(pl.LazyFrame({"a": ["x"]}).with_columns(pl.col("a").cast(pl.Int64)))


def test_numpy_arrays() -> None:
    dataset = read(np.array([[1, 2.5], [np.nan, np.inf]]))
    assert dataset.frame.rows() == [(1.0, 2.5), (None, None)]
    assert dataset.frame.columns == ["x0", "x1"]
    structured = np.array([(1, b"a", 2.5, "2024-01-01")], dtype=[("i", "u8"), ("s", "S3"), ("f", "f2"), ("d", "M8[D]")])
    assert read(structured).frame.row(0) == (1, "a", 2.5, datetime(2024, 1, 1))
    assert read(np.array([[1, "a"], [2, None]], dtype=object)).kinds == {"x0": "number", "x1": "category"}
    assert read(np.asfortranarray(np.arange(6).reshape(2, 3))[:, ::-1]).frame.rows() == [(2, 1, 0), (5, 4, 3)]


def test_masked_cells_of_numpy_are_missing() -> None:
    plain = np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert read(plain).frame["x1"].to_list() == [None, 4]
    words = np.ma.array([("a", 2.0), ("b", 4.0)], dtype=[("a", "U1"), ("b", float)], mask=[(1, 0), (0, 0)])
    assert read(words).frame["a"].to_list() == [None, "b"]


def test_dict_of_columns() -> None:
    dataset = read({"a": [1, None], "b": [1, "x"], "c": [1, 2.5], "d": [2**70, 1]})
    assert dataset.frame.rows() == [(1, "1", 1.0, str(2**70)), (None, "x", 2.5, "1")]
    assert codes(dataset) == {"mixed_types": "b", "beyond_64_bit": "d"}


def test_names_are_made_distinct() -> None:
    assert read({1: [1], "1": [2], " ": [3]}).frame.columns == ["1", "1_2", "column_3"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "is empty"),
        ({"a": []}, "is empty"),
        ({"a": [1], "b": [1, 2]}, "different lengths"),
        ({"a": 1}, "single int"),
        ({"a": "abc"}, "single str"),
        (np.array([1, 2]), "1 dimensions"),
        (np.zeros((0, 2)), "is empty"),
        (np.array([[1j]]), "no column that can be used"),
        (pl.DataFrame({"a": [[1]]}), "no column that can be used"),
        (None, "type NoneType"),
        ([1, 2], "type list"),
        (3.5, "type float"),
    ],
)
def test_refusals(source: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(source)


def test_stated_kinds_and_markers() -> None:
    options = ReadOptions(kinds={"z": "category", "s": "number", "d": "text"}, missing=("-200",))
    dataset = read({"z": [1.0, 2.0], "s": ["1", "x"], "d": [date(2024, 1, 1)] * 2, "v": [-200, 5]}, options=options)
    assert dataset.frame.rows() == [("1", 1, "2024-01-01T00:00:00", None), ("2", None, "2024-01-01T00:00:00", 5)]
    assert codes(dataset) == {"unreadable_cells": "s"}


def test_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "a": [1, np.nan],
            "s": ["x", None],
            "c": pd.Categorical([3, None]),
            "d": pd.to_datetime(["2024-01-01", None]),
            "tz": pd.to_datetime(["2024-01-01 00:00", "2024-01-01 02:00"]).tz_localize("Europe/Paris"),
            "i": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "m": [1, "x"],
            "p": pd.PeriodIndex(["2024-03", None], freq="M"),
            7: [2, 3],
        },
        index=["p", "q"],
    )
    dataset = read(frame)
    assert dataset.frame.row(0) == (
        1.0, "x", "3", datetime(2024, 1, 1), datetime(2023, 12, 31, 23), 1, "true", "1", datetime(2024, 3, 1), 2,
    )  # fmt: skip
    assert dataset.frame.row(1) == (None, None, None, None, datetime(2024, 1, 1, 1), None, None, "x", None, 3)
    assert codes(dataset) == {"index_left_out": None, "mixed_types": "m", "time_zone": "tz"}


def test_pandas_is_not_imported_unless_given() -> None:
    code = "import sys, lanewise.data.reading as r; r.read({'a': [1, 2]}); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_that_are_dates_stay_words() -> None:
    days = [f"2024-03-{day:02}" for day in range(1, 31)]
    dataset = read({"year first": days, "day first": [f"{day[8:]}/03/2024" for day in days]})
    assert set(dataset.kinds.values()) == {"category"}
    assert codes(dataset) == {"dates_as_words": "year first"}


def test_decimals_that_lose_digits_are_told() -> None:
    kept = [Decimal("0.1"), Decimal("1234567890.12345"), Decimal("0.1234567890123456"), None]
    lost = {"fine": [Decimal("0.1234567890123456789")], "coarse": [Decimal("9007199254740993.5"), Decimal("-1.5")]}
    frame = pl.DataFrame({name: cells + [None] * (4 - len(cells)) for name, cells in (lost | {"kept": kept}).items()})
    fine, coarse = read(frame).findings
    assert (fine.code, fine.column, fine.severity, fine.count) == ("rounded_decimals", "fine", "info", 1)
    assert (coarse.column, coarse.severity, coarse.count) == ("coarse", "warning", 1)
    assert "1 decimal with more digits than 64 bits hold, which was rounded, as " in coarse.message
