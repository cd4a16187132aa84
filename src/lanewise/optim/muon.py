"""Muon: momentum made orthogonal (Jordan et al. 2024), with AdamW for what is not a matrix."""

import math
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import BETA1, BETA2, EPSILON
from lanewise.optim.adamw import AdamWRule
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.rule import HyperValues, Rule, Slot, State

MUON_RATE = Hyper(name="lr", default=1e-3, low=1e-4, high=0.1, scale="log", words="learning rate, that of AdamW")
MOMENTUM = Hyper(name="momentum", default=0.95, low=0.8, high=0.99, words="memory of the momentum of a matrix")
MUON_DECAY = Hyper(
    name="weight_decay", default=0.1, low=1e-3, high=0.3, scale="log", words="decoupled weight decay, multiplied by lr"
)

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic ``a s + b s^3 + c s^5`` that drives every singular value towards 1."""

ITERATIONS = 5
SMALLEST = 1e-7
"""Norm below which a gradient is not scaled up."""

RMS = 0.2
"""Root mean square of AdamW's usual step, to which a matrix's step is scaled."""


@final
class MuonRule(Rule):
    """``m <- mu m + (1-mu) g``; ``theta <- theta - lr 0.2 sqrt(max(rows, columns)) orthogonal((1-mu) g + mu m)``.

    ``orthogonal`` sets all singular values to about 1, by five Newton-Schulz iterations in the dtype of the weights
    (torch's run in bfloat16). With the factor ``0.2 sqrt(max(rows, columns))`` (Liu et al. 2025; torch's
    ``"match_rms_adamw"``) the steps are as long as AdamW's, so one lr serves both. A weight ``[out, in, ...]`` of more
    than two axes, a convolution, is the matrix ``[out, rest]``, scale included. Vectors and numbers get AdamW's step.
    The decay is decoupled and multiplied by lr. Give embeddings and the last layer to AdamW in an optimizer of their
    own, as the authors do.
    """

    name: ClassVar[str] = "muon"
    hypers: ClassVar[tuple[Hyper, ...]] = (MUON_RATE, MOMENTUM, BETA1, BETA2, EPSILON, MUON_DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot(
            "momentum",
            lambda leaf: torch.zeros_like(leaf) if _is_matrix(leaf) else _nothing(leaf),
            torch="momentum_buffer",
        ),
        Slot("mean", lambda leaf: _nothing(leaf) if _is_matrix(leaf) else torch.zeros_like(leaf)),
        Slot("mean_square", lambda leaf: _nothing(leaf) if _is_matrix(leaf) else torch.zeros_like(leaf)),
    )
    decay = "decoupled"
    per_weight: ClassVar[bool] = True
    gathers: ClassVar[bool] = True
    proximal: ClassVar[bool] = False  # a step mixes the rates of a whole matrix

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        matrices = [at for at, leaf in enumerate(params) if _is_matrix(leaf)]
        others = [at for at, leaf in enumerate(params) if not _is_matrix(leaf)]
        if matrices:
            slopes = _those(grads, matrices)
            momentum = _those(state["momentum"], matrices).lerp_(slopes, 1 - hyper["momentum"])
            ahead = slopes.lerp(momentum, hyper["momentum"])
            steps = [state.whole(at, _step, leaf) for at, leaf in zip(matrices, ahead, strict=True)]
            _those(params, matrices).add_(ahead.new(steps), -hyper["lr"])
        if others:
            own = State({name: _those(state[name], others) for name in ("mean", "mean_square")})
            _ADAMW.update(_those(params, others), _those(grads, others), own, hyper, step)


_ADAMW = AdamWRule()


def _is_matrix(leaf: Tensor) -> bool:
    return leaf.dim() >= 3  # the axis of the rows is one of them


def _nothing(leaf: Tensor) -> Tensor:
    return leaf.new_zeros(len(leaf), 0)


def _those(leaves: Leaves, places: Sequence[int]) -> Leaves:
    return leaves.new([leaves[at] for at in places])


def _step(leaf: Tensor) -> Tensor:
    """The step of ``leaf [R, out, ...]`` at a rate of 1."""
    matrix = leaf.flatten(2)
    return (orthogonal(matrix) * (RMS * math.sqrt(max(matrix.shape[1:])))).view(leaf.shape)


def orthogonal(matrix: Tensor) -> Tensor:
    """About ``U V^T`` of ``matrix [R, m, n] = U S V^T``: singular values between 0.7 and 1.2.

    Newton-Schulz: ``X <- a X + (b A + c A A) X`` with ``A = X X^T``, on the shorter side.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.shape[1] <= matrix.shape[2]
    x = matrix if wide else matrix.mT
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=SMALLEST)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).contiguous()


@final
class Muon(DropIn):
    """Muon for weights of two and more axes, AdamW for the rest, at one lr (:class:`MuonRule` has the formula).

    ``momentum`` is the memory of a matrix's momentum (Nesterov's form); ``betas`` and ``eps`` are AdamW's, for vectors
    and numbers. The step of a matrix is scaled by ``0.2 sqrt(max(rows, columns))``; a convolution counts as the matrix
    ``[out, rest]``. ``weight_decay`` is decoupled and multiplied by lr. Real parameters only.

    Raises ``UsageError`` for a setting that is negative or not finite, a beta of 1 or more, and complex parameters.

    >>> weight = torch.nn.Parameter(torch.eye(2))
    >>> optimizer = Muon([weight], lr=0.1, weight_decay=0.0)
    >>> (3 * weight).sum().backward()
    >>> optimizer.step()
    >>> bool((weight < torch.eye(2)).all())
    True

    Jordan et al. 2024, "Muon: an optimizer for hidden layers"; Liu et al. 2025, "Muon is scalable for LLM training".
    """

    rule = MuonRule()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
