"""The rate at another batch size, for every optimizer that a race offers."""

import pytest

from lanewise.tuning.drop_ins import RACED
from lanewise.tuning.finders.rescaling import rescaled, scaling_of

LINEAR = {"sgd", "momentum", "nesterov", "dampened_momentum", "asgd", "polyak", "schedule_free_sgd"}
NONE = {"dog", "prodigy"}


@pytest.mark.parametrize("optimizer", RACED)
def test_steps_in_proportion_to_the_gradient_scale_linearly_and_others_by_the_root(optimizer) -> None:
    wanted = "linear" if optimizer in LINEAR else "none" if optimizer in NONE else "root"
    assert scaling_of(optimizer) == wanted


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.8), ("adamw", 0.2), ("prodigy", 0.1)])
def test_the_rate_follows_the_batch_and_comes_back(optimizer, rate) -> None:
    larger = rescaled(0.1, optimizer=optimizer, size=16, to=128)
    expected = 0.1 * 8**0.5 if optimizer == "adamw" else rate
    assert larger == pytest.approx(expected)
    assert rescaled(larger, optimizer=optimizer, size=128, to=16) == pytest.approx(0.1)
