"""The direction contract: where a line search goes next. One file per way to choose it.

:class:`~lanewise.solvers.descent.Descent` does the rest: the search itself, bounds, stopping. As
everywhere, row *l* is a problem of its own and no row ever looks at another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

Memory = dict[str, Tensor]


@runtime_checkable
class CurvedObjective(Protocol):
    """An objective that also knows its second derivatives."""

    def __call__(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]: ...

    def hessians(self, points: Tensor, rows: Tensor, /) -> Tensor:
        """``[R, P, P]`` at ``points [R, P]``."""
        ...

    def curvature(self, points: Tensor, rows: Tensor, /) -> Callable[[Tensor], Tensor]:
        """A function that multiplies vectors ``[R, P]`` by the Hessians at ``points [R, P]``."""
        ...


@runtime_checkable
class ResidualObjective(Protocol):
    """An objective that is the sum of squares of residuals."""

    def __call__(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]: ...

    def residuals(self, points: Tensor, rows: Tensor, /) -> Tensor:
        """``[R, M]`` at ``points [R, P]``."""
        ...

    def jacobians(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]:
        """Residuals ``[R, M]`` and their derivatives ``[R, M, P]`` at ``points [R, P]``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where ``rows [R]`` of the memory stand: ``problems [R]``, ``points [R, P]``, ``gradients [R, P]``.

    ``free [R, P]`` marks the coordinates that no bound holds, or is None where all are free;
    ``gradients`` are zero in the others.
    """

    rows: Tensor
    problems: Tensor
    points: Tensor
    gradients: Tensor
    free: Tensor | None


class Direction(ABC):
    """A way to choose directions. ``wolfe`` is the curvature constant of its line search."""

    name: ClassVar[str]
    wolfe: ClassVar[float] = 0.9

    @abstractmethod
    def empty(self, points: Tensor) -> Memory:
        """What is remembered before the first step, for rows like ``points [L, P]``; rows first."""

    @abstractmethod
    def learn(self, memory: Memory, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        """Take in the latest step and gradient change ``[R, P]`` of ``rows [R]``, in place."""

    @abstractmethod
    def forget(self, memory: Memory, rows: Tensor) -> None:
        """Empty the memory of ``rows [R]``, in place."""

    @abstractmethod
    def aim(self, memory: Memory, place: Place, objective: object) -> Tensor:
        """Directions ``[R, P]``, scaled so that the step 1 is a good first guess.

        A row of zeros, of ascent or of numbers that are not finite asks for steepest descent.
        """


def finite_rows(*tensors: Tensor) -> Tensor:
    """Which rows ``[R]`` hold finite numbers only, over all ``tensors [R, ...]``."""
    return torch.stack([tensor.flatten(1).isfinite().all(1) for tensor in tensors]).all(0)
