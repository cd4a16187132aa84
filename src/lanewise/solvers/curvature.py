"""The memory of L-BFGS: the latest pairs of step and gradient change of every row.

Method: Nocedal and Wright, *Numerical Optimization* (2006), algorithm 7.4. A pair enters the
update of the inverse Hessian only through its direction, so each is stored scaled to
``s'y = 1``; the usual factors rho are then all one and an empty slot, being zero, changes nothing.

The two loops over the pairs are two triangular systems of equations for their weights. Both have the
matrix ``1 + U``, ``U_ij = s_i'y_j`` for pairs j newer than i, whose inverse is kept: a new pair fills one of its
columns, and a dropped one leaves the rest as it is (compare Byrd, Nocedal and Schnabel, *Mathematical Programming* 63,
1994). So the product takes a dozen operations, not eight for each pair.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lanewise.solvers.rows import Rows, divide

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

    ``pairs [L, m, 2, P]`` (step, gradient change), ``links [L, m, m]`` (the inverse of ``1 + U``, by slots),
    ``pushed [L]`` (pairs ever stored; the next goes to slot ``pushed % m``), ``scale [L]`` (``s'y / y'y`` of the latest
    pair).
    """

    pairs: Tensor
    links: Tensor
    pushed: Tensor
    scale: Tensor

    @classmethod
    def empty(cls, points: Tensor, *, memory: int) -> "CurvatureMemory":
        """No pair yet, for rows like ``points [L, P]``."""
        lanes, parameters = points.shape
        return cls(
            pairs=points.new_zeros(lanes, memory, 2, parameters),
            links=points.new_zeros(lanes, memory, memory),
            pushed=torch.zeros(lanes, dtype=torch.int64, device=points.device),
            scale=points.new_ones(lanes),
        )

    def push(self, rows: Rows, steps: Tensor, changes: Tensor) -> None:
        """Store one pair ``steps, changes [R, P]`` for each of ``rows``, in place.

        A pair whose curvature ``s'y`` cannot be told from zero or less is left out: it would make
        the inverse Hessian indefinite.
        """
        pair = torch.stack((steps, changes), dim=1)
        dots = dot(pair[:, :, None], pair[:, None]).flatten(1)
        length, curvature, _, square = rows.split(dots)
        cosine = divide(curvature, length) * divide(curvature, square)  # squared
        found = rows.among((curvature > 0) & (cosine > torch.finfo(steps.dtype).eps ** 2))
        if found is None:
            return
        index, kept = found
        curvature, square = rows.pick(curvature, index), rows.pick(square, index)
        pair = pair[index] / dots[index, 1].sqrt()[:, None, None]
        pushed = kept.read(self.pushed)
        slot = pushed % self.pairs.shape[1]
        products = dot(kept.take(self.pairs[:, :, 0]), pair[:, 1:])
        self.pairs[kept.at, slot] = pair
        _link(self.links, kept.at, slot, products)
        self.pushed[kept.at] = pushed + 1
        self.scale[kept.at] = curvature / square

    def forget(self, rows: Rows) -> None:
        """Empty the memory of ``rows``, in place."""
        self.pairs[rows.at] = 0.0
        self.links[rows.at] = 0.0
        self.pushed[rows.at] = 0
        self.scale[rows.at] = 1.0

    def apply(self, rows: Rows, vectors: Tensor, *, free: Tensor | None = None, metric: Metric | None = None) -> Tensor:
        """Inverse Hessian times ``vectors [R, P]``, for ``rows``.

        With ``free [R, P]`` it is the inverse of the Hessian's block of the free coordinates, which
        takes the others as fixed; ``vectors`` must be zero there. It begins with ``metric`` in place
        of the unit matrix, scaled like that one by the latest pair.
        """
        pairs, links, scale = rows.take(self.pairs), rows.take(self.links), rows.take(self.scale)
        bound = [] if free is None else (~free.all(1)).nonzero().squeeze(1)
        if free is not None and len(bound):
            pairs, links, scale = (part.clone() if rows.apart else part for part in (pairs, links, scale))
            ages = self._ages(rows)[bound]
            pairs[bound], links[bound], scale[bound] = _restrict(pairs[bound], ages, scale[bound], free[bound])
        steps, changes = pairs.unbind(2)
        weights = dot(links, dot(steps, vectors[:, None])[:, None])
        result = vectors - (weights[:, :, None] * changes).sum(1)
        if metric is None:
            result = result * scale[:, None]
        else:
            within = metric if free is None else _within(metric, free)
            result = within(result) * _metric_scale(within, changes, self._ages(rows))[:, None]
        weights = (links * (weights - dot(changes, result[:, None]))[:, :, None]).sum(1)
        return result + (weights[:, :, None] * steps).sum(1)

    def _ages(self, rows: Rows) -> Tensor:
        """How many pairs are newer than that in each slot, ``[R, m]``."""
        slots = torch.arange(self.pairs.shape[1], device=self.pushed.device)
        return (rows.take(self.pushed)[:, None] - 1 - slots) % len(slots)


