"""Lanes of a solver look at their own Hessian once they have come near: what they see, to the same bits again."""

import copy
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.losses import LOSSES, SMOOTH, curvature
from lanewise.models.base import Width
from lanewise.models.registry import build
from lanewise.solvers.lbfgs import LBFGSState
from lanewise.task import Task, TaskKind
from lanewise.training import local_metric
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.local_metric import LocalMetric
from lanewise.training.null_metric import null_metric
from lanewise.training.solver_team import SolverTeam
from lanewise.training.team import never

ROWS, COLUMNS = 240, 4
KINDS: dict[str, TaskKind] = {
    "squared": "regression",
    "logistic": "binary",
    "poisson": "count",
    "softmax": "multiclass",
}


@pytest.fixture(autouse=True)
def small_tables_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of all training rows of these tables, and nothing of the null metric in what is seen."""
    monkeypatch.setattr(local_metric, "SAMPLE", 200)
    monkeypatch.setattr(local_metric, "ROWS_PER_COLUMN", 1)
    monkeypatch.setattr(local_metric, "WORTH", 1)
    monkeypatch.setattr(local_metric, "MOST_PRODUCTS", 100)
    monkeypatch.setattr(local_metric, "NULL_SHARE", 0.0)


def data(loss: str, columns: int = COLUMNS) -> TrainingData:
    """Columns that tell the target nearly for sure, so that most rows hardly bend; a category of three levels."""
    draw = torch.Generator().manual_seed(3)
    dense = torch.randn(ROWS, columns, generator=draw, dtype=torch.float64)
    score = 3 * dense[:, 0] - 2 * dense[:, 1] + torch.randn(ROWS, generator=draw, dtype=torch.float64)
    target = {
        "squared": score,
        "poisson": torch.poisson((score / 3).exp(), generator=draw),
        "softmax": (score > -2).long() + (score > 2).long(),
    }.get(loss, (score > 0).long())
    codes = torch.randint(3, (ROWS, 1), generator=draw)
    parts = {}
    for fold in (0, 1):
        held = torch.arange(fold * 40, fold * 40 + 40)
        rest = torch.tensor([row for row in range(ROWS) if row not in held])
        parts[fold] = FoldData(dense=dense, codes=codes, target=target, train=rest, valid=held)
    classes = ("a", "b", "c")[: 3 if loss == "softmax" else 2] if loss in ("softmax", "logistic") else ()
    return TrainingData(
        task=Task(target="y", kind=KINDS[loss], metric="log_loss" if classes else "rmse", classes=classes),
        width=Width(dense=columns, levels=(3,), outputs=3 if loss == "softmax" else 1),
        folds=parts,
        rows=ROWS,
        weight=torch.rand(ROWS, generator=draw, dtype=torch.float64) + 0.5,
    )


def lanes(loss: str, l1: float = 0.0) -> list[Lane]:
    settings = [{"loss": loss, "l2": l2, "l1": l1} for l2 in (1e-4, 1e-2)]
    return [
        Lane(
            candidate=Candidate(id=f"c{own['l2']}", model="linear", optimizer="lbfgs", settings=own), fold=fold, seed=0
        )
        for fold in (0, 1)
        for own in settings
    ]


def metric_of(own: list[Lane], table: TrainingData, loss: str) -> LocalMetric:
    roster = Roster.of(own)
    model = build([lane.candidate for lane in roster], table.width)
    null = null_metric(roster, table, model, loss)
    assert null is not None
    return LocalMetric(null, roster, table, model, loss)


def team(own: list[Lane], table: TrainingData) -> SolverTeam:
    return SolverTeam(own, table, iterations=200, stop=never)


@pytest.mark.parametrize("loss", ["logistic", "poisson", "softmax"])
def test_is_the_inverse_of_each_outputs_block_of_the_hessian_where_a_lane_looked(loss: str) -> None:
    table, own = data(loss), lanes(loss)
    metric = metric_of(own, table, loss)
    layout, outputs = metric.model.layout, table.width.outputs
    place, lane = 1, metric.roster.lanes[1]
    point = 0.5 * torch.randn(layout.width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    metric.look(torch.tensor([place]), point[None], torch.tensor(local_metric.LOOKS[:1]))
    views = layout.views(point[None])
    part = table.folds[lane.fold]
    rows, weight = part.train, cast("Tensor", table.weight)[part.train]
    inputs = torch.cat([part.dense[rows], torch.ones(len(rows), 1, dtype=torch.float64)], 1)
    fixed = views["levels0"][0][part.codes[rows, 0]]
    block = torch.cat([views["weight"][0], views["bias"][0][:, None]], 1)
    for output in range(outputs):

        def objective(vector: Tensor, output: int = output) -> Tensor:
            matrix = torch.cat([block[:output], vector[None], block[output + 1 :]])
            scores, target = inputs @ matrix.T + fixed, part.target[rows]
            softmax = loss == "softmax"
            losses = (
                cross_entropy(scores, target, reduction="none")
                if softmax
                else LOSSES[loss](scores[None], target[None], None)[0]
            )
            return (weight * losses).mean() + lane.candidate.number("l2") / 2 * vector[:-1].square().sum()

        expected = cast("Tensor", torch.autograd.functional.hessian(objective, block[output]))
        vectors = torch.zeros(COLUMNS + 1, layout.width, dtype=torch.float64)
        vectors[:, output * COLUMNS : (output + 1) * COLUMNS] = expected[:, :-1]
        vectors[:, layout.width - outputs + output] = expected[:, -1]
        found = metric(torch.full((COLUMNS + 1,), place), vectors)
        seen = torch.cat(
            [found[:, output * COLUMNS : (output + 1) * COLUMNS], found[:, [layout.width - outputs + output]]], 1
        )
        assert torch.allclose(seen, torch.eye(COLUMNS + 1, dtype=torch.float64), atol=1e-8)


@pytest.mark.parametrize("loss", sorted(SMOOTH))
def test_curvature_is_the_second_derivative(loss: str) -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(7, 3 if loss == "softmax" else 1, generator=draw, dtype=torch.float64)
    target = torch.randint(2, (7,), generator=draw)
    step = 1e-4

    def slope(shift: Tensor) -> Tensor:
        leaf = (outputs + shift).requires_grad_()
        return torch.autograd.grad(LOSSES[loss](leaf[None], target[None], None).sum(), leaf)[0]

    for output in range(outputs.shape[1]):
        shift = torch.zeros_like(outputs)
        shift[:, output] = step
        expected = ((slope(shift) - slope(-shift)) / (2 * step))[:, output]
        assert torch.allclose(curvature(loss, outputs, target)[:, output], expected, atol=1e-6)


def test_saves_evaluations_and_reaches_the_same_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    table, own = data("logistic", columns=24), lanes("logistic")
    looked, never_looked = team(own, table), team(own, table)
    looked.advance(1.0)
    monkeypatch.setattr(local_metric, "LOOKS", ())
    never_looked.advance(1.0)
    ends = [each.solver.progress(cast("LBFGSState", each._state)) for each in (looked, never_looked)]
    assert torch.allclose(ends[0].values, ends[1].values, atol=1e-9)
    assert ends[0].evaluations.sum() < ends[1].evaluations.sum()


def test_goes_on_from_any_moment_to_the_same_bits() -> None:
    table, own = data("softmax"), lanes("softmax")
    whole = team(own, table)
    saved: list[tuple[dict[str, Tensor], dict[str, object]]] = []

    def keep() -> None:
        tensors, rest = whole.state()
        saved.append(({name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(rest)))

    whole.advance(1.0, keep)
    looks = [int(tensors["anchors"].isfinite().all(1).sum()) for tensors, _ in saved if tensors]
    assert max(looks) == len(own)
    assert len(saved) > local_metric.LOOKS[1] + 2
    for tensors, rest in saved[:: max(1, len(saved) // 4)]:
        later = team(own, table)
        later.restore(tensors, rest)
        later.advance(1.0)
        assert all(torch.equal(later.row(place), whole.row(place)) for place in range(len(own)))


def test_what_a_lane_sees_has_the_same_bits_alone() -> None:
    table, own = data("logistic"), lanes("logistic")
    together, alone = metric_of(own, table, "logistic"), metric_of(own[2:3], table, "logistic")
    points = torch.randn(
        4, together.model.layout.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    after = torch.full((4,), local_metric.LOOKS[0])
    together.look(torch.arange(4), points, after)
    alone.look(torch.tensor([0]), points[2:3], after[:1])
    vector = points[:1]
    assert torch.equal(together(torch.tensor([2]), vector), alone(torch.tensor([0]), vector))
    beside = together(torch.tensor([0, 2]), points[:2])
    assert torch.equal(beside[1:], alone(torch.tensor([0]), points[1:2]))


def without(change: Callable[[], None], loss: str, l1: float = 0.0) -> bool:
    """Whether no lane looks after a ``change`` of the constants."""
    change()
    metric = metric_of(lanes(loss, l1), data(loss), loss)
    points = torch.zeros(4, metric.model.layout.width, dtype=torch.float64)
    metric.look(torch.arange(4), points, torch.full((4,), local_metric.LOOKS[0]))
    return bool(metric.anchors.isnan().all())


def test_who_gains_nothing_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        return

    assert not without(nothing, "logistic")
    assert without(nothing, "squared")  # the null metric is exact
    assert without(nothing, "logistic", l1=0.1)  # goes without a metric
    for limit, value in (("WORTH", 2), ("MOST_PRODUCTS", 3), ("MOST_ELEMENTS", 24)):
        with monkeypatch.context() as patched:
            assert without(lambda: patched.setattr(local_metric, limit, value), "logistic")  # noqa: B023  # called at once
