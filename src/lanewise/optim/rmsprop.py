"""RMSprop (Tieleman & Hinton 2012, lecture 6.5), plain, centred (Graves 2013), and either with momentum."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

RMSPROP_RATE = Hyper(name="lr", default=1e-3, low=3e-5, high=0.1, scale="log", words="learning rate")
SMOOTHING = Hyper(name="alpha", default=0.99, low=0.9, high=0.999, words="memory of the mean square")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root")


MOMENTUM = Hyper(name="momentum", default=0.9, low=0.5, high=0.99, words="friction of the steps, mu")

SQUARE = Slot("mean_square", torch="square_avg")
MEAN = Slot("mean", torch="grad_avg")
VELOCITY = Slot("velocity", torch="momentum_buffer")

_torch: Final[Any] = torch  # its fused kernels are untyped


class RMSpropRule(Rule):
    """``v <- alpha v + (1 - alpha) g^2``; ``theta <- theta - lr g / (sqrt(v) + eps)``.

    eps is outside the root, as in torch; TensorFlow and Optax have it inside. ``weight_decay`` is added to the
    gradient.
    """

    name: ClassVar[str] = "rmsprop"
    hypers: ClassVar[tuple[Hyper, ...]] = (RMSPROP_RATE, SMOOTHING, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (SQUARE,)
    centred: ClassVar[bool] = False
    heavy: ClassVar[bool] = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        alpha = hyper["alpha"]
        state["mean_square"].mul_(alpha).addcmul_(grads, grads, 1 - alpha)
        if self.centred:
            state["mean"].lerp_(grads, 1 - alpha)
        root = self._root(state).add_(hyper["eps"])
        if self.heavy:
            velocity = state["velocity"].mul_(hyper["momentum"]).addcdiv_(grads, root, 1.0)
            params.add_(velocity, -hyper["lr"])
        else:
            params.addcdiv_(grads, root, -hyper["lr"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        rate = hyper["lr"] / (1 - hyper["momentum"]) if self.heavy else hyper["lr"]
        return [rowwise(rate, root) / root.add_(rowwise(hyper["eps"], root)) for root in self._root(state)]

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads, squares, *more = tensors
        if more or params[0].device.type != "cpu":
            return False
        if hyper["weight_decay"]:
            grads = _torch._foreach_add(grads, params, alpha=hyper["weight_decay"])
        # Adam without memory of the mean, and so late that nothing is left to correct. Its mean then is the gradient,
        # which is written over itself: no memory is spent on it, and nothing changes (but inf to nan, as its weight).
        endless = torch.tensor(math.inf, dtype=torch.float32)
        _torch._fused_adam_(
            params,
            grads,
            grads,
            squares,
            [],
            [endless] * len(params),
            lr=hyper["lr"],
            beta1=0.0,
            beta2=hyper["alpha"],
            weight_decay=0.0,
            eps=hyper["eps"],
            amsgrad=False,
            maximize=False,
        )
        return True

    def _root(self, state: State) -> Leaves:
        if self.centred:
            mean = state["mean"]
            return state["mean_square"].map(
                lambda square, own: square.addcmul(own, own, value=-1).clamp_(min=0).sqrt_(), mean
            )
        return state["mean_square"].sqrt()


@final
class RMSpropMomentumRule(RMSpropRule):
    """``v <- alpha v + (1 - alpha) g^2``; ``w <- mu w + g / (sqrt(v) + eps)``; ``theta <- theta - lr w``."""

    name: ClassVar[str] = "rmsprop_momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (RMSPROP_RATE, SMOOTHING, MOMENTUM, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (SQUARE, VELOCITY)
    heavy: ClassVar[bool] = True


@final
class CentredRMSpropRule(RMSpropRule):
    """As RMSprop, with the variance ``v - m^2`` in the place of v; ``m <- alpha m + (1 - alpha) g``."""

    name: ClassVar[str] = "centred_rmsprop"
    slots: ClassVar[tuple[Slot, ...]] = (SQUARE, MEAN)
    centred: ClassVar[bool] = True


@final
class CentredRMSpropMomentumRule(RMSpropRule):
    """``w <- mu w + g / (sqrt(v - m^2) + eps)``; ``theta <- theta - lr w``; v and m as centred RMSprop has them."""

    name: ClassVar[str] = "centred_rmsprop_momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (RMSPROP_RATE, SMOOTHING, MOMENTUM, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (SQUARE, MEAN, VELOCITY)
    centred: ClassVar[bool] = True
    heavy: ClassVar[bool] = True


_VARIANTS = {
    (one.centred, one.heavy): one
    for one in (RMSpropRule(), RMSpropMomentumRule(), CentredRMSpropRule(), CentredRMSpropMomentumRule())
}
"""By whether they are centred and have momentum."""


@final
class RMSprop(DropIn):
    """RMSprop: ``v <- alpha v + (1 - alpha) g^2``; ``theta <- theta - lr g / (sqrt(v) + eps)`` (:class:`RMSpropRule`).

    With ``momentum`` the quotients are gathered as heavy-ball momentum gathers gradients; with ``centered`` the square
    of the mean gradient is taken off v. ``weight_decay`` is added to the gradient as ``weight_decay theta``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for ``alpha`` of 1 or more.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = RMSprop([weight], lr=0.05, alpha=0.75)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> round(weight.item(), 6)
    0.9

    Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5; Graves 2013, "Generating
    sequences with recurrent neural networks", which centres it.
    """

    rule = RMSpropRule()
    fractions = ("alpha",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _VARIANTS[bool(group["centered"]), group["momentum"] > 0]
