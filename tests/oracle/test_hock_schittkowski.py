"""Constrained problems with published solutions: value and feasibility to 1e-6, and the KKT conditions recomputed."""

import pytest
import torch
from hock_schittkowski import PROBLEMS, Problem
from torch import Tensor

import lanewise

ACCURACY = 1e-6


def lagrangian_gradient(problem: Problem, found: lanewise.Solution) -> Tensor:
    """``grad f + sum l'grad g - sum m'grad h`` by the test's own autograd."""
    x = found.x.clone().requires_grad_()
    total = problem.objective(x)
    for condition, multiplier in zip(problem.conditions, found.multipliers or [], strict=True):
        sign = 1 if condition.exact else -1
        total = total + sign * (condition.function(x).reshape(-1) * multiplier).sum()
    return torch.autograd.grad(total, x)[0]


@pytest.mark.parametrize("name", PROBLEMS)
def test_published_solution(name: str) -> None:
    problem = PROBLEMS[name]
    start = torch.tensor(problem.start, dtype=torch.float64)
    constraints = [
        (lanewise.Equality if one.exact else lanewise.Inequality)(one.function) for one in problem.conditions
    ]
    found = lanewise.minimize(
        problem.objective, start, bounds=problem.bounds, constraints=constraints, starts=problem.starts
    )
    assert found.success, found
    assert found.value == pytest.approx(problem.value, rel=ACCURACY, abs=ACCURACY)
    low, high = (torch.tensor(side) for side in problem.bounds or ([-torch.inf] * len(start), [torch.inf] * len(start)))
    assert ((found.x >= low) & (found.x <= high)).all()
    for place, condition in enumerate(problem.conditions):
        values = condition.function(found.x)
        if condition.exact:
            assert values.abs().max() <= ACCURACY
        else:
            assert values.min() >= -ACCURACY
            assert found.multipliers is not None
            multipliers = found.multipliers[place]
            assert multipliers.min() >= 0
            assert (multipliers * values).abs().max() <= 1e-5, "complementarity"
    gradient = lagrangian_gradient(problem, found)
    projected = found.x - torch.minimum(torch.maximum(found.x - gradient, low), high)
    assert projected.abs().max() <= ACCURACY, "stationarity"
