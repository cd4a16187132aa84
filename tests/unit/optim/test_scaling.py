"""The loss scale of each lane: as torch's own for one model, and no lane notices another."""

import pytest
import torch

from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim import scaling
from lanewise.optim.execution import LaneOptimizer
from lanewise.optim.scaling import SMALLEST, START, LaneScaling

LAYOUT = BufferLayout.of([Parameter(name="weight", shape=(3,), fan_in=3)])
OVERFLOWS = {2, 3, 9}


def test_scales_go_as_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "PATIENCE", 4)
    lanes, truth = LaneScaling(2), torch.amp.GradScaler("cpu", growth_interval=4)
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    truth.scale(weight.sum())
    for step in range(14):
        bad = torch.inf if step in OVERFLOWS else 1.0
        weight.grad = torch.full((3,), bad) * truth.get_scale()
        truth.step(optimizer)
        truth.update()
        gradients = torch.tensor([[bad], [1.0]]) * lanes.scale[:, None].float()
        lanes.unscale(gradients)
        assert gradients[:, 0].tolist() == [bad, 1.0]
        broken = lanes.overflowed()
        assert (broken is not None and broken.tolist() == [True, False]) == (step in OVERFLOWS)
        assert float(lanes.scale[0]) == truth.get_scale()
    assert float(lanes.scale[1]) == START * 2**3


def test_what_overflows_at_any_scale_is_left_to_the_guard() -> None:
    lanes = LaneScaling(1)
    left_out = 0
    for _ in range(50):
        lanes.unscale(torch.tensor([[torch.nan]]))
        left_out += lanes.overflowed() is not None
    assert float(lanes.scale) == SMALLEST
    assert left_out == 32


@pytest.mark.parametrize("rule", ["momentum", "adamw", "muon"])
def test_only_the_lane_that_overflows_leaves_its_update_out(rule: str) -> None:
    both, together = _optimizer(rule, "a", "b")
    solo, alone = _optimizer(rule, "b")
    for step in range(4):
        own = torch.tensor([0.5, -1.0, 0.1 * step])
        if step == 2:
            kept, before = both.values[0].clone(), together.state()
        both.gradients.copy_(torch.stack([own * (torch.inf if step == 2 else 1.0), own]))
        solo.gradients.copy_(own)
        for buffer, each in ((both, together), (solo, alone)):
            assert each.scaling is not None
            buffer.gradients.mul_(each.scaling.scale[:, None].float())
            each.scaling.unscale(buffer.gradients)
            each.step()
        if step == 2:
            assert torch.equal(both.values[0], kept)
            now = together.state()
            assert all(torch.equal(now[name][0], before[name][0]) for name in now if not name.startswith("scaling"))
        assert torch.equal(both.values[1], solo.values[0])
    assert together.state()["scaling/scale"].tolist() == [START / 2, START]
    _, after = _optimizer(rule, "b")
    after.restore({name: tensor[1:] for name, tensor in together.state().items()})
    assert after.state()["scaling/scale"].tolist() == [START]


def _optimizer(rule: str, *names: str) -> tuple[LaneBuffer, LaneOptimizer]:
    own = [
        Lane(candidate=Candidate(id=name, model="m", optimizer=rule, settings={"lr": 0.1}), fold=0, seed=0)
        for name in names
    ]
    buffer = LaneBuffer(LAYOUT, torch.ones(len(own), 3))
    return buffer, LaneOptimizer(Roster.of(own), buffer, length=9, scaled=True)
