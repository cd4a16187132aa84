"""The kind of task that a target sets, and the target as numbers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.data.reading import read
from lanewise.data.target import encode_target, label_findings, labelled_rows, name_hint, resolve_task
from lanewise.errors import DataError, UsageError
from lanewise.task import DEFAULT_METRIC, Task, TaskKind


def table(values: list, kind: ColumnKind = "number", name: str = "y") -> Dataset:
    dtype = pl.Float64 if kind == "number" else pl.String
    frame = pl.DataFrame({name: pl.Series(values, dtype=dtype, strict=False)})
    return Dataset(frame=frame, kinds={name: kind}, source="a table")


def test_choice_is_announced_with_the_way_to_change_it() -> None:
    _, findings = resolve_task(table([3, 4, 5, 6] * 10, name="quality"), "quality")
    assert [(finding.code, finding.severity) for finding in findings] == [("task_guessed", "warning")]
    assert "--task multiclass" in findings[0].message
    assert "--task regression" not in findings[0].message


def test_stated_kind_and_metric_win_and_nothing_is_announced() -> None:
    task, findings = resolve_task(table([3, 4, 5, 6] * 10), "y", kind="multiclass", metric="accuracy")
    assert task == Task(target="y", kind="multiclass", metric="accuracy", classes=("3", "4", "5", "6"))
    assert findings == ()


def test_metric_defaults_to_the_one_of_the_kind() -> None:
    for values, kind in (([0, 1] * 5, "binary"), ([0.5, 1, 2], "regression")):
        task, _ = resolve_task(table(values), "y")
        assert (task.kind, task.metric) == (kind, DEFAULT_METRIC[task.kind])


def test_numeric_labels_are_sorted_by_value_and_printed_as_given() -> None:
    task, _ = resolve_task(table([10, 2, 1] * 5), "y", kind="multiclass")
    assert task.classes == ("1", "2", "10")
    task, _ = resolve_task(table(["10", "9", "-1", "9", "10", "-1"], "category"), "y")
    assert task.classes == ("-1", "9", "10")
    task, _ = resolve_task(table([0.5, 2.0, 0.5, 2.0]), "y")
    assert task.classes == ("0.5", "2")


@pytest.mark.parametrize(
    ("values", "column_kind", "stated", "message"),
    [
        (["a", "b"], "category", "regression", "regression needs a target of numbers"),
        (["a", "b"], "category", "count", "count needs a target of numbers"),
        ([1.5, 2, 3], "number", "count", "'y' has 1 other value;"),
        ([-1, 2, -3], "number", "count", "'y' has 2 other values;"),
        ([1, 2, 3, 1, 2, 3], "number", "binary", "exactly two classes, and 'y' has 3"),
        ([1, 2, 1, 2], "number", "multiclass", "say task='binary'"),
        ([None, None], "number", None, "has no value in 2 rows"),
        ([2.5, None], "number", None, "is 2.5 in the one row that has it"),
        ([5] * 10, "number", None, "is 5.0 in every row; a target needs at least two different values$"),
        ([5, 5, 5], "number", None, "is 5.0 in all 3 rows that have it; .* and a table at least 10 rows with one"),
        (["a", None, "a"], "category", None, "is 'a' in all 2 rows that have it"),
        ([1.0, float("inf"), 2.0], "number", None, "has 1 value of infinity"),
        ([1.5e200, -3e200, 2.0], "number", None, "up to 3e\\+200 in size, and at most 1e\\+30 is allowed"),
        ([f"name {i}" for i in range(30)], "category", None, "most of them in a single row"),
        ([f"{i}" for i in range(1001)] * 2, "category", None, "has 1,001 classes, and at most 1,000 are allowed"),
        (["kg", *map(str, range(60))], "category", None, "'y' is a number but for 1 cell: 'kg' in row 1; mend it or"),
        (["kg", *map(str, range(1500))] * 2, "category", None, "'y' is a number but for 2 cells"),
        (["kg", *map(str, range(60))] * 3, "category", None, "'y' is a number but for 3 cells.*task='multiclass'"),
        (["kg", *(f"{i},5" for i in range(60))] * 3, "category", None, "'y' is a number but for 3 cells"),
        (["kg", *map(str, range(9))], "category", "regression", "numbers, and 'y' is a number but for 1 cell: 'kg'"),
        ([f"{9**26 + i}" for i in range(60)], "category", None, "up to 25 digits, more than 64 bits hold, .* exponent"),
        ([f"{9**26 + i}" for i in range(9)], "category", "regression", "numbers, and 'y' holds whole numbers of up to"),
    ],
)
def test_unusable_targets_are_refused(
    values: list, column_kind: ColumnKind, stated: TaskKind | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        resolve_task(table(values, column_kind), "y", kind=stated)


def test_classes_that_are_numbers_but_for_few_stay_classes() -> None:
    for values in (["none", *map(str, range(5))] * 9, ["other", *(f"{i:03d}" for i in range(60))] * 3):
        assert resolve_task(table(values, "category"), "y")[0].kind == "multiclass"
    assert resolve_task(table([f"{9**26 + i % 3}" for i in range(60)], "category"), "y")[0].kind == "multiclass"
    spoilt = ["kg", *map(str, range(60))] * 3
    assert resolve_task(table(spoilt, "category"), "y", kind="multiclass")[0].kind == "multiclass"


def test_dates_are_refused() -> None:
    frame = pl.DataFrame({"y": ["2024-01-01", "2024-01-02"]}).with_columns(pl.col("y").str.to_datetime("%Y-%m-%d"))
    with pytest.raises(DataError, match="holds dates"):
        resolve_task(Dataset(frame=frame, kinds={"y": "date"}, source="a table"), "y")


def test_unknown_names_are_answered_with_close_ones() -> None:
    with pytest.raises(DataError, match="no column 'survived' in a table: did you mean 'Survived'"):
        resolve_task(table([0, 1], name="Survived"), "survived")
    with pytest.raises(UsageError, match="task must be one of regression, count, binary, multiclass, got 'ranking'"):
        resolve_task(table([0, 1]), "y", kind="ranking")  # pyright: ignore[reportArgumentType] # the case under test
    assert name_hint("zzz", [f"c{i}" for i in range(14)]).endswith("'c11' and 2 more")


def test_a_name_that_a_table_without_a_header_cannot_have_is_explained(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("ham\t1.5\nspam\t2.5\n" * 9)
    with pytest.raises(DataError, match=r"t\.tsv, where no header was found: the columns are 'column_1', 'column_2'"):
        resolve_task(read(tmp_path / "t.tsv"), "label")


def test_a_delimiter_that_is_not_looked_for_is_named() -> None:
    columns = {"a~b~y": pl.Series(["1~2~3"])}
    with pytest.raises(DataError, match="the one column is 'a~b~y'; if '~' separates the cells, say --delimiter '~'"):
        resolve_task(Dataset(frame=pl.DataFrame(columns), kinds={"a~b~y": "category"}, source="a table"), "y")


def test_rare_classes_are_kept_and_warned_of() -> None:
    task, findings = resolve_task(table(["a"] * 20 + ["b"] * 3 + ["c"], "category"), "y")
    assert task.classes == ("a", "b", "c")
    warned = {finding.code: finding for finding in findings if finding.severity == "warning"}
    assert set(warned) == {"rare_class", "single_row_class"}
    assert "'b'" in warned["rare_class"].message
    assert warned["rare_class"].message.startswith("class 'b' of 'y' has fewer than 5 rows, so its")
    assert warned["single_row_class"].message.startswith("class 'c' of 'y' has a single row, kept for training: how")
    several = resolve_task(table(["a"] * 20 + ["b"] * 3 + ["c"] * 3 + ["d", "e"], "category"), "y")[1]
    told = [finding.message for finding in several if finding.severity == "warning"]
    assert told[0].startswith("classes 'd', 'e' of 'y' have a single row each, kept")
    assert told[1].startswith("classes 'b', 'c' of 'y' each have fewer than 5 rows, so their")


def test_missing_targets_are_nan_or_minus_one() -> None:
    numbers = table([1.5, None, 3.0, 4.0])
    task, _ = resolve_task(numbers, "y")
    np.testing.assert_array_equal(encode_target(numbers, task), [1.5, np.nan, 3.0, 4.0])
    labels = table(["b", None, "a", "b"], "category")
    task, _ = resolve_task(labels, "y")
    encoded = encode_target(labels, task)
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [1, -1, 0, 1]
    assert labelled_rows(labels, "y").tolist() == [0, 2, 3]


def test_labels_without_any_value_encode_to_minus_one() -> None:
    task = Task(target="y", kind="binary", metric="log_loss", classes=("0", "1"))
    assert encode_target(table([None, None], "category"), task).tolist() == [-1, -1]
    assert encode_target(table([None, None]), task).tolist() == [-1, -1]


def test_trailing_dots_and_blanks_are_repaired_and_counted() -> None:
    task = Task(target="y", kind="binary", metric="log_loss", classes=("<=50K", ">50K"))
    test = table(["<=50K.", " >50K", ">50K", None], "category")
    assert encode_target(test, task).tolist() == [0, 1, 1, -1]
    (finding,) = label_findings(test, task)
    assert (finding.code, finding.count) == ("labels_repaired", 2)
    assert label_findings(table(["<=50K", ">50K"], "category"), task) == ()


def test_unknown_labels_are_refused_by_name() -> None:
    task = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
    with pytest.raises(DataError, match=r"class 'maybe', unknown to the task; its classes are 'no', 'yes'"):
        encode_target(table(["no", "maybe"], "category"), task)


def test_text_is_no_number_at_prediction_time() -> None:
    task = Task(target="y", kind="regression", metric="rmse")
    with pytest.raises(DataError, match="regression needs a target of numbers"):
        encode_target(table(["a", "b"], "category"), task)


def test_numbers_and_their_text_encode_alike() -> None:
    task = Task(target="y", kind="multiclass", metric="log_loss", classes=("1", "2", "10"))
    assert (
        encode_target(table([1, 10, 2]), task).tolist() == encode_target(table(["1", "10", "2"], "text"), task).tolist()
    )


def test_adult_test_labels_match_those_of_training(shared_data: Path) -> None:
    def labels(name: str) -> Dataset:
        column = pl.read_csv(shared_data / name, columns=["class"])
        return Dataset(frame=column, kinds={"class": "category"}, source=name)

    task, _ = resolve_task(labels("adult_train.csv.gz"), "class")
    test = labels("adult_test.csv.gz")
    assert np.bincount(encode_target(test, task)).tolist() == [12435, 3846]
    assert label_findings(test, task)[0].count == 16281


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=1, max_size=40).map(lambda half: half * 2))
def test_encoding_is_the_index_of_the_class(values: list) -> None:
    dataset = table(values)
    if len({value for value in values if value is not None}) < 3:
        return
    task, _ = resolve_task(dataset, "y", kind="multiclass")
    encoded = encode_target(dataset, task)
    assert [None if code < 0 else int(task.classes[code]) for code in encoded] == values


def test_labels_in_single_quotes_are_read_without_and_that_is_said(tmp_path: Path) -> None:
    def read_text(text: str) -> Dataset:
        (tmp_path / "t.csv").write_text(text)
        return read(tmp_path / "t.csv")

    table = read_text("a,note,y\n1,'x,y','-1'\n2,z,'1'\n3,z,'-1'\n")
    task, _ = resolve_task(table, "y")
    assert task.classes == ("-1", "1")
    (found,) = label_findings(table, task)
    assert (found.code, found.severity) == ("labels_unquoted", "warning")
    assert found.message.endswith("they are read, and will be predicted, without (-1, 1)")
    assert [one.columns for one in table.findings if one.code == "single_quotes"] == [("note", "y")]
    plain = read_text("a,y\n1,no\n2,yes\n3,no\n")
    assert label_findings(plain, resolve_task(plain, "y")[0]) == ()
