"""A single lane bound to its module: gradients and statistics where the buffer has them."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import StackedModule
from lanewise.training.step import KeyedNoise

ROWS = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
INPUTS = Inputs(dense=ROWS, codes=torch.zeros(1, 6, 0, dtype=torch.int64), sizes=(1,))


class Skipping(nn.Module):
    """Uses its second layer only where rows are above zero in their sum; normalizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.norm(self.first(rows))
        return self.second(hidden) if float(rows.sum()) > 0 else hidden


def a_pass(model: StackedModule, buffer: LaneBuffer, at: int, inputs: Inputs = INPUTS) -> Tensor:
    outputs = model.forward(buffer.weights, inputs, noise=KeyedNoise([0], at))
    outputs.square().sum().backward()
    return outputs.detach()


def test_a_weight_that_a_pass_skips_has_no_gradient_left_over() -> None:
    model = StackedModule(Blueprint.of(Skipping, ROWS[0]), looped=True)
    buffer = LaneBuffer(model.layout, model.init([0]))
    gradients = model.layout.views(buffer.gradients)
    a_pass(model, buffer, 0)
    assert bool(gradients["second.weight"].any())
    a_pass(model, buffer, 1, replace(INPUTS, dense=-ROWS))
    assert not bool(gradients["second.weight"].any())
    assert bool(gradients["first.weight"].any())


def test_weights_and_statistics_are_those_of_the_row() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    model = StackedModule(Blueprint.of(make, ROWS[0]), looped=True)
    buffer = LaneBuffer(model.layout, model.init([0]))
    before = a_pass(model, buffer, 0)
    seen = model.layout.all_views(buffer.rows)["1.running_mean"].clone()
    assert bool(seen.any())
    with torch.no_grad():
        buffer.rows.zero_()
        model.layout.views(buffer.values)["1.bias"].fill_(2.0)
    changed = a_pass(model, buffer, 1)
    assert torch.equal(changed, torch.full_like(before, 2.0))
    assert not bool(model.layout.all_views(buffer.rows)["1.running_mean"].any())


def test_it_follows_the_buffer_when_lanes_leave() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1), nn.Linear(3, 2))

    model = StackedModule(Blueprint.of(make, ROWS[0]), looped=True)
    buffer = LaneBuffer(model.layout, model.init([0]))
    first = a_pass(model, buffer, 0)
    other = LaneBuffer(model.layout, model.init([1]))
    second = a_pass(model, other, 0)
    assert not torch.equal(first, second)
    assert torch.equal(a_pass(model, buffer, 0), first)
    buffer.gradients.zero_()
    a_pass(model, other, 0)
    assert not bool(buffer.gradients.any()), "a gradient went to the lane of before"
