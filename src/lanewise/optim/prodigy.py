"""Prodigy: AdamW whose rate is an estimate of the distance to the solution (Mishchenko & Defazio 2024)."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import BETA1, BETA2
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, choose, larger, quotient, rowwise, square_root
from lanewise.optim.rule import HyperValues, Number, Rule, Slot, State

PRODIGY_RATE = Hyper(
    name="lr", default=1.0, low=0.3, high=1.0, scale="log", words="factor of the rate that Prodigy finds"
)
FIRST = Hyper(name="first", default=1e-6, low=1e-6, high=1e-4, scale="log", words="first estimate of the distance")
GROWTH = Hyper(name="factor", default=1.0, low=0.5, high=2.0, scale="log", words="factor of every new estimate")
CORRECTION = Hyper(name="bias_correction", default=False, words="whether the rate has Adam's bias correction")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root, times the distance")
PRODIGY_DECAY = Hyper(
    name="weight_decay", default=0.0, low=1e-4, high=0.3, scale="log", words="decoupled weight decay, times the rate"
)


@final
class ProdigyRule(Rule):
    """``theta <- theta - lr d m / (sqrt(v) + d eps)``, m and v Adam's means of ``d g``, d the estimated distance.

    ``r <- b r + lr d^2 <g, theta_0 - theta>``, ``s <- b s + lr d^2 g`` with ``b = sqrt(b2)``; then
    ``d <- max(d, factor r / |s|_1)``, from ``first`` on. Sums go over all weights of a row (a lane, or a parameter
    group). The step has the d from before the estimate, the epsilon the d from after it, as in the authors' code.
    ``bias_correction`` multiplies the rate, in r and s too, by ``sqrt(1 - b2^t) / (1 - b1^t)``: off in the
    code by default, always on in Optax. The decay is decoupled and multiplied by ``lr d``. Leave lr at 1.
    """

    name: ClassVar[str] = "prodigy"
    hypers: ClassVar[tuple[Hyper, ...]] = (
        PRODIGY_RATE,
        BETA1,
        BETA2,
        FIRST,
        GROWTH,
        CORRECTION,
        EPSILON,
        PRODIGY_DECAY,
    )
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("origin", torch.clone),
        Slot("mean"),
        Slot("mean_square"),
        Slot("weighted_sum"),
    )
    numbers: ClassVar[tuple[Number, ...]] = (Number("distance"), Number("used"), Number("progress"))
    decay = "own"
    scheduled = False

    def measure(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        numbers, memory = state.numbers, square_root(hyper["beta2"])
        used = choose(step == 1, hyper["first"], numbers["distance"])
        # both sums are relative to the first distance, whose square may be too small for float32
        weight = used / hyper["first"] * used * _rate(hyper, step)
        away = state["origin"].add(params, -1.0)
        numbers["progress"] = memory * numbers["progress"] + weight * grads.dot(away)
        total = state["weighted_sum"].mul_(memory).add_(grads, weight).abs_sum()
        numbers["used"] = used
        numbers["distance"] = larger(used, hyper["factor"] * quotient(numbers["progress"], total))

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        beta1, beta2, used = hyper["beta1"], hyper["beta2"], state.numbers["used"]
        rate = used * _rate(hyper, step)
        mean = state["mean"].mul_(beta1).add_(grads, used * (1 - beta1))
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, used * used * (1 - beta2))
        root = square.sqrt().add_(state.numbers["distance"] * hyper["eps"])
        params.mul_(1 - rate * hyper["weight_decay"]).addcdiv_(mean, root, -rate)

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        used, least = state.numbers["used"], state.numbers["distance"] * hyper["eps"]
        rate = used * used * _rate(hyper, step)  # both means hold gradients times the distance
        return [rowwise(rate, square) / square.sqrt().add_(rowwise(least, square)) for square in state["mean_square"]]


def _rate(hyper: HyperValues, step: Scalar) -> Scalar:
    """lr, corrected if wanted."""
    correction = square_root(bias_correction(hyper["beta2"], step)) / bias_correction(hyper["beta1"], step)
    return hyper["lr"] * choose(hyper["bias_correction"] > 0, correction, 1.0)


@final
class Prodigy(DropIn):
    """Prodigy: AdamW that finds its rate, ``lr d``, by how far the weights have come (:class:`ProdigyRule`).

    ``lr`` stays at 1, or follows a schedule that begins there. ``first`` is the first estimate of the distance d, best
    too small; ``factor`` multiplies all later ones. ``betas`` are Adam's. ``eps`` is added outside the root, times d.
    ``bias_correction`` is for runs that begin without a warm-up. ``weight_decay`` is decoupled and multiplied by the
    rate. d is one number for each parameter group.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    >>> optimizer = Prodigy([weight], first=0.01)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> bool(weight.abs().max() < 0.1)
    True

    Mishchenko & Defazio 2024, "Prodigy: an expeditiously adaptive parameter-free learner": gamma is ``lr``, d_0 is
    ``first``.
    """

    rule = ProdigyRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        first: float = 1e-6,
        *,
        factor: float = 1.0,
        bias_correction: bool = False,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            first=first,
            factor=factor,
            bias_correction=bias_correction,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )
