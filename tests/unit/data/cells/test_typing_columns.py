"""Kinds of columns of text, decided on all rows; nothing is coerced in silence."""

import shlex
from pathlib import Path

import polars as pl
import pytest

from lanewise.data.cells.typing_columns import TypedColumn, type_text_columns
from lanewise.data.reading import read
from lanewise.settings.text_form import names_of


def typed(*cells: str | None, **options) -> TypedColumn:
    return type_text_columns(pl.DataFrame({"x": pl.Series(cells, dtype=pl.String)}), **options)["x"]


def codes(column: TypedColumn) -> list[tuple[str, str, int | None]]:
    return [(finding.code, finding.severity, finding.count) for finding in column.findings]


def test_whole_numbers_and_numbers() -> None:
    whole, broken = typed("1", " -2 ", "?"), typed("1", "2.5", "")
    assert (whole.kind, whole.cells.dtype, whole.cells.to_list()) == ("number", pl.Int64, [1, -2, None])
    assert (broken.kind, broken.cells.dtype, broken.cells.to_list()) == ("number", pl.Float64, [1.0, 2.5, None])


@pytest.mark.parametrize("marker", ["NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "nan", "?", "-", " ", "#N/A"])
def test_every_marker_is_missing_among_numbers(marker: str) -> None:
    assert typed("1", marker).cells.to_list() == [1, None]


@pytest.mark.parametrize(
    ("cells", "left"),
    [
        (["-200", "-200.0", "1.5", "2"], [None, None, 1.5, 2]),
        (["-200", "-200,0", "1,5", "2"], [None, None, 1.5, 2]),
        (["-200", "+7", "-2e2", "7"], [None, 7, None, 7]),
        (["-200", "-200.0", "red"], [None, "-200.0", "red"]),
        (["10", "5", "7"], [10, 5, 7]),
    ],
)
def test_a_marker_that_is_a_number_means_its_value_among_numbers(cells: list[str], left: list[object]) -> None:
    assert typed(*cells, missing=("-200", "none", "1_0", "nan")).cells.to_list() == left


def test_one_late_word_keeps_the_column_as_it_is_and_warns() -> None:
    column = typed(*["1"] * 5000, "oops")
    assert column.kind == "category"
    assert column.cells[-1] == "oops"
    assert codes(column) == [("non_number_cells", "warning", 1)]
    assert column.findings[0].message.endswith("'oops' in row 5001")


def test_a_code_of_digits_and_words_is_reported_without_alarm() -> None:
    assert codes(typed("2", "3", "4", "5more")) == [("non_number_cells", "info", 1)]
    assert codes(typed("2", "a", "b", "c")) == []


@pytest.mark.parametrize("cell", ["1_0", "0x1F", "\u0661\u0662", "1e1_0"])
def test_lookalikes_of_numbers_are_never_converted(cell: str) -> None:
    column = typed("a", "b") if cell == "1e1_0" else typed("1", cell)
    assert column.kind == "category"
    assert cell == "1e1_0" or codes(column) == [("non_number_cells", "warning", 1)]


@pytest.mark.parametrize("cell", ["inf", "-inf", "+Infinity", "INF"])
def test_an_infinite_cell_among_numbers_is_missing_and_said_to_be(cell: str) -> None:
    column = typed("1.5", cell, "", "2", cell)
    assert (column.kind, column.cells.to_list()) == ("number", [1.5, None, None, 2.0, None])
    assert codes(column) == [("infinite_values", "warning", 2)]
    assert column.findings[0].message.endswith(f"in 2 cells: '{cell}' in row 2, '{cell}' in row 5")


@pytest.mark.parametrize("cell", ["1e999", "-1.5E+400", "+2e309"])
def test_a_number_beyond_all_of_64_bits_is_infinite_in_training_as_in_prediction(cell: str) -> None:
    column = typed("1.5", cell, "2")
    assert (column.kind, column.cells.to_list()) == ("number", [1.5, None, 2.0])
    assert codes(column) == [("infinite_values", "warning", 1)]
    assert column.findings[0].message.endswith(f"counts as infinite and so as missing, in 1 cell: '{cell}' in row 2")
    assert typed("1.5", cell, "2", kinds={"x": "number"}).cells.to_list() == column.cells.to_list()
    both = typed("1.5", cell, "inf", "2")
    assert both.cells.to_list() == [1.5, None, None, 2.0]
    assert codes(both) == [("infinite_values", "warning", 1)] * 2
    assert typed(cell, cell).kind == typed("1", cell, "1e-999").kind == "category"


@pytest.mark.parametrize("others", [(), ("",), ("inf", "-inf"), ("a", "b"), ("1", "b")])
def test_infinity_is_a_word_where_no_numbers_are(others: tuple[str, ...]) -> None:
    column = typed("inf", *others)
    assert column.kind == "category"
    assert column.cells[0] == "inf"


@pytest.mark.parametrize("cell", ["9" * 25, "9" * 400, "1e-999", "-" + "9" * 19, "9007199254740993.0"])
def test_numbers_beyond_64_bits_stay_words(cell: str) -> None:
    column = typed("1", cell)
    assert (column.kind, column.cells.to_list()) == ("category", ["1", cell])
    assert codes(column) == [("beyond_64_bit", "warning", 1)]
    told = column.findings[0].message
    assert "is kept as words, not numbers, only because 64 bits cannot hold exactly 1 cell" in told
    assert told.endswith(f"in row 2; correct it, or declare it missing (--missing={cell})")


@pytest.mark.parametrize(
    "cell", ["9007199254740992.0", "-36028797018963968.", "9007199254740993.25", "1e300", f"{3.4028234663852886e38:f}"]
)
def test_large_numbers_that_lose_no_whole_digits_are_numbers(cell: str) -> None:
    column = typed("1.5", cell)
    assert (column.kind, column.cells.to_list(), column.findings) == ("number", [1.5, float(cell)], ())


@pytest.mark.parametrize(
    "cells",
    [
        ("0.1234567890123456789", "-1.00000000000000000001e-5", "0.5", "0.10000000000000001", "1.50000000000000000000"),
        ("0,1234567890123456789", "-1,00000000000000000001", "0,5", "1,50000000000000000000"),
        ("$0.1234567890123456789", "$-1.00000000000000000001", "$0.5"),
    ],
)
def test_digits_that_64_bits_do_not_hold_are_counted_once(cells: tuple[str, ...]) -> None:
    column = typed(*cells)
    assert (column.kind, column.cells[0]) == ("number", 0.12345678901234568)
    (told,) = [one for one in column.findings if one.code == "rounded_decimals"]
    assert (told.severity, told.count, told.column) == ("info", 2, "x")
    assert "has 2 decimals with more than 17 digits, all that 64 bits hold: they were rounded, as " in told.message
    assert told.message.endswith("0.1234567890123456789 to 0.12345678901234568")


def test_a_number_beyond_64_bits_is_declared_missing_by_the_words_that_are_advised() -> None:
    cell = "12,345,678,901,234,567,890"
    told = typed("1,234", cell).findings[0].message
    (option,) = shlex.split(told[told.index("--missing=") : -1])
    assert names_of(option.removeprefix("--missing=")) == (cell,)


def test_points_that_all_mark_thousands_are_no_decimal_commas() -> None:
    column = typed("1.234.567", "2.345.678")
    assert column.cells.to_list() == [1234567, 2345678]
    assert codes(column) == [("thousands_mark", "info", 2)]
    assert [code for code, *_ in codes(typed("1.234.567,5", "2"))] == ["decimal_comma", "thousands_mark"]


def test_leading_zeros_stay_words() -> None:
    column = typed("00123", "4567")
    assert (column.kind, column.cells.to_list()) == ("category", ["00123", "4567"])
    assert codes(column) == [("leading_zeros", "info", 1)]


def test_repairs_are_counted() -> None:
    column = typed("$1,234.50", "$3", "NA")
    assert column.cells.to_list() == [1234.5, 3.0, None]
    assert codes(column) == [("thousands_mark", "info", 1), ("unit_sign", "info", 2)]
    column = typed("\u22125.5", "2", "NA")
    assert column.cells.to_list() == [-5.5, 2.0, None]
    assert codes(column) == [("minus_sign", "info", 1)]


def test_open_thousands_mark_is_a_warning_unless_settled() -> None:
    assert codes(typed("1,234", "2,345")) == [("thousands_mark", "warning", 2)]
    assert codes(typed("1,234", "2,345", usual_decimal=".")) == [("thousands_mark", "info", 2)]
    assert typed("1,234", "2,345", decimal=",").cells.to_list() == [1.234, 2.345]


def test_points_that_may_mark_thousands_are_warned_of_in_files_of_semicolons(tmp_path: Path) -> None:
    def found(delimiter: str, *rows: str) -> list[tuple[str, str, int | None]]:
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["a,b,c", *rows]).replace(",", delimiter) + "\n")
        return [(f.code, f.severity, f.count) for f in read(path).findings if f.code == "open_point"]

    rows = [
        f"{n * 90 // 1000}.{n * 90 % 1000:03d},{n},x" if n * 90 >= 1000 else f"{n * 90},{n},y" for n in range(9, 30)
    ]
    assert found(";", *rows) == [("open_point", "warning", 18)]
    assert found(",", *rows) == []
    assert found(";", *rows, "2.5,3,x") == []  # no thousands
    assert found(";", *rows, "0.125,3,x") == []
    assert found(";", *(row.replace("x", "1.5").replace("y", "2.5") for row in rows)) == []  # another column settles it


