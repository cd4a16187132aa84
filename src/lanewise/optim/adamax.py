"""Adamax: Adam with the largest gradient in the place of the mean square (Kingma & Ba 2015, section 7.1)."""

from dataclasses import replace
from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import BETA1, BETA2
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

ADAMAX_RATE = Hyper(name="lr", default=2e-3, low=2e-4, high=0.1, scale="log", words="learning rate")
LARGEST = replace(BETA2, words="memory of the largest gradient")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; added to the gradient's size")


@final
class AdamaxRule(Rule):
    """``m <- b1 m + (1-b1) g``; ``u <- max(b2 u, |g| + eps)``; ``theta <- theta - lr / (1 - b1^t) m / u``.

    u, a maximum, needs no correction. The paper has no eps; torch adds it inside the maximum, as here, TensorFlow to u.
    ``weight_decay`` is added to the gradient.
    """

    name: ClassVar[str] = "adamax"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAMAX_RATE, BETA1, LARGEST, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean", torch="exp_avg"), Slot("largest", torch="exp_inf"))

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        mean = state["mean"].lerp_(grads, 1 - hyper["beta1"])
        largest = state["largest"].mul_(hyper["beta2"]).maximum_(grads.abs().add_(hyper["eps"]))
        params.addcdiv_(mean, largest, -hyper["lr"] / bias_correction(hyper["beta1"], step))

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [rowwise(hyper["lr"], largest) / largest for largest in state["largest"]]


@final
class Adamax(DropIn):
    """Adamax: ``u <- max(b2 u, |g| + eps)``; ``theta <- theta - lr / (1 - b1^t) m / u`` (:class:`AdamaxRule`).

    ``betas`` are the memories of the mean gradient m and of the largest gradient u; ``weight_decay`` is added to the
    gradient as ``weight_decay theta``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = Adamax([weight], lr=0.5)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]
    [0.5, -99.5]

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 2: alpha is ``lr``.
    """

    rule = AdamaxRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable
        )
