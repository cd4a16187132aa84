"""Line-search descent with every direction: bounds, statuses, limits, the dense update."""

import functools

import pytest
import torch
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.conjugate_gradient import ConjugateGradient
from lanewise.solvers.descent import Descent, DescentState
from lanewise.solvers.direction import Direction
from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.gauss_newton import GaussNewton
from lanewise.solvers.limited_memory import LimitedMemory
from lanewise.solvers.newton import Newton
from lanewise.solvers.newton_cg import NewtonCG
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solver import Objective, Progress, Status

DIRECTIONS: list[Direction] = [BFGS(), LimitedMemory(), ConjugateGradient(), Newton(), NewtonCG(), GaussNewton()]
SMOOTH = DIRECTIONS[:-1]
each = pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda d: d.name)
smooth = pytest.mark.parametrize("direction", SMOOTH, ids=lambda d: d.name)


def rosenbrock() -> PosedObjective:
    """As a sum of squares, so that Gauss-Newton can take it too."""

    def residuals(x: Tensor) -> Tensor:
        return torch.cat((10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]))

    return PosedObjective(function=TorchFunction(single=residuals), squares=True)


def scalar(single) -> PosedObjective:
    return PosedObjective(function=TorchFunction(single=lambda x: single(x)[None]))


def solve(solver: Descent, points: Tensor, objective: Objective, *, rounds: int = 20_000) -> Progress:
    state = solver.init(points, objective)
    for _ in range(rounds):
        if solver.progress(state).finished:
            return solver.progress(state)
        solver.step(state, objective)
    pytest.fail(f"rows still run after {rounds} rounds")


