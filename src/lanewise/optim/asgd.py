"""Averaged SGD with a rate that falls by itself (Bottou 2010; Xu 2011), as ``torch.optim.ASGD``."""

from collections.abc import Mapping
from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.optim.leaves import Leaves, Scalar, larger
from lanewise.optim.polyak import swap
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

ASGD_RATE = Hyper(name="lr", default=0.01, low=1e-3, high=1.0, scale="log", words="learning rate at the start")
LAMBD = Hyper(name="lambd", default=1e-4, words="decay of the weights, and speed at which the rate falls")
ALPHA = Hyper(name="alpha", default=0.75, words="power with which the rate falls")
BEGIN = Hyper(name="t0", default=1e6, words="step after which averaging begins")


@final
class ASGDRule(Rule):
    """``theta <- (1 - lambd eta) theta - eta g``; ``a <- a + (theta - a) / max(1, t - 1 - t0)``.

    ``eta = lr / (1 + lambd lr (t-1))^alpha``. The weights to judge by are a, which is theta up to step ``t0 + 2``;
    torch keeps it as ``ax`` in the state and never uses it. A change of lr acts at once, here; torch computes eta at
    the end of the step before, with the rate of then, and rounds it to the default dtype. ``weight_decay`` is added to
    the gradient, beside ``lambd``.
    """

    name: ClassVar[str] = "asgd"
    hypers: ClassVar[tuple[Hyper, ...]] = (ASGD_RATE, LAMBD, ALPHA, BEGIN, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("average", torch="ax"),)
    scheduled = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        lambd = hyper["lambd"]
        rate = _rate(hyper, step)
        params.mul_(1 - lambd * rate).add_(grads, -rate)
        state["average"].lerp_(params, 1 / larger(1.0, step - 1 - hyper["t0"]))

    def told_by_step(self, hyper: Mapping[str, float], step: float) -> dict[str, float]:
        return {"eta": float(_rate(hyper, step + 1)), "mu": 1 / max(1.0, step - hyper["t0"])}

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        swap(params, state["average"])

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [_rate(hyper, step)]


def _rate(hyper: HyperValues, step: Scalar) -> Scalar:
    return hyper["lr"] / (1 + hyper["lambd"] * hyper["lr"] * (step - 1)) ** hyper["alpha"]


@final
class ASGD(EvaluatingDropIn):
    """Averaged SGD: steps of a rate that falls as ``t^-alpha``, judged by the mean of the weights (:class:`ASGDRule`).

    Call ``optimizer.eval()`` before judging or saving the model and ``optimizer.train()`` before going on; torch's has
    neither. ``lr`` is the first rate; ``lambd`` shrinks the weights and sets how fast the rate falls, ``alpha`` its
    power; averaging begins after ``t0`` steps. ``weight_decay`` is added to the gradient as ``weight_decay theta``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a step in evaluation mode.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = ASGD([weight], lr=0.25, lambd=0.0, t0=0)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> weight.item()  # the mean of 0.25 and 0.125
    0.1875

    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Xu 2011, "Towards optimal one pass
    large scale learning with averaged stochastic gradient descent": gamma_0 is ``lr``, a and c are ``lambd`` and
    ``alpha``.
    """

    rule = ASGDRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            lambd=lambd,
            alpha=alpha,
            t0=t0,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
