"""RAdam: rectified Adam (Liu et al. 2020)."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import ADAM_RATE, BETA1, BETA2
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, choose, quotient, rowwise, square_root
from lanewise.optim.rule import DECAY, DECOUPLED_DECAY, HyperValues, Rule, Slot, State

EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root, before correction")

SHORTEST = 5.0
"""Length of the running mean square up to which its variance counts as unbounded; 4 in the paper, 5 in torch."""


class RAdamRule(Rule):
    """``theta <- theta - lr m' r sqrt(1 - b2^t) / (sqrt(v) + eps)`` once ``rho_t > 5``, before that ``theta - lr m'``.

    m, v and m' as for Adam. ``rho_t = rho - 2 t b2^t / (1 - b2^t)`` with ``rho = 2 / (1-b2) - 1`` is how many gradients
    v stands for, and ``r^2 = (rho_t-4) (rho_t-2) rho / ((rho-4) (rho-2) rho_t)`` corrects for the variance of few: a
    warm-up of its own. eps is added before the correction of v, as in torch; Optax adds it after. ``weight_decay`` is
    added to the gradient; :class:`RAdamWRule` decouples it.
    """

    name: ClassVar[str] = "radam"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAM_RATE, BETA1, BETA2, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean", torch="exp_avg"), Slot("mean_square", torch="exp_avg_sq"))

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        mean = state["mean"].lerp_(grads, 1 - beta1)
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, 1 - beta2)
        adapts, factor = rectification(beta2, step)
        # where the step does not adapt, the root is taken off and the denominator is 1
        root = square.sqrt().mul_(adapts).add_(choose(adapts == 1, hyper["eps"], 1.0))
        params.addcdiv_(mean, root, -hyper["lr"] / bias_correction(beta1, step) * factor)

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        adapts, factor = rectification(hyper["beta2"], step)
        floor = choose(adapts == 1, hyper["eps"], 1.0)
        return [
            rowwise(hyper["lr"] * factor, square)
            / square.sqrt().mul_(rowwise(adapts, square)).add_(rowwise(floor, square))
            for square in state["mean_square"]
        ]


@final
class RAdamWRule(RAdamRule):
    """``theta <- (1 - lr weight_decay) theta``, then the step of :class:`RAdamRule`. The decay is multiplied by lr."""

    name: ClassVar[str] = "radamw"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAM_RATE, BETA1, BETA2, EPSILON, DECOUPLED_DECAY)
    decay = "decoupled"


def rectification(beta2: Scalar, step: Scalar) -> tuple[Scalar, Scalar]:
    """Whether the step adapts, 1 or 0, and ``r sqrt(1 - b2^t)``, which is 1 if it does not.

    >>> rectification(0.999, 1)
    (0.0, 1.0)
    >>> adapts, factor = rectification(0.5, 1000)  # rho is 3: too short to adapt ever
    >>> adapts, factor
    (0.0, 1.0)
    """
    correction = bias_correction(beta2, step)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction
    shrink = quotient((length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length)
    adapts = choose(length > SHORTEST, _ones(step), _ones(step) * 0.0)
    return adapts, choose(length > SHORTEST, square_root(shrink) * square_root(correction), _ones(step))


def _ones(like: Scalar) -> Scalar:
    return torch.ones_like(like) if isinstance(like, Tensor) else 1.0


_DECOUPLED = RAdamWRule()


@final
class RAdam(DropIn):
    """RAdam: Adam that begins as momentum and adapts as its mean square becomes sure (:class:`RAdamRule`).

    ``betas`` as for :class:`Adam`; ``eps`` is added to the root before its correction. ``weight_decay`` is added to the
    gradient as ``weight_decay theta``, or shrinks the weights by ``lr weight_decay`` with ``decoupled_weight_decay``.
    ``foreach`` chooses between implementations in torch, and is ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = RAdam([weight], lr=0.25)
    >>> weight.square().sum().backward()
    >>> optimizer.step()  # the first step is that of gradient descent
    >>> [round(value, 4) for value in weight.tolist()]
    [0.5, -50.0]

    Liu et al. 2020, "On the variance of the adaptive learning rate and beyond": alpha_t is ``lr``.
    """

    rule = RAdamRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
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
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _DECOUPLED if group["decoupled_weight_decay"] else self.rule
