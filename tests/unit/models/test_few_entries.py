"""Products of rows that are nearly all zeros are those of whole matrices."""

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models import layers
from lanewise.models.base import Inputs
from lanewise.models.blueprint import Blueprint
from lanewise.models.few_entries import FewEntries
from lanewise.models.module import StackedModule
from lanewise.training.step import KeyedNoise

LANES, ROWS, COLUMNS, HIDDEN = 9, 70, 50, 32


def counts(share: float, dtype: torch.dtype = torch.float64) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    values = torch.randn(ROWS, COLUMNS, generator=draws, dtype=dtype)
    return values * (torch.rand(ROWS, COLUMNS, generator=draws) < share)


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(COLUMNS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3))


def outputs_and_gradients(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Of lanes of a network, whose gradients lie apart in the buffer."""
    blueprint = Blueprint.of(lambda: make().to(batch.dtype), batch)
    model = StackedModule(blueprint)
    buffer = LaneBuffer(model.layout, model.init(range(LANES), batch.dtype))
    buffer.gradients.fill_(float("nan"))
    inputs = Inputs(dense=batch[None], codes=torch.zeros(1, ROWS, 0, dtype=torch.int64), sizes=(LANES,))
    outputs = model.forward(buffer.weights, inputs, noise=KeyedNoise([0], 7))
    (outputs * torch.arange(outputs.numel(), dtype=batch.dtype).view_as(outputs).cos()).sum().backward()
    return outputs.detach(), buffer.gradients


@pytest.mark.parametrize("share", [0.04, 0.0])
def test_lanes_learn_from_few_entries_as_from_the_whole_matrix(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = counts(share)
    taken = list[FewEntries | None]()

    class Watched:
        @staticmethod
        def of(matrix: Tensor, outputs: int) -> FewEntries | None:
            taken.append(FewEntries.of(matrix, outputs))
            return taken[-1]

    monkeypatch.setattr(layers, "FewEntries", Watched)
    found = outputs_and_gradients(batch)
    assert len(taken) == 1  # the second layer has inputs of each lane's own
    assert taken[0] is not None
    monkeypatch.setattr(Watched, "of", staticmethod(lambda matrix, outputs: None))
    truth = outputs_and_gradients(batch)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_lane_that_is_not_finite_does_not_touch_its_neighbours() -> None:
    few = FewEntries.of(counts(0.04), LANES * HIDDEN)
    assert few is not None
    weight = torch.randn(LANES, HIDDEN, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = few.times(weight, None)
    weight[2] = torch.nan
    after = few.times(weight, None)
    others = [lane for lane in range(LANES) if lane != 2]
    assert torch.equal(after[others], before[others])
    assert after[2, few.rows].isnan().all()


def test_entries_are_told_row_after_row() -> None:
    matrix = counts(0.04)
    few = FewEntries.of(matrix, LANES * HIDDEN)
    assert few is not None
    again = torch.zeros_like(matrix)
    again[few.rows, few.columns] = few.values
    assert torch.equal(again, matrix)
    assert bool((few.rows.diff() >= 0).all())


@pytest.mark.parametrize(
    ("matrix", "outputs"),
    [
        (counts(0.5), 288),
        (counts(0.04), 255),
        (counts(0.04)[:63], 288),
        (counts(0.04).to(torch.bfloat16), 288),
        (counts(0.04)[None], 288),
    ],
    ids=["full", "few outputs", "few rows", "low precision", "images"],
)
def test_the_whole_matrix_is_multiplied_where_that_is_as_fast(matrix: Tensor, outputs: int) -> None:
    assert FewEntries.of(matrix, outputs) is None


def test_rows_that_are_full_although_the_first_look_missed_them_are_multiplied_whole() -> None:
    matrix = torch.zeros(ROWS, COLUMNS)
    matrix[1::9] = 1.0
    assert FewEntries.of(matrix, LANES * HIDDEN) is None
