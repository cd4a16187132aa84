"""The grammar of numbers: what is one, what is not, and which marks it uses."""

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.cells.number_cells import PLAIN, Grammar, choose, convert, convert_plain_columns, fit_numbers

VALUES = st.lists(st.decimals(-(10**12), 10**12, places=3), min_size=1, max_size=8)


@pytest.mark.parametrize("text", ["0", "-7", "+7", "1.5", ".5", "5.", "-0.25", "1e5", "1E-3", "2.5e+10", "9" * 30])
def test_plain_numbers(text: str) -> None:
    assert fit_numbers(pl.Series([text])).grammars == (PLAIN,)


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "00.1",
        "1_0",
        "0x1F",
        "inf",
        "-inf",
        "nan",
        "Infinity",
        "\u0661\u0662",
        "\uff11",
        "1e",
        "1e1.5",
        "e5",
        ".",
        "-",
        "+",
        "--",
        "1.2.3",
        "1,2,3",
        "12,34.5",
        "1,23,45",
        "1.23.456",
        "(1)",
        "5.5-",
        "0,123.5",
        "1-",
        "5,",
        ",",
        "1 2",
        "1.5 kg",
    ],
)
def test_not_numbers(text: str) -> None:
    assert fit_numbers(pl.Series([text])).grammars == ()


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,234.5", "12"], [1234.5, 12.0]),
        (["1,234,567", "1"], [1234567, 1]),
        (["1,5", "0,25"], [1.5, 0.25]),
        (["1.234,5", "1.234.567"], [1234.5, 1234567.0]),
        (["1 234,5", "2"], [1234.5, 2.0]),
        (["1\u00a0234", "2"], [1234, 2]),
        (["1'234.5", "1\u2019000"], [1234.5, 1000.0]),
        (["$1,234", "$5", "-$3"], [1234, 5, -3]),
        (["5 €", "1.234,5 €"], [5.0, 1234.5]),
        (["5%", "7.5%"], [5.0, 7.5]),
        (["\u22125", "7"], [-5, 7]),
        (["\u2212$1,234.5", "$7"], [-1234.5, 7.0]),
        (["12,50 EUR", "1.234,00 EUR", "7"], [12.5, 1234.0, 7.0]),
        (["USD 1,200", "-USD 3"], [1200, -3]),
        (["R$ 1.234,50", "R$ 7,25"], [1234.5, 7.25]),
        (["12,34,567.50", "1,234", "99"], [1234567.5, 1234.0, 99.0]),
        (["12.50-", "7"], [-12.5, 7.0]),
        (["1.234,50- EUR", "7,25 EUR"], [-1234.5, 7.25]),
        (["(1,092.00)", "7.5"], [-1092.0, 7.5]),
        (["$(1,092.00)", "($3.5)", "$7.5"], [-1092.0, -3.5, 7.5]),
    ],
)
def test_marks_and_signs(cells: list[str], values: list[float]) -> None:
    fit = fit_numbers(pl.Series(cells))
    numbers, lost = convert(fit.cells, choose(fit, None)[0])
    assert numbers.to_list() == values
    assert not lost.any()


@pytest.mark.parametrize(
    "cells",
    [
        ["$5", "€5"],
        ["5%", "5"],
        ["1,234.5", "1.234,5"],
        ["5 EUR", "6 USD"],
        ["5 kg", "6 kg"],
        ["$", "$5"],
        ["5\u2212", "7"],
        ["$12.50 CAD", "$3.00 USD"],
        ["$12.50 CAD", "$3.00"],
        ["EUR5", "EUR6"],
        ["PEN 1", "PEN 2", "7.5"],
        ["1,200.-", "950.50"],
        ["12.50-", "950.-", "7"],
        ["12.50-", "\u22127.25", "7"],
    ],
)
def test_mixed_signs_and_marks_are_not_numbers(cells: list[str]) -> None:
    assert fit_numbers(pl.Series(cells)).grammars == ()


def test_letters_before_a_number_are_no_part_of_a_name_where_the_cells_are_known_to_be_numbers() -> None:
    assert fit_numbers(pl.Series(["EUR 5", "6"]), amounts=True).unit == "EUR"
    assert fit_numbers(pl.Series(["EUR 5.5", "EUR 6"])).unit == "EUR"


def test_a_sign_within_a_word_is_none() -> None:
    assert fit_numbers(pl.Series(["Ukraine", "5", "6"])).unit == ""
    assert fit_numbers(pl.Series(["krank", "5 EUR", "6 EUR"])).unit == "EUR"


def test_open_marks_follow_the_file() -> None:
    fit = fit_numbers(pl.Series(["1,234", "2,345"]))
    assert choose(fit, None) == (Grammar(".", ","), True)
    assert choose(fit, ".") == (Grammar(".", ","), False)
    assert choose(fit, ",") == (Grammar(",", ""), False)


def test_points_in_a_file_of_decimal_commas() -> None:
    assert choose(fit_numbers(pl.Series(["1.234", "5"])), ",") == (Grammar(",", "."), True)
    assert choose(fit_numbers(pl.Series(["27217.0"])), ",") == (PLAIN, False)
    assert choose(fit_numbers(pl.Series(["0.123"])), ",") == (PLAIN, False)


@pytest.mark.parametrize(
    ("cells", "lost"),
    [
        (["1", str(2**63)], [False, True]),
        ([str(2**63 - 1), str(-(2**63))], [False, False]),
        (["1.5", str(2**53 + 1)], [False, True]),
        (["1e999", "2"], [True, False]),
        (["1e-999", "0e5", "0.0"], [True, False, False]),
        (["1e300", None], [False, False]),
    ],
)
def test_what_64_bits_cannot_hold_is_lost_and_never_rounded(cells: list[str | None], lost: list[bool]) -> None:
    series = pl.Series("x", cells)
    assert convert(series, PLAIN)[1].to_list() == lost
    assert ("x" in convert_plain_columns(series.to_frame())) is not any(lost)


@settings(deadline=None, max_examples=25)
@given(values=VALUES)
@pytest.mark.parametrize(("decimal", "thousands"), [(".", ","), (",", "."), (".", "'"), (",", " ")])
def test_written_with_marks_and_read_back(values: list[Decimal], decimal: str, thousands: str) -> None:
    swap = str.maketrans({",": thousands, ".": decimal})
    fit = fit_numbers(pl.Series([f"{value:,.3f}".translate(swap) for value in values]))
    numbers, _ = convert(fit.cells, choose(fit, "," if decimal == "," else ".")[0])
    assert [float(number) for number in numbers] == [float(value) for value in values]


def test_all_columns_at_once_as_one_by_one() -> None:
    frame = pl.DataFrame({"i": ["1", None, "+3"], "f": ["1", "2.5", None], "w": ["1", "x", "2"], "n": [None] * 3})
    frame = frame.with_columns(pl.col("n").cast(pl.String))
    columns = convert_plain_columns(frame)
    assert list(columns) == ["i", "f"]
    for name, numbers in columns.items():
        assert numbers.equals(convert(frame[name], PLAIN)[0], check_dtypes=True)
