"""The test functions have their published optima."""

import pytest
import torch

from lanewise.errors import UsageError
from lanewise.solvers.landscapes import NAMES, landscape


@pytest.mark.parametrize("name", NAMES)
def test_the_published_optima_have_the_least_value_and_no_slope(name):
    found = landscape(name)
    for optimum in found.optima:
        x = torch.tensor(optimum, dtype=torch.float64, requires_grad=True)
        value = found.function(x)
        assert float(value.detach()) == pytest.approx(found.value, abs=1e-13)
        (slope,) = torch.autograd.grad(value, x)
        assert float(slope.abs().max()) < 1e-7
    low, high = found.low[0], found.high[0]
    draw = torch.Generator().manual_seed(0)
    for point in low + (high - low) * torch.rand(500, 2, generator=draw, dtype=torch.float64):
        assert float(found.function(point)) >= found.value


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("rosenbrock", (-1.2, 1.0), 24.2),
        ("himmelblau", (0.0, 0.0), 170.0),
        ("rastrigin", (0.5, 1.0), 21.25),
        ("beale", (0.0, 0.0), 14.203125),
        ("ackley", (1.0, 1.0), 3.6253849384403627),
        ("booth", (0.0, 0.0), 74.0),
        ("quadratic", (1.0, 1.0), 5.5),
    ],
)
def test_values_worked_out_by_hand(name, point, value):
    found = landscape(name)
    assert float(found.function(torch.tensor(point, dtype=torch.float64))) == pytest.approx(value, rel=1e-12)


def test_what_is_no_landscape_is_refused():
    with pytest.raises(UsageError, match="no test function 'hill'; there are rosenbrock"):
        landscape("hill")
    with pytest.raises(UsageError, match="condition is a setting of quadratic, not of booth"):
        landscape("booth", condition=3.0)
    with pytest.raises(UsageError, match=r"at least 1, got 0\.5"):
        landscape("quadratic", condition=0.5)
    with pytest.raises(UsageError, match="booth is a function of two variables, got x0 with 3"):
        landscape("booth").check(3)
    landscape("rosenbrock").check(3)


def test_the_condition_is_the_ratio_of_curvatures():
    function = landscape("quadratic", condition=50.0).function
    hessian = torch.autograd.functional.hessian(function, torch.zeros(4, dtype=torch.float64))
    curvatures = torch.linalg.eigvalsh(hessian)
    assert float(curvatures.max() / curvatures.min()) == pytest.approx(50.0)
