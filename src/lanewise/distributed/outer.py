"""What is made of the weights of workers that trained apart for a while: their mean, or an outer step towards it."""

from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from lanewise.errors import UsageError, suggestion


@final
@dataclass(frozen=True, kw_only=True)
class Outer:
    """The outer optimizer of workers that train apart: gradient descent with Nesterov momentum, once every H steps.

    With theta the weights that all workers began these H steps with, and theta_k where worker k has arrived,

    ``delta = theta - mean_k theta_k``; ``v <- momentum v + delta``; ``theta <- theta - lr (delta + momentum v)``,

    and every worker goes on from theta. ``lr`` 1 without momentum is the mean itself: local SGD (Stich 2019), or
    FedAvg (McMahan et al. 2017). ``lr`` 0.7 and ``momentum`` 0.9 are those of DiLoCo.

    Raises ``UsageError`` unless lr is positive and momentum from 0 to below 1.

    >>> import torch
    >>> theta, v = torch.tensor([1.0]), torch.zeros(1)
    >>> Outer(lr=0.5, momentum=0.5).step(theta, mean=torch.tensor([0.0]), velocity=v)
    >>> theta, v  # 1 - 0.5 (1 + 0.5 * 1)
    (tensor([0.2500]), tensor([1.]))

    Douillard et al. 2023, "DiLoCo: Distributed low-communication training of language models", algorithm 1.
    """

    lr: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.lr < float("inf"):
            message = f"the outer lr must be positive, got {self.lr}; 1 takes the mean, DiLoCo 0.7 of the way"
            raise UsageError(message)
        if not 0 <= self.momentum < 1:
            message = f"the outer momentum must be from 0 to below 1, got {self.momentum}; DiLoCo has 0.9"
            raise UsageError(message)

    @property
    def plain(self) -> bool:
        """Whether it is the mean and nothing else, so that nothing has to be remembered."""
        return self.lr == 1 and self.momentum == 0

    def step(self, theta: Tensor, *, mean: Tensor, velocity: Tensor | None) -> None:
        """Change ``theta`` and ``velocity`` in place, given the ``mean`` of where the workers have arrived."""
        outer_step(theta, mean=mean, velocity=velocity, lr=self.lr, momentum=self.momentum)


def outer_step(
    theta: Tensor, *, mean: Tensor, velocity: Tensor | None, lr: float | Tensor, momentum: float | Tensor
) -> None:
    """The step of :class:`Outer` for ``theta [..., P]``; ``lr`` and ``momentum`` are numbers, or one a row.

    It is reckoned from the mean, ``mean + (1 - lr) delta - lr momentum v``, so that plain averaging gives the mean to
    the bit.
    """
    delta = theta - mean
    theta.copy_(mean).add_(delta * (1 - lr))
    if velocity is not None:
        velocity.mul_(momentum).add_(delta)
        theta.sub_(velocity * (lr * momentum))


OUTERS = {"average": Outer(), "diloco": Outer(lr=0.7, momentum=0.9)}
"""Outer optimizers by name."""


def outer_of(given: Any) -> Outer:
    """The outer optimizer that was ``given``: its name, or one with settings of its own; None is plain averaging.

    Raises ``UsageError`` for anything else.

    >>> outer_of("diloco")
    Outer(lr=0.7, momentum=0.9)
    """
    if given is None:
        return Outer()
    if isinstance(given, Outer):
        return given
    if isinstance(given, str):
        if given not in OUTERS:
            message = f"there is no outer optimizer {given!r}; {suggestion(given, OUTERS)}"
            raise UsageError(message)
        return OUTERS[given]
    names = " or ".join(map(repr, OUTERS))
    message = f"outer must be {names}, or lanewise.Outer(lr=..., momentum=...), got {type(given).__name__}"
    raise UsageError(message)
