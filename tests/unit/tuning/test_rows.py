"""Which rows train and which judge."""

import pytest
import torch

from lanewise.errors import DataError
from lanewise.training.data import ALL_ROWS
from lanewise.tuning.planning import _over_folds
from lanewise.tuning.rows import Rows

X, Y = torch.randn(23, 3, generator=torch.Generator().manual_seed(0)), torch.arange(23)
OTHER = torch.randn(5, 3), torch.arange(5)


def test_validation_rows_lie_behind_those_that_train() -> None:
    rows = Rows.of((X, Y), OTHER, folds=None)
    assert rows.count == 28
    assert torch.equal(rows.judged, torch.arange(23, 28))
    assert torch.equal(rows.batch(torch.tensor([24, 26]))[0], OTHER[0][[1, 3]])
    assert rows.words == ()


def test_a_share_is_held_out_and_the_same_each_time() -> None:
    one, again = (Rows.of((X, Y), 0.2, folds=None) for _ in range(2))
    ((train, valid),) = one.parting.parts
    assert (len(train), len(valid)) == (18, 5)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(23))
    assert valid.tolist() != list(range(5))
    assert torch.equal(valid, again.parting.parts[0][1])
    assert one.words == ("5 rows were held out of train, 18 train",)


def test_folds_part_all_rows_evenly() -> None:
    rows = Rows.of((X, Y), None, folds=4)
    held = [valid.tolist() for _, valid in rows.parting.parts]
    assert sorted(row for own in held for row in own) == list(range(23))
    assert {len(own) for own in held} == {5, 6}
    for train, valid in rows.parting.parts:
        assert not set(train.tolist()) & set(valid.tolist())
        assert len(train) + len(valid) == 23
    assert torch.equal(rows.judged, torch.arange(23))


@pytest.mark.parametrize("given", [{"folds": 5}, {"folds": None, "valid": 0.2}], ids=str)
def test_classes_are_parted_evenly(given) -> None:
    labels = torch.arange(50) % 10 // 8  # four in five are of the first class
    rows = Rows.of((torch.randn(50, 3), labels), given.get("valid"), folds=given["folds"])
    for _, valid in rows.parting.parts:
        assert labels[valid].bincount().tolist() == [8, 2]


def test_lanes_read_the_tensors_or_the_numbers_of_rows() -> None:
    rows = Rows.of((X, Y.float()), None, folds=3)
    plain, whole = (rows.data(torch.float64, whole=own) for own in (False, True))
    assert plain.folds[0].dense.dtype == plain.folds[0].target.dtype == torch.float64
    assert torch.equal(whole.folds[0].dense, torch.arange(23))
    assert set(plain.folds) == {0, 1, 2}
    again = rows.data(torch.float64, whole=False, refit=True)
    assert set(again.folds) == {ALL_ROWS}
    assert len(again.folds[ALL_ROWS].train) == 23
    X_read, y_read = rows.reader(torch.float64)(torch.tensor([3, 1]), 0)
    assert torch.equal(X_read, X[[3, 1]].double())
    assert y_read.dtype == torch.float64


def test_two_sources_must_be_alike() -> None:
    with pytest.raises(DataError, match=r"a row of train is tuple\(dict\(a: .*, one of valid tuple\(\(1, 3\) float32"):
        Rows.of(({"a": X}, Y), OTHER, folds=None)
    with pytest.raises(DataError, match=r"X\['a'\] of train is \[rows, 3, float32\], that of valid \[rows, 2, float32"):
        Rows.of(({"a": X}, Y), ({"a": X[:, :2]}, Y), folds=None)


def test_folds_are_planned_with_and_the_winner_once_more() -> None:
    assert _over_folds([(8, 0.25), (3, 1.0)], 1) == [(8, 0.25), (3, 1.0)]
    assert _over_folds([(8, 0.25), (3, 1.0)], 4) == [(8, 0.25), (12, 1.0), (1, 1.0)]
