"""Adagrad (Duchi, Hazan & Singer 2011)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

ADAGRAD_RATE = Hyper(name="lr", default=0.01, low=1e-3, high=1.0, scale="log", words="learning rate")
LR_DECAY = Hyper(name="lr_decay", default=0.0, words="lr is divided by 1 + lr_decay (t - 1)")
INITIAL = Hyper(name="initial_accumulator_value", default=0.0, words="what the sum of squares begins at")
EPSILON = Hyper(name="eps", default=1e-10, words="keeps the quotient finite; outside the root")

_torch: Final[Any] = torch  # its fused kernels are untyped


@final
class AdagradRule(Rule):
    """``s <- s + g^2``; ``theta <- theta - lr / (1 + lr_decay (t-1)) g / (sqrt(s) + eps)``.

    s begins at ``initial_accumulator_value``: 0 as in the paper and torch, 0.1 in TensorFlow and Optax. eps is outside
    the root, as in torch; Optax has it inside. ``weight_decay`` is added to the gradient.
    """

    name: ClassVar[str] = "adagrad"
    hypers: ClassVar[tuple[Hyper, ...]] = (ADAGRAD_RATE, LR_DECAY, INITIAL, EPSILON, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (Slot("square_sum", at="initial_accumulator_value", torch="sum"),)
    sparse = "rows"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        square = state["square_sum"].addcmul_(grads, grads, 1.0)
        params.addcdiv_(grads, square.sqrt().add_(hyper["eps"]), -_rate(hyper, step))

    def metric(self, state: State, hyper: HyperValues, step: Scalar) -> list[Scalar]:
        return [
            rowwise(_rate(hyper, step), square) / square.sqrt().add_(rowwise(hyper["eps"], square))
            for square in state["square_sum"]
        ]

    def fused(self, tensors: Sequence[Sequence[Tensor]], hyper: Mapping[str, float], step: float) -> bool:
        params, grads, squares = tensors
        if params[0].device.type != "cpu":  # torch has it nowhere else
            return False
        count = torch.tensor(step, dtype=torch.float32)
        _torch._fused_adagrad_(  # the kernel behind torch.optim.Adagrad(fused=True)
            params,
            grads,
            squares,
            [count] * len(params),
            lr=hyper["lr"],
            lr_decay=hyper["lr_decay"],
            weight_decay=hyper["weight_decay"],
            eps=hyper["eps"],
            maximize=False,
        )
        return True


def _rate(hyper: HyperValues, step: Scalar) -> Scalar:
    return hyper["lr"] / (1 + (step - 1) * hyper["lr_decay"])


@final
class Adagrad(DropIn):
    """Adagrad: ``s <- s + g^2``; ``theta <- theta - lr g / (sqrt(s) + eps)`` (:class:`AdagradRule`).

    Seldom seen coordinates keep a high rate. ``lr_decay`` divides lr by ``1 + lr_decay (t - 1)`` as well;
    ``initial_accumulator_value`` is what s begins at. ``weight_decay`` is added to the gradient as
    ``weight_decay theta``. Sparse gradients touch only the rows that they name, unless weight decay moves the others
    too.
    ``foreach`` and ``fused`` choose between implementations in torch, and are ignored.

    Raises ``UsageError`` for a setting that is negative or not finite.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, -40.0]))
    >>> optimizer = Adagrad([weight], lr=0.5)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> weight.tolist()
    [2.5, -39.5]

    Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization": eta is
    ``lr``, delta is ``eps``, the diagonal of G_t is s.
    """

    rule = AdagradRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        *,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        del foreach, fused  # the steps are the same
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
            capturable=capturable,
        )
