"""Polyak-Ruppert averaging: SGD judged by the mean of its weights (Ruppert 1988; Polyak & Juditsky 1992)."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.optim.leaves import Leaves, Scalar, larger
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

POLYAK_RATE = Hyper(name="lr", default=0.1, low=1e-3, high=3.0, scale="log", words="learning rate")
POWER = Hyper(name="power", default=0.0, low=0.0, high=8.0, words="how much later weights count; 0: all alike")
BURN_IN = Hyper(name="burn_in", default=0.0, words="steps that are left out of the average")


@final
class PolyakRule(Rule):
    """``theta <- theta - lr g``; ``a <- a + (1 + p) / (n + p) (theta - a)``, n being ``max(1, t - burn_in)``.

    With ``power`` p = 0 the average a is the plain mean of all weights since ``burn_in``; with p above 0 those of step
    n count about as ``n^p`` (polynomial-decay averaging, Shamir & Zhang 2013), which forgets the start without a
    burn-in. The weights to judge by are a; gradients are taken at theta. A constant rate suits it. ``weight_decay`` is
    added to the gradient.
    """

    name: ClassVar[str] = "polyak"
    hypers: ClassVar[tuple[Hyper, ...]] = (POLYAK_RATE, POWER, BURN_IN, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("average"),)
    scheduled = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        power = hyper["power"]
        params.add_(grads, -hyper["lr"])
        state["average"].lerp_(params, (1 + power) / (larger(1.0, step - hyper["burn_in"]) + power))

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        swap(params, state["average"])


def swap(one: Leaves, other: Leaves) -> None:
    """Exchange the contents of two lists of leaves."""
    kept = one.mul(1.0)
    one.copy_(other)
    other.copy_(kept)


@final
class PolyakSGD(EvaluatingDropIn):
    """SGD judged by the mean of its weights (:class:`PolyakRule`): the noise of the steps averages out.

    Call ``optimizer.eval()`` before judging or saving the model and ``optimizer.train()`` before going on. Batch
    normalization must see training rows again in evaluation mode. ``power`` makes later weights count more, ``burn_in``
    leaves the first steps out. ``weight_decay`` is added to the gradient as ``weight_decay theta``. The average of
    float16 and bfloat16 parameters is float32, and rounded to theirs by ``eval()``.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a step in evaluation mode.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = PolyakSGD([weight], lr=0.25)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> weight.item()  # the mean of 0.5 and 0.25
    0.375

    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging": gamma is ``lr``; Shamir & Zhang
    2013, "Stochastic gradient descent for non-smooth optimization", eta is ``power``.
    """

    rule = PolyakRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.0,
        *,
        power: float = 0.0,
        burn_in: float = 0.0,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            power=power,
            burn_in=burn_in,
            maximize=maximize,
            capturable=capturable,
        )
