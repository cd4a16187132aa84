"""Where the method that ``auto`` took ends short, another goes on; what met the constraints is not lost."""

import pytest
import torch
from scipy.optimize import linprog

from lanewise import Equality, Inequality, minimize
from lanewise.solvers.solver import Status

CUSP = [Inequality(lambda x: (1 - x[0]) ** 3 - x[1]), Inequality(lambda x: x[1])]


def test_slsqp_goes_on_at_a_cusp_from_one_of_some_starts() -> None:
    """Whether it gets over the cusp from one start hangs on last bits, so on the processor: from most it does."""
    starts = ([0.5, 0.1], [0.3, 0.2], [0.2, 0.3], [0.1, 0.1])
    ends = (minimize(lambda x: -x[0], start, constraints=CUSP, max_evaluations=2000) for start in starts)
    found = next((one for one in ends if one.success), None)
    assert found is not None
    assert found.value == pytest.approx(-1, abs=1e-3)
    assert found.violation <= 1e-6
    assert len(found.optima) == 1
    assert found.reason.endswith("slsqp went on from where that ended")


def test_a_feasible_start_is_never_lost() -> None:
    found = minimize(lambda x: -x[0], [0.5, 0.05], constraints=CUSP, method="augmented-lagrangian")
    assert found.status is Status.FEASIBLE
    assert found.violation <= 1e-8
    assert found.value <= -0.5
    squared = Equality(lambda x: (x[0] + x[1]) ** 2)  # its slope is zero where it holds
    found = minimize(lambda x: (x[0] - 1) ** 2 + x[1] ** 2, [1.0, -1.0], constraints=squared)
    assert found.status is not Status.INFEASIBLE
    assert found.violation <= 1e-6
    assert found.value <= 1.0 + 1e-9


def test_a_badly_scaled_constraint() -> None:
    def far(x):
        return (x[0] / 1e4 - 1) ** 2 + (x[1] * 1e4 - 1) ** 2

    limit = Inequality(lambda x: 1e6 * (1 - 0.5 * x[0] / 1e4 - 0.9e4 * x[1]))
    found = minimize(far, [1e4, 1e-4], constraints=[limit])
    assert found.value == pytest.approx(0.16 / 1.06, abs=1e-5)  # the squared distance of (1, 1) from the line
    assert found.success


def test_variables_of_very_unlike_size_are_no_kink() -> None:
    units = torch.tensor([1e-8, 1e-4, 1.0, 1e4, 1e8], dtype=torch.float64)

    def bowl(x):
        return ((x / units - 1) ** 2).sum() + (x[0] / units[0] * x[4] / units[4] - 1) ** 2

    found = minimize(bowl, 2 * units)
    assert found.status in (Status.SCALED, Status.CONVERGED)
    assert (found.x / units).tolist() == pytest.approx([1.0] * 5, abs=1e-5)
    assert "measured in its own size" in found.reason


def test_least_absolute_deviations_against_a_linear_program() -> None:
    draw = torch.Generator().manual_seed(3)
    rows = torch.randn(40, 4, generator=draw, dtype=torch.float64)
    aims = 5 * torch.randn(40, generator=draw, dtype=torch.float64)
    found = minimize(lambda x: (rows @ x - aims).abs().sum(), torch.zeros(4))
    unit = torch.eye(40, dtype=torch.float64)
    exact = linprog(
        torch.cat((torch.zeros(4), torch.ones(40))).numpy(),
        A_ub=torch.cat((torch.cat((rows, -unit), dim=1), torch.cat((-rows, -unit), dim=1))).numpy(),
        b_ub=torch.cat((aims, -aims)).numpy(),
        bounds=[(None, None)] * 44,
    )
    assert found.status is Status.CORNER
    assert found.value == pytest.approx(exact.fun, abs=1e-6)
    assert found.success
    assert "gradient sampling went on" in found.reason


def test_a_kink_is_confirmed_within_bounds_and_for_many_starts() -> None:
    found = minimize(lambda x: torch.maximum((x[0] - 1).abs(), (x[1] - 2).abs()), [0.0, 0.0], starts=4)
    assert found.value == pytest.approx(0.0, abs=1e-7)
    assert len(found.optima) == 1
    held = minimize(lambda x: (x[0] - 1).abs() + (x[1] - 2).abs(), [0.0, 0.3], bounds=(-1, 0.5))
    assert held.x.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert held.success
    assert held.history.values == sorted(held.history.values, reverse=True)
