"""Adam (Kingma & Ba 2015), with its bias correction."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, rowwise, square_root
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

ADAM_RATE = Hyper(name="lr", default=1e-3, low=1e-4, high=0.1, scale="log", words="learning rate")
BETA1 = Hyper(name="beta1", default=0.9, low=0.8, high=0.99, words="memory of the mean gradient")
BETA2 = Hyper(name="beta2", default=0.999, low=0.95, high=0.9999, words="memory of the mean square")
EPSILON = Hyper(name="eps", default=1e-8, words="keeps the quotient finite; outside the root, after correction")


_torch: Final[Any] = torch  # its fused kernels are untyped


@lru_cache(maxsize=8)
def _count(step: float, device: torch.device) -> Tensor:
    """The step as the kernels read it: made once for all lanes, for that takes as long as half of a small update.

    It is made where it is read: a copy to a GPU would wait for the host.
    """
    return torch.full((), step, dtype=torch.float32, device=device)


class AdamRule(Rule):
    """``m <- b1 m + (1-b1) g``; ``v <- b2 v + (1-b2) g^2``; ``theta <- theta - lr m' / (sqrt(v') + eps)``.

    ``m' = m / (1 - b1^t)`` and ``v' = v / (1 - b2^t)`` undo the start at zero. Without them the step
    is 3.2 times too long at t = 1 and 6.6 times at t = 12 for the usual betas. ``weight_decay`` is
    added to the gradient, as a penalty of the loss would be; :class:`AdamWRule` decouples it.
    """

    name: ClassVar[str] = "adam"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAM_RATE, BETA1, BETA2, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("mean"), Slot("mean_square"))
    amsgrad: ClassVar[bool] = False

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        length = hyper["lr"] / bias_correction(beta1, step)
        mean = state["mean"].lerp_(grads, 1 - beta1)
        square = state["mean_square"].mul_(beta2).addcmul_(grads, grads, 1 - beta2)
        if self.amsgrad:
            square = state["largest"].maximum_(square)
        root = square.sqrt().div_(square_root(bias_correction(beta2, step))).add_(hyper["eps"])
        params.addcdiv_(mean, root, -length)

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        correction = square_root(bias_correction(hyper["beta2"], step))
        return [
            rowwise(hyper["lr"], square)
            / square.sqrt().div_(rowwise(correction, square)).add_(rowwise(hyper["eps"], square))
            for square in state["largest" if self.amsgrad else "mean_square"]
        ]

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads, means, squares, *largest = tensors
        # the kernels behind torch.optim.Adam(fused=True) and AdamW(fused=True)
        kernel = _torch._fused_adamw_ if self.decay == "decoupled" else _torch._fused_adam_
        kernel(
            params,
            grads,
            means,
            squares,
            largest[0] if largest else [],
            [_count(step, params[0].device)] * len(params),
            lr=hyper["lr"],
            beta1=hyper["beta1"],
            beta2=hyper["beta2"],
            weight_decay=hyper["weight_decay"],
            eps=hyper["eps"],
            amsgrad=self.amsgrad,
            maximize=False,
        )
        return True


@final
class AMSGradRule(AdamRule):
    """Adam with the largest v so far: ``u <- max(u, v)``; ``theta <- theta - lr m' / (sqrt(u / (1 - b2^t)) + eps)``.

    As in torch and TensorFlow, the maximum is of v before its correction; Optax takes that of v'. The paper corrects
    neither.
    """

    name: ClassVar[str] = "amsgrad"
    slots: ClassVar[tuple[Slot, ...]] = (*AdamRule.slots, Slot("largest"))
    amsgrad: ClassVar[bool] = True


@final
class Adam(DropIn):
    """Adam: steps of about lr, whatever the size of the gradient (:class:`AdamRule` has the formula).

    ``betas`` are the memories of the mean gradient and of the mean square; ``eps`` is added outside the root, after the
    correction; ``weight_decay`` is added to the gradient as ``weight_decay theta``. With ``amsgrad`` it is
    :class:`AMSGrad`.
    ``foreach`` and ``fused`` choose between implementations in torch, and are ignored.

    Raises ``UsageError`` for a setting that is negative or not finite, and for a beta of 1 or more.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -100.0]))
    >>> optimizer = Adam([weight], lr=0.1)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> [round(value, 4) for value in weight.tolist()]
    [0.9, -99.9]

    Kingma & Ba 2015, "Adam: a method for stochastic optimization": alpha is ``lr``.
    """

    rule = AdamRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        amsgrad: bool = False,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        del foreach, fused  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            capturable=capturable,
        )

    def rule_of(self, group: Mapping[str, Any]) -> Rule:
        return _AMSGRAD if group["amsgrad"] else self.rule


_AMSGRAD = AMSGradRule()
