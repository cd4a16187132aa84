"""BFGS with a dense inverse Hessian per row.

Method: Nocedal and Wright, *Numerical Optimization* (2006), algorithm 6.1, with the initial scale
of their equation 6.20.
"""

from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import Direction, Memory, Place


@final
class BFGS(Direction):
    """``d = -H g``; ``H <- (I - r s y') H (I - r y s') + r s s'``, ``r = 1 / s'y``.

    ``s`` is the step and ``y`` the change of the gradient; a pair whose curvature ``s'y`` cannot be
    told from zero or less is left out. With bounds the inverse of the free block of the Hessian is
    used, ``H_FF - H_FB H_BB^-1 H_BF``. Costs ``P^2`` numbers and ``O(P^2)`` operations per row.
    """

    name: ClassVar[str] = "bfgs"

    def empty(self, points: Tensor) -> Memory:
        lanes, parameters = points.shape
        return {
            "inverse": points.new_zeros(lanes, parameters, parameters),
            "pairs": torch.zeros(lanes, dtype=torch.int64, device=points.device),
        }

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        curvature, square = dot(steps, changes), dot(changes, changes)
        floor = torch.finfo(steps.dtype).eps * (dot(steps, steps) * square).sqrt()
        sound = (curvature > floor) & square.isfinite()
        kept = sound.nonzero().squeeze(1)
        if len(kept) == 0:
            return
        rows, steps, changes = rows[kept], steps[kept], changes[kept]
        curvature, square = curvature[kept], square[kept]
        inverse = memory["inverse"][rows]
        fresh = (memory["pairs"][rows] == 0).nonzero().squeeze(1)
        if len(fresh):
            inverse[fresh] = torch.diag_embed((curvature / square)[fresh, None].expand(-1, steps.shape[1]))
        # Row sums, not a batched matrix product, whose last bits change with the batch.
        bent = (inverse * changes[:, None, :]).sum(-1) / curvature[:, None]
        scale = (1 + dot(changes, bent)) / curvature
        outer = bent[:, :, None] * steps[:, None, :]
        inverse += scale[:, None, None] * steps[:, :, None] * steps[:, None, :] - outer - outer.transpose(1, 2)
        memory["inverse"][rows] = inverse
        memory["pairs"][rows] += 1

    def forget(self, memory: Memory, rows: Tensor) -> None:
        memory["inverse"][rows] = 0.0
        memory["pairs"][rows] = 0

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        inverse = memory["inverse"].index_select(0, place.rows)
        result = -(inverse * place.gradients[:, None, :]).sum(-1)
        if place.free is not None:
            bound = ((memory["pairs"][place.rows] > 0) & ~place.free.all(1)).nonzero().squeeze(1)
            if len(bound):
                result[bound] -= _correction(inverse[bound], place.gradients[bound], place.free[bound])
                result *= place.free
        return result


def _correction(inverse: Tensor, gradients: Tensor, free: Tensor) -> Tensor:
    """``-H_FB H_BB^-1 H_BF g``, ``[R, P]``: what holding the bound coordinates adds to ``-H g``."""
    held = ~free
    block = torch.where(held[:, :, None] & held[:, None, :], inverse, 0.0) + torch.diag_embed(free.to(inverse))
    pull = (inverse * gradients[:, None, :]).sum(-1) * held
    solved = torch.linalg.solve_ex(block, pull[:, :, None])[0].squeeze(2) * held
    return -(inverse * solved[:, None, :]).sum(-1) * free
