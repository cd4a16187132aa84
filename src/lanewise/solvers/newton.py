"""Newton's method with the eigenvalues of the Hessian made positive.

Method: Nocedal and Wright, *Numerical Optimization* (2006), section 3.4 (eigenvalue modification):
each eigenvalue is replaced by its size, so that the direction descends along negative curvature too.
"""

from typing import ClassVar, cast, final

import torch
from torch import Tensor

from lanewise.solvers.direction import CurvedObjective, Direction, Memory, Place, finite_rows

FLOOR = 1e-9  # smallest eigenvalue, relative to the largest
FLAT = 1e-200  # a second derivative up to this tells nothing of the unit of a variable


@final
class Newton(Direction):
    """``d = -V diag(1 / |lambda|) V' g`` for the Hessian ``V diag(lambda) V'``; ``O(P^3)`` per row."""

    name: ClassVar[str] = "newton"

    def empty(self, points: Tensor) -> Memory:
        return {}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        del memory, rows, steps, changes  # the Hessian itself is known

    def forget(self, memory: Memory, rows: Tensor) -> None:
        del memory, rows

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        hessians = cast("CurvedObjective", objective).hessians(place.points, place.problems)
        if place.free is not None:
            both = place.free[:, :, None] & place.free[:, None, :]
            hessians = torch.where(both, hessians, torch.diag_embed((~place.free).to(hessians)))
        known = finite_rows(hessians)
        hessians = torch.where(known[:, None, None], hessians, 0.0)
        hessians = (hessians + hessians.transpose(1, 2)) / 2
        # Each variable in its own unit: else one of huge units would set the floor for all others.
        largest = hessians.abs().amax(2)
        # One that enters linearly has none, and would overflow and spoil the whole row.
        shared = largest.amax(1, keepdim=True)
        largest = torch.where(largest > FLAT, largest, torch.where(shared > FLAT, shared, 1.0))
        diagonal = hessians.diagonal(dim1=1, dim2=2).abs()
        plain = diagonal <= FLOOR * largest  # a diagonal near zero tells no unit
        unit = torch.where(plain, largest, diagonal).rsqrt()
        values, axes = torch.linalg.eigh(unit[:, :, None] * hessians * unit[:, None, :])
        sizes = values.abs()
        sizes = torch.maximum(sizes, FLOOR * sizes.amax(1, keepdim=True)).clamp_min(1e-300)
        along = (axes * (unit * place.gradients)[:, :, None]).sum(1) / sizes
        return -unit * (axes * along[:, None, :]).sum(-1) * known[:, None]
