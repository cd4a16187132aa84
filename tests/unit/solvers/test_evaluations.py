"""What an evaluation is: every point at which the function was evaluated, the same for all methods."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lanewise import Equality, minimize
from lanewise.solvers.solver import Status

VARIABLES = 5
BY_DIFFERENCES = 1 + 2 * VARIABLES  # a value and its gradient
LOOKS = 12 + 8 * BY_DIFFERENCES  # to learn how the function is to be called and whether it is smooth


class Counted:
    """A function of arrays, and how often it was called."""

    def __init__(self, function: Callable[[np.ndarray], float | np.ndarray]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, x: np.ndarray) -> float | np.ndarray:
        self.calls += 1
        if not isinstance(x, np.ndarray):
            message = "not for tensors"
            raise TypeError(message)
        return self.function(x)


def valley(x: np.ndarray) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def wells(x: np.ndarray) -> np.ndarray:
    return np.concatenate((10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1], np.sin(9 * x)))


ROUND = {
    "gd": BY_DIFFERENCES,
    "adam": BY_DIFFERENCES,
    "bfgs": BY_DIFFERENCES,
    "lbfgs": BY_DIFFERENCES,
    "cg": BY_DIFFERENCES,
    "newton": BY_DIFFERENCES * (2 + 2 * VARIABLES),
    "newton-cg": BY_DIFFERENCES * (2 + 2 * VARIABLES),
    "proximal-gradient": 2 * BY_DIFFERENCES,
    "slsqp": BY_DIFFERENCES,
    "trust-constr": BY_DIFFERENCES,
    "augmented-lagrangian": 3 * BY_DIFFERENCES,
    "genetic": 60,
    "differential-evolution": 15 * VARIABLES,
    "dual-annealing": 1,
    "cmaes": 20,
    "levenberg-marquardt": 2 + BY_DIFFERENCES,
    "gauss-newton": 2 * BY_DIFFERENCES,
}


@pytest.mark.parametrize("method", ROUND)
def test_every_call_is_counted_and_the_limit_is_one_of_calls(method: str) -> None:
    if method == "cmaes":
        pytest.importorskip("cmaes")
    residuals = method in ("levenberg-marquardt", "gauss-newton")
    counted = Counted(wells if residuals else valley)
    limit = 150
    found = minimize(
        counted,
        np.full(VARIABLES, -1.0),
        method=method,
        bounds=None if residuals else (-2.0, 2.0),
        residuals=residuals,
        max_evaluations=limit,
        tolerance=0.0,
        options={"lr": 1e-4} if method in ("gd", "adam") else None,
    )
    assert found.status is Status.EVALUATIONS
    assert found.evaluations == counted.calls
    looks = 3 if method in ("genetic", "differential-evolution", "dual-annealing", "cmaes") else LOOKS
    assert counted.calls < looks + limit + ROUND[method]
    assert counted.calls >= limit


def test_with_autograd_a_value_with_its_gradient_is_one() -> None:
    found = minimize(lambda x: (x - 1).square().sum() ** 2, torch.zeros(VARIABLES), max_evaluations=9, tolerance=0.0)
    assert found.status is Status.EVALUATIONS
    assert found.counts.gradients == 9
    assert found.history.evaluations == list(range(found.evaluations - 8, found.evaluations + 1))


def test_each_start_has_a_limit_of_its_own() -> None:
    counted = Counted(lambda x: float(np.sum((x - 1) ** 2) ** 2))
    points = np.stack((np.full(VARIABLES, 1.0), np.full(VARIABLES, 3.0)))
    found = minimize(counted, points[0], starts=3, bounds=(-5.0, 5.0), max_evaluations=60, tolerance=1e-9)
    assert found.statuses == {Status.CONVERGED: 1, Status.EVALUATIONS: 2}
    assert found.evaluations == counted.calls
    assert counted.calls <= LOOKS + BY_DIFFERENCES + 2 * (60 + BY_DIFFERENCES)


def test_where_creeping_residuals_go_on_by_bfgs_the_limit_holds_still() -> None:
    counted = Counted(lambda x: np.concatenate((np.sin(3 * x) + 2, 1e-3 * x)))
    found = minimize(counted, np.full(VARIABLES, 0.1), residuals=True, starts=3, max_evaluations=400, tolerance=0.0)
    assert found.evaluations == counted.calls
    assert counted.calls <= LOOKS + 3 * (400 + 2 * BY_DIFFERENCES)


def test_a_stated_limit_is_one_of_calls_and_the_usual_one_leaves_room_for_differences() -> None:
    counted = Counted(lambda x: float(np.sum(np.arange(1, 61) * (x - 1) ** 4)))
    stated = minimize(counted, np.zeros(60), max_evaluations=10_000)
    assert stated.status is Status.EVALUATIONS
    assert counted.calls < 10_000 + 6 * 121
    assert minimize(counted, np.zeros(60)).status is Status.CONVERGED


def test_what_a_start_spent_before_the_constraints_are_met_counts() -> None:
    counted = Counted(valley)
    circle = Equality(lambda x: float(np.sum(x**2)) - 1)
    found = minimize(counted, np.full(VARIABLES, 0.2), constraints=circle, max_evaluations=200)
    assert found.status is Status.EVALUATIONS
    assert found.evaluations == counted.calls
    assert counted.calls < LOOKS + 200 + 3 * BY_DIFFERENCES
