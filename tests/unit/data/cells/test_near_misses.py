"""Columns of words that are nearly something else say what kept them from it."""

import pytest

from lanewise.data.reading import read


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["2024-01-31", "31.1.2024", "1/31/2024"], "3 forms (Y-m-d, d/m/Y, d.m.Y)"),
        (["31-Jan-24", "", "2024-02-01"], "2 forms (Y-m-d, d month Y)"),
        (["2024-01-31", "soon", "31.1.2024"], None),
        (["2024-01-31", "2024-02-01"], None),
    ],
)
def test_dates_of_several_forms_are_told(tmp_path, cells, words):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["day,y", *(f"{cell},{n}" for n, cell in enumerate(cells * 9))]))
    found = [one.message for one in read(path).findings if one.code == "mixed_dates"]
    told = f"column 'day' holds dates written in {words} and was kept as words; write all in one"
    assert found == ([told] if words else [])


def test_dates_with_and_without_an_offset_are_told(tmp_path):
    path = tmp_path / "a.csv"
    days = [f"2024-01-{n:02d} 10:00:00{'+02:00' if n == 3 else ''}" for n in range(1, 29)]
    path.write_text("\n".join(["day,y", *(f"{day},{n}" for n, day in enumerate(days))]))
    found = [one.message for one in read(path).findings if one.code == "mixed_dates"]
    assert found == [
        "column 'day' holds dates with an offset to UTC in 1 cell ('2024-01-03 10:00:00+02:00' in row 3) and without "
        "in 27 cells ('2024-01-01 10:00:00' in row 1), and was kept as words; write all alike"
    ]
