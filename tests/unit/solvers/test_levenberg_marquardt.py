"""Levenberg-Marquardt over rows: bounds, few residuals, statuses."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

import lanewise
from lanewise.errors import UsageError
from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.levenberg_marquardt import LevenbergMarquardt
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solver import Progress, Status


def solve(solver: LevenbergMarquardt, points: Tensor, residuals) -> Progress:
    objective = PosedObjective(function=TorchFunction(single=residuals), squares=True)
    state = solver.init(points, objective)
    for _ in range(20_000):
        if solver.progress(state).finished:
            return solver.progress(state)
        solver.step(state, objective)
    pytest.fail("rows still run")


TIMES = torch.linspace(0, 4, 30, dtype=torch.float64)
DECAY = 3 * torch.exp(-0.7 * TIMES) + 0.5 + 0.05 * torch.sin(40 * TIMES)


def decay(x: Tensor) -> Tensor:
    return x[0] * torch.exp(-x[1] * TIMES) + x[2] - DECAY


def test_against_scipy_from_many_starts() -> None:
    starts = torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    end = solve(LevenbergMarquardt(), starts, decay)
    assert set(end.status) == {Status.CONVERGED}
    theirs = least_squares(lambda x: decay(torch.from_numpy(x)).numpy(), [1, 1, 1], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(end.points, np.tile(theirs.x, (30, 1)), rtol=1e-6)
    np.testing.assert_allclose(end.values, 2 * theirs.cost, rtol=1e-12)


def test_bounds_against_scipy() -> None:
    low, high = torch.tensor([0.0, 0.9, -1.0]).double(), torch.tensor([2.5, 3.0, 0.4]).double()
    starts = low + torch.rand(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * (high - low)
    end = solve(LevenbergMarquardt(low=low, high=high), starts, decay)
    theirs = least_squares(
        lambda x: decay(torch.from_numpy(x)).numpy(),
        [1, 1, 0],
        bounds=(low.numpy(), high.numpy()),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-12,
    )
    assert set(end.status) == {Status.CONVERGED}
    np.testing.assert_allclose(end.points, np.tile(theirs.x, (20, 1)), rtol=1e-5)


def test_fewer_residuals_than_variables() -> None:
    starts = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    end = solve(LevenbergMarquardt(), starts, lambda x: torch.stack((x.sum() - 6, x[0] * x[1] - 2)))
    assert set(end.status) == {Status.CONVERGED}
    assert end.values.max() < 1e-20


def test_a_variable_without_effect_stays() -> None:
    end = solve(LevenbergMarquardt(), torch.tensor([[5.0, 7.0]]).double(), lambda x: torch.stack((x[0] - 1, 2 * x[0])))
    assert end.status == [Status.CONVERGED]
    assert end.points.tolist() == [[pytest.approx(0.2), 7.0]]


def test_statuses() -> None:
    start = torch.full((1, 2), 2.0, dtype=torch.float64)

    def valley(x: Tensor) -> Tensor:
        return torch.stack((10 * (x[1] - x[0] ** 2), 1 - x[0]))

    assert solve(LevenbergMarquardt(max_iterations=2), start, valley).status == [Status.ITERATIONS]
    few = solve(LevenbergMarquardt(max_evaluations=4), start, valley)
    assert few.status == [Status.EVALUATIONS]
    assert solve(LevenbergMarquardt(), -start, lambda x: x.log()).status == [Status.NOT_FINITE]
    assert solve(LevenbergMarquardt(), torch.ones(1, 2).double(), valley).status == [Status.CONVERGED]


def test_an_objective_without_residuals_is_refused() -> None:
    with pytest.raises(UsageError, match="needs an objective with residuals"):
        LevenbergMarquardt().init(torch.ones(1, 2).double(), lambda points, rows: (points.sum(1), points))


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-12])
def test_small_residuals_are_no_end_in_themselves(size: float) -> None:
    times = np.linspace(0, 4, 25)
    found = lanewise.minimize(
        lambda p: size * (p[0] * np.exp(-times / p[1]) - 2 * np.exp(-times / 1.5)), [1.0, 1.0], residuals=True
    )
    np.testing.assert_allclose(found.x, [2, 1.5], rtol=1e-6)


def test_large_variables_are_no_end_in_themselves() -> None:
    times = np.linspace(0, 5e-9, 30)
    found = lanewise.minimize(lambda p: np.exp(-p[0] * times) - np.exp(-1e9 * times), [4e8], residuals=True)
    np.testing.assert_allclose(found.x, [1e9], rtol=1e-6)
