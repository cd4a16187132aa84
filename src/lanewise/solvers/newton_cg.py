"""Newton-CG: the Newton equation solved by conjugate gradients, without the Hessian itself.

Method: Nocedal and Wright, *Numerical Optimization* (2006), algorithm 7.1 (line-search Newton-CG).
"""

from typing import ClassVar, cast, final

import torch
from torch import Tensor

from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import CurvedObjective, Direction, Memory, Place


@final
class NewtonCG(Direction):
    """``d`` with ``|H d + g| <= min(0.5, |g|^0.5) |g|``, found with products ``H v`` only.

    A row ends its inner loop at a direction of negative curvature, with what it has by then.
    """

    name: ClassVar[str] = "newton-cg"

    def empty(self, points: Tensor) -> Memory:
        return {}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        del memory, rows, steps, changes  # products with the Hessian itself are known

    def forget(self, memory: Memory, rows: Tensor) -> None:
        del memory, rows

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        multiply = cast("CurvedObjective", objective).curvature(place.points, place.problems)
        gradients = place.gradients
        free = torch.ones_like(gradients) if place.free is None else place.free.to(gradients)
        result, residual = torch.zeros_like(gradients), gradients.clone()
        direction = -residual
        square = dot(residual, residual)
        goal = (square.pow(0.25).clamp_max(0.5).square() * square).clamp_min(0.0)
        active = square > 0
        for turn in range(2 * gradients.shape[1]):
            bent = multiply(direction) * free
            curvature = dot(direction, bent)
            positive = curvature > torch.finfo(square.dtype).eps * dot(direction, direction)
            if turn == 0:
                # Steepest descent where the curvature is not positive; its length is then unknown.
                size = dot(direction, direction).sqrt().clamp_min(1e-300)
                result = torch.where((active & ~positive)[:, None], direction / size[:, None], result)
            active = active & positive
            if not bool(active.any()):
                break
            length = torch.where(active, square / torch.where(positive, curvature, 1.0), 0.0)
            result = result + length[:, None] * direction
            residual = residual + length[:, None] * torch.where(active[:, None], bent, 0.0)
            following = dot(residual, residual)
            active = active & (following > goal)
            ratio = torch.where(active, following / square, 0.0)
            direction = torch.where(active[:, None], ratio[:, None] * direction - residual, direction)
            square = torch.where(active, following, square)
        return result
