"""Learning-rate schedules: pure functions of how far the training is, vectorized over lanes.

Each maps ``progress`` (0 before the first step, 1 after the last) to a factor of the peak rate.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def constant(progress: Tensor) -> Tensor:
    """Factor 1 all along."""
    return torch.ones_like(progress)


def linear(progress: Tensor) -> Tensor:
    """Linear decay to zero, ``1 - t``; the default, for it beat cosine in wide comparisons
    (Defazio et al. 2023, arXiv:2310.07831; arXiv:2502.15938)."""
    return 1 - progress


def cosine(progress: Tensor) -> Tensor:
    """Cosine decay to zero, ``(1 + cos(pi t)) / 2`` (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + torch.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"constant": constant, "linear": linear, "cosine": cosine}


def factors(name: str, steps: Tensor, length: int, warmup: float) -> Tensor:
    """Factors ``[T]`` at ``steps [T]`` (counted from 0) of a training of ``length`` steps.

    The first ``warmup`` share of the steps climbs linearly, ``(s + 1) / w``; the schedule runs over
    what is left.

    >>> factors("linear", torch.arange(4), length=4, warmup=0.0).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """
    climb = round(warmup * length)
    steps = steps.to(torch.float64)
    progress = ((steps - climb) / max(length - climb, 1)).clamp(0, 1)
    decayed = SCHEDULES[name](progress)
    return torch.where(steps < climb, (steps + 1) / max(climb, 1), decayed)
