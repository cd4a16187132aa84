"""What a stack is shown: the same whether a batch was read when it was needed or before."""

import torch

from lanewise.distributed.data_axis import DataAxis
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.batches import Batches
from lanewise.training.data import FoldData, TrainingData


def batches(batch_size: int | None = 6) -> Batches:
    dense = torch.arange(20.0)[:, None]
    fold = FoldData(
        dense=dense,
        codes=torch.zeros(20, 0, dtype=torch.int64),
        target=dense,
        train=torch.arange(15),
        valid=torch.arange(15, 20),
    )
    task = Task(target="y", kind="regression", metric="rmse")
    data = TrainingData(task=task, width=Width(dense=1, levels=(), outputs=1), folds={0: fold}, rows=20)
    lane = Lane(candidate=Candidate(id="a", model="linear", optimizer="sgd", settings={"lr": 0.1}), fold=0, seed=0)
    axis = DataAxis(place=1, size=2, sums=lambda message: None, sends=lambda own: own)
    return Batches(data, Roster.of([lane]), batch_size=batch_size, dtype=torch.float32, compute=None, axis=axis)


def test_a_batch_that_was_read_ahead_is_the_one_of_its_step() -> None:
    ahead, plain = batches(), batches()
    for at in (0, 1, 2, 5):  # from one stretch to the next a step may be left out
        shown = ahead.rows(at)
        found, expected = ahead.batch(shown), plain.batch(plain.rows(at))
        assert found.inputs.dense.tolist() == expected.inputs.dense.tolist()
        assert found.share == expected.share == 0.5
        ahead.read_ahead(at + 1)


def test_a_batch_of_all_rows_is_not_held_twice() -> None:
    whole = batches(None)
    whole.read_ahead(1)
    shown = whole.rows(1)
    assert len(shown[0]) == 15
    assert whole.rows(1) is not shown
