"""Numbers with units stay words, which is told; names with numbers in them are no such column."""

import polars as pl
import pytest

from lanewise.data.cells.numbers_with_units import numbers_with_units
from lanewise.data.reading import ReadOptions, read


@pytest.mark.parametrize(
    ("cells", "units", "severity"),
    [
        ([f"{n}.5 kg" for n in range(30)], "a unit ('kg')", "warning"),
        ([f"{n} sqft" for n in range(30)], "a unit ('sqft')", "warning"),
        ([f"{n}.5 {'€' if n < 20 else '$'}" for n in range(30)], "different units ('€', '$')", "warning"),
        ([f"{n}.5 lei" for n in range(16)] + [f"{n}.5 EUR" for n in range(14)], "('lei', 'EUR')", "info"),
        (["1.6L", "2.0L", "3.0L"] * 9, "a unit ('L')", "info"),
    ],
)
def test_units_are_named_with_the_first_cells(tmp_path, cells: list[str], units: str, severity: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["x,y", *(f"{cell},{n}" for n, cell in enumerate(cells))]))
    table = read(path)
    found = [one for one in table.findings if one.code == "numbers_with_units"]
    assert [one.severity for one in found] == [severity]
    assert units in found[0].message
    assert f"in {len(cells)} cells of {len(cells)}: '{cells[0]}' in row 1" in found[0].message
    assert table.kinds["x"] == "category"
    assert [one.message for one in read({"x": cells}).findings] == [found[0].message]


@pytest.mark.parametrize(
    "cells",
    [
        [f"flat {n}" for n in range(40)],
        [f"Q{n % 4}" for n in range(40)],
        [f"ID{n}" for n in range(40)],
        ["1st", "2nd", "3rd"] * 9,
        [f"{n} {'ABCDEFGH'[n % 8]}" for n in range(40)],
        ["36 months", "60 months"] * 9,
        ["v1.2", "v1.3", "v2.0"] * 9,
        ["red", "12.5 kg", "blue"] * 9,
        [None, None],
    ],
)
def test_names_that_have_numbers_are_not_told(cells: list[str | None]) -> None:
    assert numbers_with_units(pl.DataFrame({"x": pl.Series(cells, dtype=pl.String)})) == []


def test_a_kind_that_was_named_is_not_doubted(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["x,y", *(f"{n}.5 kg,{n}" for n in range(30))]))
    told = {one.code for one in read(path, options=ReadOptions(kinds={"x": "category"})).findings}
    assert "numbers_with_units" not in told
