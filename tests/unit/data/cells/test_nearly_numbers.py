"""Words that would be numbers but for a few cells are told, with the cells and what to do."""

import polars as pl
import pytest

from lanewise.data.cells.nearly_numbers import number_but_for

NUMBERS = [f"{n}.5" for n in range(1, 40)]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["units"], "1 cell: 'units' in row 40; mend it or declare it missing (--missing=units)"),
        (["1e999"], "1 cell: '1e999' in row 40; mend it or declare it missing (--missing=1e999)"),
        (["a", "b"], "2 cells: 'a' in row 40, 'b' in row 41; mend them or declare them missing (--missing=a,b)"),
        (["x"] * 2, "2 cells: 'x' in row 40, 'x' in row 41; mend them or declare them missing (--missing=x)"),
        (["not given"], "1 cell: 'not given' in row 40; mend it"),
    ],
)
def test_the_cells_in_the_way_are_named(cells: list[str], told: str) -> None:
    assert number_but_for(pl.Series([*NUMBERS, *cells])) == f"is a number but for {told}"


@pytest.mark.parametrize(
    "cells",
    [
        NUMBERS,
        [*NUMBERS, "a", "b", "c", "d", "e"],
        ["red", "green"],
        [None, None],
        [f"{n}" for n in range(10, 40)] + ["007"],
    ],
)
def test_words_of_another_sort_are_none(cells: list[str | None]) -> None:
    assert number_but_for(pl.Series(cells, dtype=pl.String)) is None


def test_decimal_commas_are_numbers_too() -> None:
    told = number_but_for(pl.Series([*(cell.replace(".", ",") for cell in NUMBERS), "kg"]))
    assert told is not None
    assert told.startswith("is a number but for 1 cell: 'kg' in row 40")
