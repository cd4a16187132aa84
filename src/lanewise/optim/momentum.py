"""Heavy-ball momentum (Polyak 1964)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

MOMENTUM_RATE = Hyper(name="lr", default=0.03, low=3e-4, high=1.0, scale="log", words="learning rate")
MOMENTUM = Hyper(name="momentum", default=0.9, low=0.5, high=0.99, words="friction of the heavy ball, mu")


class MomentumRule(Rule):
    """``v <- mu v + g``; ``theta <- theta - lr v``.

    torch's convention: lr multiplies the velocity when it is applied, so a change of lr acts on the
    whole velocity at once (Sutskever et al. 2013 fold lr into v instead). No dampening.
    """

    name: ClassVar[str] = "momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (MOMENTUM_RATE, MOMENTUM, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("velocity"),)
    sparse = "dense"
    nesterov: ClassVar[bool] = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        velocity = state["velocity"].mul_(hyper["momentum"]).add_(grads)
        params.add_(velocity, -hyper["lr"])

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads, velocities = tensors
        torch.ops.aten._fused_sgd_(  # the kernel behind torch.optim.SGD(fused=True)
            list(params),
            list(grads),
            list(velocities),
            weight_decay=hyper["weight_decay"],
            momentum=hyper["momentum"],
            lr=hyper["lr"],
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            is_first_step=False,
        )
        return True


@final
class Momentum(DropIn):
    """Heavy-ball momentum: ``v <- mu v + g``; ``theta <- theta - lr v`` (:class:`MomentumRule`).

    ``momentum`` is mu; ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Momentum([weight], lr=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> weight.item()
    0.0

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods".
    """

    rule = MomentumRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, maximize=maximize)
