"""New cells are read as those of training were written; what was written otherwise is told, and never guessed apart."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.conventions import (
    Convention,
    DateReading,
    DatesSeen,
    NumberReading,
    NumbersSeen,
)
from lanewise.data.kinds import ColumnKind
from lanewise.data.reading import ReadOptions, read, read_like

POINT, COMMA, GERMAN = Convention(decimal="."), Convention(decimal=","), Convention(decimal=",", thousands=".")
EURO, PERCENT, WHOLE = Convention(decimal=".", unit="€"), Convention(decimal=".", unit="%"), Convention()


def numbers(cells: list[str | None], convention: Convention) -> tuple[list[float | None], list[tuple[str, int]]]:
    series = pl.Series("a", cells, dtype=pl.String)
    found, told = NumberReading.of(convention, NumbersSeen.of(series, convention)).numbers(series)
    return found.to_list(), [(one.code, int(one.cells.sum())) for one in told]


@pytest.mark.parametrize(
    ("cells", "convention", "expected"),
    [
        (["50,89", "7", None], COMMA, [50.89, 7, None]),
        (["1,234"], COMMA, [1.234]),
        (["1.234"], GERMAN, [1234]),
        (["1.234,5", "007,5", "-0,5"], GERMAN, [1234.5, 7.5, -0.5]),
        (["1.5", "\u22122", "5."], POINT, [1.5, -2, 5]),
        (["1.5 €", "€ 2", "3"], EURO, [1.5, 2, 3]),
        (["12 %", "1.5%"], PERCENT, [12, 1.5]),
        (["12", "1e3", "1e999"], POINT, [12, 1000, None]),
        (["1.234,5 EUR", "EUR 7"], Convention(decimal=",", thousands=".", unit="EUR"), [1234.5, 7]),
        (["12,34,567", "1,234.5"], Convention(decimal=".", thousands=","), [1234567, 1234.5]),
        (["100-", "7.5", "-2"], Convention(decimal=".", minus="after"), [-100, 7.5, -2]),
        (["(€3)", "€7.5"], Convention(decimal=".", unit="€", minus="brackets"), [-3, 7.5]),
        (["1.5", "12.50-"], POINT, [1.5, None]),
    ],
)
def test_cells_written_as_in_training_are_read_so(cells, convention, expected):
    found, told = numbers(cells, convention)
    assert found == expected
    assert told in ([], [("unreadable_cells", 1)])


@pytest.mark.parametrize(
    ("cells", "convention", "expected"),
    [
        (["50,89", "50.89"], COMMA, [50.89, None]),
        (["50.89", "50,89"], POINT, [50.89, None]),
        (["1.234,5", "1.5"], GERMAN, [1234.5, None]),
        (["12 %", "13"], PERCENT, [12, None]),
        (["12", "13 %"], POINT, [12, None]),
        (["12 €", "13 $"], EURO, [12, None]),
        (["12 €", "€13 CAD"], EURO, [12, None]),
        (["1,5", "old"], COMMA, [1.5, None]),
    ],
)
def test_cells_that_contradict_those_beside_them_count_as_missing(cells, convention, expected):
    assert numbers(cells, convention) == (expected, [("unreadable_cells", 1)])


@pytest.mark.parametrize(
    ("cells", "convention", "expected", "count"),
    [
        (["50.89", "7", "1.234"], COMMA, [50.89, 7, 1.234], 2),
        (["50.89", "1,234"], COMMA, [50.89, 1234], 2),
        (["50,89", "7"], POINT, [50.89, 7], 1),
        (["1,234", "5.5"], POINT, [1234, 5.5], 1),
        (["1.234"], COMMA, [1234], 1),
        (["12", "13"], PERCENT, [12, 13], 2),
        (["12 %", "13 %"], POINT, [12, 13], 2),
        (["EUR 12", "EUR 13"], POINT, [12, 13], 2),
        (["12 $", "13 $"], EURO, [12, 13], 2),
    ],
)
def test_a_column_that_is_written_otherwise_throughout_is_read_so_and_told(cells, convention, expected, count):
    assert numbers(cells, convention) == (expected, [("written_otherwise", count)])


def test_marks_that_training_never_showed_are_no_news():
    assert numbers(["1.5", "2"], WHOLE) == ([1.5, 2], [])
    assert numbers(["1,5", "2"], WHOLE) == ([1.5, 2], [])


@pytest.mark.parametrize(
    ("cells", "convention", "expected", "words"),
    [
        (["1.500", "2"], WHOLE, [1.5, 2], "is read with '.' as decimal mark, by a guess, as training had only whole"),
        (["1,500"], WHOLE, [1500], "is read with '.' as decimal mark and ',' as thousands mark, by a guess, as"),
        (["12", "13"], PERCENT, [12, 13], "is written without the sign %, and in training with it, in"),
        (["12", "13"], Convention(decimal=",", unit="%"), [12, 13], "is written without the sign %, and in"),
        (["1,5", "13"], Convention(decimal=",", unit="%"), [1.5, 13], "is written without the sign %, and in"),
        (["12"], Convention(unit="%"), [12], "is written without the sign %, and in training with it, in"),
        (["12 %", "13 %"], COMMA, [12, 13], "is written with the sign %, and in training without, in"),
        (["12 $"], EURO, [12], "is written with the sign $, and in training with €, in"),
        (
            ["12,5"],
            PERCENT,
            [12.5],
            "is written with ',' as decimal mark, and in training with '.' as decimal mark and the sign %, in",
        ),
    ],
)
def test_it_is_said_in_what_cells_are_written_otherwise(cells, convention, expected, words):
    series = pl.Series("a", cells, dtype=pl.String)
    found, told = NumberReading.of(convention, NumbersSeen.of(series, convention)).numbers(series)
    assert found.to_list() == expected
    assert [one.what[: len(words)] for one in told] == [words]


def test_the_mark_of_the_file_is_no_guess():
    series = pl.Series("a", ["1,500"])
    found, told = NumberReading.of(WHOLE, NumbersSeen.of(series, WHOLE), ",").numbers(series)
    assert (found.to_list(), told) == ([1.5], [])


def test_dates_are_read_in_the_order_of_training():
    def dates(cells, form):
        series = pl.Series("a", cells, dtype=pl.String)
        found, told = DateReading.of(form, DatesSeen.of(series, form)).dates(series)
        return found.to_list(), [(one.code, int(one.cells.sum())) for one in told]

    march, april = datetime(2024, 4, 3), datetime(2024, 3, 4)
    assert dates(["03/04/2024", None], "d/m/Y") == ([march, None], [])
    assert dates(["03/04/2024"], "m/d/Y") == ([april], [])
    assert dates(["03/04/2024", "25/12/2024"], "m/d/Y") == (
        [march, datetime(2024, 12, 25)],
        [("written_otherwise", 2)],
    )
    assert dates(["12/25/2024", "25/12/2024"], "m/d/Y") == (
        [datetime(2024, 12, 25), None],
        [("unreadable_cells", 1)],
    )
    assert dates(["2024-04-03", "soon"], "d/m/Y") == (
        [march, None],
        [("written_otherwise", 1), ("unreadable_cells", 1)],
    )
    assert dates(["2024-04-03", "03/04/2024"], "d/m/Y") == ([None, march], [("unreadable_cells", 1)])


CELLS = st.sampled_from(
    [
        "1",
        "12",
        "1,5",
        "1.5",
        "1.234",
        "1,234",
        "1.234,5",
        "1,234.5",
        "1 234",
        "5 €",
        "5 %",
        "$5",
        "x",
        "-3",
        "1e5",
        None,
    ]
)
CONVENTIONS = st.sampled_from([POINT, COMMA, GERMAN, EURO, PERCENT, WHOLE, Convention(decimal=".", thousands=",")])


@settings(max_examples=40)
@given(st.lists(CELLS, min_size=1, max_size=8), CONVENTIONS, st.integers(0, 8))
def test_a_column_is_read_alike_in_one_part_and_in_two(cells, convention, cut):
    series = pl.Series("a", cells, dtype=pl.String)
    parts = [part for part in (series[:cut], series[cut:]) if len(part)]
    seen = NumbersSeen.of(parts[0], convention)
    for part in parts[1:]:
        seen = seen.plus(NumbersSeen.of(part, convention))
    whole = NumberReading.of(convention, NumbersSeen.of(series, convention))
    assert NumberReading.of(convention, seen) == whole
    read = pl.concat([whole.numbers(part)[0] for part in parts])
    assert read.equals(whole.numbers(series)[0], null_equal=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n50,89;x\n7,5;y\n", Convention(decimal=",")),
        ("a;b\n1.050,89;x\n7,5;y\n", GERMAN),
        ("a,b\n50.89,x\n7,y\n", POINT),
        ("a,b\n50,x\n7,y\n", WHOLE),
        ("a;b\n50;1,5\n7;2\n", COMMA),
        ("a;b\n50 %;x\n7 %;y\n", Convention(unit="%")),
        ("a;b\n1,50 €;x\n7;y\n", Convention(decimal=",", unit="€")),
        ("a,b\n25/12/2024,x\n03/04/2024,y\n", Convention(dates="d/m/Y")),
        ("a,b\n12/25/2024,x\n03/04/2024,y\n", Convention(dates="m/d/Y")),
        ("a,b\n2024-12-25,x\n2024-04-03,y\n", Convention(dates="Y-m-d")),
        ("a,b\nred,x\nblue,y\n", None),
    ],
)
def test_reading_finds_how_a_column_is_written(tmp_path, text, expected):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert read(path).conventions.get("a") == expected


def test_a_short_file_is_read_as_the_long_one_before_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;c\n1,234;03/04/2024;5\n")
    known = {"a": COMMA, "b": Convention(dates="m/d/Y")}
    kinds: dict[str, ColumnKind] = {"a": "number", "b": "date", "c": "number"}
    found = read_like(path, kinds, options=ReadOptions(conventions=known))
    assert found.frame.row(0) == (1.234, datetime(2024, 3, 4), 5)
    assert found.findings == ()
    assert read_like(path, kinds).frame["a"].to_list() == [1234]
    stated = ReadOptions(conventions=known, decimal=".")
    assert read_like(path, kinds, options=stated).frame["a"].to_list() == [1234]
    path.write_text("a;b;c\n1.234;03/04/2024;5\n")
    stated = ReadOptions(conventions=known | {"a": POINT}, decimal=",")
    assert read_like(path, kinds, options=stated).frame["a"].to_list() == [1234]


def test_dates_with_an_offset_among_others_without_are_missing_and_told() -> None:
    cells = pl.Series("day", ["2024-03-05 10:00", "2024-03-06 11:00", "2024-03-07 12:00+02:00", None])
    halves = [DatesSeen.of(half, "Y-m-d") for half in (cells[:2], cells[2:])]
    for seen in (DatesSeen.of(cells, "Y-m-d"), halves[0].plus(halves[1]), halves[1].plus(halves[0])):
        reading = DateReading.of("Y-m-d", seen)
        found, told = reading.dates(cells)
        assert found.to_list() == [datetime(2024, 3, 5, 10), datetime(2024, 3, 6, 11), None, None]
        assert [(one.code, int(one.cells.sum())) for one in told] == [("unreadable_cells", 1)]
        assert "without an offset to UTC, as most," in told[0].what
        assert reading.dates(cells[2:])[0].to_list() == [None, None]


def test_dates_without_an_offset_among_others_with_one_are_missing() -> None:
    cells = pl.Series("day", ["2024-03-05 10:00Z", "2024-03-06 11:00+01:00", "2024-03-07 12:00"])
    found, _ = DateReading.of("Y-m-d", DatesSeen.of(cells, "Y-m-d")).dates(cells)
    assert found.to_list() == [datetime(2024, 3, 5, 10), datetime(2024, 3, 6, 10), None]


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["2024-03-05 10:00", "2024-03-06 11:00", "2024-03-07 12:00Z"], 2),  # in another form than in training
        (["12/31/2024 10:00", "12/30/2024 11:00", "12/29/2024 12:00Z"], 2),  # and in the other order
        (["05/03/2024 10:00", "06/03/2024 11:00", "99/99/2024 12:00Z"], 2),  # and one that is no date
    ],
)
def test_offsets_of_cells_unlike_those_of_training_are_read_in_parts_as_in_one(cells, read):
    whole = pl.Series("day", cells)
    seen = DatesSeen.of(whole, "d/m/Y")
    for cell in cells:
        seen = seen.plus(DatesSeen.of(pl.Series([cell]), "d/m/Y"))
    at_once, _ = DateReading.of("d/m/Y", DatesSeen.of(whole, "d/m/Y")).dates(whole)
    reading = DateReading.of("d/m/Y", seen)
    assert at_once.is_not_null().sum() == read
    assert [reading.dates(pl.Series([cell]))[0][0] for cell in cells] == at_once.to_list()


def test_one_offset_leaves_the_other_dates_of_a_column_readable_without_a_convention(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("day,n\n2024-03-05 10:00,1\n2024-03-06 11:00,2\n2024-03-07 12:00Z,3\n")
    table = read_like(tmp_path / "a.csv", {"day": "date", "n": "number"})
    assert table.frame["day"].null_count() == 1
    assert [one.code for one in table.findings] == ["unreadable_cells"]
