"""Heavy-ball momentum (Polyak 1964)."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor

from lanewise.lanes.hyper import Hyper
from lanewise.optim.rule import DECAY, Leaves, Rule, State, rowwise

MOMENTUM_RATE = Hyper(name="lr", default=0.03, low=3e-4, high=1.0, scale="log", words="learning rate")
MOMENTUM = Hyper(name="momentum", default=0.9, low=0.5, high=0.99, words="friction of the heavy ball, mu")


@final
class Momentum(Rule):
    """``v <- mu v + g``; ``theta <- theta - lr v``.

    torch's convention: lr multiplies the velocity when it is applied, so a change of lr acts on the
    whole velocity at once (Sutskever et al. 2013 fold lr into v instead). No dampening.
    """

    name: ClassVar[str] = "momentum"
    hypers: ClassVar[tuple[Hyper, ...]] = (MOMENTUM_RATE, MOMENTUM, DECAY)
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: Mapping[str, Tensor], step: Tensor) -> None:
        for param, grad, velocity in zip(params, grads, state["velocity"], strict=True):
            velocity.mul_(rowwise(hyper["momentum"], param)).add_(grad)
            param.addcmul_(velocity, rowwise(-hyper["lr"], param))
