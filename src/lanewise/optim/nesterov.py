"""Nesterov's accelerated gradient (Nesterov 1983), in the form of Sutskever et al. 2013."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.momentum import MomentumRule
from lanewise.optim.rule import HyperValues, State


@final
class NesterovRule(MomentumRule):
    """``v <- mu v + g``; ``theta <- theta - lr (g + mu v)``: the gradient as if one step ahead."""

    name: ClassVar[str] = "nesterov"
    nesterov: ClassVar[bool] = True

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        velocity = state["velocity"].mul_(hyper["momentum"]).add_(grads)
        params.add_(grads.add(velocity, hyper["momentum"]), -hyper["lr"])


@final
class Nesterov(DropIn):
    """Nesterov momentum: ``v <- mu v + g``; ``theta <- theta - lr (g + mu v)`` (:class:`NesterovRule`).

    ``momentum`` is mu; ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Nesterov([weight], lr=0.25, momentum=0.5)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> weight.item()
    0.25

    Nesterov 1983; Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    """

    rule = NesterovRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay, maximize=maximize, capturable=capturable
        )
