"""Test set and folds: nothing on both sides, every class in its share, the same every time."""

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from lanewise.data.dataset import Dataset
from lanewise.data.splits import (
    default_folds,
    default_fraction,
    fold_count,
    folds,
    holdout,
    row_groups,
    row_times,
)
from lanewise.errors import DataError, UsageError
from lanewise.task import Task

NUMBER = Task(target="y", kind="regression", metric="rmse")


def classes(count: int) -> Task:
    labels = tuple(str(label) for label in range(count))
    return Task(target="y", kind="binary" if count == 2 else "multiclass", metric="log_loss", classes=labels)


def assert_partition(fold_list: tuple, rows: np.ndarray) -> None:
    """Every row is judged exactly once, and trains wherever it is not judged."""
    judged = np.concatenate([fold.valid for fold in fold_list])
    np.testing.assert_array_equal(np.sort(judged), np.sort(rows))
    for fold in fold_list:
        assert fold.train.dtype == fold.valid.dtype == np.int64
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.valid])), np.sort(rows))


labels = st.lists(st.integers(0, 3), min_size=40, max_size=120).map(np.array)


@settings(deadline=None, max_examples=60)
@given(labels, st.integers(2, 3), st.integers(0, 5))
def test_folds_partition_the_rows_with_equal_shares(y: np.ndarray, count: int, seed: int) -> None:
    rows = np.flatnonzero(np.arange(len(y)) % 5 > 0)
    fold_list = folds(y, rows, task=classes(4), count=count, seed=seed)
    assert_partition(fold_list, rows)
    sizes = [len(fold.valid) for fold in fold_list]
    assert max(sizes) - min(sizes) <= 1
    for label in range(4):
        shares = [int(np.sum(y[fold.valid] == label)) for fold in fold_list]
        assert max(shares) - min(shares) <= 2


