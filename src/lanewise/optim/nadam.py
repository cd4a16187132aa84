"""NAdam: Adam with Nesterov's momentum (Dozat 2016), and NAdamW, which decouples the decay."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import BETA1, BETA2, EPSILON
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, rowwise, square_root
from lanewise.optim.rule import DECAY, DECOUPLED_DECAY, HyperValues, Rule, Slot, State

NADAM_RATE = Hyper(name="lr", default=2e-3, low=2e-4, high=0.1, scale="log", words="learning rate")
MOMENTUM_DECAY = Hyper(name="momentum_decay", default=4e-3, words="how fast the momentum rises from half of beta1")

BASE = 0.96
"""Of the schedule of the momentum, fixed in the paper."""

TERMS = 56
"""Of the series for the product of the momenta; its terms fall as ``0.5^k``, so what is left is below rounding."""


class NAdamRule(Rule):
    """``theta <- theta - lr ((1-mu_t) / (1-M_t) g + mu_{t+1} / (1-M_{t+1}) m) / (sqrt(v') + eps)``.

    m, v and v' as for Adam; ``mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)``, and M_t is the product of mu_1 to mu_t.
    It is a function of the step (a q-Pochhammer symbol), so no state is needed for it; torch multiplies it up, which is
    the same unless beta1 changes on the way. Optax and AlgoPerf keep mu at beta1. ``weight_decay`` is added to the
    gradient; :class:`NAdamWRule` decouples it.
    """

    name: ClassVar[str] = "nadam"
    hypers: ClassVar[tuple[Hyper, ...]] = (NADAM_RATE, BETA1, BETA2, EPSILON, MOMENTUM_DECAY, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean", torch="exp_avg"), Slot("mean_square", torch="exp_avg_sq"))

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        rate, beta1, beta2, speed = hyper["lr"], hyper["beta1"], hyper["beta2"], hyper["momentum_decay"]
        now, later = (beta1 * (1 - 0.5 * BASE ** (at * speed)) for at in (step, step + 1))
        product = momentum_product(beta1, speed, step)
        mean = state["mean"].lerp_(grads, 1 - beta1)
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, 1 - beta2)
        root = square.sqrt().div_(square_root(bias_correction(beta2, step))).add_(hyper["eps"])
        params.addcdiv_(grads, root, -rate * (1 - now) / (1 - product))
        params.addcdiv_(mean, root, -rate * later / (1 - product * later))

    def told_by_step(self, hyper: Mapping[str, float], step: float) -> dict[str, float]:
        return {"mu_product": _product(hyper["beta1"], hyper["momentum_decay"], step)}

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        correction = square_root(bias_correction(hyper["beta2"], step))
        return [
            rowwise(hyper["lr"], square)
            / square.sqrt().div_(rowwise(correction, square)).add_(rowwise(hyper["eps"], square))
            for square in state["mean_square"]
        ]


@final
class NAdamWRule(NAdamRule):
    """``theta <- (1 - lr weight_decay) theta``, then the step of :class:`NAdamRule`. The decay is multiplied by lr."""

    name: ClassVar[str] = "nadamw"
    hypers: ClassVar[tuple[Hyper, ...]] = (NADAM_RATE, BETA1, BETA2, EPSILON, MOMENTUM_DECAY, DECOUPLED_DECAY)
    decay = "decoupled"


def momentum_product(beta1: Scalar, speed: Scalar, step: Scalar) -> Scalar:
    """``prod_{i=1}^t b1 (1 - q^i / 2)`` with ``q = 0.96^speed``.

    ``log prod (1 - q^i / 2) = - sum_k 2^-k / k sum_i q^(k i)``, and the inner sum is geometric.

    >>> round(momentum_product(0.9, 0.5, 2), 12) == round(0.9**2 * (1 - 0.96**0.5 / 2) * (1 - 0.96 / 2), 12)
    True
    """
    if not isinstance(step, Tensor):
        return _product(float(beta1), float(speed), float(step))
    terms = torch.arange(1, TERMS + 1, dtype=step.dtype, device=step.device)
    rates = torch.as_tensor(speed * math.log(BASE), dtype=step.dtype).reshape(-1, 1) * terms
    times = step.unsqueeze(1)
    powers = torch.where(rates == 0, times, torch.exp(rates) * torch.expm1(rates * times) / torch.expm1(rates))
    # cumsum adds one after the other; sum may choose an order by how many rows there are
    total = (powers * 0.5**terms / terms).cumsum(1)[:, -1]
    return beta1**step * torch.exp(-total)


@lru_cache(maxsize=256)
def _product(beta1: float, speed: float, step: float) -> float:
    """:func:`momentum_product` of numbers, which the blocks of a step ask for again and again."""
    drop = speed * math.log(BASE)
    total = 0.0
    for k in range(1, TERMS + 1):
        powers = step if drop == 0 else math.exp(k * drop) * math.expm1(k * drop * step) / math.expm1(k * drop)
        total += powers * 0.5**k / k
    return beta1**step * math.exp(-total)


_DECOUPLED = NAdamWRule()


@final
class NAdam(DropIn):
    """NAdam: Adam whose momentum looks one step ahead (:class:`NAdamRule` has the formula).

    ``betas`` and ``eps`` as for :class:`Adam`; ``momentum_decay`` is the speed at which the momentum rises from half of
    the first beta to all of it. ``weight_decay`` is added to the gradient as ``weight_decay theta``, or shrinks the
    weights by ``lr weight_decay`` with ``decoupled_weight_decay``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = NAdam([weight], lr=0.1, momentum_decay=0.0)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]  # (1 - 0.45) / (1 - 0.45) + 0.1 0.45 / (1 - 0.45^2) = 1.0564
    [0.8944, -99.8944]

    Dozat 2016, "Incorporating Nesterov momentum into Adam": alpha is ``lr``, psi is ``momentum_decay``.
    """

    rule = NAdamRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
    ) -> None:
        del foreach  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _DECOUPLED if group["decoupled_weight_decay"] else self.rule
