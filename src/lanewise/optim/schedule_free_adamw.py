"""Schedule-Free AdamW (Defazio et al. 2024): averaging in the place of a schedule."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import BETA2, EPSILON
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, larger, quotient, square_root
from lanewise.optim.rule import DECOUPLED_DECAY, HyperValues, Number, Rule, Slot, State

FREE_RATE = Hyper(name="lr", default=2.5e-3, low=2.5e-4, high=0.1, scale="log", words="learning rate")
BETA1 = Hyper(name="beta1", default=0.9, low=0.8, high=0.98, words="where between base and average gradients are taken")


@final
class ScheduleFreeAdamWRule(Rule):
    """Three sequences: base z, average x, and ``y = (1 - b1) z + b1 x``, where gradients are taken and which is kept.

    ``d = g / (sqrt(v') + eps) + weight_decay y``; ``z <- z - lr d``; ``x <- (1 - c) x + c z`` with
    ``c = w_t / sum w`` and ``w_t`` the square of the largest rate so far. v' is Adam's corrected mean square.
    x is recovered from y and z, so that there are two slots as for Adam. The weights to judge by are x. The decay acts
    at y and is multiplied by lr. Leave the schedule constant; a warm-up is useful.
    """

    name: ClassVar[str] = "schedule_free_adamw"
    hypers: ClassVar[tuple[Hyper, ...]] = (FREE_RATE, BETA1, BETA2, EPSILON, DECOUPLED_DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("base", torch.clone), Slot("mean_square"))
    numbers: ClassVar[tuple[Number, ...]] = (Number("largest_rate"), Number("total"), Number("share"))
    decay = "own"
    scheduled = False
    proximal: ClassVar[bool] = False  # gradients are taken between two sequences: zeros of either are none there

    def measure(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        numbers = state.numbers
        numbers["largest_rate"] = larger(hyper["lr"], numbers["largest_rate"])
        weight = numbers["largest_rate"] ** 2
        numbers["total"] = numbers["total"] + weight
        numbers["share"] = quotient(weight, numbers["total"])

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        beta1, beta2, rate, share = hyper["beta1"], hyper["beta2"], hyper["lr"], state.numbers["share"]
        base = state["base"]
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, 1 - beta2)
        root = square.sqrt().div_(square_root(bias_correction(beta2, step))).add_(hyper["eps"])
        direction = grads.mul(1.0).div_(root).add_(params, hyper["weight_decay"])
        params.lerp_(base, share).add_(direction, rate * (beta1 * (1 - share) - 1))
        base.add_(direction, -rate)

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        params.lerp_(state["base"], 1 - 1 / hyper["beta1"] if evaluation else 1 - hyper["beta1"])


@final
class ScheduleFreeAdamW(EvaluatingDropIn):
    """Schedule-Free AdamW: as good as a schedule that knows the end, without one (:class:`ScheduleFreeAdamWRule`).

    Call ``optimizer.eval()`` before judging or saving the model and ``optimizer.train()`` before going on: the weights
    in between are not those that gradients are taken at. Batch normalization must see training rows again in evaluation
    mode. ``betas``: the first says where between base and average gradients are taken, above 0; the second is Adam's.
    ``weight_decay`` acts at the weights of the gradient and is multiplied by lr. Warm lr up by a scheduler.

    Raises ``UsageError`` for a setting that is negative or not finite, a beta of 1 or more, a first beta of 0,
    and for a step in evaluation mode.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = ScheduleFreeAdamW([weight], lr=0.1, weight_decay=0.0)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> round(weight.item(), 4)
    0.8527

    Defazio et al. 2024, "The road less scheduled": gamma is ``lr``, beta is ``betas[0]``.
    """

    rule = ScheduleFreeAdamWRule()
    between = "beta1"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)
