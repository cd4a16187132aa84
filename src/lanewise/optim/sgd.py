"""Stochastic gradient descent (Robbins & Monro 1951), plain."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.rule import DECAY, Leaves, Rule, State, rowwise

SGD_RATE = Hyper(name="lr", default=0.1, low=1e-3, high=3.0, scale="log", words="learning rate")


@final
class SGD(Rule):
    """``theta <- theta - lr g``, g being the gradient on a batch that is drawn anew at each step.

    On all rows at once it is gradient descent: the same rule with a batch as long as the table.
    """

    name: ClassVar[str] = "sgd"
    hypers: ClassVar[tuple[Hyper, ...]] = (SGD_RATE, DECAY)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        for param, grad in zip(params, grads, strict=True):
            param.addcmul_(grad, rowwise(-hyper["lr"], param))
