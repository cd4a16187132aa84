"""What a tuning race says of its ranks."""

from typing import Any

import torch
from torch import nn

import lanewise

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
GIVEN: dict[str, Any] = {
    "train": (X, X.sum(1, keepdim=True)),
    "valid": (X[:32], X[:32].sum(1, keepdim=True)),
    "loss": nn.MSELoss(),
    "budget": "20steps",
    "policy": "never",
    "workers": 1,
}
RATE = {"optimizer": "sgd", "lr": 0.1, "batch_size": 16}


def test_a_race_in_one_process_says_that_nothing_is_split() -> None:
    found = lanewise.tune(lambda: nn.Linear(3, 1), **GIVEN, candidates=[RATE], mesh="auto")
    assert found.document["hardware"]["mesh_why"].startswith("mesh auto: there is one process, so that nothing is")
    assert "mesh" not in found.document["hardware"]
    assert "mesh_why" not in lanewise.tune(lambda: nn.Linear(3, 1), **GIVEN, candidates=[RATE]).document["hardware"]
