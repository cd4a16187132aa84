"""Multipliers of constraints at a point, where a method does not give them.

Source: Nocedal and Wright, *Numerical Optimization* (2006), section 18.3 (least-squares multipliers), with the signs
that inequalities and bounds ask for.
"""

import numpy as np
import torch
from torch import Tensor

from lanewise.solvers.bounds import within
from lanewise.solvers.functions import RowFunction
from lanewise.solvers.outcome import Setup

ACTIVE = 1e-5  # size of an inequality, relative to max(1, its slope), or distance of a bound, up to which it holds x


def estimate_multipliers(setup: Setup, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``l [R, E]``, ``m [R, I]`` and the largest entry ``[R]`` of the projected gradient of ``f + l'g - m'h``.

    They make that gradient as small as can be at ``points [R, P]``; ``m`` is zero where an inequality does not hold
    the point. All are nan where a derivative is not finite.
    """
    rows = torch.arange(len(points))
    objective, spent = setup.objective, setup.objective.spent
    objective.spent = None  # what a method has counted for its starts stays as it is
    _, gradients = objective(points, rows)
    objective.spent = spent
    equal = _jacobians(objective.equalities, points)
    unequal = _jacobians(objective.inequalities, points)
    found = [
        _of_row(setup, points[row], gradients[row], equal[1][row], (unequal[0][row], unequal[1][row]))
        for row in range(len(points))
    ]
    lambdas, mus, norms = zip(*found, strict=True)
    return torch.stack(lambdas), torch.stack(mus), torch.stack(norms)


def _jacobians(functions: tuple[RowFunction, ...], points: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``[R, M]`` and derivatives ``[R, M, P]`` of all ``functions``."""
    if not functions:
        return points.new_zeros(len(points), 0), points.new_zeros(len(points), 0, points.shape[1])
    values, slopes = zip(*(function.jacobians(points) for function in functions), strict=True)
    return torch.cat(values, dim=1), torch.cat(slopes, dim=1)


def _of_row(
    setup: Setup, point: Tensor, gradient: Tensor, equal: Tensor, unequal: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Multipliers and the norm of one point, from the slopes ``[E, P]``, and values and slopes of inequalities."""
    values, slopes = unequal
    nan = point.new_full((), torch.nan)
    if not bool(torch.cat((gradient, equal.flatten(), slopes.flatten())).isfinite().all()):
        return nan.expand(len(equal)).clone(), nan.expand(len(values)).clone(), nan
    sizes = slopes.abs().amax(1).clamp_min(1.0) if len(slopes) else values
    active = (values <= ACTIVE * sizes).nonzero().flatten()
    held = bound_normals(point, setup.low, setup.high, ACTIVE)
    weights = smallest_sum(gradient, torch.cat((equal, -equal, -slopes[active], held)))
    count = len(equal)
    lambdas = weights[:count] - weights[count : 2 * count]
    mus = torch.zeros_like(values)
    mus[active] = weights[2 * count : 2 * count + len(active)]
    rest = gradient + lambdas @ equal - mus @ slopes
    return lambdas, mus, (point - within(point - rest, setup.low, setup.high)).abs().amax()


def bound_normals(point: Tensor, low: Tensor | None, high: Tensor | None, reach: float) -> Tensor:
    """Rows ``[B, P]`` of which a gradient at ``point [P]`` may have any multiple added: ``-1`` at a lower bound."""
    near = reach * point.abs().clamp_min(1.0)
    unit = torch.eye(len(point), dtype=point.dtype)
    below = unit[:0] if low is None else -unit[point <= low + near]
    above = unit[:0] if high is None else unit[point >= high - near]
    return torch.cat((below, above))


def smallest_sum(fixed: Tensor, vectors: Tensor) -> Tensor:
    """Weights ``w >= 0`` that make ``fixed [P] + w' vectors [V, P]`` as short as can be."""
    if not len(vectors):
        return fixed.new_zeros(0)
    from scipy.optimize import nnls

    sizes = vectors.norm(dim=1).clamp_min(1e-300)
    size = fixed.norm().clamp_min(1e-300)
    try:
        weights, _ = nnls((vectors / sizes[:, None]).T.numpy(), -(fixed / size).numpy())
    except RuntimeError:  # its limit on iterations
        weights = np.zeros(len(vectors))
    return torch.from_numpy(weights) * size / sizes