@settings(deadline=None, max_examples=60)
@given(labels, st.integers(0, 5), st.floats(0.1, 0.5))
def test_holdout_takes_its_share_of_every_class(y: np.ndarray, seed: int, fraction: float) -> None:
    train, test = holdout(y, task=classes(4), fraction=fraction, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    assert abs(len(test) - fraction * len(y)) <= 2
    for label, size in enumerate(np.bincount(y)):
        assert abs(int(np.sum(y[test] == label)) - fraction * size) <= 2


@settings(deadline=None, max_examples=60)
@given(labels, st.data(), st.integers(0, 5))
def test_groups_are_never_on_both_sides(y: np.ndarray, data: st.DataObject, seed: int) -> None:
    group = np.array(data.draw(st.lists(st.integers(0, 30), min_size=len(y), max_size=len(y))))
    assume(len(set(group)) > 1)
    rows = np.arange(len(y))
    count, _ = fold_count(y, rows, task=classes(4), count=4, group=group)
    fold_list = folds(y, rows, task=classes(4), count=count, seed=seed, group=group)
    assert_partition(fold_list, rows)
    for fold in fold_list:
        assert len(fold.valid)
        assert not set(group[fold.train]) & set(group[fold.valid])
    train, test = holdout(y, task=classes(4), seed=seed, group=group)
    assert min(len(train), len(test)) > 0
    assert not set(group[train]) & set(group[test])


def test_same_seed_same_split_and_another_seed_another() -> None:
    y = np.arange(200) % 2
    first, again, other = (holdout(y, task=classes(2), seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
    first, again, other = (
        folds(y, np.arange(200), task=classes(2), count=5, seed=seed)[0].valid.tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_grouped_splits_do_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, 300), rng.integers(0, 60, 300)
    shuffled = rng.permutation(300)
    straight = set(group[holdout(y, task=classes(2), seed=3, group=group)[1]])
    assert straight == set(group[shuffled][holdout(y[shuffled], task=classes(2), seed=3, group=group[shuffled])[1]])


def test_regression_folds_have_alike_targets() -> None:
    y = np.random.default_rng(0).lognormal(size=1000)
    fold_list = folds(y, np.arange(1000), task=NUMBER, count=5, seed=0)
    medians = [np.median(y[fold.valid]) for fold in fold_list]
    assert np.ptp(medians) < 0.2 * np.median(y)


def test_class_balance_is_that_of_scikit_learn() -> None:
    y = np.random.default_rng(0).choice(3, size=500, p=[0.7, 0.25, 0.05])
    rows = np.arange(500)
    ours = folds(y, rows, task=classes(3), count=5, seed=0)
    theirs = StratifiedKFold(n_splits=5, shuffle=True, random_state=0).split(rows, y)
    for mine, (_, valid) in zip(ours, theirs, strict=True):
        difference = np.bincount(y[mine.valid], minlength=3) - np.bincount(y[valid], minlength=3)
        assert np.abs(difference).max() <= 1


def test_group_balance_is_no_worse_than_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, 120)
    group = np.repeat(np.arange(120), sizes)
    y = (rng.random(len(group)) < np.repeat(rng.random(120), sizes)).astype(np.int64)
    rows = np.arange(len(y))

    def spread(valid_parts: list[np.ndarray]) -> float:
        return float(np.std([y[valid].sum() for valid in valid_parts]) + np.std([len(valid) for valid in valid_parts]))

    ours = spread([fold.valid for fold in folds(y, rows, task=classes(2), count=5, seed=0, group=group)])
    theirs = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0).split(rows, y, group)
    assert ours <= spread([valid for _, valid in theirs])


def test_a_class_with_one_row_trains() -> None:
    y = np.array([0] * 50 + [1] * 50 + [2])
    for seed in range(20):
        assert 100 in holdout(y, task=classes(3), seed=seed)[0]


def test_many_small_classes_still_give_a_test_set() -> None:
    y = np.repeat(np.arange(100), 2)
    train, test = holdout(y, task=classes(100), fraction=0.2, seed=0)
    assert len(test) == 40
    assert len(np.unique(y[train])) == 100


def test_missing_targets_are_left_out() -> None:
    train, test = holdout(np.array([0, 1, -1, 0, 1, -1] * 10), task=classes(2), seed=0)
    assert len(train) + len(test) == 40
    train, test = holdout(np.array([0.5, np.nan] * 10), task=NUMBER, seed=0)
    assert set(np.concatenate([train, test]) % 2) == {0}


def test_test_rows_come_last_in_time_whatever_their_order() -> None:
    time = np.random.default_rng(0).permutation(100).astype(np.float64)
    train, test = holdout(np.zeros(100), task=NUMBER, fraction=0.2, seed=0, time=time)
    assert len(test) == 20
    assert time[train].max() < time[test].min()


def test_equal_times_stay_on_one_side() -> None:
    time = np.repeat(np.arange(10.0), 10)
    train, test = holdout(np.zeros(100), task=NUMBER, fraction=0.27, seed=0, time=time)
    assert len(test) == 30
    assert not set(time[train]) & set(time[test])


def test_time_folds_are_chained_forward() -> None:
    time = np.random.default_rng(1).permutation(60).astype(np.float64)
    fold_list = folds(np.zeros(60), np.arange(60), task=NUMBER, count=5, seed=0, time=time)
    assert [len(fold.train) for fold in fold_list] == [10, 20, 30, 40, 50]
    assert [len(fold.valid) for fold in fold_list] == [10] * 5
    for fold in fold_list:
        assert time[fold.train].max() < time[fold.valid].min()


def test_few_times_allow_few_folds() -> None:
    time = np.repeat([1.0, 2.0, 3.0], 20)
    count, findings = fold_count(np.zeros(60), np.arange(60), task=NUMBER, count=5, time=time)
    assert count == 2
    assert findings[0].message == "2 folds instead of 5, because there are 3 different times"
    assert len(folds(np.zeros(60), np.arange(60), task=NUMBER, count=2, seed=0, time=time)) == 2
    with pytest.raises(DataError, match="at least two folds are needed, and there are 2 different times"):
        fold_count(np.zeros(40), np.arange(40), task=NUMBER, count=5, time=time)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=12, max_size=60), st.integers(2, 8))
