"""Stochastic gradient Langevin dynamics (Welling & Teh 2011): descent with noise, which samples a posterior."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, square_root
from lanewise.optim.rule import DECAY, HyperValues, Rule, State

LANGEVIN_RATE = Hyper(name="lr", default=1e-2, low=1e-3, high=1.0, scale="log", words="learning rate")
TEMPERATURE = Hyper(
    name="temperature",
    default=1e-4,
    low=1e-7,
    high=1e-3,
    scale="log",
    words="size of the noise: 1 / rows for a posterior",
)


@final
class LangevinRule(Rule):
    """``theta <- theta - lr g + sqrt(2 lr temperature) n``, n standard normal numbers drawn anew at each step.

    For small rates the weights come to be distributed as ``exp(-loss / temperature)``. With the mean loss of N rows
    and ``temperature = 1 / N`` that is the posterior, ``weight_decay`` (added to the gradient) standing for a normal
    prior of variance ``1 / (N weight_decay)``. In the paper's terms its step is ``2 lr / N``; the exact posterior
    needs rates whose sum diverges and whose squares' sum does not. The draws are keyed by seed and step: lanes of
    one seed share them, and a resumed run repeats them.
    """

    name: ClassVar[str] = "sgld"
    hypers: ClassVar[tuple[Hyper, ...]] = (LANGEVIN_RATE, TEMPERATURE, DECAY)
    draws: ClassVar[bool] = True

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        noise = square_root(2 * hyper["lr"] * hyper["temperature"])
        params.add_(grads, -hyper["lr"]).add_(state["draws"], noise)


@final
class SGLD(DropIn):
    """Langevin dynamics on batches: ``theta <- theta - lr g + sqrt(2 lr temperature) n`` (:class:`LangevinRule`).

    ``temperature`` is 1 over the number of rows for the posterior of a mean loss, 1 for that of a sum. ``weight_decay``
    is added to the gradient, as a normal prior would be. The seed of ``generator`` (of torch's own, if there is none)
    keys the draws with the parameter and its step: neither generator is advanced, and training that goes on from a
    state dict sees the same noise. Chains that are to differ need generators of different seeds.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> weight = torch.nn.Parameter(torch.zeros(10_000))
    >>> optimizer = SGLD([weight], lr=0.5, temperature=4.0, generator=torch.Generator().manual_seed(1))
    >>> weight.grad = torch.ones_like(weight)
    >>> optimizer.step()
    >>> round(weight.mean().item(), 1), round(weight.std().item(), 1)
    (-0.5, 2.0)

    Welling & Teh 2011, "Bayesian learning via stochastic gradient Langevin dynamics": epsilon_t is
    ``2 lr temperature``.
    """

    rule = LangevinRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        temperature: float = 1e-4,
        weight_decay: float = 0.0,
        *,
        generator: torch.Generator | None = None,
        maximize: bool = False,
    ) -> None:
        seed = (generator or torch.default_generator).initial_seed()
        super().__init__(
            params, lr=lr, temperature=temperature, weight_decay=weight_decay, seed=seed, maximize=maximize
        )
