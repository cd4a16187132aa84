"""Unconstrained problems with published minima, by every method that can take them."""

import pytest
import torch
from more_garbow_hillstrom import PROBLEMS

import lanewise

METHODS = ["bfgs", "lbfgs", "newton", "newton-cg", "cg"]
COARSE = {("cg", "Osborne 1"): 1e-5}
"""Where curvatures of 4e-5 to 1e5 meet, the last steps of conjugate gradients lower a value by less than its rounding.

They stall a millionth of it above the minimum, SciPy's twelve; what keeps second derivatives does not.
"""


def check(found: lanewise.Solution, name: str, *, near: float = 1e-6) -> None:
    problem = PROBLEMS[name]
    assert found.success, found
    # A gradient of 1e-8 leaves more of a value whose Hessian is singular (Powell).
    nearest = min(problem.values, key=lambda value: abs(value - found.value))
    assert found.value == pytest.approx(nearest, rel=near, abs=1e-11)
    if problem.minimum is not None:
        torch.testing.assert_close(found.x, torch.tensor(problem.minimum).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", METHODS)
def test_as_a_function(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    start = torch.tensor(problem.start, dtype=torch.float64)
    check(
        lanewise.minimize(lambda x: problem.residuals(x).square().sum(), start, method=method),
        name,
        near=COARSE.get((method, name), 1e-6),
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_as_residuals(name: str) -> None:
    problem = PROBLEMS[name]
    found = lanewise.minimize(problem.residuals, torch.tensor(problem.start, dtype=torch.float64), residuals=True)
    assert found.method == "levenberg-marquardt"
    assert found.evaluations < 1000  # also where residuals are large (Brown-Dennis), which BFGS has to end
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