def test_the_possible_number_of_time_folds_is_possible(times: list[int], wanted: int) -> None:
    time = np.array(times, dtype=np.float64)
    assume(len(set(times)) > 2)
    rows = np.arange(len(time))
    count, _ = fold_count(np.zeros(len(time)), rows, task=NUMBER, count=wanted, time=time)
    assert count == min(wanted, len(set(times)) - 1)
    for fold in folds(np.zeros(len(time)), rows, task=NUMBER, count=count, seed=0, time=time):
        assert min(len(fold.train), len(fold.valid)) > 0


@pytest.mark.parametrize(
    ("sizes", "expected", "why"),
    [([50, 3], 3, "class '1' has 3 rows"), ([50, 2], 2, "class '1' has 2 rows"), ([50, 30, 4], 4, "class '2' has 4")],
)
def test_rare_classes_reduce_the_folds_and_it_is_said(sizes: list[int], expected: int, why: str) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    count, findings = fold_count(y, np.arange(len(y)), task=classes(len(sizes)), count=5)
    assert count == expected
    assert findings[0].code == "fewer_folds"
    assert why in findings[0].message


def test_one_rare_class_of_many_leaves_three_folds() -> None:
    for rare in (1, 2):
        y = np.repeat([0, 1, 2], [50, 50, rare])
        count, _ = fold_count(y, np.arange(len(y)), task=classes(3), count=5)
        assert count == (5 if rare == 1 else 3)
        assert_partition(folds(y, np.arange(len(y)), task=classes(3), count=count, seed=0), np.arange(len(y)))


def test_impossible_splits_are_refused() -> None:
    y = np.array([0] * 30 + [1])
    with pytest.raises(DataError, match=r"^class '1' has only 1 training row, and needs at least 2: .*; add rows"):
        fold_count(y, np.arange(31), task=classes(2), count=5, group=np.arange(31))
    with pytest.raises(DataError, match=r"^class '1' has no training row"):
        fold_count(y[:30], np.arange(30), task=classes(2), count=5)
    y[:3], group = 1, np.arange(31)
    group[:3] = group[30]
    with pytest.raises(DataError, match=r"^the 4 training rows of class '1' repeat each other or are of one group"):
        fold_count(y, np.arange(31), task=classes(2), count=5, group=group)
    with pytest.raises(DataError, match="at least two different groups, and there are 1"):
        holdout(np.zeros(30), task=NUMBER, seed=0, group=np.zeros(30, dtype=np.int64))
    with pytest.raises(DataError, match="at least two different times, and there are 1"):
        holdout(np.zeros(30), task=NUMBER, seed=0, time=np.zeros(30))
    with pytest.raises(DataError, match="time column is missing in 2 rows"):
        holdout(np.zeros(4), task=NUMBER, seed=0, time=np.array([1, np.nan, 2, np.nan]))
    with pytest.raises(DataError, match="group column is missing in 1 row;"):
        holdout(np.zeros(3), task=NUMBER, seed=0, group=np.array([0, -1, 1]))
    with pytest.raises(DataError, match="at least two rows, and there are 1"):
        holdout(np.zeros(1), task=NUMBER, seed=0)
    with pytest.raises(DataError, match="3 folds instead of 5, because there are 3 rows"):
        folds(np.arange(3.0), np.arange(3), task=NUMBER, count=5, seed=0)
    with pytest.raises(UsageError, match="name one of them"):
        holdout(np.zeros(9), task=NUMBER, seed=0, group=np.arange(9), time=np.arange(9.0))
    with pytest.raises(UsageError, match="between 0 and 1, got 20"):
        holdout(np.zeros(9), task=NUMBER, seed=0, fraction=20)
    with pytest.raises(UsageError, match="at least two folds are needed, got 1"):
        folds(np.zeros(9), np.arange(9), task=NUMBER, count=1, seed=0)


