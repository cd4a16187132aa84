"""Many short columns looked at in one call come out as each by itself."""

import polars as pl
import pytest

from lanewise.data.cells import text_columns
from lanewise.data.cells.text_columns import changed, in_all_cells, in_some_cell, shares_of_cells

ROWS = 5


@pytest.fixture(params=["one below the other", "side by side", "a few at a time"])
def frame(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.setattr(text_columns, "MOST_ROWS", 1 if request.param == "side by side" else ROWS)
    monkeypatch.setattr(text_columns, "CELLS_AT_ONCE", 7 * ROWS if request.param == "a few at a time" else 10**6)
    cells = {
        f"c{place}": [None if (place * row) % 7 == 1 else f" {place % 3}{'x' * (row % 2)}" for row in range(ROWS)]
        for place in range(98)
    }
    return pl.DataFrame({**cells, "empty": [None] * ROWS, "same": ["a"] * ROWS}, schema_overrides={"empty": pl.String})


def has_x(cells: pl.Expr) -> pl.Expr:
    return cells.str.contains("[xa]")


def test_each_cell_is_changed_and_stays_in_its_place(frame: pl.DataFrame) -> None:
    bare = changed(frame, lambda cells: cells.str.strip_chars())
    assert bare.equals(pl.DataFrame([column.str.strip_chars() for column in frame.get_columns()]))
    assert changed(bare, lambda cells: cells.cast(pl.Float64, strict=False)).columns == frame.columns


def test_tests_of_cells_leave_out_those_that_are_null(frame: pl.DataFrame) -> None:
    masks = [column.str.contains("[xa]") for column in frame.get_columns()]
    assert in_all_cells(frame, has_x) == tuple(mask.all() for mask in masks)
    assert in_some_cell(frame, has_x) == tuple(mask.any() for mask in masks)
    assert shares_of_cells(frame, has_x) == tuple(mask.mean() or 0.0 for mask in masks)


def test_no_columns_and_no_rows_are_no_special_case() -> None:
    nothing, no_rows = pl.DataFrame(), pl.DataFrame({f"c{place}": [] for place in range(80)}).cast(pl.String)
    assert (changed(nothing, has_x).width, in_all_cells(nothing, has_x), in_some_cell(nothing, has_x)) == (0, (), ())
    assert in_all_cells(no_rows, has_x) == (True,) * 80
    assert changed(no_rows, has_x).shape == (0, 80)
