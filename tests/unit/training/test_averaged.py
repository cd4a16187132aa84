"""Which weights lanes are judged by, and how these follow the training."""

from types import ModuleType
from typing import Any

import pytest
import torch

from lanewise.training import averaged


def trained(small: ModuleType, schedule: str, fraction: float) -> Any:
    stack = small.stack(small.lanes([small.candidate("one", "linear", schedule=schedule)]))
    stack.advance(fraction)
    return stack


def test_the_average_looks_back_over_a_fifth_of_the_training() -> None:
    average, values = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    averaged.follow(average, values, taken=50, every=10)
    assert torch.allclose(average, torch.full_like(average, 10 / (0.2 * 50 + 10)))
    averaged.follow(average, values, taken=10_000, every=10)
    assert average[0, 0] == pytest.approx(0.5 + 0.5 * 10 / 2010)


@pytest.mark.parametrize(
    ("schedule", "fraction", "by_average"),
    [("cosine", 0.5, True), ("cosine", 1.0, False), ("constant", 0.5, True), ("constant", 1.0, True)],
)
def test_until_its_rate_has_decayed_a_lane_is_judged_by_the_average(
    small: ModuleType, schedule: str, fraction: float, *, by_average: bool
) -> None:
    stack = trained(small, schedule, fraction)
    found = averaged.judged(stack.lanes, stack.buffer, stack.optimizer, stack.average)
    assert not torch.equal(stack.average, stack.buffer.values)
    assert torch.equal(found, stack.average if by_average else stack.buffer.values)


def test_before_the_first_step_that_is_followed_there_is_no_average(small: ModuleType) -> None:
    stack = trained(small, "cosine", 0.5)
    assert torch.equal(averaged.judged(stack.lanes, stack.buffer, stack.optimizer, None), stack.buffer.values)
