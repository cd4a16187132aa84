"""Bounds of variables, where there are some."""

import torch
from torch import Tensor


def within(points: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    """The nearest points ``[..., P]`` between bounds ``[P]``; None bounds nothing.

    >>> within(torch.tensor([[-1.0, 2.0]]), torch.zeros(2), None).tolist()
    [[0.0, 2.0]]
    """
    if low is not None:
        points = torch.maximum(points, low.to(points))
    return points if high is None else torch.minimum(points, high.to(points))
