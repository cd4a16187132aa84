"""The layout: widths and vocabularies without a target, and its JSON."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import DataError, StoreError, UsageError
from lanewise.features.columns import CategoryColumn, DateColumn, NumberColumn, TextColumn
from lanewise.features.layout import Layout, LayoutSettings


def table(columns: dict[str, list | pl.Series], kinds: dict[str, ColumnKind]) -> Dataset:
    return Dataset(frame=pl.DataFrame(columns), kinds=kinds, source="table.csv")


def fit(data: Dataset, columns: list[str] | None = None, rows: np.ndarray | None = None, **settings) -> Layout:
    rows = np.arange(data.rows) if rows is None else rows
    return Layout.fit(data, columns or list(data.kinds), rows, settings=LayoutSettings(**settings))


@pytest.fixture
def mixed() -> Dataset:
    days = [dt.datetime(2020, 1, 1) + dt.timedelta(days=80 * i) for i in range(6)]
    return table(
        {
            "age": [30.0, None, 50.0, 41.0, 22.0, 33.0],
            "colour": ["red", "blue", "red", None, "green", "blue"],
            "when": days,
            "note": ["a b", "b", None, "c", "", "a"],
            "target": [0, 1, 0, 1, 1, 0],
        },
        {"age": "number", "colour": "category", "when": "date", "note": "text", "target": "number"},
    )


def test_names_follow_the_order_of_the_dense_features(mixed: Dataset) -> None:
    layout = fit(mixed, ["note", "colour", "age", "when"], text_buckets=2)
    assert layout.feature_names == (
        "age",
        "when days",
        "when year",
        *(f"when {part} {wave}" for part in ("month", "weekday", "day") for wave in ("sin", "cos")),
        "age missing",
        "colour missing",
        "colour=blue",
        "colour=red",
        "colour=green",
        "text:note#0",
        "text:note#1",
    )
    assert len(layout.feature_columns) == len(layout.feature_names) == layout.dense_width
    assert set(layout.feature_columns) == {"age", "when", "colour", "note"}
    assert layout.number_names == layout.feature_names[:9]
    assert layout.category_names == ("colour",)
    assert layout.embedded_names == ()


def test_heavy_tailed_number_has_its_rank_beside_it() -> None:
    draw = np.exp(2 * np.random.default_rng(0).normal(size=200)).tolist()
    data = table({"a": draw, "b": list(range(200)), "c": [None, *draw[1:]]}, dict.fromkeys("abc", "number"))
    layout = fit(data)
    assert layout.feature_names == ("a", "a rank", "b", "c", "c rank", "c missing")
    assert layout.feature_columns == ("a", "a", "b", "c", "c", "c")
    assert layout.number_names == ("a", "b", "c")
    assert layout.ranked == (0, 2)
    assert layout.dense_width == 6


def test_levels_stand_by_frequency_then_by_name() -> None:
    data = table({"c": ["b", "a", "d", "d", "c"]}, {"c": "category"})
    (column,) = fit(data).columns
    assert column == CategoryColumn(name="c", levels=("d", "a", "b", "c"), missing=False, other_rows=0, one_hot=True)


def test_rare_levels_share_the_other_code_and_are_counted() -> None:
    data = table({"c": ["a"] * 4 + ["b"] * 3 + ["c", "d", None]}, {"c": "category"})
    (column,) = (layout := fit(data, max_levels=2)).columns
    assert column == CategoryColumn(name="c", levels=("a", "b"), missing=True, other_rows=2, one_hot=True)
    assert layout.feature_names == ("c other", "c missing", "c=a", "c=b")


def test_many_levels_become_codes_of_an_embedding() -> None:
    data = table({"c": [f"level {i % 40}" for i in range(80)]}, {"c": "category"})
    layout = fit(data)
    assert layout.dense_width == 0
    assert layout.embedded_names == ("c",)
    assert layout.embedded_codes == (42,)
    assert fit(data, one_hot_levels=40).dense_width == 40


def test_only_the_given_rows_are_read() -> None:
    data = table({"c": ["a", "b", "test only"], "n": [1.0, 2.0, None]}, {"c": "category", "n": "number"})
    layout = fit(data, rows=np.array([0, 1]))
    assert layout.columns[0] == CategoryColumn(name="c", levels=("a", "b"), missing=False, other_rows=0, one_hot=True)
    assert layout.columns[1] == NumberColumn(name="n", missing=False, heavy_tailed=False)


def test_no_target_enters(mixed: Dataset) -> None:
    columns = ["age", "colour", "when", "note"]
    shuffled = Dataset(
        frame=mixed.frame.with_columns(pl.lit("other").alias("target")), kinds=mixed.kinds, source="table.csv"
    )
    without = Dataset(frame=mixed.frame.drop("target"), kinds=mixed.kinds, source="table.csv")
    assert fit(mixed, columns) == fit(shuffled, columns) == fit(without, columns)


def test_date_keeps_the_parts_that_vary() -> None:
    hours = [dt.datetime(2021, 3, 4, hour) for hour in range(3)]
    data = table({"hourly": hours, "fixed": [hours[0]] * 3}, {"hourly": "date", "fixed": "date"})
    assert fit(data).columns == (
        DateColumn(name="hourly", missing=False, parts=("days", "hour")),
        DateColumn(name="fixed", missing=False, parts=("days",)),
    )


def test_missing_date_has_one_indicator() -> None:
    data = table({"d": [dt.datetime(2020, 1, 1), None, dt.datetime(2021, 5, 9)]}, {"d": "date"})
    layout = fit(data)
    assert layout.indicators == (0,)
    assert [name for name in layout.feature_names if "missing" in name] == ["d missing"]


def test_nan_counts_as_missing() -> None:
    data = table({"n": [1.0, float("nan")]}, {"n": "number"})
    assert fit(data).columns == (NumberColumn(name="n", missing=True, heavy_tailed=False),)


def test_column_without_any_value_is_accepted() -> None:
    empty = {"n": pl.Series([None, None], dtype=pl.Float64), "c": pl.Series([None, None], dtype=pl.String)}
    data = table(
        {**empty, "d": pl.Series([None, None], dtype=pl.Datetime("us"))}, {"n": "number", "c": "category", "d": "date"}
    )
    layout = fit(data)
    assert layout.feature_names == ("n", "d days", "n missing", "d missing", "c missing")
    assert np.isnan(layout.encode(data).numbers).all()


def test_json_round_trip_is_bitwise(mixed: Dataset) -> None:
    layout = fit(mixed, ["note", "colour", "age", "when"])
    text = layout.to_json()
    again = Layout.from_json(text)
    assert again == layout
    assert again.to_json().encode() == text.encode()
    assert isinstance(again.columns[0], TextColumn)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format":1,"columns":[{"kind":"number","name":"a"}]}',
        '{"format":1,"columns":[{"kind":"tree"}]}',
    ],
)
def test_damaged_json_is_a_store_error(text: str) -> None:
    with pytest.raises(StoreError, match="damaged"):
        Layout.from_json(text)


def test_json_of_another_format_is_refused() -> None:
    with pytest.raises(StoreError, match="has format 99, this version reads 1"):
        Layout.from_json('{"format":99,"columns":[]}')


@pytest.mark.parametrize(
    ("columns", "rows", "error", "words"),
    [
        (["age", "absent", "gone"], [0], DataError, r"table\.csv has no column 'absent', 'gone'"),
        ([], [0], UsageError, "name at least one column"),
        (["age", "age"], [0], UsageError, "age twice"),
        (["age"], [], UsageError, "at least one row number"),
        (["age"], [0, 6], UsageError, "0 to 5, got 0 to 6"),
        (["age"], [True, False], UsageError, "row number"),
    ],
)
def test_what_cannot_be_used_is_said(mixed: Dataset, columns, rows, error, words) -> None:
    with pytest.raises(error, match=words):
        Layout.fit(mixed, columns, np.array(rows, dtype=None if rows else int), settings=LayoutSettings())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"one_hot_levels": -1}, "one_hot_levels must be 0 or more, got -1"),
        ({"max_levels": 0}, "max_levels must be 1 or more, got 0"),
        ({"text_buckets": 1000}, "power of two, such as 1024, got 1000"),
        ({"character_ngrams": (0,)}, "sizes of 1 or more"),
    ],
)
def test_settings_are_checked(settings, words) -> None:
    with pytest.raises(UsageError, match=words):
        LayoutSettings(**settings)