def test_one_word_among_many_different_numbers_is_asked_about() -> None:
    column = typed(*map(str, range(60)), ".", ".", ".")
    assert codes(column) == [("non_number_cells", "warning", 3)]
    assert column.findings[0].message.endswith("'.' in row 63; mend them or declare them missing (--missing=.)")
    assert typed("m", *map(str, range(60))).findings[0].message.endswith("mend it or declare it missing (--missing=m)")
    assert typed(*map(str, range(60)), "<NA>", "<NA>").findings[0].message.endswith("missing (--missing='<NA>')")
    assert codes(typed(*"0123" * 20, "4+", "4+", "4+")) == [("non_number_cells", "info", 3)]
    assert codes(typed(*map(str, range(60)), "a", "b", "a")) == [("non_number_cells", "info", 3)]


def test_other_columns_settle_marks_and_dates() -> None:
    frame = pl.DataFrame({"a": ["1,234", "5,678"], "b": ["0,5", "1,25"], "c": ["1/2/2024"] * 2, "d": ["1/13/2024"] * 2})
    columns = type_text_columns(frame)
    assert columns["a"].cells.to_list() == [1.234, 5.678]
    assert columns["c"].cells[0].month == 1
    points = type_text_columns(pl.DataFrame({"a": ["1,234", "5,678"], "b": ["0.5", "1.25"]}))
    assert codes(points["a"]) == [("thousands_mark", "info", 2)]


