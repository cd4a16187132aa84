"""The augmented Lagrangian over rows: multipliers, infeasible and unbounded problems, rows of their own."""

import pytest
import torch
from torch import Tensor

from lanewise import Equality, Inequality, minimize
from lanewise.solvers.augmented_lagrangian import AugmentedLagrangian, violation
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.descent import Descent
from lanewise.solvers.endless import falls_on
from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solver import Status


def over(function) -> TorchFunction:
    return TorchFunction(single=lambda x: function(x).reshape(-1))


CENTRE = torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64)


def solve(starts: Tensor):
    """The nearest point to ``CENTRE`` on the unit sphere with a non-negative first entry."""
    objective = PosedObjective(
        function=over(lambda x: (x - CENTRE).square().sum()),
        equalities=(over(lambda x: x.square().sum() - 1),),
        inequalities=(over(lambda x: x[0] - 0.9),),
    )
    solver = AugmentedLagrangian(descent=Descent(direction=BFGS()), tolerance=1e-8)
    state = solver.init(starts, objective)
    for _ in range(20_000):
        if solver.progress(state).finished:
            return solver.progress(state), state
        solver.step(state, objective)
    pytest.fail("rows still run")


def test_every_row_meets_the_kkt_conditions() -> None:
    starts = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    end, state = solve(starts)
    assert set(end.status) == {Status.CONVERGED}
    points = end.points
    gradient = 2 * (points - CENTRE) + 2 * state.lambdas * points
    gradient[:, 0] -= state.mus[:, 0]
    assert gradient.abs().max() < 1e-7
    assert (points.square().sum(1) - 1).abs().max() <= 1e-8
    assert (points[:, 0] - 0.9).min() >= -1e-8
    assert (state.mus >= 0).all()
    assert ((points[:, 0] - 0.9) * state.mus[:, 0]).abs().max() < 1e-6
    expected = torch.tensor([0.9, 0.19**0.5 / 2**0.5, -(0.19**0.5) / 2**0.5], dtype=torch.float64)
    torch.testing.assert_close(
        points[points[:, 1] > 0], expected.expand(int((points[:, 1] > 0).sum()), 3), atol=1e-6, rtol=0
    )


def test_rows_do_not_look_at_each_other() -> None:
    starts = torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together, _ = solve(starts)
    for row in (0, 5):
        alone, _ = solve(starts[row : row + 1])
        torch.testing.assert_close(together.points[row], alone.points[0], rtol=1e-10, atol=1e-10)


def test_multipliers_are_prices() -> None:
    """The multiplier of ``x + y = b`` is how much the minimum changes with ``b``."""
    values = []
    for b in (1.0, 1.001):
        found = minimize(
            lambda x: x[0] ** 2 + 2 * x[1] ** 2, [0.0, 0.0], constraints=Equality(lambda x, b=b: x[0] + x[1] - b)
        )
        values.append(found)
    assert values[0].multipliers is not None
    price = (values[1].value - values[0].value) / 0.001
    assert -float(values[0].multipliers[0][0]) == pytest.approx(price, rel=1e-3)


def test_multipliers_come_in_the_order_given() -> None:
    constraints = [
        Inequality(lambda x: x - 1),
        Equality(lambda x: x[2] - 5),
        Inequality(lambda x: 100 - x.sum()),
    ]
    found = minimize(
        lambda x: (x * torch.tensor([1.0, 2.0, 3.0])).sum(), torch.full((3,), 4.0), constraints=constraints
    )
    assert found.multipliers is not None
    shapes = [one.shape for one in found.multipliers]
    assert shapes == [(3,), (1,), (1,)]
    torch.testing.assert_close(found.multipliers[0], torch.tensor([1.0, 2.0, 0.0]).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.multipliers[1], torch.tensor([-3.0]).double(), rtol=0, atol=1e-6)


def test_an_objective_without_a_floor_off_the_feasible_set() -> None:
    """``-x^4`` falls without end, but not where the constraint holds."""
    found = minimize(lambda x: -(x[0] ** 4) + x[1], [1.0, 1.0], constraints=Inequality(lambda x: 4 - (x**2).sum()))
    assert found.success
    # On the circle, at y = -t: the least of -(4 - t^2)^2 - t.
    t = torch.linspace(0, 0.2, 200_001, dtype=torch.float64)
    assert found.value == pytest.approx(float((-((4 - t**2) ** 2) - t).min()), abs=1e-7)
    assert found.violation <= 1e-8


