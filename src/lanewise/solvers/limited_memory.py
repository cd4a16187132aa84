"""L-BFGS as a direction: what :class:`~lanewise.solvers.lbfgs.LBFGS` does, within bounds."""

from dataclasses import fields
from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.solvers.curvature import CurvatureMemory
from lanewise.solvers.direction import Direction, Memory, Place
from lanewise.solvers.rows import Rows

PAIRS = 10


@final
class LimitedMemory(Direction):
    """``d = -H g`` with ``H`` built from the last ten pairs (Liu and Nocedal 1989).

    With bounds the pairs are restricted to the free coordinates, as in Lin and More, *Newton's
    method for large bound-constrained optimization problems*, SIAM J. Optim. 9 (1999).
    """

    name: ClassVar[str] = "lbfgs"

    def empty(self, points: Tensor) -> Memory:
        memory = CurvatureMemory.empty(points, memory=PAIRS)
        return {field.name: getattr(memory, field.name) for field in fields(memory)}

    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        CurvatureMemory(**memory).push(Rows.of(rows, steps), steps, changes)

    def forget(self, memory: Memory, rows: Tensor) -> None:
        CurvatureMemory(**memory).forget(Rows(rows, apart=False))

    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        rows = Rows.of(place.rows, place.points)
        directions = -CurvatureMemory(**memory).apply(rows, place.gradients, free=place.free)
        return torch.where((rows.take(memory["pushed"]) > 0)[:, None], directions, 0.0)
