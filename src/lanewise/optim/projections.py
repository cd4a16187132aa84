"""Projections: the nearest point of a set, for each row of ``points [R, ...]`` by itself.

Every function takes all entries of a row together, whatever its shape, and returns new tensors.
Sizes are a number or one per row, ``[R]``.

Sources: Parikh and Boyd, *Proximal algorithms* (2014), chapter 6; Duchi et al., *Efficient
projections onto the l1-ball for learning in high dimensions* (ICML 2008), for simplex and L1 ball.
"""

import torch
from torch import Tensor

from lanewise.errors import UsageError

Size = float | Tensor


def nonnegative(points: Tensor) -> Tensor:
    """Onto ``x >= 0``.

    >>> nonnegative(torch.tensor([[-1.0, 2.0]]))
    tensor([[0., 2.]])
    """
    return points.clamp_min(0.0)


def box(points: Tensor, *, low: Size, high: Size) -> Tensor:
    """Onto ``low <= x <= high``; both broadcast to the points. Raises ``UsageError`` if they cross.

    >>> box(torch.tensor([[-1.0, 2.0]]), low=0.0, high=1.5)
    tensor([[0.0000, 1.5000]])
    """
    low, high = (torch.as_tensor(side, dtype=points.dtype, device=points.device) for side in (low, high))
    if bool((low > high).any()):
        message = "low must not exceed high anywhere"
        raise UsageError(message)
    return torch.minimum(torch.maximum(points, low), high)


def simplex(points: Tensor, *, total: Size = 1.0) -> Tensor:
    """Onto ``x >= 0, sum x = total``.

    >>> simplex(torch.tensor([[0.5, 0.5, 2.0]]))
    tensor([[0., 0., 1.]])
    """
    rows = points.flatten(1)
    total = _column(total, rows, name="total")
    threshold = _threshold(rows, total)
    return (rows - threshold).clamp_min(0.0).view_as(points)


def l1_ball(points: Tensor, *, radius: Size = 1.0) -> Tensor:
    """Onto ``sum |x| <= radius``.

    >>> l1_ball(torch.tensor([[3.0, -1.0], [0.2, 0.3]]))
    tensor([[1.0000, 0.0000],
            [0.2000, 0.3000]])
    """
    rows = points.flatten(1)
    radius = _column(radius, rows, name="radius")
    sizes = rows.abs()
    threshold = _threshold(sizes, radius).clamp_min(0.0)
    shrunk = rows - torch.minimum(torch.maximum(rows, -threshold), threshold)
    return torch.where(sizes.sum(1, keepdim=True) <= radius, rows, shrunk).view_as(points)


