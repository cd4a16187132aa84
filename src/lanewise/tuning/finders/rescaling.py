"""The learning rate at another batch size."""

from typing import Literal

import torch
from torch import nn

from lanewise.tuning.drop_ins import DROP_INS

Scaling = Literal["linear", "root", "none"]

STEPS = 20

SELF_TUNED = ("dog", "prodigy")
"""Rules that find their rate while they train; ``lr`` is a factor of it."""


def scaling_of(optimizer: str) -> Scaling:
    """How the rate of an optimizer goes with the batch size: ``linear``, ``root`` or ``none``.

    Linear where the step is proportional to the gradient, as in stochastic gradient descent: k batches of one are about
    one batch of k at k times the rate. By the root where the length of a step does not depend on the gradient's, as in
    Adam: what counts there is the noise of its direction. Which of the two is told by the length of a step of the rule
    under a constant gradient and under its double. None for rules that find their rate.

    Source: linear, Goyal et al. (2017), Accurate, large minibatch SGD; root, Malladi, Lyu, Panigrahi and Arora (2022),
    On the SDEs and scaling rules for adaptive gradient algorithms.

    >>> scaling_of("momentum"), scaling_of("adamw"), scaling_of("dog")
    ('linear', 'root', 'none')
    """
    if optimizer in SELF_TUNED:
        return "none"
    return "linear" if _step(optimizer, 2.0) > 1.5 * _step(optimizer, 1.0) else "root"


def _step(optimizer: str, factor: float) -> float:
    """The length of a step after the first ones, in which some adaptive rules (RAdam) are not so yet."""
    weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    weight.grad = factor * torch.tensor([[0.3, -0.2], [0.1, 0.4]], dtype=torch.float64)
    rule = DROP_INS[optimizer]([weight], lr=1e-3)
    for _ in range(STEPS - 1):
        rule.step()
    before = weight.detach().clone()
    rule.step()
    return float((weight.detach() - before).norm())


def rescaled(lr: float, *, optimizer: str, size: int, to: int) -> float:
    """The rate at batches of ``to`` rows that does what ``lr`` does at ``size``, by :func:`scaling_of`.

    ``lr · to / size`` where linear, ``lr · √(to / size)`` where by the root.

    >>> rescaled(0.1, optimizer="sgd", size=32, to=128), rescaled(1e-3, optimizer="adamw", size=32, to=128)
    (0.4, 0.002)
    """
    return lr * (to / size) ** {"linear": 1.0, "root": 0.5, "none": 0.0}[scaling_of(optimizer)]
