"""What a plan is made for."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from lanewise.training.planning.making import _units


def test_rows_that_stay_together_count_as_one() -> None:
    train = np.arange(2, 10)
    alone: Any = SimpleNamespace(train=train, clusters=None)
    grouped: Any = SimpleNamespace(train=train, clusters=np.array([9, 9, 0, 0, 1, 1, 1, 1, 0, 2]))
    assert (_units(alone), _units(grouped)) == (8, 3)
