"""Whether a function under constraints falls on without end: found out by looking far ahead."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

AHEAD = (10.0, 1e2, 1e3, 1e4)  # lengths to look ahead, in those of the way so far
DEEPER = 2.0  # factor by which the fall is to grow from each length to the next
RETURNS = 30  # Newton steps back onto the constraints
MET = 1e-6  # violation, relative to the largest entry of x, at which it is back on them
ROUNDING = 1e-12  # or the last step, relative to the same: the squares of large numbers round coarsely


class ConstrainedObjective(Protocol):
    """An objective with constraints ``g = 0`` and ``h >= 0``."""

    def __call__(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]: ...

    def constrained(
        self, points: Tensor, rows: Tensor, /
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """Values ``[R]``, ``g [R, E]``, ``h [R, I]``, and a function from weights of both
        (``[R, E]``, ``[R, I]``) to the gradients ``[R, P]`` of ``f + w_g' g + w_h' h``.
        """
        ...


def falls_on(
    objective: ConstrainedObjective,
    origin: Tensor,
    point: Tensor,
    rows: Tensor,
    *,
    least: float = 0.0,
    clip: Callable[[Tensor], Tensor] = lambda points: points,
) -> bool:
    """Whether the fall from ``origin [1, P]`` to ``point [1, P]`` goes on as far as one can look.

    In a bent valley no straight line leads on: from ``point + s (point - origin)``, for lengths ``s`` that grow
    tenfold, Newton steps of least length go back onto the constraints. It falls on if all those points meet them and
    each fall is at least twice the one before. What levels out, or turns, does not; nor does a logarithm. ``least`` is
    the smallest fall from the origin that counts; ``clip`` keeps points within the bounds.

    >>> class Along:  # minus x, where y = 0
    ...     def constrained(self, points, rows):
    ...         x, y = points.unbind(1)
    ...         return -x, y[:, None], points[:, :0], lambda w, _: torch.stack((-torch.ones_like(x), w[:, 0]), dim=1)
    >>> zero, far = torch.zeros(1, 2).double(), torch.tensor([[1e4, 0.1]]).double()
    >>> falls_on(Along(), zero, far, torch.zeros(1, dtype=torch.int64))
    True
    """
    begun = float(objective.constrained(origin, rows)[0])
    fall = begun - float(objective.constrained(point, rows)[0])
    if not fall > least:
        return False
    for length in AHEAD:
        there, value = _returned(objective, clip(point + length * (point - origin)), rows, clip)
        if there is None or not begun - value >= DEEPER * fall:
            return False
        fall = begun - value
    return True


def _returned(
    objective: ConstrainedObjective, point: Tensor, rows: Tensor, clip: Callable[[Tensor], Tensor]
) -> tuple[Tensor | None, float]:
    """The point moved onto the constraints, and its value; None where Newton steps do not get there."""
    step = torch.full_like(point, torch.inf)
    for _ in range(RETURNS):
        value, equal, unequal, pull = objective.constrained(point, rows)
        off = torch.cat((equal, unequal.clamp_max(0.0)), dim=1)[0]
        size = max(1.0, float(point.abs().max()))
        if not bool(off.isfinite().all()):
            return None, torch.nan
        if float(off.abs().sum()) <= MET * size or float(step.abs().max()) <= ROUNDING * size:
            return point, float(value)
        slopes, off = _slopes(pull, equal, unequal)[off != 0], off[off != 0]
        if not bool(slopes.isfinite().all()):
            return None, torch.nan
        step = (torch.linalg.pinv(slopes) @ off)[None]
        if float((slopes @ step[0] - off).norm()) > float(off.norm()) / 2:  # it has no slope that leads back
            return None, torch.nan
        point = clip(point - step)
    return None, torch.nan


def _slopes(pull: Callable[[Tensor, Tensor], Tensor], equal: Tensor, unequal: Tensor) -> Tensor:
    """Derivatives ``[E + I, P]`` of all constraints."""
    count = equal.shape[1]
    gradient = pull(torch.zeros_like(equal), torch.zeros_like(unequal))
    units = torch.eye(count + unequal.shape[1], dtype=equal.dtype, device=equal.device)
    return torch.cat([pull(unit[None, :count], unit[None, count:]) - gradient for unit in units])
