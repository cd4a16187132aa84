"""Made-up tasks of known law, of which there are as many rows as anybody wants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]
Draw = Callable[[torch.Generator, int], Pair]


@dataclass(frozen=True, kw_only=True)
class Law:
    """Rows ``draw(generator, N)`` of six numbers each, the loss, and how many outputs a network has for them."""

    draw: Draw
    loss: nn.Module
    outputs: int


def classes(draw: torch.Generator, rows: int) -> Pair:
    """Two classes, by a product, a number and noise."""
    X, noise = torch.randn(rows, 6, generator=draw), torch.randn(rows, generator=draw)
    return X, (X[:, 0] * X[:, 1] + 0.5 * X[:, 2] + 0.3 * noise > 0).long()


def numbers(draw: torch.Generator, rows: int) -> Pair:
    """A number: the sine of a product, an absolute value and noise of variance 0.04."""
    X, noise = torch.randn(rows, 6, generator=draw), torch.randn(rows, 1, generator=draw)
    return X, (X[:, :1] * X[:, 1:2]).sin() + X[:, 2:3].abs() + 0.2 * noise


LAWS: Mapping[str, Law] = {
    "classes": Law(draw=classes, loss=nn.CrossEntropyLoss(), outputs=2),
    "numbers": Law(draw=numbers, loss=nn.MSELoss(), outputs=1),
}


def network(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """One hidden layer of rectifiers."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
