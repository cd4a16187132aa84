"""Unconstrained problems with published minima, by every method that can take them."""

import pytest
import torch
from more_garbow_hillstrom import PROBLEMS

import lanewise

METHODS = ["bfgs", "lbfgs", "newton", "newton-cg", "cg"]
SLOW_FOR_CG = {"Osborne 1"}  # of condition 1e10: conjugate gradients stall five digits from the minimum


def check(found: lanewise.Solution, name: str) -> None:
    problem = PROBLEMS[name]
    assert found.success, found
    # A gradient of 1e-8 leaves more of a value whose Hessian is singular (Powell).
    nearest = min(problem.values, key=lambda value: abs(value - found.value))
    assert found.value == pytest.approx(nearest, rel=1e-6, abs=1e-11)
    if problem.minimum is not None:
        torch.testing.assert_close(found.x, torch.tensor(problem.minimum).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", METHODS)
def test_as_a_function(name: str, method: str) -> None:
    if method == "cg" and name in SLOW_FOR_CG:
        pytest.skip("conjugate gradients stall on this condition number")
    problem = PROBLEMS[name]
    start = torch.tensor(problem.start, dtype=torch.float64)
    check(lanewise.minimize(lambda x: problem.residuals(x).square().sum(), start, method=method), name)


# Large residuals: BFGS has to end what linearizing began.
LONG = {"Brown-Dennis": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, ())) for name in PROBLEMS])
def test_as_residuals(name: str) -> None:
    problem = PROBLEMS[name]
    found = lanewise.minimize(problem.residuals, torch.tensor(problem.start, dtype=torch.float64), residuals=True)
    assert found.method == "levenberg-marquardt"
    check(found, name)


@pytest.mark.parametrize("name", ["Rosenbrock", "Beale", "Bard", "Wood", "Osborne 1", "Osborne 2"])
def test_small_residuals_by_gauss_newton(name: str) -> None:
    problem = PROBLEMS[name]
    start = torch.tensor(problem.start, dtype=torch.float64)
    check(lanewise.minimize(problem.residuals, start, residuals=True, method="gauss-newton"), name)


def test_both_minima_of_freudenstein_and_roth_from_many_starts() -> None:
    problem = PROBLEMS["Freudenstein-Roth"]
    start = torch.tensor(problem.start, dtype=torch.float64)
    found = lanewise.minimize(lambda x: problem.residuals(x).square().sum(), start, starts=50, bounds=(-20, 20))
    values = [one.value for one in found.optima]
    assert values[0] == pytest.approx(0, abs=1e-10)
    assert any(value == pytest.approx(48.98425368, rel=1e-6) for value in values)
