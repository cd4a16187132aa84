"""Multipliers that are estimated from the gradients at a point."""

import pytest
import torch

from lanewise import Equality, Inequality, minimize


@pytest.mark.parametrize("method", ["slsqp", "trust-constr"])
def test_the_methods_of_scipy_have_multipliers(method: str) -> None:
    constraints = [Inequality(lambda x: x.prod() - 25), Equality(lambda x: (x**2).sum() - 40)]
    found = minimize(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        torch.tensor([1.0, 5.0, 5.0, 1.0]),
        bounds=(1, 5),
        constraints=constraints,
        method=method,
    )
    assert found.multipliers is not None
    assert float(found.multipliers[0]) == pytest.approx(0.55229366, abs=1e-4)  # Hock and Schittkowski 71
    assert float(found.multipliers[1]) == pytest.approx(0.16146857, abs=1e-4)
    assert found.gradient_norm < 1e-4
    assert found.history.evaluations[-1] == found.evaluations


def test_a_constraint_that_does_not_hold_the_point_has_none() -> None:
    far, near = Inequality(lambda x: 9 - x[0]), Inequality(lambda x: x[0] - 1)
    found = minimize(lambda x: (x**2).sum(), [2.0, 2.0], constraints=[far, near], method="slsqp")
    assert found.multipliers is not None
    assert [float(one[0]) for one in found.multipliers] == pytest.approx([0.0, 2.0], abs=1e-6)
    free = minimize(lambda x: (x**2).sum(), [2.0, 2.0], method="slsqp")
    assert free.multipliers is None
    assert free.gradient_norm < 1e-5
