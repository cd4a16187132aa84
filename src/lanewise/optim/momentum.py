"""Heavy-ball momentum (Polyak 1964)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, choose
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

MOMENTUM_RATE = Hyper(name="lr", default=0.03, low=3e-4, high=1.0, scale="log", words="learning rate")
DAMPENING = Hyper(name="dampening", default=0.9, low=0.5, high=0.99, words="share of the gradient kept out of v")
MOMENTUM = Hyper(name="momentum", default=0.9, low=0.5, high=0.99, words="friction of the heavy ball, mu")


_torch: Final[Any] = torch  # its fused kernels are untyped


class MomentumRule(Rule):
    """``v <- mu v + g``; ``theta <- theta - lr v``.

    torch's convention: lr multiplies the velocity when it is applied, so a change of lr acts on the
    whole velocity at once (Sutskever et al. 2013 fold lr into v instead). No dampening: that is
    :class:`DampenedMomentumRule`.
    """

    name: ClassVar[str] = "momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (MOMENTUM_RATE, MOMENTUM, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("velocity", torch="momentum_buffer"),)
    sparse = "dense"
    nesterov: ClassVar[bool] = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        velocity = state["velocity"].mul_(hyper["momentum"]).add_(grads)
        params.add_(velocity, -hyper["lr"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [hyper["lr"] / (1 - hyper["momentum"])]

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads, velocities = tensors
        _torch._fused_sgd_(  # the kernel behind torch.optim.SGD(fused=True)
            params,
            grads,
            velocities,
            weight_decay=hyper["weight_decay"],
            momentum=hyper["momentum"],
            lr=hyper["lr"],
            dampening=hyper.get("dampening", 0.0),
            nesterov=self.nesterov,
            maximize=False,
            is_first_step="dampening" in hyper and step == 1,
        )
        return True


@final
class DampenedMomentumRule(MomentumRule):
    """``v <- mu v + (1 - dampening) g``; ``theta <- theta - lr v``.

    As in torch, the first step is not dampened: v begins at g. With ``dampening`` equal to ``momentum`` v is a running
    mean of the gradients.
    """

    name: ClassVar[str] = "dampened_momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (MOMENTUM_RATE, MOMENTUM, DAMPENING, DECAY)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        share = choose(step == 1, 1.0, 1 - hyper["dampening"])
        velocity = state["velocity"].mul_(hyper["momentum"]).add_(grads, share)
        params.add_(velocity, -hyper["lr"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        (rate,) = super().metric(state, hyper, step)
        return [rate * (1 - hyper["dampening"])]


@final
class Momentum(DropIn):
    """Heavy-ball momentum: ``v <- mu v + g``; ``theta <- theta - lr v`` (:class:`MomentumRule`).

    ``momentum`` is mu. ``dampening`` keeps a share of the gradient out of v (:class:`DampenedMomentumRule`).
    ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a dampening of 1 or more.

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
    fractions = ("dampening",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        dampening: float = 0.0,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            dampening=dampening,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _DAMPENED if group["dampening"] else self.rule


_DAMPENED = DampenedMomentumRule()
