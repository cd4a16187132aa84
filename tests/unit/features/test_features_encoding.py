"""Encoding: a table as arrays, in any order of its columns, with cells never seen before."""

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import DataError
from lanewise.features import encoding
from lanewise.features.columns import MISSING_CODE
from lanewise.features.layout import Layout, LayoutSettings


def table(columns: dict[str, list | pl.Series], kinds: dict[str, ColumnKind]) -> Dataset:
    return Dataset(frame=pl.DataFrame(columns), kinds=kinds, source="new.csv")


def fit(data: Dataset) -> Layout:
    return Layout.fit(data, list(data.kinds), np.arange(data.rows), settings=LayoutSettings(text_buckets=16))


def test_codes_of_levels_missing_and_unseen() -> None:
    layout = fit(table({"c": ["a", "a", "b", None]}, {"c": "category"}))
    codes = layout.encode(table({"c": ["b", "a", None, "new", ""]}, {"c": "category"})).codes
    assert codes.dtype == np.int64
    assert codes[:, 0].tolist() == [3, 2, 1, 0, 0]


def test_few_rows_and_many_get_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[str, ColumnKind] = {"c": "category", "n": "category"}
    layout = fit(table({"c": ["a", "ä", "", None], "n": ["1", "2", "2", "30"]}, kinds))
    new = table({"c": ["ä", None, "new", "", "a"], "n": [30, None, 2, 4, 1]}, kinds)
    few = layout.encode(new).codes
    monkeypatch.setattr(encoding, "_FEW_ROWS", 0)
    many = layout.encode(new).codes
    assert few.tolist() == many.tolist()
    assert few.dtype == many.dtype
    assert (few[1] == MISSING_CODE).all()


def test_order_of_columns_and_further_columns_do_not_matter() -> None:
    columns = {"n": [1.0, 2.0], "m": [3, 4], "c": ["a", "b"], "e": ["x", "y"], "t": ["u v", "v"], "s": ["q", "r"]}
    kinds: dict[str, ColumnKind] = {
        "n": "number", "m": "number", "c": "category", "e": "category", "t": "text", "s": "text",
    }  # fmt: skip
    data = table(columns, kinds)
    layout = fit(data)
    reversed_data = table({"extra": [0, 0], **dict(reversed(columns.items()))}, {"extra": "number", **kinds})
    one, other = layout.encode(data), layout.encode(reversed_data)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.codes, other.codes)
    assert one.tokens is not None
    assert other.tokens is not None
    np.testing.assert_array_equal(one.tokens.toarray(), other.tokens.toarray())
    assert one.tokens.shape == (2, 32)
    assert one.tokens.dtype == np.float32
    assert one.rows == 2


def test_absent_columns_are_all_named() -> None:
    layout = fit(table({"a": [1.0], "b": [1.0], "c": [1.0]}, {"a": "number", "b": "number", "c": "number"}))
    with pytest.raises(DataError, match=re.escape("new.csv has no column 'a', 'c'")):
        layout.encode(table({"b": [1.0]}, {"b": "number"}))


@pytest.mark.parametrize(
    ("kind", "trained", "given"),
    [
        ("number", [1.0], ["one"]),
        ("date", [dt.datetime(2020, 1, 1)], ["2020-01-01"]),
        ("text", ["words"], [1.5]),
        ("category", ["a"], [1.5]),
    ],
)
def test_another_type_than_in_training_is_refused(kind: ColumnKind, trained: list, given: list) -> None:
    layout = fit(table({"x": trained}, {"x": kind}))
    with pytest.raises(DataError, match=f"column 'x' of new.csv holds .* but was a {kind} when the model was trained"):
        layout.encode(table({"x": given}, {"x": kind}))


def test_whole_numbers_may_stand_for_levels() -> None:
    layout = fit(table({"x": ["1", "2", "1"]}, {"x": "category"}))
    assert layout.encode(table({"x": [2, 1, 7]}, {"x": "number"})).codes[:, 0].tolist() == [3, 2, 0]


