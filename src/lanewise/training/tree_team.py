"""Lanes of trees in a race: the pool of worker processes behind the team contract."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import Interrupted
from lanewise.lanes.candidate import Event
from lanewise.lanes.roster import Lane
from lanewise.models.trees import TreeSpec, tree_spec
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.team import Evidence, Team
from lanewise.training.tree_pool import TreePool

SLICES = 4
"""A long stretch of boosting is asked for in this many parts, so that a request to stop is heard."""


def race_spec(lane: Lane, rounds_share: float) -> TreeSpec:
    """The spec of a tree lane, its rounds shortened to what the plan allots."""
    candidate = lane.candidate
    settings = dict(candidate.settings)
    if "rounds" in settings and not candidate.is_default:
        settings["rounds"] = max(10, round(float(settings["rounds"]) * rounds_share))
    return tree_spec("lightgbm" if candidate.model == "lightgbm" else "tree", settings)


@final
class TreeTeam(Team):
    """Tree lanes that share a worker; the boosters live there between two rungs."""

    def __init__(
        self,
        lanes: Collection[Lane],
        data: TrainingData,
        pool: TreePool,
        *,
        phase: str,
        rounds_share: float,
        stop: Callable[[], bool],
    ) -> None:
        self.lanes = tuple(lanes)
        self.data = data
        self.pool = pool
        self.phase = phase
        self._fraction = 0.0
        self.stop = stop
        self._specs = {lane.id: race_spec(lane, rounds_share) for lane in self.lanes}
        self.length = max(spec.full_length for spec in self._specs.values())
        self._predictions: dict[str, np.ndarray] = {}
        for lane in self.lanes:
            fold = data.folds[lane.fold]
            pool.open(
                self._name(lane),
                self._specs[lane.id],
                train_rows=fold.train.numpy(),
                valid_rows=fold.valid.numpy(),
                seed=lane.seed,
            )

    def _name(self, lane: Lane) -> str:
        return f"{self.phase}.{lane.id}"

    def _rounds(self, lane: Lane, fraction: float) -> int:
        return max(1, round(self._specs[lane.id].full_length * fraction))

    @property
    def fraction(self) -> float:
        return self._fraction

    def advance(self, fraction: float) -> None:
        for lane in self.lanes:
            start, until = self._rounds(lane, self._fraction) if self._fraction else 0, self._rounds(lane, fraction)
            for part in range(1, SLICES + 1):
                if self.stop():
                    message = "stopped on request"
                    raise Interrupted(message)
                rounds = start + round((until - start) * part / SLICES)
                if rounds > 0 and part < SLICES:
                    self.pool.advance(self._name(lane), rounds)
            (predicted,) = self.pool.advance(self._name(lane), until, predict_at=[until])
            self._predictions[lane.id] = predicted if predicted.ndim > 1 else predicted[:, None]
        self._fraction = fraction

    def evidence(self) -> list[Evidence]:
        return [
            Evidence(lane=lane, fraction=self._fraction, valid=self._predictions[lane.id], train_loss=float("nan"))
            for lane in self.lanes
        ]

    def export(self, lane: str) -> Fitted:
        own = next(own for own in self.lanes if own.id == lane)
        trees = self.pool.export(self._name(own))
        return Fitted(candidate=own.candidate, seed=own.seed, stop=self._fraction, trees=trees)

    def keep(self, lanes: Collection[str]) -> None:
        for lane in self.lanes:
            if lane.id not in lanes:
                self.pool.drop(self._name(lane))
        self.lanes = tuple(lane for lane in self.lanes if lane.id in lanes)

    def repairs(self) -> dict[str, Event]:
        return {}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"valid/{name}": torch.from_numpy(valid) for name, valid in self._predictions.items()}
        return tensors, {"fraction": self._fraction}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Boosters are not saved: they are grown again from round 0, to the same bits, when next advanced."""
        self._fraction = rest["fraction"]
        self._predictions = {name.removeprefix("valid/"): valid.numpy() for name, valid in tensors.items()}
