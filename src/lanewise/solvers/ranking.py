"""Which of several points is better, where some break constraints.

Source: Deb, *An efficient constraint handling method for genetic algorithms* (2000): a feasible
point is better than an infeasible one, feasible ones are compared by value, others by violation.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

FEASIBLE = 1e-8


@runtime_checkable
class ValueObjective(Protocol):
    """An objective that is asked for values only."""

    def values(self, points: Tensor) -> Tensor:
        """``[R]`` at ``points [R, P]``."""
        ...

    def violations(self, points: Tensor) -> Tensor:
        """Largest violation of a constraint, ``[R]``; zero where all hold."""
        ...


def broken(violations: Tensor) -> Tensor:
    """Violations with those within rounding set to zero."""
    return torch.where(violations <= FEASIBLE, 0.0, violations)


def better(values: Tensor, violations: Tensor, than_values: Tensor, than_violations: Tensor) -> Tensor:
    """Whether the first is strictly better, entry by entry."""
    left, right = broken(violations), broken(than_violations)
    lower = torch.where(values.isnan(), torch.inf, values) < torch.where(than_values.isnan(), torch.inf, than_values)
    return (left < right) | ((left == right) & lower)


def order(values: Tensor, violations: Tensor) -> Tensor:
    """Places ``[..., N]`` of the entries along the last dimension, the best first.

    >>> order(torch.tensor([3.0, 1.0, 0.0, torch.nan]), torch.tensor([0.0, 0.0, 0.5, 0.0])).tolist()
    [1, 0, 3, 2]
    """
    by_value = torch.where(values.isnan(), torch.inf, values).argsort(dim=-1, stable=True)
    then = broken(violations).gather(-1, by_value).argsort(dim=-1, stable=True)
    return by_value.gather(-1, then)
