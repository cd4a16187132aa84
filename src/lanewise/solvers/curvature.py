"""The memory of L-BFGS: the latest pairs of step and gradient change of every row.

Method: Nocedal and Wright, *Numerical Optimization* (2006), algorithm 7.4. A pair enters the
update of the inverse Hessian only through its direction, so each is stored scaled to
``s'y = 1``; the usual factors rho are then all one and an empty slot, being zero, changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Metric = Callable[[Tensor], Tensor]
"""An initial inverse Hessian, symmetric and positive definite, up to its scale: ``vectors [R, P] -> [R, P]``."""


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner product of each row: ``[..., P], [..., P] -> [...]``.

    A reduction per row, not a batched matrix product, whose last bits change with the batch.
    """
    return (left * right).sum(-1)


@dataclass(kw_only=True)
class CurvatureMemory:
    """A ring of ``m`` pairs per row, and the scale of the initial inverse Hessian.

    ``pairs [L, m, 2, P]`` (step, gradient change), ``pushed [L]`` (pairs ever stored; the next
    goes to slot ``pushed % m``), ``scale [L]`` (``s'y / y'y`` of the latest pair).
    """

    pairs: Tensor
    pushed: Tensor
    scale: Tensor

    @classmethod
    def empty(cls, points: Tensor, *, memory: int) -> "CurvatureMemory":
        """No pair yet, for rows like ``points [L, P]``."""
        lanes, parameters = points.shape
        return cls(
            pairs=points.new_zeros(lanes, memory, 2, parameters),
            pushed=torch.zeros(lanes, dtype=torch.int64, device=points.device),
            scale=points.new_ones(lanes),
        )

    def push(self, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        """Store one pair ``steps, changes [R, P]`` for each of ``rows [R]``, in place.

        A pair whose curvature ``s'y`` cannot be told from zero or less is left out: it would make
        the inverse Hessian indefinite.
        """
        sound, curvature, square = _sound(steps, changes)
        kept = sound.nonzero().squeeze(1)
        if len(kept) < len(rows):
            rows, steps, changes = rows[kept], steps[kept], changes[kept]
            curvature, square = curvature[kept], square[kept]
        pushed = self.pushed[rows]
        pair = torch.stack((steps, changes), dim=1) / curvature.sqrt()[:, None, None]
        self.pairs[rows, pushed % self.pairs.shape[1]] = pair
        self.pushed[rows] = pushed + 1
        self.scale[rows] = curvature / square

    def forget(self, rows: Tensor) -> None:
        """Empty the memory of ``rows [R]``, in place."""
        self.pairs[rows] = 0.0
        self.pushed[rows] = 0
        self.scale[rows] = 1.0

    def _gather(self, rows: Tensor, slots: Tensor) -> Tensor:
        """Pairs ``[m, R, 2, P]`` in ``slots [m, R]`` of ``rows [R]``, copied as whole blocks."""
        lanes, memory, _, parameters = self.pairs.shape
        blocks = self.pairs.view(lanes * memory, 2 * parameters).index_select(0, (rows * memory + slots).flatten())
        return blocks.view(*slots.shape, 2, parameters)

    def apply(
        self, rows: Tensor, vectors: Tensor, *, free: Tensor | None = None, metric: Metric | None = None
    ) -> Tensor:
        """Inverse Hessian times ``vectors [R, P]``, for ``rows [R]``: the two-loop recursion.

        With ``free [R, P]`` it is the inverse of the Hessian's block of the free coordinates, which
        takes the others as fixed; ``vectors`` must be zero there. It begins with ``metric`` in place
        of the unit matrix, scaled like that one by the latest pair.
        """
        pushed = self.pushed.index_select(0, rows)
        depth = min(self.pairs.shape[1], int(pushed.max()))
        ages = torch.arange(1, depth + 1, device=pushed.device)
        pairs = self._gather(rows, (pushed - ages[:, None]) % self.pairs.shape[1])
        scale = self.scale.index_select(0, rows)
        bound = [] if free is None else (~free.all(1)).nonzero().squeeze(1)
        if free is not None and depth and len(bound):
            pairs[:, bound], scale[bound] = _restrict(pairs[:, bound], scale[bound], free[bound])
        latest_first = [pair.unbind(1) for pair in pairs.unbind(0)]
        result = vectors.clone()
        weights: list[Tensor] = []
        for step, change in latest_first:
            weight = (step * result).sum(-1, keepdim=True)
            result -= weight * change
            weights.append(weight)
        if metric is None:
            result *= scale[:, None]
        else:
            within = metric if free is None else _within(metric, free)
            result = within(result) * _metric_scale(within, pairs)[:, None]
        for (step, change), weight in zip(reversed(latest_first), reversed(weights), strict=True):
            result += (weight - (change * result).sum(-1, keepdim=True)) * step
        return result


def _sound(steps: Tensor, changes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which pairs ``[..., P]`` have a curvature that is surely positive, with ``s'y`` and ``y'y``."""
    curvature, square = dot(steps, changes), dot(changes, changes)
    floor = torch.finfo(steps.dtype).eps * (dot(steps, steps).sqrt() * square.sqrt())
    return curvature > floor, curvature, square


def _restrict(pairs: Tensor, scale: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs ``[m, R, 2, P]``, latest first, and scales ``[R]``, seen in the free coordinates only."""
    pairs = pairs * free[:, None]
    sound, curvature, square = _sound(*pairs.unbind(2))
    factor = torch.where(sound, curvature, 1.0).rsqrt() * sound
    latest = sound.to(torch.int8).argmax(0, keepdim=True)
    latest_scale = (curvature / square).gather(0, latest).squeeze(0)
    return pairs * factor[..., None, None], torch.where(sound.any(0), latest_scale, scale)


def _within(metric: Metric, free: Tensor) -> Metric:
    """The block of ``metric`` that belongs to the free coordinates ``[R, P]``."""
    return lambda vectors: metric(vectors * free) * free


def _metric_scale(metric: Metric, pairs: Tensor) -> Tensor:
    """``s'y / y'My [R]`` of the latest pair of each row that is not empty, 1 without one; ``pairs [m, R, 2, P]``."""
    if len(pairs) == 0:
        return pairs.new_ones(pairs.shape[1])
    changes = pairs[:, :, 1]
    stored = (changes != 0).any(-1)
    latest = stored.to(torch.int8).argmax(0)
    change = changes[latest, torch.arange(changes.shape[1], device=changes.device)]
    return torch.where(stored.any(0), dot(change, metric(change)).reciprocal(), 1.0)
