"""What a tuning race says of its ranks."""

from typing import Any

from torch import nn

import lanewise


def test_a_race_in_one_process_says_that_nothing_is_split(one_rate: dict[str, Any]) -> None:
    found = lanewise.tune(lambda: nn.Linear(3, 1), **one_rate, mesh="auto")
    assert found.document["hardware"]["mesh_why"].startswith("mesh auto: there is one process, so that nothing is")
    assert "mesh" not in found.document["hardware"]
    assert "mesh_why" not in lanewise.tune(lambda: nn.Linear(3, 1), **one_rate).document["hardware"]
