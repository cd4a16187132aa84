"""What several tests of tuning race."""

from typing import Any

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def one_rate() -> dict[str, Any]:
    """Settings of ``tune`` for three columns and one target: one rate, trained for twenty steps."""
    X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return {
        "train": (X, X.sum(1, keepdim=True)),
        "valid": (X[:32], X[:32].sum(1, keepdim=True)),
        "loss": nn.MSELoss(),
        "candidates": [{"optimizer": "sgd", "lr": 0.1, "batch_size": 16}],
        "budget": "20steps",
        "policy": "never",
        "workers": 1,
    }
