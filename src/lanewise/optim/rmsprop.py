"""RMSprop (Tieleman & Hinton 2012, lecture 6.5)."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.rule import DECAY, Leaves, Rule, State, rowwise

RMSPROP_RATE = Hyper(name="lr", default=1e-3, low=3e-5, high=0.1, scale="log", words="learning rate")
SMOOTHING = Hyper(name="alpha", default=0.99, low=0.9, high=0.999, words="memory of the mean square")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root")


@final
class RMSprop(Rule):
    """``v <- alpha v + (1 - alpha) g^2``; ``theta <- theta - lr g / (sqrt(v) + eps)``."""

    name: ClassVar[str] = "rmsprop"
    hypers: ClassVar[tuple[Hyper, ...]] = (RMSPROP_RATE, SMOOTHING, EPSILON, DECAY)
    slots: ClassVar[tuple[str, ...]] = ("mean_square",)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        for param, grad, square in zip(params, grads, state["mean_square"], strict=True):
            alpha = rowwise(hyper["alpha"], param)
            square.mul_(alpha).addcmul_(grad, grad * (1 - alpha))
            root = square.sqrt().add_(rowwise(hyper["eps"], param))
            param.addcdiv_(grad * rowwise(-hyper["lr"], param), root)

    def metric(self, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> list[Tensor]:
        return [
            rowwise(hyper["lr"], square) / square.sqrt().add_(rowwise(hyper["eps"], square))
            for square in state["mean_square"]
        ]
