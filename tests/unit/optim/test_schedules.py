import math

import pytest
import torch

from lanewise.optim.schedules import SCHEDULES, factors


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_starts_at_its_peak_and_never_exceeds_it(name: str) -> None:
    found = factors(name, torch.arange(50), length=50, warmup=0.0)
    assert found[0] == 1
    assert bool((found <= 1).all())
    assert bool((found > 0).all())
    assert bool((found.diff() <= 0).all())


def test_warm_up_climbs_to_the_peak_and_the_schedule_runs_over_the_rest() -> None:
    found = factors("linear", torch.arange(10), length=10, warmup=0.4)
    assert found.tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert float(factors("cosine", torch.tensor([5]), length=10, warmup=0.0)) == pytest.approx(0.5)
    assert float(factors("cosine", torch.tensor([1]), length=10, warmup=0.0)) == pytest.approx(
        (1 + math.cos(math.pi / 10)) / 2
    )
