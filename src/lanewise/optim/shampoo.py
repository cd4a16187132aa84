"""Shampoo: a preconditioner for each side of a weight matrix (Gupta, Koren & Singer 2018)."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.kronecker import due, factor, inverse_root, is_matrix, matrix_of
from lanewise.optim.leaves import Leaves, Scalar, rowwise
from lanewise.optim.rule import DECAY, HyperValues, Rule, Slot, State

SHAMPOO_RATE = Hyper(name="lr", default=0.1, low=1e-2, high=1.0, scale="log", words="learning rate, that of AdaGrad")
MOMENTUM = Hyper(name="momentum", default=0.9, low=0.5, high=0.95, words="memory of the preconditioned steps")
EVERY = Hyper(name="every", default=1, words="steps between two computations of the inverse roots")
GRAFT = Hyper(name="graft", default=True, words="whether steps are as long as AdaGrad's")
RIDGE = Hyper(name="eps", default=1e-4, words="what the factors begin with, times the identity")

SMALLEST = 1e-10
"""Added to AdaGrad's root."""


@final
class ShampooRule(Rule):
    """``m <- mu m + L^-1/4 g R^-1/4``; ``theta <- theta - lr m``; ``L = eps I + sum g g^T``, ``R = eps I + sum g^T g``.

    A weight ``[out, ...]`` of more than two axes, a convolution, is the matrix ``[out, rest]``, where the paper
    has a factor for each axis. Where a side is longer than 4,096 the other has the power -1/2 alone. The roots are
    made anew every ``every`` steps, from the first. ``graft`` gives each matrix's step the length of AdaGrad's,
    ``g / (sqrt(sum g^2) + 1e-10)`` (Anil et al. 2020), so that rates mean the same for matrices of all shapes and for
    vectors, which get AdaGrad's step itself: the paper has a whole matrix for them, and no grafting.
    ``weight_decay`` is added to the gradient. The sums never forget, so that steps shorten as AdaGrad's do.
    """

    name: ClassVar[str] = "shampoo"
    hypers: ClassVar[tuple[Hyper, ...]] = (SHAMPOO_RATE, MOMENTUM, EVERY, GRAFT, RIDGE, DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("momentum"),
        Slot("squares"),
        Slot("left", factor(0)),
        Slot("right", factor(1)),
        Slot("left_root", factor(0)),
        Slot("right_root", factor(1)),
    )
    per_weight: ClassVar[bool] = True
    proximal: ClassVar[bool] = False  # a step mixes the rates of a whole matrix
    capturable: ClassVar[bool] = False  # the host knows when decompositions are due

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        rows = due(step, hyper["every"], len(params[0])) if len(params) else []
        factors = [(state[side], state[f"{side}_root"]) for side in ("left", "right")]
        squares = state["squares"].addcmul_(grads, grads, 1.0)
        plain = grads.mul(1.0).div_(squares.sqrt().add_(SMALLEST))
        for at, grad in enumerate(grads):
            if is_matrix(grad):
                pairs = [(sums[at], roots[at]) for sums, roots in factors]
                steps = _preconditioned(matrix_of(grad), pairs, rowwise(hyper["eps"], grad).flatten(), rows)
                plain[at].copy_(_grafted(steps, matrix_of(plain[at]), hyper["graft"]).view(grad.shape))
        params.add_(state["momentum"].mul_(hyper["momentum"]).add_(plain), -hyper["lr"])


def _preconditioned(grad: Tensor, factors: list[tuple[Tensor, Tensor]], ridge: Tensor, rows: list[int]) -> Tensor:
    """``L^-p g R^-p`` of ``grad [R, m, n]`` after it was added to the factors ``(sums, roots)`` of both sides."""
    kept = [side for side, (sums, _) in enumerate(factors) if sums.dim() == grad.dim()]
    ridge = ridge.expand(len(grad))  # a float in the drop-in
    result = grad
    for side in kept:
        sums, roots = factors[side]
        sums.add_(grad @ grad.mT if side == 0 else grad.mT @ grad)
        for row in rows:
            roots[row].copy_(inverse_root(sums[row], ridge[row], 1 / (2 * len(kept))))
        result = roots @ result if side == 0 else result @ roots
    return result


def _grafted(steps: Tensor, plain: Tensor, graft: Scalar) -> Tensor:
    """``steps [R, m, n]`` at the length of ``plain``, where wanted."""
    lengths = torch.linalg.vector_norm(steps, dim=(1, 2), keepdim=True)
    wanted = torch.linalg.vector_norm(plain, dim=(1, 2), keepdim=True)
    factor_of = torch.where(lengths == 0, torch.zeros_like(lengths), wanted / lengths)
    return torch.where(rowwise(graft, steps) > 0, steps * factor_of, steps)


@final
class Shampoo(DropIn):
    """Shampoo: ``theta <- theta - lr L^-1/4 g R^-1/4`` with momentum, for matrices (:class:`ShampooRule`).

    L and R are ``eps I`` plus the sums of ``g g^T`` and ``g^T g``; their inverse roots are made anew ``every`` so many
    steps, which costs the cube of the longer side. ``graft`` gives each step the length of AdaGrad's, which vectors and
    numbers get. A convolution counts as the matrix ``[out, rest]``. ``weight_decay`` is added to the gradient. Real
    parameters only.

    Raises ``UsageError`` for a setting that is negative or not finite, and complex parameters.

    >>> weight = torch.nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    >>> optimizer = Shampoo([weight], lr=0.5, graft=False, eps=0.0)
    >>> weight.square().sum().backward()
    >>> optimizer.step()  # of the first gradient, G = U S V^T, it makes U V^T
    >>> [round(value, 4) for value in weight.diagonal().tolist()]
    [0.5, 1.5]

    Gupta, Koren & Singer 2018, "Shampoo: preconditioned stochastic tensor optimization": eta is ``lr``, epsilon is
    ``eps``; momentum of 0.9 is that of its experiments. Anil et al. 2020, "Scalable second order optimization for deep
    learning": the layer-wise step of AdaGrad.
    """

    rule = ShampooRule()
    counts = ("every",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        momentum: float = 0.9,
        every: int = 1,
        *,
        graft: bool = True,
        eps: float = 1e-4,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            every=every,
            graft=graft,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )
