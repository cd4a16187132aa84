"""L-BFGS over rows: convergence, hard objectives, independence of rows, and the state's life."""

import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.lbfgs import LBFGS, LBFGSState
from lanewise.solvers.solver import Objective, Progress, Status

Function = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def solve(solver: LBFGS, points: Tensor, objective: Objective, *, rounds: int = 100_000) -> Progress:
    """Run until every row has stopped; fails if that takes more than ``rounds``."""
    state = solver.init(points, objective)
    for _ in range(rounds):
        if solver.progress(state).finished:
            return solver.progress(state)
        solver.step(state, objective)
    pytest.fail(f"rows still run after {rounds} rounds")


def rosenbrock(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    head, tail = points[:, :-1], points[:, 1:]
    valley = tail - head.square()
    gradients = torch.zeros_like(points)
    gradients[:, 1:] += 200 * valley
    gradients[:, :-1] += -400 * valley * head - 2 * (1 - head)
    return (100 * valley.square() + (1 - head).square()).sum(1), gradients


def robust_regressions(lanes: int, parameters: int, *, dtype: torch.dtype = torch.float64) -> tuple[Function, Tensor]:
    """A pseudo-Huber regression of its own per row, summed row by row, and random starts."""
    draw = torch.Generator().manual_seed(lanes * 1000 + parameters)
    inputs = torch.randn(lanes, 3 * parameters, parameters, generator=draw, dtype=torch.float64).to(dtype)
    inputs_t = inputs.transpose(1, 2).contiguous()
    targets = torch.randn(lanes, 3 * parameters, generator=draw, dtype=torch.float64).to(dtype)

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        residuals = (inputs[rows] * points[:, None, :]).sum(-1) - targets[rows]
        root = (1 + residuals.square()).sqrt()
        gradients = (inputs_t[rows] * (residuals / root)[:, None, :]).sum(-1)
        return (root - 1).sum(-1), gradients

    return objective, torch.randn(lanes, parameters, generator=draw, dtype=torch.float64).to(dtype)


def renamed(objective: Function, names: Tensor) -> Function:
    """The same problems under new numbers: row *i* of the new stack is problem ``names[i]``."""
    return lambda points, rows: objective(points, names[rows])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
@pytest.mark.parametrize(("lanes", "parameters"), [(1, 1), (1, 7), (5, 1), (512, 6)])
def test_converges_for_every_size_and_precision(
    lanes: int, parameters: int, dtype: torch.dtype, tolerance: float
) -> None:
    objective, starts = robust_regressions(lanes, parameters, dtype=dtype)
    end = solve(LBFGS(tolerance=tolerance), starts, objective)
    assert set(end.status) == {Status.CONVERGED}
    values, gradients = objective(end.points, torch.arange(lanes))
    assert torch.equal(values, end.values)
    assert gradients.abs().max() <= tolerance
    assert end.points.dtype == dtype


def test_rosenbrock_in_ten_dimensions_from_256_starts() -> None:
    starts = torch.rand(256, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4 - 2
    end = solve(LBFGS(tolerance=1e-8), starts, rosenbrock)
    assert set(end.status) == {Status.CONVERGED}
    assert end.gradient_norms.max() <= 1e-8
    # In ten dimensions there are two minima: the global one, and one near (-1, 1, ..., 1).
    known = torch.tensor([0.0, 3.986579112347], dtype=torch.float64)
    assert (end.values[:, None] - known).abs().amin(1).max() < 1e-10
    assert ((end.values < 1e-10).double().mean() > 0.5).item()
    assert end.evaluations.sum() / end.iterations.sum() < 1.3


@pytest.mark.parametrize(("memory", "tolerance"), [(10, 1e-10), (30, 1e-12)])
def test_quadratics_of_condition_1e8(memory: int, tolerance: float) -> None:
    draw = torch.Generator().manual_seed(3)
    curvatures = torch.logspace(0, -8, 10, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(6, 10, 10, generator=draw, dtype=torch.float64)).Q
    hessians = (axes * curvatures) @ axes.transpose(1, 2)
    centres = torch.randn(6, 10, generator=draw, dtype=torch.float64)

    def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        offsets = points - centres[rows]
        gradients = (hessians[rows] * offsets[:, None, :]).sum(-1)
        return 1 + (gradients * offsets).sum(-1) / 2, gradients

    solver = LBFGS(tolerance=tolerance, memory=memory, max_iterations=5000)
    end = solve(solver, torch.zeros(6, 10, dtype=torch.float64), objective)
    assert set(end.status) == {Status.CONVERGED}
    assert (end.values - 1).max() < 1e-10


def test_zero_gradient_at_the_start_takes_one_evaluation() -> None:
    starts = torch.ones(3, 10, dtype=torch.float64)
    starts[1] = 0.0
    end = solve(LBFGS(), starts, rosenbrock)
    assert end.status == [Status.CONVERGED] * 3
    assert end.iterations[[0, 2]].tolist() == [0, 0]
    assert end.evaluations[[0, 2]].tolist() == [1, 1]
    assert torch.equal(end.points[[0, 2]], starts[[0, 2]])


def test_a_row_not_finite_at_the_start_leaves_the_others_untouched() -> None:
    objective, starts = robust_regressions(4, 5)

    def broken(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = objective(points, rows)
        values[rows == 1] = torch.nan
        gradients[rows == 2] = torch.inf
        return values, gradients

    end, sound = solve(LBFGS(), starts, broken), solve(LBFGS(), starts, objective)
    assert end.status == [Status.CONVERGED, Status.NOT_FINITE, Status.NOT_FINITE, Status.CONVERGED]
    for name in ("points", "values", "iterations", "evaluations"):
        assert torch.equal(getattr(end, name)[[0, 3]], getattr(sound, name)[[0, 3]]), name
    assert torch.equal(end.points[[1, 2]], starts[[1, 2]])


@pytest.mark.parametrize("outside", [torch.nan, torch.inf])
def test_steps_out_of_the_domain_are_shortened(outside: float) -> None:
    def barrier(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        inside = (points > 0).all(1)
        values = (points - 1e-3 * points.log()).sum(1)
        return torch.where(inside, values, outside), 1 - 1e-3 / points

    starts = torch.logspace(-6, 6, 40, dtype=torch.float64)[:, None].repeat(1, 3)
    end = solve(LBFGS(tolerance=1e-8), starts, barrier)
    assert set(end.status) == {Status.CONVERGED}
    torch.testing.assert_close(end.points, torch.full_like(starts, 1e-3), rtol=1e-6, atol=0)


def test_not_finite_along_every_step() -> None:
    def cliff(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(points[:, 0] == 1, points[:, 0], torch.nan), torch.ones_like(points)

    end = solve(LBFGS(), torch.ones(1, 2, dtype=torch.float64), cliff)
    assert end.status == [Status.NOT_FINITE]
    assert torch.equal(end.points, torch.ones(1, 2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unbounded_below_says_so(dtype: torch.dtype) -> None:
    def falling(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        x = points[:, 0]
        values = torch.stack((-x, -x.square(), -x.exp(), x.square()))
        slopes = torch.stack((-torch.ones_like(x), -2 * x, -x.exp(), 2 * x))
        place = torch.arange(len(rows))
        return values[rows, place], slopes[rows, place][:, None]

    end = solve(LBFGS(), torch.full((4, 1), 0.5, dtype=dtype), falling, rounds=1000)
    assert end.status == [Status.UNBOUNDED] * 3 + [Status.CONVERGED]


def test_limits_and_the_tolerance_on_values() -> None:
    starts = torch.full((2, 10), -1.5, dtype=torch.float64)
    end = solve(LBFGS(max_iterations=7), starts, rosenbrock)
    assert end.status == [Status.ITERATIONS] * 2
    assert end.iterations.tolist() == [7, 7]
    end = solve(LBFGS(max_evaluations=9), starts, rosenbrock)
    assert end.status == [Status.EVALUATIONS] * 2
    assert end.evaluations.tolist() == [9, 9]
    loose = solve(LBFGS(value_tolerance=1e-2), starts, rosenbrock)
    assert loose.status == [Status.FLAT] * 2
    full = solve(LBFGS(), starts, rosenbrock)
    assert full.status == [Status.CONVERGED] * 2
    assert (loose.iterations < full.iterations).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tolerance_below_rounding_ends_as_stalled_at_the_minimum(dtype: torch.dtype) -> None:
    objective, starts = robust_regressions(6, 5, dtype=dtype)
    end = solve(LBFGS(tolerance=0.0), starts, objective, rounds=3000)
    assert set(end.status) <= {Status.STALLED, Status.CONVERGED}
    assert end.gradient_norms.max() < 100 * torch.finfo(dtype).eps
    assert end.evaluations.max() < 500


def test_a_kink_ends_with_a_status_at_the_minimum() -> None:
    def absolute(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return points.abs().sum(1), points.sign()

    starts = torch.tensor([[3.0], [-0.7]], dtype=torch.float64)
    end = solve(LBFGS(), starts, absolute, rounds=1000)
    assert set(end.status) <= {Status.STALLED, Status.CONVERGED}
    assert end.values.max() < 1e-4


def test_tolerances_of_their_own_and_finished_rows_cost_nothing() -> None:
    tolerance = torch.tensor([1e-1, 1e-9, 1e-4], dtype=torch.float64)
    calls = torch.zeros(3, dtype=torch.int64)
    running: list[int] = []

    def counted(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        calls[rows] += 1
        running.append(len(rows))
        return rosenbrock(points, rows)

    end = solve(LBFGS(tolerance=tolerance), torch.full((3, 10), 0.3, dtype=torch.float64), counted)
    assert (end.gradient_norms <= tolerance).all()
    assert torch.equal(calls, end.evaluations)
    assert end.evaluations[0] < end.evaluations[2] < end.evaluations[1]
    assert running[-1] == 1
    assert len(running) == end.evaluations.max()  # no row ever waits for another


@functools.cache
def plain_regressions() -> Progress:
    objective, starts = robust_regressions(3, 6)
    return solve(LBFGS(tolerance=1e-8), starts, objective)


@settings(deadline=None, max_examples=20)
@given(power=st.integers(-150, 150))
def test_the_scale_of_an_objective_changes_nothing(power: int) -> None:
    objective, starts = robust_regressions(3, 6)
    scale = 4.0**power  # its square root is a power of two as well, so nothing is rounded otherwise

    def scaled(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = objective(points, rows)
        return values * scale, gradients * scale

    plain = plain_regressions()
    end = solve(LBFGS(tolerance=1e-8 * scale), starts, scaled)
    assert end.status == plain.status
    assert torch.equal(end.points, plain.points)


@pytest.mark.parametrize(("parameters", "sparse"), [(1, False), (5, True), (13, False), (31, True), (31, False)])
def test_a_row_does_not_depend_on_its_neighbours(parameters: int, sparse: bool) -> None:
    lanes = 11
    objective, starts = robust_regressions(lanes, parameters)
    l1 = torch.arange(lanes, dtype=torch.float64).remainder(3) if sparse else None

    def run(names: Tensor) -> Progress:
        solver = LBFGS(tolerance=1e-9, l1=None if l1 is None else l1[names])
        return solve(solver, starts[names], renamed(objective, names))

    together = run(torch.arange(lanes))
    orders = [torch.arange(lanes).flip(0), torch.randperm(lanes, generator=torch.Generator().manual_seed(0))]
    for names in orders + [torch.tensor([lane]) for lane in (0, 4, 10)]:
        other = run(names)
        assert torch.equal(other.points, together.points[names])
        assert torch.equal(other.evaluations, together.evaluations[names])


def test_an_l1_penalty_of_zero_is_the_smooth_path() -> None:
    objective, starts = robust_regressions(5, 7)
    smooth = solve(LBFGS(tolerance=1e-9), starts, objective)
    l1 = torch.tensor([0.0, 2.0, 0.0, 5.0, 0.0], dtype=torch.float64)
    mixed = solve(LBFGS(tolerance=1e-9, l1=l1), starts, objective)
    assert torch.equal(mixed.points[l1 == 0], smooth.points[l1 == 0])
    assert (mixed.points[3] == 0).any()
    assert not (mixed.points[l1 == 0] == 0).any()


def test_l1_leaves_the_unpenalised_alone_and_reaches_exact_zeros() -> None:
    objective, starts = robust_regressions(3, 6)
    penalised = torch.tensor([True, True, True, False, True, False])
    l1 = torch.tensor([0.5, 3.0, 1e6], dtype=torch.float64)
    end = solve(LBFGS(tolerance=1e-9, l1=l1, penalised=penalised), starts, objective)
    assert set(end.status) == {Status.CONVERGED}
    assert (end.points[2, penalised] == 0).all()
    assert (end.points[:, ~penalised] != 0).all()
    smooth, gradients = objective(end.points, torch.arange(3))
    penalty = l1 * end.points[:, penalised].abs().sum(1)
    torch.testing.assert_close(end.values, smooth + penalty, rtol=1e-14, atol=0)
    # The optimality conditions: |g| <= l1 at zero, g = -l1 sign(x) elsewhere, g = 0 without a penalty.
    weights = l1[:, None] * penalised
    excess = torch.where(
        end.points == 0, (gradients.abs() - weights).clamp_min(0), gradients + weights * end.points.sign()
    )
    assert excess.abs().max() <= 1e-9


@pytest.mark.parametrize("sparse", [False, True])
def test_a_saved_state_goes_on_bit_for_bit(sparse: bool) -> None:
    objective, starts = robust_regressions(6, 8)
    solver = LBFGS(tolerance=1e-10, l1=torch.linspace(0, 3, 6, dtype=torch.float64) if sparse else None)
    state = solver.init(starts, objective)
    for _ in range(9):
        solver.step(state, objective)
    saved = {name: tensor.clone() for name, tensor in state.tensors().items()}
    restored = LBFGSState.from_tensors(saved)
    while not solver.progress(state).finished:
        solver.step(state, objective)
    while not solver.progress(restored).finished:
        solver.step(restored, objective)
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, restored.tensors()[name]), name


@pytest.mark.parametrize("sparse", [False, True])
def test_dropped_rows_change_nothing_for_the_others(sparse: bool) -> None:
    objective, starts = robust_regressions(8, 7)
    l1 = torch.linspace(0, 3, 8, dtype=torch.float64) if sparse else None
    solver = LBFGS(tolerance=torch.logspace(-10, -3, 8, dtype=torch.float64), l1=l1)
    full = solve(solver, starts, objective)
    state = solver.init(starts, objective)
    kept = torch.tensor([6, 1, 4, 3])
    for rounds, keep in ((5, kept), (6, torch.tensor([True, True, False, True]))):
        for _ in range(rounds):
            solver.step(state, objective)
        state = solver.keep(state, keep)
    while not solver.progress(state).finished:
        solver.step(state, objective)
    names = torch.tensor([6, 1, 3])
    assert torch.equal(state.problems, names)
    end = solver.progress(state)
    assert torch.equal(end.points, full.points[names])
    assert torch.equal(end.iterations, full.iterations[names])
    assert end.status == [full.status[name] for name in names.tolist()]


def test_start_points_are_not_written_to() -> None:
    starts = torch.full((2, 10), 0.4, dtype=torch.float64)
    solve(LBFGS(), starts, rosenbrock)
    assert (starts == 0.4).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"memory": 0}, "memory must be at least 1, got 0"),
        ({"max_iterations": 0}, "max_iterations must be at least 1, got 0"),
        ({"max_evaluations": -3}, "max_evaluations must be at least 1, got -3"),
        ({"tolerance": -1.0}, "tolerance must be zero or more, got -1.0"),
        ({"tolerance": float("nan")}, "tolerance must be zero or more, got nan"),
        ({"value_tolerance": -1.0}, "value_tolerance must be zero or more"),
        ({"l1": torch.tensor([1.0, -1.0])}, "l1 must be zero or more"),
    ],
)
def test_settings_out_of_range(setting: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LBFGS(**setting)


@pytest.mark.parametrize(
    ("setting", "points", "message"),
    [
        ({}, torch.zeros(3), r"points must be floating numbers \[L, P\], got torch.float32 \[3\]"),
        ({}, torch.zeros(3, 2, dtype=torch.int64), r"points must be floating numbers"),
        ({}, torch.zeros(3, 0), r"points must be floating numbers"),
        (
            {"tolerance": torch.ones(2)},
            torch.zeros(3, 2),
            r"tolerance must have the shape \[3\] of the points, got",
        ),
        ({"l1": torch.ones(2)}, torch.zeros(3, 2), r"l1 must have the shape \[3\]"),
        ({"penalised": torch.ones(3)}, torch.zeros(3, 2), r"penalised must have the shape \[2\]"),
    ],
)
def test_settings_that_do_not_fit_the_points(setting: dict, points: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LBFGS(**setting).init(points, rosenbrock)


def test_the_inverse_hessian_as_metric_ends_a_quadratic_at_once() -> None:
    draw = torch.Generator().manual_seed(0)
    factors = torch.randn(4, 9, 9, generator=draw, dtype=torch.float64)
    hessians = factors @ factors.transpose(1, 2) + 1e-3 * torch.eye(9, dtype=torch.float64)
    inverses = torch.linalg.inv(hessians)

    def bowls(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        slopes = torch.einsum("rij,rj->ri", hessians[rows], points - 1)
        return 0.5 * (slopes * (points - 1)).sum(1), slopes

    def metric(rows: Tensor, vectors: Tensor) -> Tensor:
        return torch.einsum("rij,rj->ri", inverses[rows], vectors)

    start = torch.zeros(4, 9, dtype=torch.float64)
    with_metric, without = (solve(LBFGS(metric=own), start, bowls) for own in (metric, None))
    assert with_metric.evaluations.tolist() == [2] * 4
    assert int(without.evaluations.min()) > 8
    assert torch.allclose(with_metric.points, torch.ones_like(start))


def test_rows_with_an_l1_penalty_go_without_the_metric() -> None:
    objective, starts = robust_regressions(5, 6)
    l1 = torch.tensor([0.0, 2.0, 0.0, 5.0, 0.1], dtype=torch.float64)

    def metric(rows: Tensor, vectors: Tensor) -> Tensor:
        return vectors * torch.arange(1, 7)

    plain, steered = (solve(LBFGS(tolerance=1e-9, l1=l1, metric=own), starts, objective) for own in (None, metric))
    assert torch.allclose(plain.points, steered.points, atol=1e-7)
    assert not torch.equal(plain.points[l1 == 0], steered.points[l1 == 0])
    # Its scale comes from another formula, so the bits differ; the way does not.
    assert torch.equal(plain.evaluations[l1 > 0], steered.evaluations[l1 > 0])
