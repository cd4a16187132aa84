"""Gradient descent on all rows at once (Cauchy 1847)."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.rule import DECAY, Leaves, Rule, State
from lanewise.optim.sgd import SGD, SGD_RATE


@final
class GradientDescent(Rule):
    """``theta <- theta - lr grad``, the gradient being that of all training rows.

    Converges only for lr below 2 / lambda_max of the Hessian, so unscaled features make it diverge.
    """

    name: ClassVar[str] = "gd"
    hypers: ClassVar[tuple[Hyper, ...]] = (SGD_RATE, DECAY)
    full_batch: ClassVar[bool] = True

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        SGD().update(params, grads, state, hyper, step)