def test_dates_and_their_findings() -> None:
    assert codes(typed("3/4/24")) == [("ambiguous_dates", "warning", None), ("short_years", "info", None)]
    assert codes(typed("2024-01-01T00:00Z")) == [("time_zone", "info", None)]
    assert typed("2024-01-01", "-").cells.dtype == pl.Datetime("us")
    column = typed(*["2024-01-01"] * 200, "2024-02-30")
    assert (column.kind, codes(column)) == ("category", [("non_date_cells", "warning", 1)])
    assert typed("18.00.00", "19.00.00").kind == "category"


def test_words() -> None:
    sentences = [f"the quick fox number {number}" for number in range(30)]
    assert typed(*sentences).kind == "text"
    assert typed(*sentences[:10]).kind == "category"
    assert typed(*sentences[:5] * 20).kind == "category"
    assert typed(*[f"id-{number}" for number in range(100)]).kind == "category"
    assert typed("true", "False").kind == "category"
    assert typed(None, "").cells.to_list() == [None, None]


@pytest.mark.parametrize(
    ("distinct", "rows", "sentence", "kind"),
    [
        (50, 200, "gasket leaks near seal", "text"),
        (49, 200, "gasket leaks near seal", "category"),
        (50, 250, "gasket leaks near seal", "category"),
        (50, 200, "gasket leaks", "category"),
    ],
    ids=["sentences", "few of them", "often the same", "short"],
)
def test_sentences_that_repeat_are_text_where_many_differ(distinct: int, rows: int, sentence: str, kind: str) -> None:
    assert typed(*[f"{sentence}{row % distinct}" for row in range(rows)]).kind == kind


def test_stated_kinds() -> None:
    column = typed("007", "x", "5", "NA", kinds={"x": "number"})
    assert column.cells.to_list() == [7, None, 5, None]
    assert codes(column) == [("unreadable_cells", "warning", 1)]
    assert typed("1", "2", kinds={"x": "category"}).cells.to_list() == ["1", "2"]
    assert typed("1", "2", kinds={"x": "text"}).kind == "text"
    assert typed("1e999", "2", kinds={"x": "number"}).cells.to_list() == [None, 2.0]
    assert typed("9" * 25, "2", kinds={"x": "number"}).cells.to_list() == [1e25, 2.0]
    dates = typed("2024-01-01", "soon", kinds={"x": "date"})
    assert (dates.cells.null_count(), codes(dates)) == (1, [("unreadable_cells", "warning", 1)])
    assert typed("soon", kinds={"x": "date"}).cells.dtype == pl.Datetime("us")
