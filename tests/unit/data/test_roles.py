"""Columns with a role: what contradicts another one, and what cannot have it, told all at once."""

import numpy as np
import polars as pl
import pytest

from lanewise.data.cells.typed_columns import NESTED
from lanewise.data.dataset import Dataset
from lanewise.data.read_options import ReadOptions
from lanewise.data.reading import read
from lanewise.data.roles import check_names, role_mistakes
from lanewise.data.text.delimited import parse
from lanewise.errors import DataError, UsageError

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


def test_a_nested_column_has_no_role_and_may_be_dropped() -> None:
    table = read({"y": [0, 1], "list": [[1, 2], [3]], "struct": [{"a": 1}, {"a": 2}]})
    assert [finding.column for finding in table.findings if finding.code == NESTED] == ["list", "struct"]
    check_names(table, target="y", drop=("list",), keep=(), roles={})
    with pytest.raises(DataError, match=r"target names 'list', and column 'list' of type List\(Int64\) is nested"):
        check_names(table, target="list", drop=(), keep=(), roles={})
    with pytest.raises(DataError) as error:
        check_names(table, target="list", drop=(), keep=(), roles={"group": "struct"})
    assert [line.split(",")[0] for line in str(error.value).splitlines()[1:]] == [
        "  target names 'list'",
        "  group names 'struct'",
    ]


def test_another_column_of_the_targets_name_must_be_left_out() -> None:
    text = b"a,y,y\n1,0,0\n2,1,1\n"
    frame, found = (parsed := parse(text, name="t", options=ReadOptions())).frame, parsed.findings
    table = Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="t", findings=found)
    for target, other in (("y", "y_2"), ("y_2", "y")):
        with pytest.raises(UsageError, match=f"called 'y', read as 'y', 'y_2', and .* with drop='{other}'"):
            check_names(table, target=target, drop=(), keep=(), roles={})
        check_names(table, target=target, drop=(other,), keep=(), roles={})
    check_names(table, target="a", drop=(), keep=(), roles={})


def test_a_name_that_was_cut_at_its_comma_is_told_how_to_write() -> None:
    frame = pl.DataFrame({"Income, net": [1], "a": [2], "a,b": [3], "b": [4], "y": [5]})
    table = Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="t")
    with pytest.raises(UsageError) as error:
        check_names(table, target="y", drop=("Income", "net", "b"), keep=(), roles={})
    quoted = "'\"Income, net\"'"
    assert str(error.value).splitlines()[-1] == (
        f"  'Income, net' is one column: a name with a comma stands in double quotes, drop={quoted}"
    )
    for others in (("Income",), ("nett", "a", "b")):  # no column was cut there
        with pytest.raises(UsageError) as error:
            check_names(table, target="y", drop=others, keep=(), roles={})
        assert "double quotes" not in str(error.value)


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
