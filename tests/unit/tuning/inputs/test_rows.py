"""Which rows train and which judge."""

from typing import Any

import numpy as np
import pytest
import torch

from lanewise.errors import DataError
from lanewise.lanes import windows
from lanewise.search.never import NeverPrune
from lanewise.training.data import ALL_ROWS
from lanewise.tuning import tune
from lanewise.tuning.inputs import sources
from lanewise.tuning.inputs.rows import Rows
from lanewise.tuning.planning import Wanted, _in_full

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


def test_folds_and_early_stopping_are_planned_with_and_the_winner_once_more() -> None:
    own: dict[str, Any] = {"candidates": (), "policy": NeverPrune(), "seeds": (0,), "workers": 1}
    assert _in_full([(8, 0.25), (3, 1.0)], Wanted(**own)) == [(8, 0.25), (3, 1.0)]
    assert _in_full([(8, 0.25), (3, 1.0)], Wanted(**own, folds=4)) == [(8, 0.25), (12, 1.0), (1, 1.0)]
    assert _in_full([(8, 0.25), (3, 1.0)], Wanted(**own, early=True)) == [(8, 0.25), (3, 1.0), (1, 1.0)]


def test_arrays_in_files_stay_there_and_are_shuffled_in_windows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_BYTES", 1024 * 16)
    monkeypatch.setattr(sources, "CHECKED_ELEMENTS", 1000)
    count = 2560
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32))
    there = np.load(tmp_path / "X.npy", mmap_mode="r")
    labels = np.arange(count) % 2
    rows = Rows.of((there, labels), 0.1, folds=None)
    assert rows.words[:2] == (
        f"train: {count:,} rows stay in their files",
        "an epoch of train is shuffled in windows of 1,024 rows",
    )
    data = rows.data(torch.float32, whole=False)
    assert data.window == 1024
    assert data.folds[0].dense.data_ptr() == there.ctypes.data
    assert Rows.of((X, Y), 0.1, folds=None).data(torch.float32, whole=False).window is None
    # Beside validation rows of their own they are read batch by batch rather than copied into one table.
    apart = Rows.of((there, labels), (there[:5], labels[:5]), folds=None)
    assert apart.table is None
    assert torch.equal(apart.batch(torch.tensor([count + 1, count + 3]))[0], torch.from_numpy(there[[1, 3]]))


def test_a_number_that_is_not_finite_is_found_in_any_block(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sources, "CHECKED_ELEMENTS", 6)
    broken = X.clone()
    broken[17, 1] = float("nan")
    with pytest.raises(DataError, match=r"X of train has NaN or infinite values in 1 of 23 rows, the first in row 17"):
        Rows.of((broken, Y), 0.2, folds=None)


@pytest.mark.parametrize("step", [None, lambda model, batch: (model(batch[0]) - batch[1]).pow(2)], ids=["loss", "step"])
@pytest.mark.parametrize("kept", ["float32", "float64"])
def test_a_race_over_arrays_in_files_is_the_same_as_in_memory_where_one_window_holds_them(tmp_path, kept, step) -> None:
    np.save(tmp_path / "X.npy", X.numpy().astype(kept))
    there = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert Rows.of((there, Y), 0.2, folds=None).data(torch.float32, whole=False).folds[0].dense.dtype == getattr(
        torch, kept
    )

    def raced(inputs):
        return tune(
            lambda: torch.nn.Linear(3, 1),
            train=(inputs, X[:, :1].numpy()),
            valid=0.3,
            loss=torch.nn.functional.mse_loss if step is None else None,
            step=step,
            candidates=[{"optimizer": "sgd", "lr": 0.1}, {"optimizer": "adamw", "lr": 0.01}],
            budget="20steps",
            batch_size=4,
            workers=1,
        )

    one, other = raced(X), raced(there)
    assert all(torch.equal(one.model.state_dict()[name], own) for name, own in other.model.state_dict().items())
