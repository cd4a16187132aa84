"""The forms of dates, and which of day and month comes first."""

from datetime import datetime

import polars as pl
import pytest

from lanewise.data.cells.date_cells import fit_dates


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024/1/3", datetime(2024, 1, 3)),
        ("2024.01.31", datetime(2024, 1, 31)),
        ("2024-01-31T23:59:58.25", datetime(2024, 1, 31, 23, 59, 58, 250000)),
        ("2024-01-31 08:05", datetime(2024, 1, 31, 8, 5)),
        ("2024-01-31T00:30:00Z", datetime(2024, 1, 31, 0, 30)),
        ("2024-01-31T00:30:00+02:00", datetime(2024, 1, 30, 22, 30)),
        ("2024-01-31T00:30:00-0130", datetime(2024, 1, 31, 2, 0)),
        ("31/12/2024", datetime(2024, 12, 31)),
        ("1.2.2024", datetime(2024, 2, 1)),
        ("01-02-13", datetime(2013, 2, 1)),
        ("01/02/69", datetime(1969, 2, 1)),
        ("01/02/68", datetime(2068, 2, 1)),
        ("1/2/2024 12:05 AM", datetime(2024, 2, 1, 0, 5)),
        ("1/2/2024 12:05 pm", datetime(2024, 2, 1, 12, 5)),
        ("29/02/2024", datetime(2024, 2, 29)),
        ("31-Jan-24", datetime(2024, 1, 31)),
        ("9 sept 1969 10:05", datetime(1969, 9, 9, 10, 5)),
        ("1-MAY-2024", datetime(2024, 5, 1)),
        ("Dec. 31, 2023", datetime(2023, 12, 31)),
        ("march 1 2024 1:30 PM", datetime(2024, 3, 1, 13, 30)),
    ],
)
def test_dates(text: str, moment: datetime) -> None:
    fit = fit_dates(pl.Series([text, None]))
    assert fit is not None
    assert fit.reads_all(fit.day_first)
    assert fit.day_first.to_list() == [moment, None]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "31/31/2024",
        "2024-01-01T24:00",
        "2024-01-01 10:60",
        "1/2/2024 13:00 PM",
        "31-Jun-2024",
    ],
)
def test_impossible_dates(text: str) -> None:
    fit = fit_dates(pl.Series([text]))
    assert fit is not None
    assert not fit.reads_all(fit.day_first)
    assert fit.month_first is None or not fit.reads_all(fit.month_first)


@pytest.mark.parametrize(
    "text",
    [
        "18.00.00",
        "10:30",
        "2024",
        "20240131",
        "1.2.24",
        "2024-01",
        "1/2",
        "1 Foo 2024",
        "May 2024",
        "Janus 1, 2024",
        "\uff12024-01-01",
        "2024-1/3",
    ],
)
def test_other_forms_are_no_dates(text: str) -> None:
    assert fit_dates(pl.Series([text])) is None


def test_day_and_month_are_settled_by_all_rows() -> None:
    fit = fit_dates(pl.Series(["1/2/2024"] * 500 + ["1/13/2024"]))
    assert fit is not None
    assert not fit.reads_all(fit.day_first)
    assert fit.reads_all(fit.month_first)
    assert not fit.is_ambiguous


def test_ambiguous_only_if_it_matters() -> None:
    fits = [fit_dates(pl.Series([text])) for text in ("1/2/2024", "3/3/2024")]
    assert [fit is not None and fit.is_ambiguous for fit in fits] == [True, False]


def test_offsets_on_some_rows_only_are_refused() -> None:
    assert fit_dates(pl.Series(["2024-01-01T00:00Z", "2024-01-01T00:00"])) is None


def test_all_missing() -> None:
    assert fit_dates(pl.Series([None], dtype=pl.String)) is None
