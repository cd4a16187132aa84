"""Gauss-Newton for least squares, with a line search.

Method: Nocedal and Wright, *Numerical Optimization* (2006), section 10.3.
"""

from typing import ClassVar, cast, final

import torch
from torch import Tensor

from lanewise.solvers.direction import Direction, Memory, Place, ResidualObjective, finite_rows


@final
class GaussNewton(Direction):
    """``d = argmin_d |J d + r|^2``, the shortest one where there are several.

    ``J`` is the Jacobian of the residuals ``r``; no second derivative is needed.
    """

    name: ClassVar[str] = "gauss-newton"

    def empty(self, points: Tensor) -> Memory:
        return {}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        del memory, rows, steps, changes  # the Jacobian itself is known

    def forget(self, memory: Memory, rows: Tensor) -> None:
        del memory, rows

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        residuals, jacobians = cast("ResidualObjective", objective).jacobians(place.points, place.problems)
        if place.free is not None:
            jacobians = jacobians * place.free[:, None, :]
        known = finite_rows(residuals, jacobians)
        jacobians = torch.where(known[:, None, None], jacobians, 0.0)
        residuals = torch.where(known[:, None], residuals, 0.0)
        # Columns of one length, or the smallest singular values are judged by the units of the variables.
        sizes = jacobians.square().sum(1).sqrt()
        sizes = torch.where(sizes > 0, sizes, 1.0)
        driver = "gelsd" if jacobians.device.type == "cpu" else "gels"
        solved = torch.linalg.lstsq(jacobians / sizes[:, None, :], -residuals[:, :, None], driver=driver).solution
        return solved.squeeze(2) / sizes * known[:, None]
