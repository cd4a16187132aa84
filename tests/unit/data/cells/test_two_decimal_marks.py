"""A column with both decimal marks is told as such, as a feature and as a target."""

from pathlib import Path

import polars as pl
import pytest

from lanewise.data.auditing import audit
from lanewise.data.cells.nearly_numbers import number_but_for
from lanewise.data.cells.two_decimal_marks import two_decimal_marks
from lanewise.data.reading import read
from lanewise.data.target import resolve_task
from lanewise.errors import DataError

MIXED = [f"{n}.25" if n % 10 else f"{n},75" for n in range(1, 41)]
TOLD = (
    "mixes two decimal marks: '.' in 36 cells ('1.25' in row 1) and ',' in 4 cells ('10,75' in row 10); "
    "write all numbers with one of them"
)


def written(folder: Path, cells: list[str]) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(["x;y;z", *(f"{cell};{n}.5;{n % 7}.5" for n, cell in enumerate(cells))]))
    return path


def test_a_feature_is_warned_of_once_and_set_aside_with_the_reason(tmp_path: Path) -> None:
    table = read(written(tmp_path, MIXED))
    assert [one.message for one in table.findings if one.severity == "warning"] == [
        f"column 'x' was kept as words, because it {TOLD}"
    ]
    told = audit(table, target="y")
    assert TOLD in told.set_aside["x"]
    assert not [one for one in told.findings if one.severity == "warning"]


def test_a_target_is_refused_however_often_its_values_repeat(tmp_path: Path) -> None:
    table = read(written(tmp_path, MIXED))
    with pytest.raises(DataError, match=r"^target 'x' mixes two decimal marks: '.' in 36 cells"):
        resolve_task(table, "x")
    with pytest.raises(DataError, match=r"^regression needs a target of numbers, and 'x' mixes two decimal marks"):
        resolve_task(table, "x", kind="regression")
    repeated = read(written(tmp_path, ["1.5", "2,5", "1,5", "2.5"] * 10))
    with pytest.raises(DataError, match=r"^target 'x' mixes two decimal marks"):
        resolve_task(repeated, "x")
    assert resolve_task(repeated, "x", kind="multiclass")[0].classes == ("1,5", "1.5", "2,5", "2.5")


def test_marks_that_may_be_either_are_counted_apart() -> None:
    told = two_decimal_marks(pl.Series(["0.5", "0,25", "1,234", "2.345", None]))
    assert told is not None
    assert "in 2 cells the mark may be either" in told
    assert number_but_for(pl.Series(["0.5", "0,25", "1,234"])) == two_decimal_marks(pl.Series(["0.5", "0,25", "1,234"]))


@pytest.mark.parametrize(
    "cells",
    [
        ["1,234.5", "2.5"],
        ["1.234,5", "2,5"],
        ["1,234", "1.5"],
        ["12.34", "56"],
        ["red, green", "1.5", "blue. 1"],
        ["1.2.3", "1,5"],
        [None],
    ],
)
def test_other_columns_are_not_told(cells: list[str | None]) -> None:
    assert two_decimal_marks(pl.Series(cells, dtype=pl.String)) is None
