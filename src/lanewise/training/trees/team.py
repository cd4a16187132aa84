"""Lanes of trees in a race: the pool of worker processes behind the team contract."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import Interrupted, TrainingError
from lanewise.lanes.candidate import Candidate, Event, Failure, Value
from lanewise.lanes.roster import Lane
from lanewise.models.trees import LENGTHS, TREE_KINDS, TreeKind, TreeSpec, tree_spec
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.planning.plan import FEWEST_ROUNDS, Lengths
from lanewise.training.team import Evidence, Team, nothing
from lanewise.training.trees.pool import TreePool
from lanewise.training.trees.stored import StoredPart

LEAST_SEEN: dict[TreeKind, int] = {"lightgbm": 1, "forest": 30, "tree": 1}
"""Rounds or trees at the first look: the probabilities of a few trees are so coarse that they tell nothing of many."""

SLICE_SECONDS = 1.0
"""How long a worker is asked to boost at once, so that a request to stop is heard; it decides no tree."""


def raced_settings(candidate: Candidate, lengths: Lengths) -> dict[str, Value]:
    """The settings of a candidate with the rounds or trees that a full training has where the plan shortens it.

    >>> boosted = Candidate(id="a", model="lightgbm", optimizer="boosting", settings={"rounds": 300})
    >>> raced_settings(boosted, Lengths(rows_seen=1000, rounds_share=0.5))
    {'rounds': 150}
    """
    settings = dict(candidate.settings)
    name = LENGTHS.get(candidate.model)
    if name in settings and not candidate.is_default:
        settings[name] = max(FEWEST_ROUNDS, round(float(settings[name]) * lengths.share(name)))
    return settings


def race_spec(lane: Lane, lengths: Lengths | None = None) -> TreeSpec:
    """The spec of a tree lane, its rounds or trees shortened to what the plan allots."""
    candidate = lane.candidate
    settings = dict(candidate.settings) if lengths is None else raced_settings(candidate, lengths)
    return tree_spec(TREE_KINDS[candidate.model], settings)


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
        lengths: Lengths,
        stop: Callable[[], bool],
        whole: StoredPart | None = None,
    ) -> None:
        self.lanes = tuple(lanes)
        self.data = data
        self.pool = pool
        self.phase, self._whole = phase, whole
        self._fraction = 0.0
        self.stop = stop
        self._specs = {lane.id: race_spec(lane, lengths) for lane in self.lanes}
        self.length = max(spec.full_length for spec in self._specs.values())
        self._predictions: dict[str, np.ndarray] = {}
        self._shown: dict[str, np.ndarray] = {}
        self._lost: dict[str, Failure] = {}
        # Rounds that the worker holds, and how many to ask for at once.
        self._grown = dict.fromkeys(self._specs, 0)
        self._stride = dict.fromkeys(self._specs, 1)
        # Of the trees at the fraction of now; those of a resumed lane must become so again.
        self._digests: dict[str, str] = {}
        self._advancing = False
        for lane in self.lanes:
            fold = data.folds[lane.fold]
            pool.open(
                self._name(lane),
                self._specs[lane.id],
                train_rows=fold.train.numpy(),
                valid_rows=fold.valid.numpy(),
                seed=lane.seed,
                kept=fold.kept,
                whole=whole,
                keeps=phase.startswith("refit"),
                shown=fold.shown if data.shows else None,
            )

    def _name(self, lane: Lane) -> str:
        return f"{self.phase}.{lane.id}"

    def _rounds(self, lane: Lane, fraction: float) -> int:
        spec = self._specs[lane.id]
        least = 1 if self.phase == "trial" else LEAST_SEEN[spec.kind]  # a trial times the trees one by one
        return max(min(least, spec.full_length), round(spec.full_length * fraction))

    @property
    def fraction(self) -> float:
        return self._fraction

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        self._advancing = True
        for lane in self.lanes:
            if lane.id in self._lost:
                continue
            self._regrow(lane, between)
            try:
                predicted = self._grow(lane, self._rounds(lane, fraction), between)
                self._show(lane)
            except TrainingError as error:
                self._lost[lane.id] = Failure(cause=str(error), fraction=fraction)
                continue
            self._predictions[lane.id] = predicted if predicted.ndim > 1 else predicted[:, None]
        self._fraction = fraction
        self._digests = {}
        self._advancing = False

    def settle(self) -> None:
        """Of large tables only so many binned copies fit as there are workers: lanes at their end let go of theirs."""
        if self._whole is None or self._advancing:
            return
        self._note_digests()
        for lane in self.lanes:
            if self._grown[lane.id] and lane.id not in self._lost:
                self.pool.settle(self._name(lane))

    def _show(self, lane: Lane) -> None:
        if self.data.shows:
            train = self.pool.train_predictions(self._name(lane), self.data.folds[lane.fold].shown)
            self._shown[lane.id] = train if train.ndim > 1 else train[:, None]

    def _grow(self, lane: Lane, until: int, between: Callable[[], None]) -> np.ndarray:
        """Boost one lane to ``until`` rounds, a slice at a time; its predictions there."""
        name = self._name(lane)
        while True:
            self._refuse_to_go_on()
            between()
            slice_end = min(until, self._grown[lane.id] + self._stride[lane.id])
            started = time.monotonic()
            found = self.pool.advance(name, slice_end, predict_at=[until] if slice_end == until else [])
            seconds = time.monotonic() - started
            self._grown[lane.id] = max(slice_end, self._grown[lane.id])
            if found:
                return found[0]
            if seconds < SLICE_SECONDS / 2:
                self._stride[lane.id] *= 2
            elif seconds > SLICE_SECONDS:
                self._stride[lane.id] = max(1, self._stride[lane.id] // 2)

    def _refuse_to_go_on(self) -> None:
        if self.stop():
            message = "stopped on request"
            raise Interrupted(message)

    def _regrow(self, lane: Lane, between: Callable[[], None] = nothing) -> None:
        """Boost a resumed lane to where it was; the same data, settings and libraries give the same trees."""
        if not self._fraction or self._grown[lane.id]:
            return
        rounds = self._rounds(lane, self._fraction)
        self._grow(lane, rounds, between)
        expected = self._digests.get(lane.id)
        if expected is not None and expected != self._digest(lane):
            message = (
                f"the trees of {lane.candidate.label} could not be replayed to the same bits: "
                "the data, the libraries or the machine are not those of the start; start the run anew"
            )
            raise TrainingError(message)

    def _note_digests(self) -> None:
        for lane in self.lanes:
            if self._grown[lane.id] and lane.id not in self._lost and lane.id not in self._digests:
                self._digests[lane.id] = self._digest(lane)

    def _digest(self, lane: Lane) -> str:
        return self.pool.digest(self._name(lane))

    def evidence(self) -> list[Evidence]:
        return [
            Evidence(
                lane=lane,
                fraction=self._fraction,
                valid=self._predictions[lane.id],
                train_loss=float("nan"),
                train=self._shown.get(lane.id),
            )
            for lane in self.lanes
            if lane.id not in self._lost
        ]

    def export(self, lane: str) -> Fitted:
        own = next(own for own in self.lanes if own.id == lane)
        self._regrow(own)
        trees = self.pool.export(self._name(own))
        self.settle()  # a resumed lane has just been grown again
        columns = self.data.folds[own.fold].columns
        return Fitted(candidate=own.candidate, seed=own.seed, stop=self._fraction, trees=trees, columns=columns)

    def keep(self, lanes: Collection[str]) -> None:
        for lane in self.lanes:
            if lane.id not in lanes:
                self.pool.drop(self._name(lane))
        self.lanes = tuple(lane for lane in self.lanes if lane.id in lanes)

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return {}

    def lost(self) -> dict[str, Failure]:
        return dict(self._lost)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Predictions, and the digests of the boosters, which are not saved themselves."""
        if not self._advancing:
            self._note_digests()
        tensors = {f"valid/{name}": torch.from_numpy(valid) for name, valid in self._predictions.items()}
        lost = {name: asdict(failure) for name, failure in self._lost.items()}
        return tensors, {"fraction": self._fraction, "lost": lost, "digests": self._digests}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Boosters are grown again from round 0, to the same bits, when next advanced or exported."""
        self._fraction = rest["fraction"]
        self._predictions = {name.removeprefix("valid/"): valid.numpy() for name, valid in tensors.items()}
        self._lost = {name: Failure.of(told) for name, told in rest["lost"].items()}
        self._digests = dict(rest["digests"])
        self._advancing = False
