"""Signs of life from a race."""

import pytest

from lanewise.metrics import METRICS
from lanewise.training.watching.pulse import pulse_of


@pytest.mark.parametrize("parts", [3, 7, 49, 110])
def test_shares_that_add_up_to_all_of_it_but_for_rounding_are_all_of_it(parts: int) -> None:
    done = 0.0
    for _ in range(parts):
        done += 1 / parts
    assert pulse_of([], phase="confirm", done=done, metric=METRICS["rmse"]).done == 1.0
