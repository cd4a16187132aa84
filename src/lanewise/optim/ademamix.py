"""AdEMAMix (Pagliardini et al. 2024): Adam with a second, much older mean of the gradients."""

from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import ADAM_RATE, BETA1, BETA2, EPSILON
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import (
    Leaves,
    Scalar,
    bias_correction,
    choose,
    exponential,
    logarithm,
    quotient,
    rowwise,
    square_root,
)
from lanewise.optim.rule import HyperValues, Rule, Slot, State

BETA3 = Hyper(name="beta3", default=0.9999, low=0.99, high=0.9999, words="memory of the old mean gradient")
ALPHA = Hyper(name="alpha", default=2.0, low=1.0, high=10.0, words="weight of the old mean gradient")
ALPHA_WARMUP = Hyper(name="alpha_warmup", default=0, words="steps over which alpha grows from 0")
BETA3_WARMUP = Hyper(name="beta3_warmup", default=0, words="steps over which beta3 grows from beta1")
MIX_DECAY = Hyper(
    name="weight_decay", default=0.0, low=1e-4, high=0.3, scale="log", words="decoupled weight decay, multiplied by lr"
)


@final
class AdEMAMixRule(Rule):
    """``theta <- theta - lr (m' + a_t o) / (sqrt(v') + eps)``; ``o <- b3_t o + (1 - b3_t) g``, an old mean gradient.

    m', v' are Adam's corrected means of g and of its square; o begins at zero and is not corrected. With a warm-up of T
    steps ``a_t = alpha t / T``, and the half-life of b3_t grows linearly from that of b1 to that of b3: ``1 / ln b3_t =
    (1 - t/T) / ln b1 + (t/T) / ln b3``. The paper takes T as long as the training; b3 of 0.9999 is for some hundred
    thousand steps, 0.999 for ten thousand. t counts from 1 as in the authors' code (Optax hands its schedules t - 1,
    and its alpha is 5 by default, that of the code 2, of the paper's experiments 5 to 10). The half-life here is
    the paper's; the code counts one step less and adds 1e-8 to beta. The decay is decoupled and multiplied by lr.
    """

    name: ClassVar[str] = "ademamix"
    hypers: ClassVar[tuple[Hyper, ...]] = (
        ADAM_RATE,
        BETA1,
        BETA2,
        BETA3,
        ALPHA,
        ALPHA_WARMUP,
        BETA3_WARMUP,
        EPSILON,
        MIX_DECAY,
    )
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean"), Slot("old_mean"), Slot("mean_square"))
    decay = "decoupled"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        alpha = hyper["alpha"] * _share(step, hyper["alpha_warmup"])
        beta3 = warmed(beta1, hyper["beta3"], _share(step, hyper["beta3_warmup"]))
        mean = state["mean"].lerp_(grads, 1 - beta1)
        old = state["old_mean"].lerp_(grads, 1 - beta3)
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, 1 - beta2)
        root = square.sqrt().div_(square_root(bias_correction(beta2, step))).add_(hyper["eps"])
        params.addcdiv_(mean, root, -hyper["lr"] / bias_correction(beta1, step))
        params.addcdiv_(old, root, -hyper["lr"] * alpha)

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        correction = square_root(bias_correction(hyper["beta2"], step))
        beta3 = warmed(hyper["beta1"], hyper["beta3"], _share(step, hyper["beta3_warmup"]))
        old = hyper["alpha"] * _share(step, hyper["alpha_warmup"]) * bias_correction(beta3, step)
        rate = hyper["lr"] * (1 + old)
        return [
            rowwise(rate, square) / square.sqrt().div_(rowwise(correction, square)).add_(rowwise(hyper["eps"], square))
            for square in state["mean_square"]
        ]


def _share(step: Scalar, warmup: Scalar) -> Scalar:
    """How much of a warm-up is done after ``step`` steps, at most 1."""
    return choose(step < warmup, quotient(step, warmup), 1.0)


def warmed(first: Scalar, last: Scalar, share: Scalar) -> Scalar:
    """The memory whose half-life lies a ``share`` of the way from that of ``first`` to that of ``last``.

    >>> round(warmed(0.9, 0.999, 0.5), 4)  # half-lives 6.6 and 692.8, so 349.7
    0.998
    """
    half_life = quotient(1 - share, -logarithm(first)) + quotient(share, -logarithm(last))
    return choose(half_life > 0, exponential(-quotient(1.0, half_life)), 0.0)


@final
class AdEMAMix(DropIn):
    """AdEMAMix: a mean over the last ten gradients and one over ten thousand (:class:`AdEMAMixRule` has the formula).

    ``betas`` are the memories of the mean gradient, of the mean square and of the old mean gradient, whose weight is
    ``alpha``. Over ``alpha_warmup`` steps alpha grows from 0, over ``beta3_warmup`` steps the memory of the old mean
    from that of the young one: set both to the length of the training, 0 is none. ``eps`` is added outside the root,
    after the correction. ``weight_decay`` is decoupled and multiplied by lr.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = AdEMAMix([weight], lr=0.1, betas=(0.9, 0.999, 0.5), alpha=2.0)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]  # 0.1 (1 + 2 / 2)
    [0.8, -99.8]

    Pagliardini, Ablin & Grangier 2024, "The AdEMAMix optimizer: better, faster, older": eta is ``lr``, lambda is
    ``weight_decay``, m1 is m, m2 is o, nu is v, T_alpha and T_beta3 are the warm-ups.
    """

    rule = AdEMAMixRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 2.0,
        *,
        alpha_warmup: int = 0,
        beta3_warmup: int = 0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            alpha=alpha,
            alpha_warmup=alpha_warmup,
            beta3_warmup=beta3_warmup,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
