"""Stochastic gradient descent (Robbins & Monro 1951), plain."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.momentum import DampenedMomentumRule, MomentumRule
from lanewise.optim.nesterov import NesterovRule
from lanewise.optim.rule import DECAY, HyperValues, Rule, State

SGD_RATE = Hyper(name="lr", default=0.1, low=1e-3, high=3.0, scale="log", words="learning rate")


_torch: Final[Any] = torch  # its fused kernels are untyped


class SGDRule(Rule):
    """``theta <- theta - lr g``, g being the gradient on a batch that is drawn anew at each step.

    On all rows at once it is gradient descent: the same rule with a batch as long as the table.
    """

    name: ClassVar[str] = "sgd"
    hypers: ClassVar[tuple[Hyper, ...]] = (SGD_RATE, DECAY)
    sparse = "rows"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        params.add_(grads, -hyper["lr"])

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads = tensors
        _torch._fused_sgd_(
            params,
            grads,
            [],
            weight_decay=hyper["weight_decay"],
            momentum=0.0,
            lr=hyper["lr"],
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        return True


@final
class SGD(DropIn):
    """Stochastic gradient descent: ``theta <- theta - lr g`` (:class:`SGDRule`).

    With ``momentum`` it is the heavy ball (:class:`MomentumRule`), with ``nesterov`` too Nesterov's form, both without
    dampening; ``dampening`` is for the heavy ball alone (:class:`DampenedMomentumRule`). ``weight_decay`` is added to
    the gradient as ``weight_decay theta``. Sparse gradients touch only the rows that they name, unless momentum or
    weight decay moves the others too.
    ``foreach`` and ``fused`` choose between implementations in torch, and are ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, a dampening of 1 or more, and ``nesterov``
    without momentum or with dampening.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> optimizer = SGD([weight], lr=0.5)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> weight.tolist()
    [0.0, 0.0]

    Robbins & Monro 1951, "A stochastic approximation method".
    """

    rule = SGDRule()
    fractions = ("dampening",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        del foreach, fused  # the steps are the same
        if nesterov and not momentum:
            message = "nesterov needs a momentum above 0, 0.9 for instance"
            raise UsageError(message)
        if nesterov and dampening:
            message = f"nesterov needs a dampening of 0, got {dampening}"
            raise UsageError(message)
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            dampening=dampening,
            nesterov=nesterov,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        if group["nesterov"]:
            return _NESTEROV
        if not group["momentum"]:
            return self.rule
        return _DAMPENED if group["dampening"] else _MOMENTUM


_MOMENTUM, _DAMPENED, _NESTEROV = MomentumRule(), DampenedMomentumRule(), NesterovRule()
