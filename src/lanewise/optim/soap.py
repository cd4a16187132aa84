"""SOAP: Adam in the eigenbasis of Shampoo's factors (Vyas et al. 2025)."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, final

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lanewise.lanes.hyper import Hyper
from lanewise.optim.adam import EPSILON
from lanewise.optim.adamw import AdamWRule
from lanewise.optim.drop_in import DropIn
from lanewise.optim.kronecker import due, eigenbasis, factor, is_matrix, matrix_of, those, turned_basis
from lanewise.optim.leaves import Leaves, Scalar, bias_correction, choose, rowwise, square_root
from lanewise.optim.rule import DECOUPLED_DECAY, HyperValues, Rule, Slot, State

SOAP_RATE = Hyper(name="lr", default=3e-3, low=3e-4, high=0.1, scale="log", words="learning rate, that of AdamW")
BETA1 = Hyper(name="beta1", default=0.95, low=0.85, high=0.98, words="memory of the mean gradient")
BETA2 = Hyper(name="beta2", default=0.95, low=0.9, high=0.99, words="memory of the mean square and of the factors")
EVERY = Hyper(name="every", default=10, words="steps between two turns of the basis")


@final
class SOAPRule(Rule):
    """``theta <- theta - lr P (P^T m Q / sqrt v) Q^T``: m, v Adam's means of g and of the square of ``P^T g Q``.

    P and Q are the eigenvectors of ``L <- b2 L + (1-b2) g g^T`` and ``R <- b2 R + (1-b2) g^T g``: decomposed at the
    first step, then turned every ``every`` steps by one step of orthogonal iteration, ``P <- QR(L P)``. As in the
    authors' code their columns, and v with them, are first sorted by the estimated eigenvalues, the first gradient only
    sets the basis, and Adam's bias correction counts from the second. Here eps is added after the correction, the decay
    comes before the step, and 1e-3 of the mean eigenvalue, rising along the diagonal, decides between equal
    eigenvalues. A weight ``[out, ...]`` of more than two axes is the matrix ``[out, rest]``, where the code has a
    factor for each axis; a side longer than 4,096 has none. Vectors and numbers get AdamW's step, from the first
    gradient on. The decay is decoupled and multiplied by lr.

    Directions without gradient are scaled up as all others are, and rounding with them: at the usual eps two float64
    runs whose sums are made in another order, as in a stack of another size, were up to 1e-5 apart after 50
    steps of a softmax network; at an eps of 0.01 less than 1e-10. The distance grows
    as 1 / eps, and is that of a plain loop from itself, begun with weights that differ in the last bit.
    """

    name: ClassVar[str] = "soap"
    hypers: ClassVar[tuple[Hyper, ...]] = (SOAP_RATE, BETA1, BETA2, EVERY, EPSILON, DECOUPLED_DECAY)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("mean"),
        Slot("mean_square"),
        Slot("left", factor(0)),
        Slot("right", factor(1)),
        Slot("left_basis", factor(0)),
        Slot("right_basis", factor(1)),
    )
    decay = "decoupled"
    per_weight: ClassVar[bool] = True
    proximal: ClassVar[bool] = False  # a step mixes the rates of a whole matrix
    capturable: ClassVar[bool] = False  # the host knows when decompositions are due

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        others = [at for at, leaf in enumerate(params) if not is_matrix(leaf)]
        for at, leaf in enumerate(params):
            if is_matrix(leaf):
                _take(leaf, matrix_of(grads[at]), [state[slot.name][at] for slot in self.slots], hyper, step)
        if others:
            own = State({name: those(state[name], others) for name in ("mean", "mean_square")})
            _ADAMW.update(those(params, others), those(grads, others), own, hyper, step)


_ADAMW = AdamWRule()


def _take(param: Tensor, grad: Tensor, slots: Sequence[Tensor], hyper: HyperValues, step: Scalar) -> None:
    """One step of a weight; ``grad [R, m, n]``, the slots in the order of the rule's."""
    mean, square, left, right, *bases = slots
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    moves = step > 1
    count = choose(moves, step - 1, 1.0)
    mean.lerp_(grad.view(mean.shape), rowwise(choose(moves, 1 - beta1, 0.0), mean))
    turned = _rotate(grad, bases).view(square.shape)
    square.lerp_(turned.square(), rowwise(choose(moves, 1 - beta2, 0.0), square))
    root = square.sqrt() / rowwise(square_root(bias_correction(beta2, count)), square)
    root += rowwise(hyper["eps"], square)
    update = _rotate(matrix_of(_rotate(matrix_of(mean), bases).view(root.shape) / root), bases, back=True)
    length = choose(moves, hyper["lr"] / bias_correction(beta1, count), 0.0)
    param.addcmul_(update.view(param.shape), rowwise(length, param), value=-1)
    _turn(grad, square, zip((left, right), bases, strict=True), hyper, step)


def _rotate(matrix: Tensor, bases: Sequence[Tensor], *, back: bool = False) -> Tensor:
    """``matrix [R, m, n]`` in the bases of its two sides, or back; a side without one is left alone."""
    left, right = bases
    if left.dim() == matrix.dim():
        matrix = (left if back else left.mT) @ matrix
    if right.dim() == matrix.dim():
        matrix = matrix @ (right.mT if back else right)
    return matrix


def _turn(
    grad: Tensor, square: Tensor, sides: Iterable[tuple[Tensor, Tensor]], hyper: HyperValues, step: Scalar
) -> None:
    """Take ``grad`` into the factors, and turn the bases of the rows whose time it is; ``square`` is in their order."""
    fresh, first = 1 - hyper["beta2"], due(step, float("inf"), len(grad))
    rows = due(step, hyper["every"], len(grad))
    for side, (own, basis) in enumerate(sides):
        if own.dim() < grad.dim():
            continue
        own.lerp_(grad @ grad.mT if side == 0 else grad.mT @ grad, rowwise(fresh, own))
        for row in rows:
            if row in first:
                basis[row].copy_(eigenbasis(own[row]))
                continue
            turned, order = turned_basis(own[row], basis[row])
            basis[row].copy_(turned)
            kept = square[row]
            kept.copy_(kept.flatten(1).index_select(side, order).view(kept.shape))


@final
class SOAP(DropIn):
    """SOAP: AdamW in the basis in which a matrix's gradients are uncorrelated (:class:`SOAPRule` has the formula).

    ``betas`` are the memories of the mean gradient, and of the mean square and the factors. The basis is turned
    ``every`` so many steps, which costs the cube of the longer side. ``eps`` is added outside the root, after the
    correction. ``weight_decay`` is decoupled and multiplied by lr. The first gradient moves vectors only. A
    convolution counts as the matrix ``[out, rest]``. Real parameters only. ``torch.compile`` cannot compile the step,
    for the host decides when a basis is turned: compile the model alone.

    Raises ``UsageError`` for a setting that is negative or not finite, a beta of 1 or more, and complex parameters.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([[1.0, 0.5], [-0.5, 1.0], [2.0, 0.0]]))
    >>> optimizer = SOAP([weight], lr=0.1)
    >>> for _ in range(150):
    ...     optimizer.zero_grad()
    ...     (weight - 3).square().sum().backward()
    ...     optimizer.step()
    >>> bool((weight - 3).abs().max() < 0.1)
    True

    Vyas et al. 2025, "SOAP: improving and stabilizing Shampoo using Adam": eta is ``lr``, f is ``every``.
    """

    rule = SOAPRule()
    counts = ("every",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        every: int = 10,
        *,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, every=every, eps=eps, weight_decay=weight_decay, maximize=maximize)
