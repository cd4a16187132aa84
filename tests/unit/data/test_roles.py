"""Columns with a role: what contradicts another one, and what cannot have it, told all at once."""

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.roles import check_names, role_mistakes
from lanewise.errors import UsageError

FRAME = pl.DataFrame({"y": [1, 2, 3], "w": [1.0, -1.0, None], "g": ["a", None, "b"], "t": [3, None, 1]})
TABLE = Dataset(frame=FRAME, kinds={"y": "number", "w": "number", "g": "category", "t": "number"}, source="a table")


def test_all_columns_with_two_roles_are_told_at_once() -> None:
    roles = {"weight": "g", "group": "g", "time": "t"}
    with pytest.raises(UsageError) as error:
        check_names(TABLE, target="y", drop=("y", "t"), keep=(), roles=roles)
    assert str(error.value).splitlines() == [
        "2 columns have two roles:",
        "  drop names 'y', which target names too; a column can be one of the two",
        "  group names 'g', which weight names too; a column can be one of the two",
    ]


def test_rows_without_a_weight_need_no_time_and_others_do() -> None:
    def told(rows: list[int]) -> list[str]:
        return list(role_mistakes(TABLE, np.array(rows), weight="w", group="g", time="t"))

    assert told([0, 2]) == ["weight must name a column of numbers from zero up, and 'w' has 1 other value"]
    assert [line.split(",")[0] for line in told([0, 1])[1:]] == [
        "group must name a column without missing cells",
        "time must name a column without missing cells",
    ]
    assert list(role_mistakes(TABLE, np.array([0, 2]), weight=None, group="g", time="t")) == []


def test_rows_are_ordered_by_numbers_and_dates_alone() -> None:
    (line,) = role_mistakes(TABLE, np.array([0]), weight=None, group=None, time="g")
    assert line == "time must name a column of numbers or dates, and 'g' is category"
