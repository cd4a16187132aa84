"""Proximal maps: ``prox(x) = argmin_z step * penalty(z) + |z - x|^2 / 2``, for each row of ``points [R, ...]``.

Each penalty is a frozen dataclass with its value and its proximal map. ``step`` is a number, one per
row ``[R]``, or, for separable penalties, anything that broadcasts to the points, such as the
effective rates of a diagonal adaptive rule.

Sources: Parikh and Boyd, *Proximal algorithms* (2014), chapter 6; Yuan and Lin, *Model selection
and estimation in regression with grouped variables* (2006), for groups.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from lanewise.errors import UsageError


class Penalty(ABC):
    """A convex function of every row that need not be smooth, with its proximal map.

    ``separable`` says that it is a sum over entries, so that a step may differ from entry to entry.
    """

    separable: ClassVar[bool] = False

    @abstractmethod
    def value(self, points: Tensor) -> Tensor:
        """``[R]`` at ``points [R, ...]``."""

    @abstractmethod
    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        """The proximal map at ``points [R, ...]``."""

    def _step(self, points: Tensor, step: float | Tensor) -> Tensor:
        """``step`` so shaped that it broadcasts to the points; refuses one per entry unless separable."""
        given = torch.as_tensor(step, dtype=points.dtype, device=points.device)
        if given.ndim <= 1:
            return given if given.ndim == 0 else given.view(-1, *([1] * (points.ndim - 1)))
        if not self.separable and given.numel() != len(given):
            message = f"{type(self).__name__} is not separable: its step must be one number per row"
            raise UsageError(message)
        return given


def _positive(name: str, value: float) -> None:
    if not value >= 0:
        message = f"{name} must be zero or more, got {value}"
        raise UsageError(message)


@final
@dataclass(frozen=True)
class L1(Penalty):
    """``weight * sum |x|``; its map is soft-thresholding.

    >>> L1(0.5).prox(torch.tensor([[2.0, -0.3]]), 1.0)
    tensor([[1.5000, 0.0000]])
    """

    weight: float
    separable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive("weight", self.weight)

    def value(self, points: Tensor) -> Tensor:
        return self.weight * points.flatten(1).abs().sum(1)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        threshold = self.weight * self._step(points, step)
        # Where a sign times a remainder would leave minus zero, a difference leaves zero.
        return points - torch.minimum(torch.maximum(points, -threshold), threshold)


@final
@dataclass(frozen=True)
class GroupL1(Penalty):
    """``weight * sum over groups |x_group|_2``; ``groups [P]`` numbers the group of each entry of a row.

    >>> GroupL1(1.0, torch.tensor([0, 0, 1])).prox(torch.tensor([[3.0, 4.0, 0.5]]), 1.0)
    tensor([[2.4000, 3.2000, 0.0000]])
    """

    weight: float
    groups: Tensor

    def __post_init__(self) -> None:
        _positive("weight", self.weight)

    def value(self, points: Tensor) -> Tensor:
        return self.weight * self._norms(points.flatten(1)).sum(1)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        rows = points.flatten(1)
        norms = self._norms(rows)
        threshold = self.weight * self._step(points, step).reshape(-1, 1)
        factors = (1 - threshold / norms.clamp_min(torch.finfo(rows.dtype).tiny)).clamp_min(0.0)
        return (rows * factors[:, self.groups.to(rows.device)]).view_as(points)

    def _norms(self, rows: Tensor) -> Tensor:
        groups = self.groups.to(rows.device)
        if groups.shape != (rows.shape[1],):
            message = f"groups must number each of the {rows.shape[1]} entries of a row, got {list(groups.shape)}"
            raise UsageError(message)
        squares = rows.new_zeros(len(rows), int(groups.max()) + 1)
        return squares.index_add(1, groups, rows.square()).sqrt()


@final
@dataclass(frozen=True)
class SquaredL2(Penalty):
    """``weight / 2 * |x|^2``.

    >>> SquaredL2(1.0).prox(torch.tensor([[2.0, -4.0]]), 1.0)
    tensor([[ 1., -2.]])
    """

    weight: float
    separable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive("weight", self.weight)

    def value(self, points: Tensor) -> Tensor:
        return self.weight / 2 * points.flatten(1).square().sum(1)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        return points / (1 + self.weight * self._step(points, step))


@final
@dataclass(frozen=True)
class ElasticNet(Penalty):
    """``l1 * sum |x| + l2 / 2 * |x|^2``.

    >>> ElasticNet(l1=0.5, l2=1.0).prox(torch.tensor([[2.5, 0.3]]), 1.0)
    tensor([[1., 0.]])
    """

    l1: float
    l2: float
    separable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive("l1", self.l1)
        _positive("l2", self.l2)

    def value(self, points: Tensor) -> Tensor:
        return L1(self.l1).value(points) + SquaredL2(self.l2).value(points)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        return L1(self.l1).prox(points, step) / (1 + self.l2 * self._step(points, step))


@final
@dataclass(frozen=True)
class Within(Penalty):
    """Zero within a set, infinite outside: its map is the projection, whatever the step.

    >>> from functools import partial
    >>> from lanewise.optim.projections import l2_ball
    >>> Within(partial(l2_ball, radius=5.0)).prox(torch.tensor([[6.0, 8.0]]), 0.1)
    tensor([[3., 4.]])
    """

    project: Callable[[Tensor], Tensor]

    def value(self, points: Tensor) -> Tensor:
        apart = (points - self.project(points)).flatten(1).abs().amax(1)
        size = points.flatten(1).abs().amax(1).clamp_min(1.0)
        inside = apart <= 1e3 * torch.finfo(points.dtype).eps * size
        return torch.where(inside, torch.zeros_like(apart), torch.inf)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        del step
        return self.project(points)
