"""The metric that L-BFGS begins with is the inverse Hessian near the best constant outputs."""

import dataclasses
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.losses import LOSSES, null_curvature
from lanewise.models.base import Width
from lanewise.models.registry import build
from lanewise.task import Task, TaskKind
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.null_metric import null_metric
from lanewise.training.solver_team import SolverTeam

ROWS, COLUMNS = 200, 6
KINDS: dict[str, TaskKind] = {
    "squared": "regression",
    "logistic": "binary",
    "poisson": "count",
    "softmax": "multiclass",
}


def data(loss: str, *, folds: int = 2, columns: int = COLUMNS) -> TrainingData:
    """Correlated columns of unit spread, and targets that have nothing to do with them."""
    draw = torch.Generator().manual_seed(5)
    raw = torch.randn(ROWS, columns, generator=draw, dtype=torch.float64)
    mixed = raw @ (torch.eye(columns, dtype=torch.float64) + torch.ones(columns, columns) * 0.8)
    dense = (mixed - mixed.mean(0)) / mixed.std(0)
    target = {
        "squared": torch.randn(ROWS, generator=draw, dtype=torch.float64),
        "poisson": torch.poisson(torch.full((ROWS,), 2.5, dtype=torch.float64), generator=draw),
    }.get(loss, torch.randint(3 if loss == "softmax" else 2, (ROWS,), generator=draw))
    outputs = 3 if loss == "softmax" else 1
    classes = ("a", "b", "c")[: max(outputs, 2)] if loss in ("softmax", "logistic") else ()
    parts = {}
    for fold in range(folds):
        held = torch.arange(fold * 40, fold * 40 + 40)
        rest = torch.tensor([row for row in range(ROWS) if row not in held])
        codes = torch.zeros(ROWS, 0, dtype=torch.int64)
        parts[fold] = FoldData(dense=dense * (1 + fold), codes=codes, target=target, train=rest, valid=held)
    return TrainingData(
        task=Task(target="y", kind=KINDS[loss], metric="log_loss" if classes else "rmse", classes=classes),
        width=Width(dense=columns, levels=(), outputs=outputs),
        folds=parts,
        rows=ROWS,
    )


def lanes(loss: str, *, l1: float = 0.0) -> list[Lane]:
    return [
        Lane(
            candidate=Candidate(
                id=f"{l2}", model="linear", optimizer="lbfgs", settings={"loss": loss, "l2": l2, "l1": l1}
            ),
            fold=fold,
            seed=0,
        )
        for fold in (0, 1)
        for l2 in (1e-3, 1e-1)
    ]


def hessian(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    return cast("Tensor", torch.autograd.functional.hessian(function, point))


def at_constant(table: TrainingData, lane: Lane, loss: str) -> Tensor:
    """Hessian ``[C D, C D]`` by the weights of a lane at the outputs ``log`` of the mean target or of the shares."""
    part = table.folds[lane.fold]
    inputs, target = part.dense[part.train], part.target[part.train]
    shares = torch.stack([(target == k).double().mean() for k in range(3)])
    bias = {
        "squared": torch.zeros(1),
        "poisson": target.double().mean().log()[None],
        "logistic": torch.logit(target.double().mean())[None],
        "softmax": shares.log(),
    }[loss].double()

    def objective(weights: Tensor) -> Tensor:
        matrix = weights.view(len(bias), -1)
        outputs = inputs @ matrix.T + bias
        # The package's own softmax is differentiable once only.
        softmax = loss == "softmax"
        losses = cross_entropy(outputs, target) if softmax else LOSSES[loss](outputs[None], target[None], None)
        return losses.mean() + lane.candidate.number("l2") / 2 * matrix.square().sum()

    return hessian(objective, torch.zeros(len(bias) * inputs.shape[1], dtype=torch.float64))


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson", "softmax"])
def test_is_the_inverse_of_each_outputs_block_of_the_hessian(loss: str) -> None:
    table, roster = data(loss), Roster.of(lanes(loss))
    model = build([lane.candidate for lane in roster], table.width)
    metric = null_metric(roster, table, model, loss)
    assert metric is not None
    for place, lane in enumerate(roster):
        curved = at_constant(table, lane, loss)
        for output in range(table.width.outputs):
            own = slice(output * COLUMNS, (output + 1) * COLUMNS)
            vectors = torch.zeros(COLUMNS, model.layout.width, dtype=torch.float64)
            vectors[:, own] = curved[own, own]
            found = metric(torch.full((COLUMNS,), place), vectors)[:, own]
            assert torch.allclose(found, torch.eye(COLUMNS, dtype=torch.float64), atol=2e-3)


def test_saves_evaluations_and_reaches_the_same_minimum() -> None:
    table, own = data("logistic", columns=30), lanes("logistic")
    with_metric = SolverTeam(own, table, iterations=2000, stop=lambda: False)
    plain = dataclasses.replace(with_metric.solver, metric=None)
    start = torch.zeros(len(own), with_metric.objective.model.layout.width, dtype=torch.float64)
    ends = []
    for solver in (with_metric.solver, plain):
        state = solver.init(start, with_metric.objective)
        while not solver.progress(state).finished:
            solver.step(state, with_metric.objective)
        ends.append(solver.progress(state))
    assert torch.allclose(ends[0].values, ends[1].values, atol=1e-9)
    assert 2 * ends[0].evaluations.sum() < ends[1].evaluations.sum()


def test_too_many_columns_or_too_few_rows_go_without() -> None:
    table, roster = data("logistic", columns=41), Roster.of(lanes("logistic"))
    model = build([lane.candidate for lane in roster], table.width)
    assert null_metric(roster, table, model, "logistic") is None


def test_a_fold_that_is_not_finite_takes_nothing_from_the_other() -> None:
    table = data("logistic")
    broken = table.folds[0].dense.clone()
    broken[100, 2] = torch.inf
    folds = {0: dataclasses.replace(table.folds[0], dense=broken), 1: table.folds[1]}
    roster = Roster.of(lanes("logistic"))
    model = build([lane.candidate for lane in roster], table.width)
    both = [null_metric(roster, each, model, "logistic") for each in (table, dataclasses.replace(table, folds=folds))]
    rows = torch.tensor([place for place, lane in enumerate(roster) if lane.fold == 1])
    vectors = torch.ones(len(rows), model.layout.width, dtype=torch.float64)
    sound, beside = (metric(rows, vectors) for metric in both if metric is not None)
    assert torch.equal(sound, beside)


@pytest.mark.parametrize(
    ("loss", "target", "constant"),
    [
        ("squared", [1.0, -2.0, 0.5], 0.3),
        ("poisson", [1.0, 0.0, 5.0], 0.693147180559945),
        ("logistic", [1.0, 0.0, 0.0], -0.693147180559945),
    ],
)
def test_curvature_is_the_second_derivative_of_the_mean_loss(loss: str, target: list[float], constant: float) -> None:
    own = torch.tensor(target, dtype=torch.float64)

    def mean(output: Tensor) -> Tensor:
        return LOSSES[loss](output.expand(1, 3, 1), own[None], None).mean()

    expected = hessian(mean, torch.tensor(constant, dtype=torch.float64))
    assert torch.allclose(null_curvature(loss, own, None, 1), expected[None].double())
