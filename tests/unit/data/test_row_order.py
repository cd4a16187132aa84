"""Rows that lie in the order of a date are noticed, and no others."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.row_order import order_of_time

DAYS = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(200)]


def noticed(days: list) -> list:
    frame = pl.DataFrame({"the day": pl.Series(days, dtype=pl.Datetime("us")), "x": np.arange(len(days), dtype=float)})
    dataset = Dataset(frame=frame, kinds={"the day": "date", "x": "number"}, source="a table")
    return order_of_time(dataset, ("the day", "x"), np.arange(len(days)))


def with_gaps() -> list:
    return [None if place % 20 == 0 else day for place, day in enumerate(DAYS)]


def swapped() -> list:
    return [*DAYS[1:20], DAYS[0], *DAYS[20:]]


@pytest.mark.parametrize("days", [DAYS, DAYS[::-1], [*DAYS, *DAYS[-3:]], with_gaps(), swapped()])
def test_rows_in_order_of_a_date_are_noticed_whichever_end_comes_first(days: list) -> None:
    (finding,) = noticed(days)
    assert finding.message == "rows are in the order of 'the day': --time 'the day' would test on the latest ones"
    assert (finding.code, finding.severity, finding.column) == ("in_time_order", "info", "the day")


def shuffled() -> list:
    return [DAYS[place] for place in np.random.default_rng(0).permutation(len(DAYS))]


def shop_by_shop() -> list:
    return [day for _ in range(4) for day in DAYS[::4]]


def few_days() -> list:
    return [day for day in DAYS[:5] for _ in range(40)]


@pytest.mark.parametrize("days", [shuffled(), shop_by_shop(), few_days(), [None] * 100 + DAYS[:100]])
def test_other_rows_are_not(days: list) -> None:
    assert noticed(days) == []


def test_of_several_dates_the_one_most_in_order_is_named() -> None:
    rough = [day + timedelta(days=5 * (place % 3)) for place, day in enumerate(DAYS)]
    frame = pl.DataFrame({"rough": rough, "exact": DAYS}).cast(pl.Datetime("us"))
    dataset = Dataset(frame=frame, kinds={"rough": "date", "exact": "date"}, source="a table")
    (finding,) = order_of_time(dataset, ("rough", "exact"), np.arange(len(DAYS)))
    assert finding.column == "exact"
