"""Modules that keep complex weights as pairs of numbers, as Fourier neural operators do."""

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs
from lanewise.models.blueprint import Blueprint
from lanewise.models.complex_views import ComplexViews
from lanewise.models.module import StackedModule
from lanewise.training.step import KeyedNoise

ROWS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Spectral(nn.Module):
    """Its pairs begin at an odd place of a row, whose length is odd as well."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, dtype=torch.float64))
        self.pairs = nn.Parameter(torch.randn(3, 2, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(rows, dim=1) * torch.view_as_complex(self.pairs)
        return torch.fft.irfft(spectrum, n=4, dim=1) * self.scale


@pytest.mark.parametrize(("lanes", "looped"), [(1, True), (3, True), (3, False)])
def test_pairs_may_lie_anywhere_in_a_row(lanes: int, looped: bool) -> None:
    model = StackedModule(Blueprint.of(lambda: Spectral().double(), ROWS), looped=looped)
    buffer = LaneBuffer(model.layout, model.init(range(lanes), torch.float64))
    inputs = Inputs(dense=ROWS[None], codes=torch.empty(1, 5, 0, dtype=torch.int64), sizes=(lanes,))
    buffer.gradients.zero_()
    model.forward(buffer.weights, inputs, noise=KeyedNoise([0], 0))  # it is watched from the second pass on as well
    found = model.forward(buffer.weights, inputs, noise=KeyedNoise([0], 0))
    found.pow(2).sum().backward()
    for lane in range(lanes):
        torch.manual_seed(lane)
        alone = Spectral().double()
        outputs = alone(ROWS)
        outputs.pow(2).sum().backward()
        torch.testing.assert_close(found[lane], outputs)
        grads = model.layout.all_views(buffer.gradients)
        torch.testing.assert_close(grads["pairs"][lane], alone.pairs.grad)


def test_who_has_no_pairs_or_joins_none_is_not_watched() -> None:
    assert ComplexViews.of(Blueprint.of(lambda: nn.Linear(4, 3).double(), ROWS).layout) is None
    model = StackedModule(Blueprint.of(lambda: nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 3)).double(), ROWS))
    assert model._joining is not None
    with model._drawing(0):
        pass
    assert model._joining.idle
