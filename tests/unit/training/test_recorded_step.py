"""What is copied where for a step that a graph repeats; the graph itself is stood in for by the step it was made of.

tests/gpu has the real one.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from lanewise.lanes.roster import Lane
from lanewise.training.recorded_step import WARM_STEPS, WORTH_RECORDING, RecordedStep
from lanewise.training.stack import Stack


class Repeated:
    """Replays by taking the step again, with what lies in the places it read when it was recorded."""

    def __init__(self, again: Callable[[], Tensor], losses: Tensor) -> None:
        self.again, self.losses, self.replays = again, losses, 0

    def replay(self) -> None:
        self.replays += 1
        self.losses.copy_(self.again())


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[Repeated]:
    made: list[Repeated] = []

    def record(self: RecordedStep, take: Any) -> None:
        rows, rates, noise = self._rows, self._rates, self._noise
        assert rates is not None
        held = self._losses = torch.zeros(len(rates))
        graph: Any = Repeated(lambda: take(rows, rates, noise), held)
        made.append(graph)
        self._graph = graph

    monkeypatch.setattr(RecordedStep, "_record", record)
    return made


def stacks(small: ModuleType) -> tuple[Stack, Stack]:
    """Two of the same lanes: schedules, warm-up, dropout, two folds and two seeds."""
    data = small.data()
    found = []
    for _ in range(2):
        lanes = [
            Lane(candidate=small.candidate(f"c{fold}{seed}", dropout=0.3, schedule="cosine"), fold=fold, seed=seed)
            for fold in (0, 1)
            for seed in (0, 1)
        ]
        found.append(Stack(lanes, data, length=60, batch_size=8))
    found[1]._records = True
    return found[0], found[1]


def test_steps_that_are_replayed_end_in_the_same_bits(small: ModuleType, repeated: list[Repeated]) -> None:
    plain, recorded = stacks(small)
    for fraction in (0.5, 1.0):
        plain.advance(fraction)
        recorded.advance(fraction)
        assert torch.equal(plain.buffer.rows, recorded.buffer.rows)
        for one, other in zip(plain.evidence(), recorded.evidence(), strict=True):
            assert one.train_loss == pytest.approx(other.train_loss, rel=1e-6)
    assert plain.optimizer.taken == recorded.optimizer.taken == 60
    assert [graph.replays for graph in repeated] == [60 - WARM_STEPS]


def test_lanes_that_leave_end_a_recording(small: ModuleType, repeated: list[Repeated]) -> None:
    plain, recorded = stacks(small)
    for stack in (plain, recorded):
        stack.advance(0.3)
        stack.keep([own.id for own in stack.lanes][1:3])
        stack.advance(1.0)
    assert torch.equal(plain.buffer.rows, recorded.buffer.rows)
    assert len(repeated) == 2


def test_a_recording_goes_on_from_a_state_that_is_restored(small: ModuleType, repeated: list[Repeated]) -> None:
    plain, recorded = stacks(small)
    plain.advance(0.5)
    tensors, rest = plain.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    recorded.advance(0.3)
    recorded.restore(kept, rest)
    plain.advance(1.0)
    recorded.advance(1.0)
    assert torch.equal(plain.buffer.rows, recorded.buffer.rows)
    assert len(repeated) == 1


def test_a_short_rest_is_not_recorded(small: ModuleType, repeated: list[Repeated]) -> None:
    _, recorded = stacks(small)
    recorded.advance((60 - WORTH_RECORDING - 1) / 60)
    recorded.settle()
    recorded.advance(1.0)
    assert len(repeated) == 1


def test_what_decides_on_the_host_is_not_recorded(small: ModuleType, repeated: list[Repeated]) -> None:
    for settings in ({"schedule": "plateau"}, {"skip_nonfinite": 1.0}):
        stack = Stack(
            [Lane(candidate=small.candidate("c", **settings), fold=0, seed=0)], small.data(), length=40, batch_size=8
        )
        stack._records = True
        stack.advance(1.0)
    assert not repeated
