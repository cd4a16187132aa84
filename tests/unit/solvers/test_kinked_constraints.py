"""Constraints with kinks: max, abs and norms, their minima known by hand, by a linear program or from papers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from lanewise import Equality, Inequality, minimize
from lanewise.solvers.constraints import Constraint
from lanewise.solvers.exact_penalty import ExactPenalty, descend
from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.outcome import Setup
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solver import Status

AIM = torch.arange(1, 11).double() / 5  # its projection onto the ball |x|_1 <= 2 is max(AIM - 1.2, 0)
DISKS = torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.2]]).double()
FACES = torch.randn(30, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
FACES /= FACES.norm(dim=1, keepdim=True)
COSTS = torch.tensor([0.3, -1.0, 0.6, 0.2, -0.4]).double()


def at_a_vertex() -> float:
    """The least of ``COSTS' x`` where ``FACES x <= 1``."""
    return linprog(COSTS.numpy(), A_ub=FACES.numpy(), b_ub=np.ones(30), bounds=[(None, None)] * 5).fun


def charalambous_bandler(x):
    """CB2 (Charalambous and Bandler 1976), the largest of three smooth functions; its minimum is 1.9522245."""
    return torch.stack((x[0] ** 2 + x[1] ** 4, (2 - x[0]) ** 2 + (2 - x[1]) ** 2, 2 * torch.exp(x[1] - x[0]))).max()


def rosenbrock_with_a_kink(x):
    return 8 * (x[0] ** 2 - x[1]).abs() + (1 - x[0]) ** 2


PROBLEMS: dict[str, tuple] = {
    "nearest point of an L1 ball": (
        lambda x: (x - AIM).square().sum(),
        [0.1] * 10,
        Inequality(lambda x: 2 - x.abs().sum()),
        float(((AIM - 1.2).clamp_min(0) - AIM).square().sum()),
    ),
    "on a square's edge": (
        lambda x: (x[0] - 3) ** 2 + x[1] ** 2,
        [1.0, 1.0],
        Equality(lambda x: x.abs().sum() - 2),
        1.0,
    ),
    "disks that meet": (
        lambda x: -x[0] - 2 * x[1],
        [0.0, 0.1],
        Inequality(lambda x: 1 - (x - DISKS).norm(dim=1).max()),
        -math.sqrt(3),
    ),
    "below the largest of three": (
        lambda x: x[2],
        [1.0, -0.1, 10.0],
        Inequality(lambda x: x[2] - charalambous_bandler(x)),
        1.9522245,
    ),
    # Curtis, Mitchell and Overton 2017: Rosenbrock's valley with a kink, and a corner where it ends.
    "a kinked valley with a corner": (
        rosenbrock_with_a_kink,
        [-1.0, 1.0],
        Inequality(lambda x: 1 - torch.stack((2**0.5 * x[0], 2 * x[1])).max()),
        (1 - 0.5**0.5) ** 2,
    ),
    "a vertex of thirty faces": (
        lambda x: COSTS @ x,
        [0.0] * 5,
        Inequality(lambda x: 1 - (FACES @ x).max()),
        at_a_vertex,
    ),
    "from the kink itself": (
        lambda x: x[0] + 2 * x[1],
        [0.0, 0.0],
        Equality(lambda x: x.norm() - 1),
        -math.sqrt(5),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimum_is_found_before_the_limit(name: str) -> None:
    function, start, constraint, value = PROBLEMS[name]
    found = minimize(function, torch.tensor(start), constraints=constraint)
    assert found.success
    assert found.value == pytest.approx(value() if callable(value) else value, abs=1e-5)
    assert found.violation <= 1e-6
    assert found.evaluations < 3000


def test_a_python_function_with_kinks_is_differentiated_by_differences() -> None:
    def nearest(x) -> float:
        return 1 - max(math.hypot(x[0] - 0.5, x[1]), math.hypot(x[0] + 0.5, x[1]))

    found = minimize(lambda x: -float(x[0]) - 2 * float(x[1]), np.array([0.0, 0.1]), constraints=Inequality(nearest))
    assert found.success
    assert found.value == pytest.approx(-math.sqrt(3), abs=1e-5)
    assert "as a penalty" in found.reason
    assert found.multipliers is not None
    assert found.multipliers[0] == pytest.approx([4 / math.sqrt(3)], rel=1e-4)  # by hand: both disks pull alike


def posed(function, constraint: Constraint) -> PosedObjective:
    def over(one) -> TorchFunction:
        return TorchFunction(single=lambda x: one(x).reshape(-1))

    given = {"equality": (), "inequality": ()} | {constraint.kind: (over(constraint.function),)}
    return PosedObjective(function=over(function), equalities=given["equality"], inequalities=given["inequality"])


def test_the_penalty_and_its_gradient() -> None:
    function, _, constraint, _ = PROBLEMS["on a square's edge"]
    penalized = ExactPenalty(objective=posed(function, constraint), weight=10.0)
    points = torch.tensor([[1.0, 2.0], [0.5, -0.5]]).double()
    values, gradients = penalized(points, torch.arange(2))
    assert values.tolist() == penalized.values(points).tolist() == [4 + 4 + 10, 6.25 + 0.25 + 10]
    assert gradients.tolist() == [[-4 + 10, 4 + 10], [-5 - 10, -1 + 10]]


def test_the_weight_grows_until_the_constraint_is_met() -> None:
    """At a weight of 2 the minimum of ``-10 x + 2 max(0, |x| - 1)`` is far off; the multiplier is 10."""
    objective = posed(lambda x: -10 * x[0] + x[0] ** 2 / 100, Inequality(lambda x: 1 - x.abs().sum()))
    start = torch.zeros(1, 1).double()
    setup = Setup(
        objective=objective,
        starts=start,
        low=None,
        high=None,
        tolerance=1e-8,
        feasibility=1e-8,
        max_evaluations=10_000,
        seed=0,
        options={},
        callback=None,
    )
    ended = descend(setup, start[0], 0.0, feasibility=1e-6, left=5000)
    assert ended.found.stationary
    assert ended.violation <= 1e-6
    assert ended.value == pytest.approx(-9.99, abs=1e-5)
    assert ended.mus.tolist() == pytest.approx([9.98], rel=1e-5)
    cut = descend(setup, start[0], 0.0, feasibility=1e-6, left=10)
    assert not cut.found.stationary
    assert cut.mus.isnan().all()


@pytest.mark.parametrize("most", [100, 300, 700])
def test_a_callback_stops_whichever_method_is_at_work(most: int) -> None:
    function, start, constraint, _ = PROBLEMS["a vertex of thirty faces"]
    found = minimize(
        function, torch.tensor(start), constraints=constraint, callback=lambda step: step.evaluations > most
    )
    assert found.evaluations < most + 50
    assert found.status in (Status.STOPPED, Status.MET)
