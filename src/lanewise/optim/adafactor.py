"""Adafactor (Shazeer & Stern 2018): mean squares of a matrix from those of its rows and columns."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar, choose, larger, rowwise, square_root
from lanewise.optim.rule import HyperValues, Rule, Slot, State

FACTOR_RATE = Hyper(
    name="lr", default=1e-2, low=1e-3, high=0.3, scale="log", words="largest step, relative to the size of the weights"
)
GROWTH = Hyper(name="decay_rate", default=0.8, low=0.5, high=0.9, words="how fast the memory of the squares grows")
THRESHOLD = Hyper(name="clip_threshold", default=1.0, words="largest root mean square of an update before lr")
FLOOR = Hyper(name="floor", default=1e-3, scale="log", words="least size that weights count for")
EPSILON = Hyper(name="eps", default=0.0, words="least root of a mean square; 0 is the machine epsilon of the dtype")
FACTOR_DECAY = Hyper(
    name="weight_decay", default=0.0, low=1e-4, high=0.3, scale="log", words="decoupled weight decay, multiplied by lr"
)


@final
class AdafactorRule(Rule):
    """``theta <- theta - a u / max(1, rms(u) / clip_threshold)``; ``u = g / sqrt v``; ``a = r max(floor, rms(theta))``.

    ``r = min(lr, 1 / sqrt(t))`` is the paper's relative step: with lr at 0.01 no rate needs to be found, for steps are
    a share of the weights' own size that falls with ``1 / sqrt(t)`` from t = 10,000 on; a schedule lowers lr below it.
    v is the running mean of ``g^2`` with memory ``1 - t^-decay_rate``; of a matrix only the means of its rows R and of
    its columns C are kept, and ``v = R C^T / mean(R)``: m + n numbers instead of m n. Of a weight with more axes the
    last two are factored. There is no mean of the gradient. rms is the root mean square over a weight.

    This is torch's arithmetic: ``eps`` is a lower bound of ``sqrt(v)`` and of ``mean(R)``, where the paper adds 1e-30
    to ``g^2``; lr is the bound of r that is 0.01 in the paper, and multiplies the decoupled decay.
    """

    name: ClassVar[str] = "adafactor"
    hypers: ClassVar[tuple[Hyper, ...]] = (FACTOR_RATE, GROWTH, THRESHOLD, FLOOR, EPSILON, FACTOR_DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("row_square", lambda leaf: _mean(torch.zeros_like(leaf), -1), torch="row_var"),
        Slot("column_square", lambda leaf: _mean(torch.zeros_like(leaf), -2), torch="col_var"),
        Slot(
            "mean_square",
            lambda leaf: _nothing(leaf) if _is_factored(leaf) else torch.zeros_like(leaf),
            torch="variance",
        ),
    )
    decay = "own"
    per_weight: ClassVar[bool] = True
    proximal: ClassVar[bool] = False  # a step mixes the rates of a whole matrix

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        rate = -larger(-hyper["lr"], -1 / square_root(step))
        fresh = step ** -hyper["decay_rate"]
        kept = (state["row_square"], state["column_square"], state["mean_square"])
        for param, grad, rows, columns, squares in zip(params, grads, *kept, strict=True):
            eps = choose(hyper["eps"] > 0, hyper["eps"], torch.finfo(param.dtype).eps)
            least = rowwise(eps, param)
            length = torch.maximum(_rms(param), rowwise(hyper["floor"], param)) * rowwise(rate, param)
            if _is_factored(param):
                square = grad.square()
                rows.lerp_(_mean(square, -1), rowwise(fresh, param))
                columns.lerp_(_mean(square, -2), rowwise(fresh, param))
                square = rows * columns / torch.maximum(_mean(rows, -2), least)
            else:
                square = squares.lerp_(grad.square(), rowwise(fresh, param))
            update = grad / torch.maximum(square.sqrt(), least)
            length = length / (_rms(update) / rowwise(hyper["clip_threshold"], param)).clamp(min=1)
            param.mul_(rowwise(1 - hyper["lr"] * hyper["weight_decay"], param)).addcmul_(update, -length)


def _is_factored(leaf: Tensor) -> bool:
    return leaf.dim() >= 3  # the axis of the rows of lanes is one of them


def _nothing(leaf: Tensor) -> Tensor:
    return leaf.new_zeros(len(leaf), 0)


def _mean(leaf: Tensor, dim: int) -> Tensor:
    """Over one axis, which is kept; nothing of what is not factored."""
    return leaf.mean(dim, keepdim=True) if _is_factored(leaf) else _nothing(leaf)


def _rms(leaf: Tensor) -> Tensor:
    """Root mean square of each row ``[R, ...]``, broadcastable to the leaf."""
    return rowwise(leaf.reshape(len(leaf), -1).square().mean(1).sqrt(), leaf)


@final
class Adafactor(DropIn):
    """Adafactor: adaptive steps at m + n instead of m n numbers for a matrix (:class:`AdafactorRule` has the formula).

    ``lr`` bounds the step relative to the root mean square of each weight, which counts for at least ``floor``;
    the step falls with ``1 / sqrt(t)`` where that is less. The memory of the squares is ``1 - t^-decay_rate``.
    Updates whose root mean square is above ``clip_threshold`` are shortened to it. ``eps`` bounds the root of the
    mean square from below, 0 standing for the machine epsilon. ``weight_decay`` is decoupled and multiplied by lr.
    It equals ``torch.optim.Adafactor``, whose ``beta2_decay`` is ``-decay_rate``, ``d`` is ``clip_threshold`` and
    ``eps`` the pair ``(eps or None, floor)``. Real parameters only.

    Raises ``UsageError`` for a setting that is negative or not finite, and complex parameters.

    >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [3.0, 4.0]]))
    >>> optimizer = Adafactor([weight], lr=0.1)
    >>> weight.sum().backward()
    >>> optimizer.step()  # the step is a tenth of the root mean square, 3.5355
    >>> [round(value, 4) for value in weight[0].tolist()]
    [2.6464, 3.6464]

    Shazeer & Stern 2018, "Adafactor: adaptive learning rates with sublinear memory cost": rho_t is
    ``min(lr, 1 / sqrt(t))``, epsilon_2 is ``floor``, d is ``clip_threshold``, the exponent c is ``decay_rate``.
    """

    rule = AdafactorRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        decay_rate: float = 0.8,
        clip_threshold: float = 1.0,
        *,
        floor: float = 1e-3,
        eps: float = 0.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            decay_rate=decay_rate,
            clip_threshold=clip_threshold,
            floor=floor,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
