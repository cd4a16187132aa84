"""Full-batch lanes: smooth convex models minimized by a solver instead of stepped by a rule."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import Interrupted
from lanewise.lanes.buffer import LaneBuffer, frozen_weights
from lanewise.lanes.candidate import Event, Failure
from lanewise.lanes.roster import Lane, Roster
from lanewise.losses import LOSSES_OF, response
from lanewise.models.base import Inputs
from lanewise.models.registry import build
from lanewise.solvers.lbfgs import LBFGS, LBFGSState
from lanewise.solvers.solver import CODE, Status
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.local_metric import LocalMetric
from lanewise.training.null_metric import null_metric
from lanewise.training.step import Batch, mean_loss
from lanewise.training.team import Evidence, Team, never, nothing

BLOCK_ELEMENTS = 8_000_000
"""Outputs that one block of the objective may hold: bounds memory, decides nothing else."""

PREDICTED_ROWS = 65_536
"""Rows that are predicted at a time, or as many as such a block holds."""

KEPT_BYTES = 64 * 2**20
"""Training rows of a fold up to this size are gathered once, not at each evaluation."""

TOLERANCE = 1e-6
"""Largest gradient entry at which a lane has converged; features are standardized, so it is a pure number."""


@final
class StackedObjective:
    """Mean training loss plus L2 of every lane on all its training rows, with its gradient.

    ``f(w) = sum_i weight_i loss_i(w) / n + l2 |w|^2 / 2`` over the penalised weights.
    """

    def __init__(self, roster: Roster, data: TrainingData, loss: str, stop: Callable[[], bool] = never) -> None:
        self.data = data
        self.stop = stop
        self.loss = loss
        self.model = build([lane.candidate for lane in roster], data.width)
        self.groups = roster.groups
        self.group_of = torch.repeat_interleave(torch.tensor(roster.group_sizes))
        self.l2 = torch.tensor([lane.candidate.number("l2") for lane in roster], dtype=torch.float64)
        self._gathered: dict[int, tuple[Tensor, Tensor, Tensor, Tensor | None]] = {}
        self._buffers: dict[int, LaneBuffer] = {}

    def __call__(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values = points.new_empty(len(points))
        gradients = torch.empty_like(points)
        group_of = self.group_of[rows]
        for place in group_of.unique().tolist():
            own = (group_of == place).nonzero().flatten()
            values[own], gradients[own] = self._group(points[own], self.groups[place][0])
        penalised = points[:, : self.model.layout.penalised]
        l2 = self.l2[rows].to(points.dtype)
        values += 0.5 * l2 * penalised.square().sum(1)
        gradients[:, : self.model.layout.penalised] += l2[:, None] * penalised
        return values, gradients

    def block(self, lanes: int) -> int:
        """Rows of a block for so many lanes."""
        return max(256, BLOCK_ELEMENTS // (lanes * max(self.data.width.outputs, 1)))

    def _group(self, points: Tensor, fold: int) -> tuple[Tensor, Tensor]:
        data = self.data.folds[fold]
        buffer = self._buffer(fold, points)
        values = points.new_zeros(len(points))
        total = torch.zeros_like(points)
        for rows in data.train.split(self.block(len(points))):
            if self.stop():  # a solver alters its state only after the objective has returned
                message = "stopped on request"
                raise Interrupted(message)
            dense, codes, targets, weights = self._rows(fold, rows)
            inputs = Inputs(dense=dense[None], codes=codes[None], sizes=(len(points),))
            batch = Batch(inputs=inputs, targets=targets[None], weights=None if weights is None else weights[None])
            share = len(rows) / len(data.train)
            losses = mean_loss(self.loss, self.model.forward(buffer.weights, inputs), batch, None) * share
            losses.sum().backward()
            values += losses.detach()
            total += buffer.gradients
        return values, total

    def _buffer(self, fold: int, points: Tensor) -> LaneBuffer:
        """The lanes of a fold at ``points``: of the evaluation before where they are as many, for it has its views."""
        known = self._buffers.get(fold)
        if known is None or len(known) != len(points):
            self._buffers[fold] = known = LaneBuffer(self.model.layout, torch.empty_like(points))
        known.rows.copy_(points)
        return known

    def _rows(self, fold: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Dense columns, codes, targets, weights of a block of training rows; of small tables the only one is kept."""
        data, weight = self.data.folds[fold], self.data.weight
        whole = len(rows) == len(data.train)
        if whole and fold in self._gathered:
            return self._gathered[fold]
        dense, codes = data.features(rows)
        # Of one output all losses read numbers: classes are turned into them once.
        targets = data.targets(rows) if self.data.width.outputs > 1 else data.targets(rows).to(dense.dtype)
        found = dense, codes, targets, None if weight is None else weight[rows]
        if whole and dense.nbytes <= KEPT_BYTES:
            self._gathered[fold] = found
        return found


