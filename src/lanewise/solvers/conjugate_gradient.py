"""Nonlinear conjugate gradient (Hager and Zhang).

Method: Hager and Zhang, *A new conjugate gradient method with guaranteed descent and an efficient
line search*, SIAM J. Optim. 16 (2005), equation 1.3, their ``d`` being our step ``s``, which is a
multiple of it, and a negative ``beta`` replaced by zero.
"""

from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import Direction, Memory, Place


@final
class ConjugateGradient(Direction):
    """``d = -g + beta s`` with ``beta = max(0, (y - 2 s y'y / s'y)' g / s'y)``.

    ``s`` is the latest step and ``y`` the change of the gradient over it. Holds two vectors per row.
    """

    name: ClassVar[str] = "cg"
    wolfe: ClassVar[float] = 0.1

    def empty(self, points: Tensor) -> Memory:
        return {"step": torch.zeros_like(points), "change": torch.zeros_like(points)}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        memory["step"][rows], memory["change"][rows] = steps, changes

    def forget(self, memory: Memory, rows: Tensor) -> None:
        memory["step"][rows] = 0.0
        memory["change"][rows] = 0.0

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        step, change = memory["step"][place.rows], memory["change"][place.rows]
        gradients = place.gradients
        if place.free is not None:
            step, change = step * place.free, change * place.free
        curvature = dot(step, change)
        known = (curvature > 0) & curvature.isfinite()
        safe = torch.where(known, curvature, 1.0)
        weights = change - step * (2 * dot(change, change) / safe)[:, None]
        beta = (dot(weights, gradients) / safe).clamp_min(0.0)
        directions = beta[:, None] * step - gradients
        # The first trial promises the decrease, to first order, that the latest step had.
        length = dot(step, gradients - change) / dot(directions, gradients)
        length = torch.where(length > 0, length, dot(step, step) / safe)
        return torch.where(known[:, None], length[:, None] * directions, 0.0)