def test_empty_column_fits_any_kind() -> None:
    kinds: dict[str, ColumnKind] = {"n": "number", "c": "category", "d": "date", "t": "text"}
    layout = fit(table({"n": [1.0], "c": ["a"], "d": [dt.datetime(2020, 1, 1)], "t": ["a"]}, kinds))
    encoded = layout.encode(table({name: [None, None] for name in kinds}, kinds))
    assert np.isnan(encoded.numbers).all()
    assert encoded.codes.tolist() == [[1], [1]]
    assert encoded.tokens is not None
    assert encoded.tokens.nnz == 0


def test_large_integers_keep_all_digits_up_to_two_to_the_53() -> None:
    values = [2**53, 2**53 - 1, -(2**53), 0]
    data = table({"n": values}, {"n": "number"})
    assert [int(value) for value in fit(data).encode(data).numbers[:, 0]] == values


def test_dates_before_1970_and_their_cycles() -> None:
    moments = [dt.datetime(1900, 1, 1), dt.datetime(1969, 12, 31, 12, 30), dt.datetime(2024, 2, 29, 18), None]
    data = table({"d": moments}, {"d": "date"})
    layout = fit(data)
    found = dict(zip(layout.number_names, layout.encode(data).numbers.T, strict=True))
    epoch = dt.datetime(1970, 1, 1)
    known = [moment for moment in moments if moment]
    expected = {
        "d days": [(m - epoch).total_seconds() / 86400 for m in known],
        "d year": [m.year for m in known],
        "d month sin": [np.sin(2 * np.pi * (m.month - 1) / 12) for m in known],
        "d month cos": [np.cos(2 * np.pi * (m.month - 1) / 12) for m in known],
        "d weekday sin": [np.sin(2 * np.pi * m.weekday() / 7) for m in known],
        "d weekday cos": [np.cos(2 * np.pi * m.weekday() / 7) for m in known],
        "d day sin": [np.sin(2 * np.pi * (m.day - 1) / 31) for m in known],
        "d day cos": [np.cos(2 * np.pi * (m.day - 1) / 31) for m in known],
        "d hour sin": [np.sin(2 * np.pi * (m.hour + m.minute / 60) / 24) for m in known],
        "d hour cos": [np.cos(2 * np.pi * (m.hour + m.minute / 60) / 24) for m in known],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], [*values, np.nan], rtol=1e-14, atol=1e-14)
    assert found["d days"][1] == -41_400 / 86_400  # divided once, whatever the number of rows


@pytest.mark.parametrize("cells_at_once", [1, 6, 10**6])
def test_numbers_stand_where_their_columns_do_among_dates_and_empty_ones(
    monkeypatch: pytest.MonkeyPatch, cells_at_once: int
) -> None:
    monkeypatch.setattr(encoding, "_CELLS_AT_ONCE", cells_at_once)
    days = [dt.datetime(2024, month, 1) for month in (1, 2, 3)]
    cells: dict[str, list | pl.Series] = {
        "a": [1, 2, 3], "day": days, "b": [0.5, None, 2.5], "c": [7, 8, 9], "never": [1.0, 2.0, 3.0], "d": [4.0] * 3
    }  # fmt: skip
    kinds: dict[str, ColumnKind] = {name: "date" if name == "day" else "number" for name in cells}
    layout = fit(table(cells, kinds))
    found = layout.encode(table({**cells, "never": pl.Series([None] * 3, dtype=pl.String)}, kinds)).numbers
    for name, places in layout.number_places.items():
        if name != "day":
            expected = [None] * 3 if name == "never" else cells[name]
            np.testing.assert_array_equal(found[:, places[0]], np.array(expected, dtype=np.float64))
    assert found[:, layout.number_places["day"][0]].tolist() == [19723.0, 19754.0, 19783.0]
