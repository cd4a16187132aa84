"""Is there a header, and what are the columns called?"""

from pathlib import Path

import polars as pl
import pytest

from lanewise.data.reading import read
from lanewise.data.text.headers import cleaned_names, column_names, looks_like_header


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["age,city", "31,Rome", "45,Oslo"], True),
        (["31,Rome", "45,Oslo", "60,Bonn"], False),
        (["vhigh,low", "vhigh,low", "low,vhigh", "low,low"], False),
        (["a,b,c"], True),
        (["1,2,3"], False),
        (["id,100022,100025", "x,TRUE,FALSE", "y,FALSE,TRUE"], True),
        (["country,2010,2011,2012", "Peru,5,6,7", "Chad,1,9,4"], True),
        (["a film to be seen by all,1", "another one to be seen,0", "no one should see this,1"], False),
        (["when,x", "2024-01-01,a", "2024-01-02,b"], True),
        (["species,island", "Adelie,Biscoe", "Gentoo,Dream", "Adelie,Dream", "Gentoo,Biscoe"], True),
    ],
)
def test_header_is_told_from_rows(rows: list[str], expected: bool) -> None:
    first, *rest = [row.split(",") for row in rows]
    assert looks_like_header(first, rest) is expected


def test_names_are_cleaned_filled_and_made_distinct() -> None:
    names, findings = column_names(["\ufeffid", " a\n\tb ", "", "id", "id_2", "id", "\x00"])
    assert names == ["id", "a b", "column_3", "id_3", "id_2", "id_4", "column_7"]
    assert [(finding.code, finding.count) for finding in findings] == [("blank_header", 2), ("duplicate_header", 2)]
    assert findings[1].message == "2 repeated column names got a number: 'id_3', 'id_4'"
    assert findings[1].columns == ("id_3", "id_4")


def test_many_equal_names_stay_distinct() -> None:
    assert len(set(column_names(["x"] * 20_000)[0])) == 20_000


def test_a_name_is_what_is_seen_of_it_and_that_is_counted() -> None:
    header = ["\x1b[31mage\x1b[0m", "x\x07y", "\u202ename", "a\tb", "\ufeffid"]
    names, findings = column_names(header)
    assert names == ["age", "xy", "name", "a b", "id"]
    (found,) = findings
    assert (found.code, found.count, found.severity) == ("cleaned_header", 3, "warning")
    assert found.message == "3 column names with control characters, which were left out: 'age', 'xy', 'name'"


def test_names_that_would_stand_for_several_columns_are_made_anew() -> None:
    names, findings = column_names(["*", "a", " ^a.*$", "*", "**", "^a", "\x1b[31m*"])
    assert names == ["*_", "a", "^a.*$_", "*__2", "**", "^a", "*__3"]
    assert [(found.code, found.count) for found in findings] == [
        ("duplicate_header", 2),
        ("cleaned_header", 1),
        ("cleaned_header", 3),
    ]
    assert findings[2].message == (
        "3 column names that would stand for several columns got a '_': '*_', '^a.*$_', '*__2'"
    )
    assert cleaned_names(["*", "*_", "a b", "^x$"])[0] == {"*": "*__2", "^x$": "^x$_"}


def test_columns_of_such_names_are_read_by_themselves(tmp_path: Path) -> None:
    columns = {"*": [0.5, 1.5, 2.5], "ab": [1.0, 2.0, 3.5], "^a.*$": ["u", "v", "w"], "c": ["x", "y", "z"]}
    pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    expected = pl.DataFrame(dict(zip(["*_", "ab", "^a.*$_", "c"], columns.values(), strict=True)))
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet", columns):
        assert read(source).frame.equals(expected)


@pytest.mark.parametrize("names", [["EUR2019", "EUR2020"], ["PEN1", "PEN2"], ["2019 EUR", "2020 EUR"]])
def test_names_with_a_code_of_a_currency_are_a_header_above_plain_numbers(names: list[str]) -> None:
    assert looks_like_header(names, [["1.5", "2"], ["3", "4"]])
    assert looks_like_header(names, [])


def test_cells_with_a_code_of_a_currency_are_numbers_below_a_header() -> None:
    assert looks_like_header(["price"], [["12,50 EUR"], ["7,00 EUR"], ["12,50 EUR"], ["3 EUR"]])
    assert not looks_like_header(["12,50 EUR"], [["7,00 EUR"], ["3 EUR"], ["4 EUR"]])