@final
class SolverTeam(Team):
    """Lanes minimized side by side by L-BFGS; those that have converged stop costing anything."""

    def __init__(
        self, lanes: Collection[Lane], data: TrainingData, *, iterations: int, stop: Callable[[], bool]
    ) -> None:
        self.roster = Roster.of(list(lanes))
        self.lanes = self.roster.lanes
        self.data = data
        self.length = iterations
        self.loss = self.lanes[0].candidate.text("loss", LOSSES_OF[data.task.kind][0])
        self.objective = StackedObjective(self.roster, data, self.loss, stop)
        layout = self.objective.model.layout
        self._taken = 0
        l1 = torch.tensor([lane.candidate.number("l1") for lane in self.lanes], dtype=torch.float64)
        null = null_metric(self.roster, data, self.objective.model, self.loss)
        self.metric = None if null is None else LocalMetric(null, self.roster, data, self.objective.model, self.loss)
        self.solver = LBFGS(
            tolerance=TOLERANCE,
            max_iterations=iterations,
            l1=l1 if bool((l1 > 0).any()) else None,
            penalised=torch.arange(layout.width) < layout.penalised,
            metric=self.metric,
        )
        self._state: LBFGSState | None = None
        self._alive = list(range(len(self.lanes)))
        self._lost: dict[str, Failure] = {}

    @property
    def fraction(self) -> float:
        return min(self._taken / self.length, 1.0)

    @property
    def ended(self) -> bool:
        return self.fraction >= 1.0 or (self._state is not None and self.solver.progress(self._state).finished)

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        if self._state is None:
            dtype = self.data.folds[self.lanes[0].fold].dense.dtype
            points = self.objective.model.init([lane.seed for lane in self.lanes], dtype)
            self._state = self.solver.init(points, self.objective)
        while self._taken < round(fraction * self.length) and not self.solver.progress(self._state).finished:
            between()
            self.solver.step(self._state, self.objective)
            self._taken += 1
            self._look(self._state)
        self._taken = max(self._taken, round(fraction * self.length))

    def _look(self, state: LBFGSState) -> None:
        """Have lanes that are still running look at their Hessian, where it is time."""
        if self.metric is not None:
            running = state.status == CODE[Status.RUNNING]
            self.metric.look(state.problems[running], state.points[running], state.iterations[running])

    def evidence(self) -> list[Evidence]:
        assert self._state is not None
        progress = self.solver.progress(self._state)
        valid = self.predicted(lambda fold: self.data.folds[fold].valid)
        shown = self.predicted(self._shown) if self.data.shows else [None] * len(self.lanes)
        result = []
        for place, lane in enumerate(self.lanes):
            if progress.status[place] is Status.NOT_FINITE or not np.isfinite(valid[place]).all():
                self._lost[lane.id] = Failure(cause=Status.NOT_FINITE.value, fraction=self.fraction)
                continue
            loss = float(progress.values[place])
            found = Evidence(lane=lane, fraction=self.fraction, valid=valid[place], train_loss=loss, train=shown[place])
            result.append(found)
        return result

    def _shown(self, fold: int) -> Tensor:
        """The sample of the training rows of a fold that a training score is taken on."""
        part = self.data.folds[fold]
        return part.train[part.shown]

    @torch.no_grad()
    def predicted(self, rows_of: Callable[[int], Tensor]) -> list[np.ndarray]:
        """Means or probabilities ``[n, K]`` of every lane, for the rows ``rows_of(fold)`` of its fold."""
        assert self._state is not None
        found: list[np.ndarray] = [np.empty(0)] * len(self.lanes)
        for fold in dict.fromkeys(lane.fold for lane in self.lanes):
            own = [place for place, lane in enumerate(self.lanes) if lane.fold == fold]
            data = self.data.folds[fold]
            weights = frozen_weights(self.objective.model.layout, self._state.points[own])
            outputs = [torch.empty(len(own), 0, self.data.width.outputs)]
            for piece in rows_of(fold).split(min(PREDICTED_ROWS, self.objective.block(len(own)))):
                dense, codes = data.features(piece)
                inputs = Inputs(dense=dense[None], codes=codes[None], sizes=(len(own),))
                outputs.append(self.objective.model.forward(weights, inputs))
            for place, raw in zip(own, torch.cat(outputs, 1).unbind(0), strict=True):
                predicted = response(self.loss, raw.double())
                if data.scale != 1.0 or data.center:
                    predicted = predicted * data.scale + data.center
                found[place] = predicted.numpy()
        return found

    def row(self, place: int) -> Tensor:
        """Weights ``[P]`` of one lane that is alive."""
        assert self._state is not None
        return self._state.points[place]

    def export(self, lane: str) -> Fitted:
        place = next(place for place, row in enumerate(self._alive) if self.roster.lanes[row].id == lane)
        own = self.roster.lanes[self._alive[place]]
        data = self.data.folds[own.fold]
        views = self.objective.model.layout.views(self.row(place)[None])
        return Fitted(
            candidate=own.candidate,
            seed=own.seed,
            stop=self.fraction,
            loss=self.loss,
            center=data.center,
            scale=data.scale,
            tensors={name: view[0].clone() for name, view in views.items()},
            columns=data.columns,
        )

    def keep(self, lanes: Collection[str]) -> None:
        chosen = [place for place, row in enumerate(self._alive) if self.roster.lanes[row].id in lanes]
        self._alive = [self._alive[place] for place in chosen]
        self.lanes = tuple(self.roster.lanes[row] for row in self._alive)
        if self._state is not None:
            self._state = self.solver.keep(self._state, torch.tensor(chosen, dtype=torch.int64))

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return {}

    def lost(self) -> dict[str, Failure]:
        return dict(self._lost)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {} if self._state is None else self._state.tensors()
        if self._state is not None and self.metric is not None:
            tensors["anchors"] = self.metric.anchors[self._state.problems]
        return tensors, {"taken": self._taken, "lost": {name: asdict(own) for name, own in self._lost.items()}}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        # Cloned, for a product may round otherwise where its operands lie differently in memory.
        own = {name: tensor.clone() for name, tensor in tensors.items()}
        anchors = own.pop("anchors", None)
        self._state = LBFGSState.from_tensors(own) if own else None
        if self._state is not None and self.metric is not None and anchors is not None:
            self.metric.restore(self._state.problems, anchors, self._state.iterations)
        self._taken = rest["taken"]
        self._lost = {name: Failure.of(told) for name, told in rest["lost"].items()}
