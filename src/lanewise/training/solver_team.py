"""Full-batch lanes: smooth convex models minimized by a solver instead of stepped by a rule."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import Interrupted
from lanewise.lanes.buffer import LaneBuffer, frozen_weights
from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane, Roster
from lanewise.losses import LOSSES_OF, response
from lanewise.models.base import Inputs
from lanewise.models.registry import build
from lanewise.solvers.lbfgs import LBFGS, LBFGSState
from lanewise.solvers.solver import Status
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.null_metric import null_metric
from lanewise.training.step import Batch, mean_loss
from lanewise.training.team import Evidence, Team, never, nothing

BLOCK_ELEMENTS = 8_000_000
"""Outputs that one block of the objective may hold: bounds memory, decides nothing else."""

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
        self._gathered: dict[int, tuple[Tensor, Tensor]] = {}

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

    def _group(self, points: Tensor, fold: int) -> tuple[Tensor, Tensor]:
        data = self.data.folds[fold]
        buffer = LaneBuffer(self.model.layout, points)
        values = points.new_zeros(len(points))
        total = torch.zeros_like(points)
        block = max(256, BLOCK_ELEMENTS // (len(points) * max(self.data.width.outputs, 1)))
        for rows in data.train.split(block):
            if self.stop():  # a solver alters its state only after the objective has returned
                message = "stopped on request"
                raise Interrupted(message)
            dense, codes = self._features(fold, rows)
            inputs = Inputs(dense=dense[None], codes=codes[None], sizes=(len(points),))
            weights = None if self.data.weight is None else self.data.weight[rows][None]
            batch = Batch(inputs=inputs, targets=data.target[rows][None], weights=weights)
            share = len(rows) / len(data.train)
            losses = mean_loss(self.loss, self.model.forward(buffer.weights, inputs), batch, None) * share
            losses.sum().backward()
            values += losses.detach()
            total += buffer.gradients
        return values, total

    def _features(self, fold: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Dense columns and codes of a block of training rows; of small tables the only block is kept."""
        data = self.data.folds[fold]
        if len(rows) < len(data.train) or data.dense[0].nbytes * len(rows) > KEPT_BYTES:
            return data.features(rows)
        if fold not in self._gathered:
            self._gathered[fold] = data.features(rows)
        return self._gathered[fold]


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
        self.solver = LBFGS(
            tolerance=TOLERANCE,
            max_iterations=iterations,
            l1=l1 if bool((l1 > 0).any()) else None,
            penalised=torch.arange(layout.width) < layout.penalised,
            metric=null_metric(self.roster, data, self.objective.model, self.loss),
        )
        self._state: LBFGSState | None = None
        self._alive = list(range(len(self.lanes)))
        self._lost: dict[str, str] = {}

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
        self._taken = max(self._taken, round(fraction * self.length))

    def evidence(self) -> list[Evidence]:
        assert self._state is not None
        progress = self.solver.progress(self._state)
        result = []
        for place, row in enumerate(self._alive):
            lane = self.roster.lanes[row]
            part = self.data.folds[lane.fold]
            valid = self.predict(place, lane.fold, part.valid)
            loss = float(progress.values[place])
            if progress.status[place] is Status.NOT_FINITE or not np.isfinite(valid).all():
                self._lost[lane.id] = Status.NOT_FINITE.value
                continue
            train = self.predict(place, lane.fold, part.train[part.shown]) if self.data.shows else None
            result.append(Evidence(lane=lane, fraction=self.fraction, valid=valid, train_loss=loss, train=train))
        return result

    @torch.no_grad()
    def predict(self, place: int, fold: int, rows: Tensor) -> np.ndarray:
        """Means or probabilities ``[n, K]`` of one lane that is alive, for ``rows`` prepared as in ``fold``."""
        data = self.data.folds[fold]
        outputs = []
        weights = frozen_weights(self.objective.model.layout, self.row(place)[None])
        for piece in rows.split(65_536):
            dense, codes = data.features(piece)
            inputs = Inputs(dense=dense[None], codes=codes[None], sizes=(1,))
            outputs.append(self.objective.model.forward(weights, inputs)[0])
        raw = torch.cat(outputs) if outputs else torch.empty(0, self.data.width.outputs)
        return (
            (response(self.loss, raw.double()) * data.scale + data.center).numpy()
            if data.scale != 1.0 or data.center
            else (response(self.loss, raw.double()).numpy())
        )

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

    def lost(self) -> dict[str, str]:
        return dict(self._lost)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {} if self._state is None else self._state.tensors()
        return tensors, {"taken": self._taken, "lost": self._lost}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        # Cloned, for a product may round otherwise where its operands lie differently in memory.
        own = {name: tensor.clone() for name, tensor in tensors.items()}
        self._state = LBFGSState.from_tensors(own) if own else None
        self._taken = rest["taken"]
        self._lost = dict(rest["lost"])
