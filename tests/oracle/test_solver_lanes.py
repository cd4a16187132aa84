"""Solver lanes reach the minimum that scikit-learn and SciPy find for the same objective.

The objective is the mean of weight x loss over the training rows of a fold, plus ``l2 / 2 |w|^2 + l1 |w|_1``
over the penalised weights; its value may differ by 1e-8 of the reference.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lane_cases import Value, lane, race_data
from plain_losses import LOSSES
from plain_nets import LinearNet
from scipy.optimize import minimize
from sklearn.linear_model import Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.svm import LinearSVC

from lanewise.lanes.roster import Lane
from lanewise.task import TaskKind
from lanewise.training.data import TrainingData
from lanewise.training.solver_team import SolverTeam

Array = np.ndarray
RELATIVE = 1e-8


class Objective:
    """What a lane minimizes, as a function of ``W [C, D]`` over dense and one-hot columns, and ``b [C]``."""

    def __init__(self, one: Lane, data: TrainingData) -> None:
        part = data.folds[one.fold]
        codes = [torch.nn.functional.one_hot(part.codes[:, k], count) for k, count in enumerate(data.width.levels)]
        self.inputs = torch.cat([part.dense, *codes], dim=1)[part.train].double()
        self.target = part.target[part.train]
        self.weight = torch.ones(len(part.train)) if data.weight is None else data.weight[part.train]
        self.l1, self.l2 = (float(one.candidate.settings[name]) for name in ("l1", "l2"))
        self.loss = LOSSES[str(one.candidate.settings["loss"])]
        self.outputs = data.width.outputs

    def smooth(self, matrix: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        losses = self.loss(self.inputs @ matrix.T + bias, self.target, 0.0)
        return (self.weight * losses).mean() + self.l2 / 2 * matrix.square().sum()

    def value(self, matrix: Any, bias: Any) -> float:
        weights = torch.as_tensor(matrix).double().reshape(self.outputs, -1)
        smooth = self.smooth(weights, torch.as_tensor(bias).double().reshape(-1))
        return float(smooth + self.l1 * weights.abs().sum())

    def numpy(self) -> tuple[Array, Array, Array]:
        return self.inputs.numpy(), self.target.numpy(), self.weight.numpy()


def solve(lanes: list[Lane], data: TrainingData) -> SolverTeam:
    team = SolverTeam(lanes, data, iterations=500, stop=lambda: False)
    team.advance(1.0)
    return team


def solved_net(team: SolverTeam, one: Lane, data: TrainingData) -> LinearNet:
    """The plain linear model with the weights that a lane has reached."""
    width = data.width
    net = LinearNet(width.dense, width.levels, width.outputs).double()
    net.fill({name: torch.as_tensor(value) for name, value in (team.export(one.id).tensors or {}).items()})
    return net


def solved_value(team: SolverTeam, one: Lane, data: TrainingData) -> float:
    """Value of the objective at the weights of a lane, level tables read as weights of one-hot columns."""
    named = solved_net(team, one, data).weights()
    tables = [named[f"levels{k}"].T for k in range(len(data.width.levels))]
    return Objective(one, data).value(torch.cat([named["weight"], *tables], dim=1).numpy(), named["bias"].numpy())


def scipy_minimum(objective: Objective) -> float:
    """L-BFGS-B over ``w = p - n`` with ``p, n >= 0``, which turns the absolute values into a sum."""
    size = objective.outputs * objective.inputs.shape[1]

    def call(point: Array) -> tuple[float, Array]:
        free = torch.tensor(point, requires_grad=True)
        matrix = (free[:size] - free[size : 2 * size]).reshape(objective.outputs, -1)
        value = objective.smooth(matrix, free[2 * size :]) + objective.l1 * free[: 2 * size].sum()
        value.backward()
        assert free.grad is not None
        return float(value.detach()), free.grad.numpy()

    bounds = [(0, None)] * (2 * size) + [(None, None)] * objective.outputs
    start = np.full(len(bounds), 0.01)
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 30}
    return float(minimize(call, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun)


def sklearn_logistic(objective: Objective) -> float:
    inputs, target, weight = objective.numpy()
    model = LogisticRegression(C=1 / (objective.l2 * len(target)), tol=1e-12, max_iter=1000, solver="newton-cg")
    model.fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


def sklearn_ridge(objective: Objective) -> float:
    inputs, target, weight = objective.numpy()
    model = Ridge(alpha=objective.l2 * len(target), solver="cholesky").fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


def sklearn_poisson(objective: Objective) -> float:
    inputs, target, weight = objective.numpy()
    model = PoissonRegressor(alpha=objective.l2 * len(target) / weight.sum(), tol=1e-12, solver="newton-cholesky")
    model.fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


def sklearn_lasso(objective: Objective) -> float:
    inputs, target, weight = objective.numpy()
    model = Lasso(alpha=objective.l1 * len(target) / weight.sum(), tol=1e-12, max_iter=100_000)
    model.fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


def sklearn_sparse_logistic(objective: Objective) -> float:
    inputs, target, weight = objective.numpy()
    strength = objective.l1 + objective.l2
    model = LogisticRegression(
        C=1 / (strength * len(target)), l1_ratio=objective.l1 / strength, tol=1e-12, max_iter=100_000, solver="saga"
    )
    model.fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


def sklearn_support_vectors(objective: Objective) -> float:
    """LIBLINEAR penalises the intercept too: of an input as large as this it is next to nothing."""
    inputs, target, weight = objective.numpy()
    strength = 1 / (objective.l2 * len(target))
    model = LinearSVC(
        C=strength,
        dual=False,  # pyright: ignore[reportArgumentType]  # the untyped default says a text
        tol=1e-12,
        intercept_scaling=100_000,
        max_iter=100_000,
    )
    model.fit(inputs, target, sample_weight=weight)
    return objective.value(model.coef_, model.intercept_)


CASES: list[tuple[TaskKind, str, dict[str, Value], Callable[[Objective], float]]] = [
    ("binary", "logistic", {"l2": 0.03}, sklearn_logistic),
    ("multiclass", "softmax", {"l2": 0.03}, sklearn_logistic),
    ("regression", "squared", {"l2": 0.1}, sklearn_ridge),
    ("count", "poisson", {"l2": 0.05}, sklearn_poisson),
    ("regression", "squared", {"l1": 0.05}, sklearn_lasso),
    ("binary", "logistic", {"l1": 0.02}, sklearn_sparse_logistic),
    ("multiclass", "softmax", {"l1": 0.02, "l2": 0.01}, sklearn_sparse_logistic),
    ("binary", "squared_hinge", {"l2": 0.1}, sklearn_support_vectors),
    ("multiclass", "squared_hinge", {"l2": 0.1}, sklearn_support_vectors),
    ("regression", "huber", {"l2": 0.02}, scipy_minimum),
    ("binary", "squared_hinge", {"l1": 0.03}, scipy_minimum),
    ("count", "poisson", {"l1": 0.02, "l2": 0.02}, scipy_minimum),
    ("multiclass", "softmax", {"l1": 0.03}, scipy_minimum),
]


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize(("kind", "loss", "penalty", "reference"), CASES)
def test_minimum_is_the_reference(
    kind: TaskKind, loss: str, penalty: dict[str, Value], reference: Callable[[Objective], float], weighted: bool
) -> None:
    data = race_data(kind, weighted=weighted)
    lanes = [lane(f"c{fold}", "linear", "lbfgs", penalty, loss=loss, fold=fold) for fold in (0, 2)]
    team = solve(lanes, data)
    for one in lanes:
        expected = reference(Objective(one, data))
        assert solved_value(team, one, data) == pytest.approx(expected, rel=RELATIVE, abs=0)


def test_neighbours_of_a_solver_lane_do_not_matter() -> None:
    data = race_data("binary")
    strengths = (0.001, 0.01, 0.1, 1.0)
    lanes = [
        lane(f"c{at}{fold}", "linear", "lbfgs", loss="logistic", l2=l2, l1=0.01 * (at % 2), fold=fold)
        for at, l2 in enumerate(strengths)
        for fold in (0, 1, 2)
    ]
    together = solve(lanes, data)
    for one in lanes:
        alone = solved_value(solve([one], data), one, data)
        assert solved_value(together, one, data) == pytest.approx(alone, rel=RELATIVE, abs=0)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_predictions_are_in_the_unit_of_the_target(scale: float) -> None:
    # A target of spread 1 still has a center: both are put back, each by itself.
    data = race_data("regression")
    folds = {fold: dataclasses.replace(part, center=3.0 + fold, scale=scale) for fold, part in data.folds.items()}
    data = dataclasses.replace(data, folds=folds)
    lanes = [lane(f"c{fold}", "linear", "lbfgs", {"loss": "squared", "l2": 0.1}, fold=fold) for fold in folds]
    team = solve(lanes, data)
    for found in team.evidence():
        part = folds[found.lane.fold]
        net = solved_net(team, found.lane, data)
        expected = net(part.dense[part.valid], part.codes[part.valid]).detach() * scale + part.center
        assert torch.allclose(torch.from_numpy(found.valid), expected, rtol=1e-10, atol=1e-10)


def test_scipy_and_scikit_learn_agree_on_the_objective() -> None:
    # The reference is checked too: two unlike methods, one value.
    for kind, loss, penalty, reference in CASES[:9]:
        objective = Objective(lane("c", "linear", "lbfgs", penalty, loss=loss), race_data(kind))
        assert reference(objective) == pytest.approx(scipy_minimum(objective), rel=RELATIVE, abs=0)
