"""RMSprop (Tieleman & Hinton 2012, lecture 6.5)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

RMSPROP_RATE = Hyper(name="lr", default=1e-3, low=3e-5, high=0.1, scale="log", words="learning rate")
SMOOTHING = Hyper(name="alpha", default=0.99, low=0.9, high=0.999, words="memory of the mean square")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root")


@final
class RMSpropRule(Rule):
    """``v <- alpha v + (1 - alpha) g^2``; ``theta <- theta - lr g / (sqrt(v) + eps)``."""

    name: ClassVar[str] = "rmsprop"
    hypers: ClassVar[tuple[Hyper, ...]] = (RMSPROP_RATE, SMOOTHING, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean_square"),)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        alpha = hyper["alpha"]
        square = state["mean_square"].mul_(alpha).addcmul_(grads, grads, 1 - alpha)
        params.addcdiv_(grads, square.sqrt().add_(hyper["eps"]), -hyper["lr"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [
            rowwise(hyper["lr"], square) / square.sqrt().add_(rowwise(hyper["eps"], square))
            for square in state["mean_square"]
        ]


@final
class RMSprop(DropIn):
    """RMSprop: ``v <- alpha v + (1 - alpha) g^2``; ``theta <- theta - lr g / (sqrt(v) + eps)`` (:class:`RMSpropRule`).

    ``weight_decay`` is added to the gradient as ``weight_decay theta``.

    Raises ``UsageError`` for a setting that is negative or not finite, and for ``alpha`` of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = RMSprop([weight], lr=0.05, alpha=0.75)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> round(weight.item(), 6)
    0.9

    Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5.
    """

    rule = RMSpropRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, maximize=maximize)
