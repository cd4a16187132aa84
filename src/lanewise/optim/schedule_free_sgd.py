"""Schedule-Free SGD (Defazio et al. 2024): averaging in the place of a schedule and of momentum."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.optim.leaves import Leaves, Scalar, larger, quotient
from lanewise.optim.rule import DECAY, HyperValues, Number, Rule, Slot, State

FREE_RATE = Hyper(name="lr", default=1.0, low=1e-2, high=10.0, scale="log", words="learning rate")
MOMENTUM = Hyper(
    name="momentum", default=0.9, low=0.8, high=0.98, words="where between base and average gradients are taken"
)


@final
class ScheduleFreeSGDRule(Rule):
    """Three sequences: base z, average x, and ``y = (1 - b) z + b x``, where gradients are taken and which is kept.

    ``z <- z - lr (g + weight_decay y)``; ``x <- (1 - c) x + c z`` with ``c = w_t / sum w`` and ``w_t`` the square of
    the largest rate so far. x is recovered from y and z, so that one slot is kept, as for momentum. The weights to
    judge by are x. The decay acts at y and is multiplied by lr, as a penalty at y would be. The rate is larger than
    that of SGD, often 10 to 50 times (the authors). Leave the schedule constant; a warm-up is useful.
    """

    name: ClassVar[str] = "schedule_free_sgd"
    hypers: ClassVar[tuple[Hyper, ...]] = (FREE_RATE, MOMENTUM, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("base", torch.clone),)
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
        between, rate, share = hyper["momentum"], hyper["lr"], state.numbers["share"]
        base = state["base"]
        direction = grads.add(params, hyper["weight_decay"])
        params.lerp_(base, share).add_(direction, rate * (between * (1 - share) - 1))
        base.add_(direction, -rate)

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        params.lerp_(state["base"], 1 - 1 / hyper["momentum"] if evaluation else 1 - hyper["momentum"])


@final
class ScheduleFreeSGD(EvaluatingDropIn):
    """Schedule-Free SGD: as good as a schedule that knows the end, without one (:class:`ScheduleFreeSGDRule`).

    Call ``optimizer.eval()`` before judging or saving the model and ``optimizer.train()`` before going on: the weights
    in between are not those that gradients are taken at. Batch normalization must see training rows again in evaluation
    mode. ``momentum`` says where between base (0) and average (1) gradients are taken, above 0 and below 1.
    ``weight_decay`` acts at the weights of the gradient and is multiplied by lr. Warm lr up by a scheduler.

    Raises ``UsageError`` for a setting that is negative or not finite, a momentum of 0 or of 1 or more,
    and for a step in evaluation mode.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = ScheduleFreeSGD([weight], lr=0.25)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> weight.item()  # the mean of z = 0.5 and z = 0.25
    0.375

    Defazio et al. 2024, "The road less scheduled": gamma is ``lr``, beta is ``momentum``.
    """

    rule = ScheduleFreeSGDRule()
    between = "momentum"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, maximize=maximize)
