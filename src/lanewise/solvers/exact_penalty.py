"""Constraints as a penalty with kinks, whose minimum is that of the problem itself once it weighs enough.

Source: Nocedal and Wright, *Numerical Optimization* (2006), section 17.2 (theorem 17.3): the weight is to exceed the
largest multiplier.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lanewise.solvers.gradient_sampling import Descended, GradientSampling
from lanewise.solvers.outcome import Setup
from lanewise.solvers.posed import PosedObjective

MARGIN = 2.0  # the first weight, relative to the largest multiplier that is known
GROWTH, WEIGHTS = 10.0, 5  # the factor from one weight to the next, and how many are tried


@final
@dataclass(frozen=True, kw_only=True)
class ExactPenalty:
    """``f(x) + w (sum |g(x)| + sum max(-h(x), 0))`` of an objective with its constraints."""

    objective: PosedObjective
    weight: float

    @property
    def exact(self) -> bool:
        return self.objective.exact

    @property
    def evaluated(self) -> int:
        return self.objective.evaluated

    def values(self, points: Tensor) -> Tensor:
        """``[R]`` at ``points [R, P]``."""
        total = self.objective.values(points)
        for function in self.objective.equalities:
            total = total + self.weight * function.values(points).abs().sum(1)
        for function in self.objective.inequalities:
            total = total + self.weight * (-function.values(points)).clamp_min(0.0).sum(1)
        return total

    def __call__(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values, equal, unequal, pull = self.objective.constrained(points, rows)
        values = values + self.weight * (equal.abs().sum(1) + (-unequal).clamp_min(0.0).sum(1))
        return values, pull(self.weight * equal.sign(), -self.weight * (unequal < 0).to(values))


@dataclass(frozen=True, kw_only=True)
class Penalized:
    """Where the descent over a penalty ended: the value of ``f``, the violation, multipliers ``[E]`` and ``[I]``.

    These are nan where no average of gradients is zero.
    """

    found: Descended
    value: float
    violation: float
    lambdas: Tensor
    mus: Tensor


def descend(setup: Setup, point: Tensor, multiplier: float, *, feasibility: float, left: int) -> Penalized:
    """Descend over the kinks of function and constraints from ``point [P]``.

    ``multiplier`` is about the largest at the solution. The weight of the penalty grows until its minimum violates no
    constraint by more than ``feasibility``.
    """
    weight, limit = MARGIN * max(1.0, multiplier), setup.objective.evaluated + left
    while True:
        penalized = ExactPenalty(objective=setup.objective, weight=weight)
        solver = GradientSampling(
            objective=penalized,
            low=setup.low,
            high=setup.high,
            max_evaluations=limit - setup.objective.evaluated,
            seed=setup.seed,
        )
        found = solver.run(point, float(penalized.values(point[None])))
        violation = float(setup.objective.violations(found.point[None]))
        enough = weight >= MARGIN * max(1.0, multiplier) * GROWTH ** (WEIGHTS - 1)
        if violation <= feasibility or enough or setup.objective.evaluated >= limit:
            lambdas, mus = _multipliers(penalized, found)
            value = float(setup.objective.values(found.point[None]))
            return Penalized(found=found, value=value, violation=violation, lambdas=lambdas, mus=mus)
        point, weight = found.point, weight * GROWTH


def _multipliers(penalized: ExactPenalty, found: Descended) -> tuple[Tensor, Tensor]:
    """What each constraint pulls with, on average, where the average of the gradients of the penalty is zero."""
    points = found.point[None] if found.around is None else found.around
    weights = points.new_full((1,), torch.nan) if found.weights is None else found.weights
    equal, unequal = (
        torch.cat([points.new_zeros(len(points), 0), *(function.values(points) for function in functions)], dim=1)
        for functions in (penalized.objective.equalities, penalized.objective.inequalities)
    )
    return penalized.weight * weights @ equal.sign(), penalized.weight * weights @ (unequal < 0).to(weights)
