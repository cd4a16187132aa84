import copy

import pytest
import torch
from torch import nn

from lanewise import optim
from lanewise.errors import TrainingError, UsageError
from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.skipping import IN_A_ROW

LAYOUT = BufferLayout.of([Parameter(name="weight", shape=(3,), fan_in=3)])
MAKERS = [optim.AdamW, optim.DoG, optim.ScheduleFreeAdamW, torch.optim.AdamW]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: f"{make.__module__.split('.')[0]} {make.__name__}")
def test_a_skipped_step_leaves_weights_state_and_counts_alone(make, bad: float) -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))]
    optimizer = make(weights)
    watch = optim.SkipNonFinite(optimizer)

    def step(*gradients: float) -> None:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.full_like(weight, gradient)
        optimizer.step()

    step(1.0, 2.0)
    before = copy.deepcopy((weights, optimizer.state_dict()))
    step(1.0, bad)
    assert torch.equal(torch.cat([*weights]), torch.cat([*before[0]]))
    assert str(optimizer.state_dict()) == str(before[1])
    step(1.0, 2.0)
    assert not torch.equal(weights[0], before[0][0])
    assert watch.skipped == 1


def test_gradients_whose_norm_overflows_are_finite_all_the_same() -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = optim.SGD([weight], lr=1e-38)
    watch = optim.SkipNonFinite(optimizer)
    weight.grad = torch.full((4,), 3e38)
    optimizer.step()
    assert watch.skipped == 0
    assert weight.tolist() == pytest.approx([-3.0] * 4)


def test_it_gives_up_after_so_many_in_a_row_and_can_be_taken_off() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = optim.SGD([weight], lr=0.1)
    watch = optim.SkipNonFinite(optimizer, in_a_row=2)
    for gradient in (torch.nan, torch.nan, 1.0, torch.nan, torch.nan):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
    weight.grad = torch.tensor([torch.nan])
    with pytest.raises(TrainingError, match="no finite gradient 3 times in a row"):
        optimizer.step()
    watch.remove()
    weight.grad = torch.tensor([torch.nan])
    optimizer.step()
    assert weight.isnan().item()


def test_a_closure_is_refused_and_so_is_no_patience() -> None:
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(UsageError, match="in_a_row must be at least 1, got 0"):
        optim.SkipNonFinite(optimizer, in_a_row=0)
    optim.SkipNonFinite(optimizer)
    with pytest.raises(UsageError, match="do without one"):
        optimizer.step(lambda: 0.0)


def stack(*settings: dict[str, float | str], optimizer: str = "adam") -> tuple[LaneBuffer, LaneOptimizer]:
    lanes = [
        Lane(candidate=Candidate(id=f"c{i}", model="linear", optimizer=optimizer, settings=one), fold=0, seed=0)
        for i, one in enumerate(settings)
    ]
    buffer = LaneBuffer(LAYOUT, torch.ones(len(lanes), 3, dtype=torch.float64))
    return buffer, LaneOptimizer(Roster.of(lanes), buffer, length=50)


def test_a_lane_that_skips_is_as_if_the_step_had_not_been() -> None:
    skips: dict[str, float | str] = {"lr": 0.1, "schedule": "constant", "skip_nonfinite": 1, "clip_norm": 1.0}
    buffer, optimizer = stack(skips, {**skips, "skip_nonfinite": 0}, skips)
    alone, other = stack(skips)
    for step in range(6):
        gradient = buffer.values.clone()
        if step == 2:
            gradient[:2, 1] = torch.nan
        buffer.gradients.copy_(gradient)
        optimizer.step()
        assert (optimizer.skipped is None) == (step != 2)
        if step == 2:
            assert optimizer.skipped is not None
            assert optimizer.skipped.tolist() == [True, False, False]
        else:
            alone.gradients.copy_(alone.values)
            other.step()
    assert torch.equal(buffer.values[0], alone.values[0])
    assert bool(buffer.values[1].isnan().any())
    assert optimizer.state()["steps"].tolist() == [5, 6, 6]


def test_a_lane_that_never_has_a_finite_gradient_is_left_to_the_guard() -> None:
    buffer, optimizer = stack({"lr": 0.1, "skip_nonfinite": 1})
    for _ in range(IN_A_ROW):
        buffer.gradients.fill_(torch.nan)
        optimizer.step()
        assert bool(buffer.values.isfinite().all())
    buffer.gradients.fill_(torch.nan)
    optimizer.step()
    assert bool(buffer.values.isnan().all())
