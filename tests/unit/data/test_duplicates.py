"""Rows with equal features are numbered, counted and kept on one side."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanewise.data import duplicates
from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import duplicate_groups, duplicates_across_split, kept_together, training_rows_tested
from lanewise.data.splits import holdout
from lanewise.task import Task


def table(rows: list[tuple]) -> Dataset:
    frame = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.String}, orient="row")
    return Dataset(frame=frame, kinds={"a": "number", "b": "category"}, source="a table")


cells = st.tuples(st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, "x", "y"]))


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_rows_share_a_number_exactly_if_they_are_equal(rows: list[tuple], random) -> None:
    groups = duplicate_groups(table(rows), ("a", "b"))
    for first, number in zip(rows, groups, strict=True):
        assert [row == first for row in rows] == (groups == number).tolist()
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = duplicate_groups(table([rows[place] for place in order]), ("a", "b"))
    np.testing.assert_array_equal(shuffled, groups[order])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(cells, min_size=1, max_size=8))
def test_a_look_at_the_first_columns_alters_no_number(rows: list[tuple], monkeypatch) -> None:
    numbered = duplicate_groups(table(rows), ("a", "b"))
    with monkeypatch.context() as patched:
        patched.setattr(duplicates, "FIRST_COLUMNS", 1)
        np.testing.assert_array_equal(duplicate_groups(table(rows), ("a", "b")), numbered)


def test_only_the_features_count() -> None:
    assert duplicate_groups(table([(1.0, "x"), (1.0, "y")]), ("a",)).tolist() == [0, 0]


@pytest.mark.parametrize("counts", [[1] * 100, [5] * 40], ids=["no duplicates", "in the nature of the table"])
def test_when_rows_are_drawn_one_by_one(counts: list[int]) -> None:
    groups = np.repeat(np.arange(len(counts)), counts)
    assert kept_together(groups, np.arange(len(groups))) is None


@pytest.mark.parametrize("counts", [[2] * 50 + [1] * 50, [4] * 6000], ids=["a few", "many distinct rows"])
def test_when_duplicates_stay_together(counts: list[int]) -> None:
    groups = np.repeat(np.arange(len(counts)), counts)
    np.testing.assert_array_equal(kept_together(groups, np.arange(len(groups))), groups)


def test_rows_that_fill_the_table_are_drawn_one_by_one() -> None:
    groups = np.repeat(np.arange(162), [40, 2, *[1] * 160])
    kept = kept_together(groups, np.arange(len(groups)))
    assert kept is not None
    assert len(np.unique(kept[:40])) == 40
    np.testing.assert_array_equal(kept[40:], groups[40:])
    assert not set(kept[:40]) & set(kept[40:])


def test_only_the_chosen_rows_count_as_duplicates() -> None:
    assert kept_together(np.array([0, 0, 1, 2]), np.array([1, 2, 3])) is None


def test_duplicates_across_a_split_are_counted() -> None:
    groups = np.array([0, 1, 2, 0, 1, 3])
    (finding,) = duplicates_across_split(np.array([0, 1, 2]), np.array([3, 4, 5]), groups)
    assert (finding.code, finding.count, finding.severity) == ("duplicates_across_split", 2, "warning")
    assert finding.figure == pytest.approx(2 / 3)
    assert duplicates_across_split(np.array([0, 1, 2]), np.array([5]), groups) == ()


def test_rows_of_training_in_a_stated_test_set_are_counted() -> None:
    train, test = np.arange(4), np.array([4, 5, 6])
    (finding,) = training_rows_tested(train, test, np.array([0, 1, 2, 3, 1, 4, 3]))
    assert (finding.code, finding.severity, finding.count) == ("trained_on_test", "warning", 2)
    assert "2 of 3 test rows (66.7%) are training rows too" in finding.message
    assert "the test score is too good" in finding.message
    assert training_rows_tested(train, test, np.arange(7)) == ()


def test_rows_that_repeat_in_training_as_well_are_no_warning() -> None:
    groups = np.random.default_rng(0).integers(0, 4, 60)
    (finding,) = training_rows_tested(np.arange(40), np.arange(40, 60), groups)
    assert (finding.severity, finding.count) == ("info", 20)
    (finding,) = training_rows_tested(np.arange(60), np.arange(60, 120), np.tile(groups, 2))
    assert (finding.severity, finding.count) == ("warning", 60)
    assert finding.message.startswith("the test rows are the training rows: the test score is too good")


def test_the_skin_table_has_no_twin_across_its_split(shared_data: Path) -> None:
    frame = pl.read_csv(shared_data / "skin_segmentation.tsv.gz", separator="\t")
    dataset = Dataset(frame=frame, kinds=dict.fromkeys(frame.columns, "number"), source="skin")
    task = Task(target="skin", kind="binary", metric="log_loss", classes=("1", "2"))
    y = frame["skin"].to_numpy() - 1
    groups = duplicate_groups(dataset, ("B", "G", "R"))
    kept = kept_together(groups, np.arange(len(y)))
    assert kept is not None
    alone = duplicates_across_split(*holdout(y, task=task, seed=0), groups)
    assert alone[0].figure is not None
    assert alone[0].figure > 0.5
    train, test = holdout(y, task=task, seed=0, group=kept)
    assert duplicates_across_split(train, test, groups) == ()
    assert y[test].mean() == pytest.approx(y.mean(), abs=0.001)
