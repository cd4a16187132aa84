"""Nesterov's accelerated gradient (Nesterov 1983), in the form of Sutskever et al. 2013."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.momentum import MOMENTUM, MOMENTUM_RATE
from lanewise.optim.rule import DECAY, Leaves, Rule, State, rowwise


@final
class Nesterov(Rule):
    """``v <- mu v + g``; ``theta <- theta - lr (g + mu v)``: the gradient as if one step ahead."""

    name: ClassVar[str] = "nesterov"
    hypers: ClassVar[tuple[Hyper, ...]] = (MOMENTUM_RATE, MOMENTUM, DECAY)
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        for param, grad, velocity in zip(params, grads, state["velocity"], strict=True):
            friction = rowwise(hyper["momentum"], param)
            velocity.mul_(friction).add_(grad)
            param.addcmul_(torch.addcmul(grad, velocity, friction), rowwise(-hyper["lr"], param))
