"""What the races of `test_tune_kills.py` and `test_tune_signals.py` train."""

import torch
from torch import nn

draw = torch.Generator().manual_seed(0)
X = torch.randn(500, 12, generator=draw)
y = (X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * torch.randn(500, generator=draw) > 0).long()

candidates = [
    {"optimizer": name, "lr": lr, "batch_size": batch}
    for lr in (1e-3, 1e-2, 0.1, 1e4)
    for name, batch in (("adamw", 32), ("momentum", 64), ("sgd", 32))
]


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 2))


def data():
    return (X[:400], y[:400]), (X[400:], y[400:])