def test_defaults_by_size() -> None:
    assert [default_folds(rows) for rows in (100, 499, 500, 50_000, 50_001)] == [10, 10, 5, 5, 3]
    assert [default_fraction(rows) for rows in (100, 500, 100_000, 200_000)] == [0.25, 0.2, 0.2, 0.1]


def test_columns_become_groups_and_times() -> None:
    frame = pl.DataFrame({"g": ["b", "a", None, "b"], "t": [3, None, 1, 2], "d": [0, 1, None, 2]}).with_columns(
        pl.col("d").cast(pl.Datetime("us"))
    )
    dataset = Dataset(frame=frame, kinds={"g": "category", "t": "number", "d": "date"}, source="a table")
    assert row_groups(dataset, "g").tolist() == [1, 0, -1, 1]
    np.testing.assert_array_equal(row_times(dataset, "t"), [3, np.nan, 1, 2])
    np.testing.assert_array_equal(row_times(dataset, "d"), [0, 1, np.nan, 2])


def test_rare_wine_grades_are_split_without_a_warning(shared_data: Path) -> None:
    quality = pl.read_csv(shared_data / "wine_quality_white.csv", columns=["quality"])["quality"].to_numpy() - 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, test = holdout(quality, task=classes(7), seed=0)
        count, _ = fold_count(quality, train, task=classes(7), count=5)
        assert_partition(folds(quality, train, task=classes(7), count=count, seed=0), train)
    assert count == 4
    assert np.bincount(quality[test], minlength=7).tolist() == [4, 33, 291, 440, 176, 35, 1]


def in_time(labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels in the order of time, and the rows and times shuffled together."""
    order = np.random.default_rng(3).permutation(len(labels))
    return np.array([int(label) for label in labels])[order], order.astype(np.float64)


def test_a_class_that_comes_late_makes_the_first_block_longer() -> None:
    y, time = in_time("0" * 15 + "10" * 22 + "1")
    rows = np.arange(len(y))
    count, findings = fold_count(y, rows, task=classes(2), count=5, time=time)
    assert count == 2
    assert findings[0].message == "2 folds instead of 5, because class '1' comes late in time"
    for fold in folds(y, rows, task=classes(2), count=count, seed=0, time=time):
        assert set(y[fold.train]) == {0, 1}
    with pytest.raises(DataError, match="comes late"):
        folds(y, rows, task=classes(2), count=5, seed=0, time=time)


def test_a_first_block_with_every_class_sets_no_limit() -> None:
    y, time = in_time("01" * 30)
    assert fold_count(y, np.arange(60), task=classes(2), count=5, time=time) == (5, ())


def test_nothing_can_be_learned_where_the_first_third_holds_one_class() -> None:
    y, time = in_time("0" * 40 + "1" * 20)
    with pytest.raises(
        DataError, match=r"first third of the rows in time holds no class but '0'.*do not split by time"
    ):
        fold_count(y, np.arange(60), task=classes(2), count=5, time=time)


def test_one_late_class_of_several_does_not_take_the_rows_of_the_others() -> None:
    y, time = in_time("01" * 25 + "2" * 10)
    assert fold_count(y, np.arange(60), task=classes(3), count=5, time=time) == (5, ())
    y, time = in_time("0" * 12 + "01" * 19 + "2" * 10)
    count, _ = fold_count(y, np.arange(60), task=classes(3), count=5, time=time)
    first = folds(y, np.arange(60), task=classes(3), count=count, seed=0, time=time)[0]
    assert len(set(y[first.train])) == 2
