"""Steepest descent as a direction, its steps as long as the curvature along the latest one asks for.

Source: Barzilai and Borwein, *Two-point step size gradient methods*, IMA J. Numer. Anal. 8 (1988); with a line search
as in Raydan, SIAM J. Optim. 7 (1997), but a monotone one.
"""

from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import Direction, Memory, Place


@final
class SteepestDescent(Direction):
    """``d = -t g`` with ``t = s's / s'y``, ``s`` the latest step and ``y`` the change of the gradient over it.

    A step along which the gradient does not grow leaves ``t`` as it is.
    """

    name: ClassVar[str] = "gd"

    def empty(self, points: Tensor) -> Memory:
        return {"rate": points.new_zeros(len(points))}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        rate = dot(steps, steps) / dot(steps, changes)
        memory["rate"][rows] = torch.where((rate > 0) & rate.isfinite(), rate, memory["rate"][rows])

    def forget(self, memory: Memory, rows: Tensor) -> None:
        memory["rate"][rows] = 0.0

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        return -memory["rate"][place.rows][:, None] * place.gradients
