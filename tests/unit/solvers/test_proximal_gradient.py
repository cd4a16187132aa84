"""Proximal and projected gradient, and penalties in ``minimize``."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet as TheirElasticNet
from sklearn.linear_model import Lasso
from torch import Tensor

from lanewise import Equality, UsageError, minimize
from lanewise.optim import projections
from lanewise.optim.proximal import L1, ElasticNet, GroupL1, SquaredL2, Within
from lanewise.solvers.functions import TorchFunction
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.proximal_gradient import ProximalGradient
from lanewise.solvers.solver import Status

DRAW = torch.Generator().manual_seed(0)
INPUTS = torch.randn(60, 10, generator=DRAW, dtype=torch.float64) @ (torch.eye(10).double() + 0.3)
TARGETS = INPUTS[:, 0] * 2 - INPUTS[:, 4] + 0.3 * torch.randn(60, generator=DRAW, dtype=torch.float64)


def loss(w: Tensor) -> Tensor:
    return (INPUTS @ w - TARGETS).square().mean() / 2


@pytest.mark.parametrize("method", ["auto", "proximal-gradient"])
@pytest.mark.parametrize("weight", [0.03, 0.3])
def test_lasso_against_scikit_learn(method: str, weight: float) -> None:
    found = minimize(loss, torch.zeros(10), penalty=L1(weight), method=method)
    assert found.method == ("lbfgs" if method == "auto" else method)
    theirs = Lasso(alpha=weight, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(INPUTS.numpy(), TARGETS.numpy())
    np.testing.assert_allclose(found.x, theirs.coef_, atol=1e-6)
    assert ((found.x == 0).numpy() == (theirs.coef_ == 0)).all()
    assert found.value == pytest.approx(float(loss(found.x) + weight * found.x.abs().sum()), rel=1e-12)


def test_elastic_net_against_scikit_learn() -> None:
    found = minimize(loss, torch.zeros(10), penalty=ElasticNet(l1=0.1, l2=0.2), starts=5)
    theirs = TheirElasticNet(alpha=0.3, l1_ratio=1 / 3, fit_intercept=False, tol=1e-14, max_iter=100_000)
    np.testing.assert_allclose(found.x, theirs.fit(INPUTS.numpy(), TARGETS.numpy()).coef_, atol=1e-6)
    assert found.method == "proximal-gradient"
    assert len(found.optima) == 1
    assert found.optima[0].starts == 5


def test_groups_leave_together() -> None:
    groups = torch.arange(10) // 2
    found = minimize(loss, torch.zeros(10), penalty=GroupL1(0.5, groups))
    zero = (found.x == 0).view(5, 2)
    assert (zero.all(1) | ~zero.any(1)).all()
    assert zero.all(1).any()
    assert not zero.all(1).all()


@pytest.mark.parametrize(
    "project",
    [
        projections.simplex,
        partial(projections.l1_ball, radius=1.5),
        partial(projections.l2_ball, radius=0.7),
        partial(projections.half_space, normal=torch.ones(10), offset=-1.0),
    ],
)
def test_projected_gradient_ends_where_no_step_leads_on(project) -> None:
    found = minimize(loss, torch.zeros(10), penalty=Within(project))
    assert found.status is Status.CONVERGED
    x = found.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    torch.testing.assert_close(project((found.x - gradient)[None])[0], found.x, rtol=0, atol=1e-6)
    assert found.value > float(loss(torch.linalg.lstsq(INPUTS, TARGETS).solution)) + 1e-3, "the set must matter"


def test_a_penalty_within_bounds() -> None:
    found = minimize(loss, torch.zeros(10), penalty=L1(0.05), bounds=(-0.3, 1.0), method="proximal-gradient")
    assert found.x.min() >= -0.3
    assert found.x.max() <= 1.0
    # The positive and the negative part of x make it a smooth problem within bounds.
    split = minimize(
        lambda s: loss(s[:10] - s[10:]) + 0.05 * s.sum(),
        torch.zeros(20),
        bounds=([0.0] * 20, [1.0] * 10 + [0.3] * 10),
    )
    torch.testing.assert_close(found.x, split.x[:10] - split.x[10:], rtol=0, atol=1e-5)


def test_acceleration_pays_on_bad_conditions() -> None:
    curvature = torch.logspace(0, -2.5, 5, dtype=torch.float64)
    counts = {}
    for accelerated in (True, False):
        objective = PosedObjective(function=TorchFunction(single=lambda x: (curvature * (x - 1) ** 2).sum()[None]))
        solver = ProximalGradient(penalty=SquaredL2(0.0), accelerated=accelerated, tolerance=1e-5)
        state = solver.init(torch.zeros(1, 5, dtype=torch.float64), objective)
        while not solver.progress(state).finished:
            solver.step(state, objective)
        assert solver.progress(state).status == [Status.CONVERGED]
        counts[accelerated] = int(state.evaluations)
    assert counts[True] < counts[False] / 3


def test_statuses() -> None:
    falling = minimize(lambda x: -x.sum(), torch.zeros(2), method="proximal-gradient", max_evaluations=500)
    assert falling.status in (Status.UNBOUNDED, Status.EVALUATIONS)
    wall = minimize(lambda x: (x - x.log()).sum(), torch.full((2,), 3.0), method="proximal-gradient")
    torch.testing.assert_close(wall.x, torch.ones(2).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"penalty": 3}, r"penalty must be one of lanewise.optim.proximal, got 3"),
        ({"penalty": L1(1), "method": "bfgs"}, "cannot take the penalty L1; use 'proximal-gradient'"),
        ({"penalty": GroupL1(1, torch.tensor([0, 0])), "method": "lbfgs"}, "cannot take the penalty GroupL1"),
        ({"penalty": GroupL1(1, torch.tensor([0, 0])), "bounds": (-1, 1)}, "bounds go with separable penalties only"),
        ({"penalty": L1(1), "constraints": Equality(lambda x: x[0])}, "takes no constraints"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        minimize(lambda x: (x**2).sum(), torch.zeros(2), **arguments)