def starts(count: int, width: int) -> Tensor:
    return torch.rand(count, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 4 - 2


@each
def test_rosenbrock_from_many_starts(direction: Direction) -> None:
    end = solve(Descent(direction=direction, tolerance=1e-8), starts(15, 4), rosenbrock())
    assert set(end.status) <= {Status.CONVERGED, Status.STALLED}
    known = torch.tensor([0.0, 3.701428610430], dtype=torch.float64)  # in four dimensions a local minimum is left
    assert (end.values[:, None] - known).abs().amin(1).max() < 1e-8


LOW = torch.tensor([-1.5, 0.2, -2.0, -1.0], dtype=torch.float64)
HIGH = torch.tensor([0.7, 2.0, 0.1, 3.0], dtype=torch.float64)


@functools.cache
def minima_by_scipy() -> Tensor:
    objective = rosenbrock()

    def single(point):
        value, gradient = objective(torch.from_numpy(point)[None], torch.tensor([0]))
        return value.item(), gradient[0].numpy()

    settings = {"ftol": 1e-15, "gtol": 1e-10}
    box = list(zip(LOW.tolist(), HIGH.tolist(), strict=True))
    begun = torch.minimum(torch.maximum(starts(20, 4), LOW), HIGH).numpy()
    ended = [scipy_minimize(single, x, jac=True, method="L-BFGS-B", bounds=box, options=settings) for x in begun]
    return torch.tensor([one.fun for one in ended])


@each
def test_bounds_against_scipy(direction: Direction) -> None:
    """The same local minimum, coordinate by coordinate, from starts of which many lie in a corner of the box."""
    end = solve(Descent(direction=direction, low=LOW, high=HIGH, tolerance=1e-8), starts(20, 4), rosenbrock())
    assert set(end.status) <= {Status.CONVERGED, Status.STALLED}
    assert ((end.points >= LOW) & (end.points <= HIGH)).all()
    known = minima_by_scipy()
    assert end.values.min() <= known.min() + 1e-9
    assert (end.values[:, None] - known).abs().amin(1).max() < 1e-7


def test_a_start_outside_the_bounds_is_moved_onto_them() -> None:
    low, high = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    bowl = scalar(lambda x: (x - 5).square().sum())
    end = solve(Descent(direction=BFGS(), low=low, high=high), torch.full((1, 2), 9.0, dtype=torch.float64), bowl)
    assert end.points.tolist() == [[1.0, 1.0]]
    assert end.gradient_norms.item() == 0
    assert end.evaluations.item() == 1


def test_equal_bounds_fix_a_variable() -> None:
    fixed = torch.tensor([2.0, -9.0], dtype=torch.float64)
    high = torch.tensor([2.0, 9.0], dtype=torch.float64)
    for direction in DIRECTIONS[:5]:
        bowl = scalar(lambda x: (x[0] * x[1] - 3).square() + x[1].square())
        end = solve(Descent(direction=direction, low=fixed, high=high), torch.ones(1, 2, dtype=torch.float64), bowl)
        assert end.points[0, 0] == 2.0
        assert end.points[0, 1].item() == pytest.approx(6 / 5, abs=1e-6), direction.name


@smooth
def test_saddles_are_left(direction: Direction) -> None:
    def saddle(x: Tensor) -> Tensor:
        return x[0].square() - x[1].square() + x[1].pow(4) / 4

    begin = torch.tensor([[1.0, 1e-3], [0.5, -1e-3]], dtype=torch.float64)
    end = solve(Descent(direction=direction, tolerance=1e-8), begin, scalar(saddle))
    assert set(end.status) == {Status.CONVERGED}
    assert (end.values + 1).abs().max() < 1e-8


@smooth
def test_unbounded_and_not_finite(direction: Direction) -> None:
    falling = solve(Descent(direction=direction), torch.full((1, 1), 0.5).double(), scalar(lambda x: -x.exp().sum()))
    assert falling.status == [Status.UNBOUNDED]
    sick = solve(Descent(direction=direction), torch.full((1, 1), -0.5).double(), scalar(lambda x: x.log().sum()))
    assert sick.status == [Status.NOT_FINITE]


@smooth
def test_steps_out_of_the_domain_are_shortened(direction: Direction) -> None:
    begin = torch.logspace(-4, 3, 12, dtype=torch.float64)[:, None].repeat(1, 2)
    barrier = scalar(lambda x: (x - 1e-2 * x.log()).sum())
    end = solve(Descent(direction=direction, tolerance=1e-8), begin, barrier)
    torch.testing.assert_close(end.points, torch.full_like(begin, 1e-2), rtol=1e-5, atol=0)


def test_limits() -> None:
    begin = torch.full((2, 6), -1.5, dtype=torch.float64)
    few = solve(Descent(direction=BFGS(), max_iterations=5), begin, rosenbrock())
    assert few.status == [Status.ITERATIONS] * 2
    assert few.iterations.tolist() == [5, 5]
    short = solve(Descent(direction=BFGS(), max_evaluations=7), begin, rosenbrock())
    assert short.status == [Status.EVALUATIONS] * 2
    assert short.evaluations.tolist() == [7, 7]


def test_the_dense_update_equals_the_formula() -> None:
    draw = torch.Generator().manual_seed(1)
    direction, width = BFGS(), 4
    memory = direction.empty(torch.zeros(3, width, dtype=torch.float64))
    hessian = torch.diag(torch.tensor([1.0, 2.0, 5.0, 9.0], dtype=torch.float64))
    eye = torch.eye(width, dtype=torch.float64)
    expected = None
    for _ in range(5):
        step = torch.randn(width, generator=draw, dtype=torch.float64)
        change = hessian @ step
        if expected is None:
            expected = eye * (step @ change) / (change @ change)
        left = eye - torch.outer(step, change) / (step @ change)
        expected = left @ expected @ left.T + torch.outer(step, step) / (step @ change)
        direction.learn(memory, torch.tensor([1]), step[None], change[None])
    torch.testing.assert_close(memory["inverse"][1], expected, rtol=1e-10, atol=1e-12)
    assert (memory["inverse"][[0, 2]] == 0).all()


def test_pairs_without_positive_curvature_are_left_out() -> None:
    direction = BFGS()
    memory = direction.empty(torch.zeros(2, 3, dtype=torch.float64))
    step = torch.ones(2, 3, dtype=torch.float64)
    direction.learn(memory, torch.arange(2), step, torch.stack((step[0], -step[1])))
    assert memory["pairs"].tolist() == [1, 0]


def test_bound_coordinates_use_the_inverse_of_the_free_block() -> None:
    draw = torch.Generator().manual_seed(4)
    root = torch.randn(2, 5, 5, generator=draw, dtype=torch.float64)
    hessian = root @ root.transpose(1, 2) + torch.eye(5, dtype=torch.float64)
    free = torch.tensor([[True, False, True, True, False], [True] * 5])
    gradients = torch.randn(2, 5, generator=draw, dtype=torch.float64) * free
    from lanewise.solvers.direction import Place

    memory = {"inverse": torch.linalg.inv(hessian), "pairs": torch.ones(2, dtype=torch.int64)}
    rows = torch.arange(2)
    place = Place(rows=rows, problems=rows, points=gradients, gradients=gradients, free=free)
    found = BFGS().aim(memory, place, None)
    for row in range(2):
        own = free[row]
        expected = -torch.linalg.solve(hessian[row][own][:, own], gradients[row, own])
        torch.testing.assert_close(found[row, own], expected)
        assert (found[row, ~own] == 0).all()


def test_a_kept_state_goes_on_alone() -> None:
    solver, objective = Descent(direction=BFGS(), tolerance=1e-8), rosenbrock()
    state = solver.init(starts(6, 3), objective)
    for _ in range(10):
        solver.step(state, objective)
    part: DescentState = state.keep(torch.tensor([1, 4]))
    while not solver.progress(state).finished:
        solver.step(state, objective)
    while not solver.progress(part).finished:
        solver.step(part, objective)
    torch.testing.assert_close(part.points, state.points[[1, 4]], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["max_iterations", "max_evaluations"])
def test_settings_out_of_range(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 1, got 0"):
        Descent(direction=BFGS(), **{name: 0})


def test_points_of_another_shape() -> None:
    with pytest.raises(UsageError, match=r"points must be floating numbers \[L, P\]"):
        Descent(direction=BFGS()).init(torch.zeros(3), rosenbrock())
