"""Lanes are stacked or trained one by one as was measured, where the budget is a time."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.candidate import Candidate
from lanewise.training.modules.teams import Way, batch_of
from lanewise.training.stack import Stack
from lanewise.tuning import TuneResult, faster_ways, planning, tune
from lanewise.tuning.faster_ways import fastest
from lanewise.tuning.tune import asked

X = torch.randn(96, 1, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0, 0] > 0).long()
RATES = [{"optimizer": "sgd", "lr": 0.01 * (1 + place)} for place in range(4)]
USUAL: dict[str, Any] = {"train": (X, Y), "valid": 0.25, "loss": nn.CrossEntropyLoss(), "workers": 1}
ONE_BY_ONE = Way(looped=True, loss_looped=False, width=1, words="one by one")
STACKED = Way(looped=False, loss_looped=False, width=64, words="stacked")


def convolving() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(30, 2))


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))


@pytest.fixture
def clock(monkeypatch):
    """A machine on which a step takes so long for a lane alone, and so long for each lane of a stack."""

    def says(*, alone: float, stacked: float) -> None:
        def step(stack: Stack) -> float:
            stack.advance((round(stack.fraction * stack.length) + 1) / stack.length)
            return alone if stack.subject.looped else stacked * len(stack.lanes)

        monkeypatch.setattr(faster_ways, "_step", step)

    return says


@pytest.fixture(autouse=True)
def steps(monkeypatch) -> None:
    """A budget in seconds is one of 40 steps."""
    monkeypatch.setattr(planning, "_measured", lambda *given: (7.0 / (40 * 16), 0.0))


def raced(make, budget: str) -> TuneResult:
    return tune(make, candidates=RATES, budget=budget, policy="never", batch_size=16, **USUAL)


def way_of(found: TuneResult) -> str:
    return next(words for words in found.plan.words if words.startswith("batch size"))


@pytest.mark.parametrize(
    ("make", "alone", "stacked", "says"),
    [
        (convolving, 3e-4, 1e-4, "stacked, up to 64 lanes in one pass: measured to be 3 times as fast"),
        (convolving, 3e-4, 2.9e-4, "lanes are trained one by one: convolutions are faster so on a CPU"),
        (linear, 1e-4, 2e-4, "lanes are trained one by one: that is faster: measured to be 2 times as fast"),
        (linear, 1e-4, 1.1e-4, "stacked, up to 64 lanes in one pass"),
    ],
)
def test_what_was_clearly_faster_is_raced(clock, make, alone: float, stacked: float, says: str) -> None:
    clock(alone=alone, stacked=stacked)
    found = raced(make, "10s")
    assert way_of(found).endswith(says)
    assert len(found.table) == len(RATES)


def test_a_budget_in_steps_measures_nothing(monkeypatch) -> None:
    monkeypatch.setattr(faster_ways, "_step", lambda stack: pytest.fail("the clock was read"))
    assert "one by one" in way_of(raced(convolving, "20steps"))


class Deciding(nn.Module):
    """Looks at values in Python, which vmap refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(12, 2)

    def forward(self, rows: Tensor) -> Tensor:
        out = self.inner(rows[:, 0])
        return out if out.sum().item() > 0 else 2 * out


def test_what_cannot_be_stacked_is_not_measured(monkeypatch) -> None:
    monkeypatch.setattr(faster_ways, "_step", lambda stack: pytest.fail("the clock was read"))
    assert "stacking them failed" in way_of(raced(Deciding, "10s"))


def posed():
    found = asked(linear, candidates=RATES, budget="10s", **USUAL)
    return found.teams, found.wanted.candidates


def test_a_lane_alone_a_long_step_and_scarce_memory_are_not_measured_out(clock, monkeypatch) -> None:
    teams, candidates = posed()
    clock(alone=1.0, stacked=1e-3)
    assert fastest(teams, (ONE_BY_ONE, STACKED), candidates=candidates[:1], seconds=1e9) is ONE_BY_ONE
    assert fastest(teams, (ONE_BY_ONE, STACKED), candidates=candidates, seconds=60.0) is ONE_BY_ONE
    assert fastest(teams, (ONE_BY_ONE, STACKED), candidates=candidates, seconds=1e9).width == STACKED.width

    def scarce(stack: Stack) -> float:
        raise MemoryError

    monkeypatch.setattr(faster_ways, "_step", scarce)
    assert fastest(teams, (STACKED, ONE_BY_ONE), candidates=candidates, seconds=60.0) is ONE_BY_ONE


def test_steps_are_timed_by_the_clock() -> None:
    teams, candidates = posed()
    assert isinstance(candidates[0], Candidate)
    assert batch_of(candidates[0]) == batch_of(candidates[-1])
    found = fastest(teams, (STACKED, ONE_BY_ONE), candidates=candidates, seconds=1e6)
    assert found.width in (STACKED.width, ONE_BY_ONE.width)
