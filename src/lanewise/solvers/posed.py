"""The objective of :func:`lanewise.minimize` as solvers call it: the user's functions, posed over rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lanewise.solvers.functions import RowFunction


@final
@dataclass(kw_only=True, eq=False)
class PosedObjective:
    """``sign * f(x)``, or the sum of squares of ``f(x)``, with what methods ask of it.

    ``equalities`` are zero and ``inequalities`` at least zero where the constraints hold.
    ``given_hessian`` maps a row ``[P]`` to ``[P, P]``, as the user gave it; None where the Hessian
    is found by differentiating. ``gradients`` and ``hessian_count`` count rows; ``spent [S]``, once :meth:`begin` was
    called, counts the points that each start had evaluated.
    """

    function: RowFunction
    sign: float = 1.0
    squares: bool = False
    given_hessian: Callable[[Tensor], Tensor] | None = None
    equalities: tuple[RowFunction, ...] = ()
    inequalities: tuple[RowFunction, ...] = ()
    gradients: int = 0
    hessian_count: int = 0
    spent: Tensor | None = None
    pulled: Tensor | None = None
    """Where the latest gradients were taken: at the same point again, whose values are remembered, they are none."""

    def begin(self, starts: int) -> None:
        """Count for each of so many starts from now on."""
        self.spent = torch.zeros(starts, dtype=torch.int64)

    def keep(self, rows: Tensor) -> None:
        """Go on with ``rows [K]`` only, which are numbered afresh."""
        self.spent = None if self.spent is None else self.spent[rows.to(self.spent.device)]

    @property
    def evaluated(self) -> int:
        """Points at which the function was evaluated, over all starts, and to learn how it is to be called."""
        return self.function.calls + self.function.looks

    @property
    def exact(self) -> bool:
        """Whether all derivatives are exact rather than differences."""
        return all(one.exact for one in (self.function, *self.equalities, *self.inequalities))

    def _charge(self, rows: Tensor, before: int, *, least: int = 0) -> None:
        """Charge each of the starts ``rows [R]`` with its share of the calls since there were ``before``.

        ``least`` is charged also where the points were known already, so that no start goes on for nothing.
        """
        if self.spent is None or not len(rows):
            return
        share = max(least, (self.function.calls - before) // len(rows))
        if len(rows) == len(self.spent):  # all of them, in whatever order
            self.spent += share
        else:
            self.spent.index_add_(0, rows.to(self.spent.device), torch.full((len(rows),), share))

    def __call__(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        before = self.function.calls
        values, pull = self.function.linearize(points)
        if self.function.calls > before or self.pulled is None or not torch.equal(points, self.pulled):
            self.gradients += len(points)
        self.pulled = points
        self._charge(rows, before, least=1)
        if self.squares:
            return values.square().sum(1), pull(2 * values)
        return self.sign * values.squeeze(1), pull(torch.full_like(values, self.sign))

    def values(self, points: Tensor) -> Tensor:
        """``[R]`` at ``points [R, P]``, without derivatives."""
        values = self.function.values(points)
        return values.square().sum(1) if self.squares else self.sign * values.squeeze(1)

    def residuals(self, points: Tensor, rows: Tensor) -> Tensor:
        before = self.function.calls
        found = self.function.values(points)
        self._charge(rows, before, least=1)
        return found

    def jacobians(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.gradients += len(points)
        before = self.function.calls
        found = self.function.jacobians(points)
        self._charge(rows, before)
        return found

    def hessians(self, points: Tensor, rows: Tensor) -> Tensor:
        if self.given_hessian is not None:
            self.hessian_count += len(points)
            return self.sign * torch.stack([self.given_hessian(point) for point in points.unbind(0)])
        multiply = self.curvature(points, rows)
        columns = []
        for place in range(points.shape[1]):
            unit = torch.zeros_like(points)
            unit[:, place] = 1.0
            columns.append(multiply(unit))
        return torch.stack(columns, dim=2)

    def curvature(self, points: Tensor, rows: Tensor) -> Callable[[Tensor], Tensor]:
        self.hessian_count += len(points)
        if self.given_hessian is not None:
            hessians = self.sign * torch.stack([self.given_hessian(point) for point in points.unbind(0)])
            return lambda vectors: (hessians * vectors[:, None, :]).sum(-1)
        if not self.squares:
            weights = points.new_full((len(points), 1), self.sign)
            before = self.function.calls
            product = self.function.second(points, weights)
            self._charge(rows, before)
            return product
        # Hessian of a sum of squares: 2 J'J + 2 sum_m r_m H_m.
        before = self.function.calls
        residuals, jacobians = self.function.jacobians(points)
        rest = self.function.second(points, 2 * residuals)
        self._charge(rows, before)

        def multiply(vectors: Tensor) -> Tensor:
            along = (jacobians * vectors[:, None, :]).sum(-1)
            return rest(vectors) + 2 * (jacobians * along[:, :, None]).sum(1)

        return multiply

    def constrained(
        self, points: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """See :class:`~lanewise.solvers.endless.ConstrainedObjective`."""
        values, gradients = self(points, rows)
        equal = [function.linearize(points) for function in self.equalities]
        unequal = [function.linearize(points) for function in self.inequalities]

        def pull(equal_weights: Tensor, unequal_weights: Tensor) -> Tensor:
            total = gradients
            for found, weights in ((equal, equal_weights), (unequal, unequal_weights)):
                start = 0
                for constraint, pullback in found:
                    width = constraint.shape[1]
                    total = total + pullback(weights[:, start : start + width])
                    start += width
            return total

        return values, _joined(equal, points), _joined(unequal, points), pull

    def violations(self, points: Tensor) -> Tensor:
        """Largest violation of a constraint, ``[R]``; zero without constraints."""
        worst = points.new_zeros(len(points))
        for function in self.equalities:
            worst = torch.maximum(worst, function.values(points).abs().amax(1))
        for function in self.inequalities:
            worst = torch.maximum(worst, (-function.values(points)).amax(1))
        return torch.where(worst.isnan(), torch.inf, worst)


def _joined(found: list[tuple[Tensor, Callable[[Tensor], Tensor]]], points: Tensor) -> Tensor:
    return torch.cat([values for values, _ in found], dim=1) if found else points.new_zeros(len(points), 0)