VALLEYS = {
    "two equalities": (lambda x: -x[2], [Equality(lambda x: x[0] ** 2 - x[1]), Equality(lambda x: x[1] ** 2 - x[2])]),
    "one equality": (lambda x: -x[1] - x[2], [Equality(lambda x: torch.stack((x[0] ** 2 - x[1], x[2] - 1)))]),
    "a straight one": (lambda x: -x[1] + x[2] ** 2, [Equality(lambda x: x[0] - x[1])]),
}


@pytest.mark.parametrize("name", VALLEYS)
def test_a_valley_without_end_is_not_followed_to_the_limit(name: str) -> None:
    function, constraints = VALLEYS[name]
    found = minimize(function, torch.ones(3), constraints=constraints)
    assert found.status is Status.RUNAWAY
    assert not found.success
    assert found.value < -1e5
    assert found.value == pytest.approx(float(function(found.x)))
    assert found.violation < 1e-3 * float(found.x.abs().max())
    assert found.evaluations < 1500


def test_a_deep_but_bounded_valley_is_followed_to_its_end() -> None:
    """The fall is out of all scale of the start, but it ends: at the most of ``1e7 sin(pi x / 6)`` along a parabola."""
    parabola = Equality(lambda x: x[0] ** 2 - x[1])
    found = minimize(lambda x: -1e7 * torch.sin(x[0] * torch.pi / 6), torch.zeros(2), constraints=parabola)
    assert found.success
    assert found.value == pytest.approx(-1e7, rel=1e-9)
    torch.testing.assert_close(found.x, torch.tensor([3.0, 9.0]).double(), rtol=0, atol=1e-5)


BENT = [Equality(lambda x: x[0] * x[1] - 1), Equality(lambda x: x[0] ** 2 - x[2] ** 2)]


@pytest.mark.parametrize("start", [[1.0, 1.0, 1.0], [3.0, 1.0, -2.0], [0.1, 3.0, 5.0]])
def test_a_valley_without_end_in_which_steps_go_under_in_rounding(start: list[float]) -> None:
    """``x0 = x2`` grows and ``x1`` is its reciprocal: the curvature of the penalty grows with its square."""
    found = minimize(lambda x: -x[0] - x[2], torch.tensor(start), constraints=BENT)
    assert found.status is Status.RUNAWAY
    assert found.value < -1e4
    assert found.violation < 1e-3 * float(found.x.abs().max())
    assert found.evaluations < 1000


def test_slsqp_tells_of_a_fall_without_end() -> None:
    found = minimize(lambda x: -x[0] - x[2], torch.ones(3), constraints=BENT, method="slsqp")
    assert found.status is Status.RUNAWAY
    assert found.x.isfinite().all()
    assert found.value < -1e12


def test_looking_ahead_does_not_take_a_deep_minimum_for_a_fall_without_end() -> None:
    """Minus x on a parabola falls on; a bowl about a far place, a sine and a logarithm do not."""
    origin, point = torch.zeros(1, 2).double(), torch.tensor([[1e4, 1e8]]).double()
    parabola = (over(lambda x: x[0] ** 2 - x[1]),)

    def told(function) -> bool:
        objective = PosedObjective(function=over(function), equalities=parabola)
        return falls_on(objective, origin, point, torch.zeros(1, dtype=torch.int64))

    assert told(lambda x: -x[0])
    assert not told(lambda x: (x[0] / 1e6 - 1) ** 2 * 1e9)
    assert not told(lambda x: -1e7 * torch.sin(x[0] / 1e5))
    assert not told(lambda x: -1e4 * torch.log1p(x[0] ** 2))
    ridge = PosedObjective(function=over(lambda x: -x[0]), equalities=(over(lambda x: x[0] ** 2 + x[1] ** 2 - 1),))
    assert not falls_on(ridge, origin, point, torch.zeros(1, dtype=torch.int64))
    none = PosedObjective(function=over(lambda x: -x[0]), equalities=(over(lambda x: x[0] ** 2 + 1),))
    assert not falls_on(none, origin, point, torch.zeros(1, dtype=torch.int64))


def test_redundant_constraints() -> None:
    twice = [Equality(lambda x: x[0] - 1), Equality(lambda x: 2 * x[0] - 2)]
    found = minimize(lambda x: (x**2).sum(), torch.tensor([3.0, 2.0]), constraints=twice)
    torch.testing.assert_close(found.x, torch.tensor([1.0, 0.0]).double(), rtol=0, atol=1e-7)


def test_violation() -> None:
    equalities = torch.tensor([[0.1, -0.5], [0.0, 0.0]])
    inequalities = torch.tensor([[3.0], [-0.2]])
    assert violation(equalities, inequalities).tolist() == pytest.approx([0.5, 0.2])
    assert violation(torch.zeros(2, 0), torch.zeros(2, 0)).tolist() == [0.0, 0.0]
