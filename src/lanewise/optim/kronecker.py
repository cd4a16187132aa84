"""Kronecker factors of weight matrices: what Shampoo and SOAP have in common.

A weight ``[R, out, ...]`` counts as the matrix ``[out, rest]``. Decompositions are made row by row and in
float64, so that a lane gets the same bits whatever its neighbours are, and a NaN stays where it is.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lanewise.optim.leaves import Leaves, Scalar, larger

LARGEST = 4096
"""The longest side that gets a factor: its decomposition takes the cube of this many operations."""

TIE = 1e-3
"""Share of the mean eigenvalue that sets equal eigenvalues apart."""


def is_matrix(leaf: Tensor) -> bool:
    """Whether a leaf ``[R, ...]`` has factors."""
    return leaf.dim() >= 3  # the axis of the rows is one of them


def matrix_of(leaf: Tensor) -> Tensor:
    """``[R, out, ...]`` as ``[R, out, rest]``."""
    return leaf.flatten(2)


def nothing(leaf: Tensor) -> Tensor:
    """State of a leaf that needs none."""
    return leaf.new_zeros(len(leaf), 0)


def those(leaves: Leaves, places: Sequence[int]) -> Leaves:
    """The leaves at ``places``."""
    return leaves.new([leaves[at] for at in places])


def factor(side: int) -> Callable[[Tensor], Tensor]:
    """Start of a factor of the left (0) or right (1) side: zeros ``[R, n, n]``, nothing where n is too large."""

    def start(leaf: Tensor) -> Tensor:
        if not is_matrix(leaf):
            return nothing(leaf)
        size = matrix_of(leaf).shape[1 + side]
        return leaf.new_zeros(len(leaf), size, size) if size <= LARGEST else nothing(leaf)

    return start


def due(step: Scalar, every: Scalar, rows: int) -> list[int]:
    """The rows whose decomposition is to be made anew: at step 1 and every so many steps from there.

    >>> [step for step in range(1, 9) if due(float(step), 3.0, 1)]
    [1, 4, 7]
    """
    turn = (step - 1) % larger(every, 1.0) == 0
    if isinstance(turn, Tensor):
        return torch.nonzero(turn).flatten().tolist()
    return list(range(rows)) if turn else []


def inverse_root(matrix: Tensor, ridge: Tensor, power: float) -> Tensor:
    """``(matrix + ridge I)^-power`` of one positive semi-definite matrix ``[n, n]``."""
    if not bool(matrix.isfinite().all()):
        return torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix.double())
    # below zero by rounding only
    scaled = vectors * (values.clamp(min=0) + ridge.double()).pow(-power)
    return (scaled @ vectors.mT).to(matrix.dtype)


def eigenbasis(matrix: Tensor) -> Tensor:
    """Eigenvectors of one symmetric matrix ``[n, n]`` as columns, of the largest eigenvalue first."""
    if not bool(matrix.isfinite().all()):
        return torch.full_like(matrix, torch.nan)
    return torch.linalg.eigh(_untied(matrix)).eigenvectors.flip(1).to(matrix.dtype)


def turned_basis(matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """One step of orthogonal iteration from ``basis`` towards the eigenvectors: Q of the QR of ``matrix basis``.

    The columns of ``basis`` are first put in the order of the eigenvalues they stand for, the largest first; without it
    the iteration would turn one towards the other. Returns the new basis and that order.
    """
    if not bool((matrix.isfinite() & basis.isfinite()).all()):
        return torch.full_like(matrix, torch.nan), torch.arange(len(matrix), device=matrix.device)
    image = _untied(matrix) @ basis.double()
    order = (basis * image).sum(0).argsort(descending=True, stable=True)
    return torch.linalg.qr(image[:, order]).Q.to(matrix.dtype), order


def _untied(matrix: Tensor) -> Tensor:
    """``matrix`` in float64 with a small diagonal that rises.

    Gradients of low rank, dead units among them, leave many eigenvalues equal, and any basis of their space
    would do: rounding would choose it, and a lane would not be what it is alone.
    """
    wide = matrix.double()
    size = len(wide)
    rise = torch.linspace(1.0, 2.0, size, dtype=wide.dtype, device=wide.device)
    return wide + torch.diag(rise * (TIE * wide.diagonal().mean()))
