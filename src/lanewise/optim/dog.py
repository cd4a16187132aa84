"""DoG: the distance over the gradients sets the rate (Ivgi, Hinder & Carmon 2023)."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, choose, larger, square_root
from lanewise.optim.rule import DECAY, HyperValues, Number, Rule, Slot, State

DOG_RATE = Hyper(name="lr", default=1.0, low=0.3, high=1.0, scale="log", words="factor of the rate that DoG finds")
FIRST = Hyper(name="first", default=1e-6, low=1e-6, high=1e-3, scale="log", words="first distance, by 1 + |weights|")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; inside the root")


@final
class DoGRule(Rule):
    """``theta <- theta - lr r / sqrt(G + eps) g``: r the largest distance from the start, G the sum of ``|g|^2``.

    r begins at ``first (1 + |theta_0|)``. Both norms go over all weights of a row (a lane, or a parameter group).
    ``weight_decay`` is added to the gradient. Judge it by averaged weights, as the paper does.
    """

    name: ClassVar[str] = "dog"
    hypers: ClassVar[tuple[Hyper, ...]] = (DOG_RATE, FIRST, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("origin", torch.clone),)
    numbers: ClassVar[tuple[Number, ...]] = (Number("distance"), Number("squares"))
    scheduled = False

    def measure(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        first = hyper["first"] * (1 + square_root(params.square_sum()))
        away = square_root(params.add(state["origin"], -1.0).square_sum())
        numbers = state.numbers
        numbers["distance"] = choose(step == 1, first, larger(numbers["distance"], away))
        numbers["squares"] = numbers["squares"] + grads.square_sum()

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        (rate,) = self.metric(state, hyper, step)
        params.add_(grads, -rate)

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        root = square_root(state.numbers["squares"] + hyper["eps"])
        return [hyper["lr"] * state.numbers["distance"] / root]


@final
class DoG(DropIn):
    """DoG: ``theta <- theta - lr r / sqrt(G + eps) g``, a rate that needs no tuning (:class:`DoGRule`).

    r is the largest distance of the group's weights from their start so far, at first ``first (1 + |theta_0|)``; G is
    the sum of their squared gradients. ``lr`` stays at 1. ``weight_decay`` is added to the gradient.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = DoG([weight], first=0.5)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]  # 0.5 (1 + 5) = 3 long
    [0.8787, 1.8787]

    Ivgi, Hinder & Carmon 2023, "DoG is SGD's best friend": r_epsilon is ``first (1 + |theta_0|)``.
    """

    rule = DoGRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        first: float = 1e-6,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, first=first, eps=eps, weight_decay=weight_decay, maximize=maximize)
