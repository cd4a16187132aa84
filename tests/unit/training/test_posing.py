"""The question that a table sets, and what is noticed about it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.reading import read
from lanewise.errors import DataError
from lanewise.settings.fit import checked, parse_class_weights
from lanewise.training.posing import Request, pose


def test_a_test_set_of_training_rows_is_noticed_when_the_problem_is_posed() -> None:
    values = np.random.default_rng(0).normal(size=(80, 3))
    table = read({"a": values[:, 0], "b": values[:, 1], "y": values[:, 2]})
    tested = read({"y": values[50:, 2], "b": values[50:, 1], "a": np.r_[values[50:70, 0], np.zeros(10)]})
    found = [one for one in pose(table, Request(target="y"), test=tested).findings if "training rows" in one.message]
    assert [(one.severity, one.count) for one in found] == [("warning", 20)]
    other = read({"y": values[50:, 2] + 1, "b": values[50:, 1], "a": values[50:, 0]})
    posed = pose(table, Request(target="y"), test=other)
    assert all("training rows" not in one.message for one in posed.findings)


def test_a_test_set_with_a_spoilt_column_is_refused_with_its_own_name_and_the_cell(tmp_path) -> None:
    lines = [f"{row}.5,{row % 7}.25" for row in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(["a,y", *lines]))
    (tmp_path / "test.csv").write_text("\n".join(["a,y", *lines[:9], "hello,3.5", *lines[20:40]]))
    train, test = read(tmp_path / "train.csv"), read(tmp_path / "test.csv")
    told = "test.csv has columns of another kind than in training: 'a' must be number and is a number but for 1 cell: "
    with pytest.raises(DataError, match=f"^the test set .*{told}'hello' in row 10; mend it or declare it missing"):
        pose(train, Request(target="y"), test=test)
    dated = read({"a": [datetime(2024, 1, 1, tzinfo=UTC)] * 20, "y": np.arange(20) / 3})
    with pytest.raises(DataError, match="'a' must be number and is date"):
        pose(train, Request(target="y"), test=dated)


def test_a_column_without_any_value_in_the_test_set_is_missing_there(tmp_path) -> None:
    lines = [f"{row}.5,{row % 5}.0,{row % 7}.25" for row in range(60)]
    train = read({"a": np.arange(60) / 7, "b": np.arange(60) % 5, "y": np.arange(60) % 7 / 3})
    (tmp_path / "test.csv").write_text("\n".join(["a,b,y", *(f",{line.partition(',')[2]}" for line in lines)]))
    posed = pose(train, Request(target="y"), test=read(tmp_path / "test.csv"))
    assert posed.dataset.frame["a"].dtype.is_float()
    assert len(posed.test) == 60


def test_too_few_groups_or_times_for_a_test_and_two_folds_are_told_by_the_column() -> None:
    def few(count: int, role: str) -> tuple[Dataset, Request]:
        part = [row % count for row in range(120)]
        answers = ["no", "no", "yes", "no", "yes"] * 24
        table = read({"a": [float(row % 7) for row in range(120)], "part": part, "y": answers})
        grouped = role == "group"
        return table, Request(target="y", group="part" if grouped else None, time=None if grouped else "part")

    for role in ("group", "time"):
        words = f"^{role} must name a column of at least 3 different values in the rows that have a target, and 'part'"
        with pytest.raises(DataError, match=f"{words} has 2; one of them is for the test rows, unless test names a"):
            pose(*few(2, role))
        with pytest.raises(DataError, match=f"{words} has 1; "):
            pose(*few(1, role))
    assert len(pose(*few(3, "group")).folds) == 2
    table, request = few(2, "group")
    assert len(pose(table, request, test=table).folds) == 2


@pytest.mark.parametrize(("rows", "warned"), [(11, True), (49, True), (50, False)])
def test_so_few_rows_that_no_score_says_much_are_warned_of(rows: int, warned: bool) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 2))
    posed = pose(read({"a": values[:, 0], "y": values[:, 1]}), Request(target="y"))
    found = [one for one in posed.findings if one.code == "few_rows"]
    assert [(one.severity, one.count) for one in found] == ([("warning", rows)] if warned else [])
    for one in found:
        assert one.message == (
            f"only {rows} rows, {len(posed.test)} of them for the test: every score has a wide interval, so take the "
            "result as a first look"
        )


def test_rows_in_the_order_of_a_date_are_noticed_unless_something_else_divides_them() -> None:
    days = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(80)]
    draw = np.random.default_rng(0)
    table = read({"day": days, "shop": [f"s{row % 9}" for row in range(80)], "y": draw.normal(size=80)})

    def codes(**more) -> set[str]:
        return {one.code for one in pose(table, Request(target="y", **more)).findings}

    assert "in_time_order" in codes()
    assert "in_time_order" not in codes(time="day") | codes(group="shop") | codes(drop=("day",))
    tested = {one.code for one in pose(table, Request(target="y"), test=table).findings}
    assert "in_time_order" not in tested


def test_the_positive_class_is_coded_one_in_all_rows_and_noted_where_it_is_the_frequent_one_by_default() -> None:
    values, good = np.random.default_rng(0).normal(size=80), ["bad", "good", "good", "good"] * 20
    table, test = read({"a": values, "y": good}), read({"a": [0.5, 0.25], "y": ["bad", "good"]})
    usual = pose(table, Request(target="y"), test=test)
    assert (usual.task.positive, usual.y[80:].tolist()) == ("good", [0, 1])
    assert ["75.0%" in one.message for one in usual.findings if one.code == "frequent_positive"] == [True]
    stated = pose(table, Request(target="y", positive="bad"), test=test)
    assert stated.task.classes == stated.contract.classes == ("good", "bad")
    np.testing.assert_array_equal(stated.y, 1 - usual.y)
    assert all(one.code != "frequent_positive" for one in stated.findings)
    chosen = pose(table, Request(target="y", positive="good"), test=test)
    assert all(one.code != "frequent_positive" for one in chosen.findings)  # who chose it need not be told


@pytest.mark.parametrize(
    ("cells", "stated", "label"), [("1.0 2.5", "1.0", "1"), ("1.0 2.5", 2.5, "2.5"), ("False True", np.False_, "False")]
)
def test_the_positive_class_of_a_file_is_stated_as_its_cells_are(
    tmp_path: Path, cells: str, stated: object, label: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{row / 7},{cells.split()[row % 2]}\n" for row in range(80)))
    settings = checked({"target": "y", "positive": stated})
    assert pose(read(table), Request(target="y", kind="binary", positive=settings.positive)).task.positive == label


@pytest.mark.parametrize(
    ("values", "names"),
    [([0, 1], (1, 1.0, "1", "1.0")), ([0.0, 1.0], (1, 1.0, "1.0")), ([False, True], (True, "true", "True"))],
)
def test_a_class_is_weighed_by_any_name_of_its_value(values: list[object], names: tuple[object, ...]) -> None:
    table = read({"a": np.arange(80) / 7, "y": values * 40})
    for name in names:
        weights = parse_class_weights({name: 3.0})
        weighing = pose(table, Request(target="y", kind="binary", class_weights=weights)).weighing
        assert weighing is not None
        assert weighing(np.array([0.0, 1.0]), np.ones(2)) == pytest.approx([0.5, 1.5])


def test_a_class_is_weighed_once() -> None:
    table = read({"a": np.arange(80) / 7, "y": [0, 1] * 40})
    with pytest.raises(DataError, match=r"class_weights names class '1' of 'y' twice, as '1' and '1\.0'"):
        pose(table, Request(target="y", kind="binary", class_weights={"1": 3.0, "1.0": 2.0}))


def test_a_positive_class_that_cannot_be_is_told_with_the_other_mistakes() -> None:
    table = read({"a": np.arange(80) / 7, "y": ["no", "yes"] * 40})
    with pytest.raises(
        DataError, match=r"(?s)class_weights names 'nay'.*positive names 'yess', no class of 'y': did you"
    ):
        pose(table, Request(target="y", positive="yess", class_weights={"nay": 2.0}))