def l2_ball(points: Tensor, *, radius: Size = 1.0) -> Tensor:
    """Onto ``|x|_2 <= radius``.

    >>> l2_ball(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    rows = points.flatten(1)
    radius = _column(radius, rows, name="radius")
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(norms <= radius, rows, rows * (radius / norms)).view_as(points)


def linf_ball(points: Tensor, *, radius: Size = 1.0) -> Tensor:
    """Onto ``max |x| <= radius``.

    >>> linf_ball(torch.tensor([[3.0, -0.5]]))
    tensor([[ 1.0000, -0.5000]])
    """
    rows = points.flatten(1)
    radius = _column(radius, rows, name="radius")
    return torch.minimum(torch.maximum(rows, -radius), radius).view_as(points)


def sphere(points: Tensor, *, radius: Size = 1.0) -> Tensor:
    """Onto ``|x|_2 = radius``; of zero, to which all points of the sphere are as near, along the first axis.

    >>> sphere(torch.tensor([[0.3, 0.4], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    rows = points.flatten(1)
    radius = _column(radius, rows, name="radius")
    largest = rows.abs().amax(1, keepdim=True)
    axis = torch.zeros_like(rows)
    axis[:, 0] = 1.0
    # Scaled first, for the squares of tiny entries vanish.
    scaled = torch.where(largest > 0, rows / torch.where(largest > 0, largest, 1.0), axis)
    return (radius * scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True)).view_as(points)


def hyperplane(points: Tensor, *, normal: Tensor, offset: Size = 0.0) -> Tensor:
    """Onto ``normal'x = offset``; ``normal`` has the shape of one row or of all of them.

    Raises ``UsageError`` if it is zero.

    >>> hyperplane(torch.tensor([[1.0, 1.0]]), normal=torch.tensor([1.0, 1.0]), offset=1.0)
    tensor([[0.5000, 0.5000]])
    """
    rows, normals, excess = _beyond(points, normal, offset)
    return (rows - excess * normals).view_as(points)


def half_space(points: Tensor, *, normal: Tensor, offset: Size = 0.0) -> Tensor:
    """Onto ``normal'x <= offset``; ``normal`` has the shape of one row or of all of them.

    Raises ``UsageError`` if it is zero.

    >>> half_space(torch.tensor([[1.0, 1.0], [-1.0, 0.0]]), normal=torch.tensor([1.0, 1.0]))
    tensor([[ 0.,  0.],
            [-1.,  0.]])
    """
    rows, normals, excess = _beyond(points, normal, offset)
    return (rows - excess.clamp_min(0.0) * normals).view_as(points)


def spectral_ball(points: Tensor, *, radius: Size = 1.0) -> Tensor:
    """Onto matrices ``[R, M, N]`` whose largest singular value is at most ``radius``.

    Raises ``UsageError`` for rows that are no matrices.

    >>> spectral_ball(torch.diag(torch.tensor([3.0, 0.5]))[None])
    tensor([[[1.0000, 0.0000],
             [0.0000, 0.5000]]])
    """
    if points.ndim != 3:
        message = f"spectral_ball takes matrices [R, M, N], got the shape {list(points.shape)}"
        raise UsageError(message)
    radius = _column(radius, points.flatten(1), name="radius")
    left, sizes, right = torch.linalg.svd(points, full_matrices=False)
    inside = sizes[:, :1] <= radius
    clipped = (left * torch.minimum(sizes, radius)[:, None, :]) @ right
    return torch.where(inside[:, :, None], points, clipped)


def _column(size: Size, rows: Tensor, *, name: str) -> Tensor:
    """A positive size as ``[R, 1]`` or ``[1, 1]``."""
    column = torch.as_tensor(size, dtype=rows.dtype, device=rows.device).reshape(-1, 1)
    if len(column) not in (1, len(rows)):
        message = f"{name} must be one number or one per row, {len(rows)}; got {len(column)}"
        raise UsageError(message)
    if not bool((column > 0).all()):
        message = f"{name} must be positive, got {float(column.min()):g}"
        raise UsageError(message)
    return column


def _threshold(rows: Tensor, total: Tensor) -> Tensor:
    """What to subtract from ``rows [R, P]``, ``[R, 1]``, so that the positive parts sum up to ``total``."""
    falling = rows.sort(dim=1, descending=True).values
    excess = falling.cumsum(1) - total
    counts = torch.arange(1, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device)
    kept = (falling * counts > excess).sum(1, keepdim=True).clamp_min(1)
    return excess.gather(1, kept - 1) / kept


def _beyond(points: Tensor, normal: Tensor, offset: Size) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, normals ``[R or 1, P]``, and ``(normal'x - offset) / |normal|^2``, ``[R, 1]``."""
    rows = points.flatten(1)
    normals = normal.to(rows).reshape(-1, rows.shape[1])
    if not bool((normals != 0).any(1).all()):
        message = "normal must not be zero"
        raise UsageError(message)
    offset = torch.as_tensor(offset, dtype=rows.dtype, device=rows.device).reshape(-1, 1)
    excess = ((rows * normals).sum(1, keepdim=True) - offset) / normals.square().sum(1, keepdim=True)
    return rows, normals, excess