def relink(pairs: Tensor, pushed: Tensor) -> Tensor:
    """``links [L, m, m]`` of ``pairs [L, m, 2, P]``, of which ``pushed [L]`` were ever stored."""
    slots = torch.arange(pairs.shape[1], device=pairs.device)
    return _chain(pairs, (pushed[:, None] - 1 - slots) % len(slots))


def _chain(pairs: Tensor, ages: Tensor) -> Tensor:
    """``links [R, m, m]`` of ``pairs [R, m, 2, P]`` that came in the order of ``ages [R, m]``, 0 for the latest."""
    links = pairs.new_zeros(*ages.shape, ages.shape[1])
    steps, changes = pairs.unbind(2)
    rows = torch.arange(len(pairs), device=pairs.device)
    for slot in ages.argsort(dim=1, descending=True).unbind(1):
        _link(links, rows, slot, dot(steps, changes[rows, slot][:, None]))
    return links


def _link(links: Tensor, at: Any, slot: Any, products: Tensor) -> None:
    """Let a pair into ``links`` at ``[at, slot]``, in place, with ``products [R, m]`` of its change and all steps."""
    links[at, slot] = 0.0
    links[at, :, slot] = -dot(links[at], products[:, None])
    links[at, slot, slot] = 1.0


def _restrict(pairs: Tensor, ages: Tensor, scale: Tensor, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs ``[R, m, 2, P]``, their links and scales ``[R]``, seen in the free coordinates only."""
    pairs = pairs * free[:, None, None]
    steps, changes = pairs.unbind(2)
    curvature, square = dot(steps, changes), dot(changes, changes)
    sound = curvature > torch.finfo(pairs.dtype).eps * (dot(steps, steps).sqrt() * square.sqrt())
    factor = torch.where(sound, curvature, 1.0).rsqrt() * sound
    latest = _latest(sound, ages)
    scale = torch.where(sound.any(1), (curvature / square).gather(1, latest).squeeze(1), scale)
    pairs = pairs * factor[:, :, None, None]
    return pairs, _chain(pairs, ages), scale


def _latest(which: Tensor, ages: Tensor) -> Tensor:
    """The slot ``[R, 1]`` of the latest pair among ``which [R, m]``; any where there is none."""
    return torch.where(which, ages, ages.shape[1]).argmin(1, keepdim=True)


def _within(metric: Metric, free: Tensor) -> Metric:
    """The block of ``metric`` that belongs to the free coordinates ``[R, P]``."""
    return lambda vectors: metric(vectors * free) * free


def _metric_scale(metric: Metric, changes: Tensor, ages: Tensor) -> Tensor:
    """``s'y / y'My [R]`` of the latest pair of each row that is not empty, 1 without one; ``changes [R, m, P]``."""
    stored = (changes != 0).any(-1)
    change = changes[torch.arange(len(changes), device=changes.device), _latest(stored, ages).squeeze(1)]
    return torch.where(stored.any(1), dot(change, metric(change)).reciprocal(), 1.0)
