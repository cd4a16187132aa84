"""Small stacks and races over a made-up table, and a journal in memory that can be cut off."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.candidate import Candidate, Event
from lanewise.lanes.roster import Lane
from lanewise.metrics import resolve_metric
from lanewise.models.base import Width
from lanewise.search.halving import Halving
from lanewise.search.policy import Policy
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.race import Race
from lanewise.training.stack import Stack
from lanewise.training.team import Team
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.data import TreeData
from lanewise.training.workers.side_by_side import SideBySide

ROWS, COLUMNS, LENGTH, BATCH = 90, 4, 60, 16
CLASSES = ("a", "b", "c")


class CutOffError(BaseException):
    """The process is gone, as far as the race knows."""


def numbers() -> tuple[np.ndarray, np.ndarray]:
    """Features ``[N, D]`` and classes ``[N]`` that can be learned."""
    draw = np.random.default_rng(5)
    features = draw.normal(size=(ROWS, COLUMNS))
    return features, (features @ draw.normal(size=(COLUMNS, 3)) + draw.normal(size=(ROWS, 3))).argmax(1)


def data(folds: int = 2) -> TrainingData:
    """The table in folds whose rows lie scattered, of 31 and 59 rows, or of thirds."""
    features, target = numbers()
    place = np.random.default_rng(1).permutation(ROWS)
    bounds = [0, 31, ROWS] if folds == 2 else [ROWS * fold // folds for fold in range(folds + 1)]
    parts = {}
    for fold in range(folds):
        valid = np.sort(place[bounds[fold] : bounds[fold + 1]])
        train = np.setdiff1d(np.arange(ROWS), valid)
        parts[fold] = FoldData(
            dense=torch.from_numpy((features - features[train].mean(0)) / features[train].std(0)).float(),
            codes=torch.zeros(ROWS, 0, dtype=torch.int64),
            target=torch.from_numpy(target),
            train=torch.from_numpy(train),
            valid=torch.from_numpy(valid),
        )
    return TrainingData(task=task(), width=Width(dense=COLUMNS, levels=(), outputs=3), folds=parts, rows=ROWS)


def task() -> Task:
    return Task(target="y", kind="multiclass", metric="log_loss", classes=CLASSES)


def tree_data() -> TreeData:
    features, target = numbers()
    return TreeData(
        numbers=features, codes=np.zeros((ROWS, 0), dtype=np.int64), target=target, tokens=None, weight=None
    )


def candidate(name: str, model: str = "mlp", optimizer: str = "adam", **settings: Any) -> Candidate:
    """A candidate with small usual settings; ``settings`` override them."""
    usual: dict[str, Any] = {"loss": "softmax", "batch_size": BATCH, "lr": 0.02, "schedule": "linear", "warmup": 0.1}
    if model == "mlp":
        usual |= {"width": 8, "depth": 1, "activation": "relu", "layer_norm": False, "dropout": 0.2}
    if model == "lightgbm":
        usual = {"rounds": 12, "num_leaves": 4, "learning_rate": 0.2}
    if model in ("forest", "tree"):
        usual = {"trees": 12} if model == "forest" else {}
    default = bool(settings.pop("is_default", False))
    events: tuple[Event, ...] = settings.pop("events", ())
    return Candidate(
        id=name,
        model=model,
        optimizer=optimizer,
        settings=usual | settings,
        is_default=default,
        events=events,
    )


def company(**bad: Any) -> list[Candidate]:
    """Candidates of two models and several rules; ``bad`` settings make one more, "bad"."""
    found = [
        candidate("adam", is_default=True),
        candidate("sgd", optimizer="sgd", lr=0.1),
        candidate("momentum", optimizer="momentum", lr=0.05, momentum=0.8),
        candidate("line", "linear", "rmsprop", alpha=0.95, eps=1e-4),
        candidate("lbfgs", "linear", "lbfgs", l2=0.01, l1=0.0),
        candidate("sparse", "linear", "lbfgs", l2=0.01, l1=0.01),
        candidate("gd", "linear", "gd", lr=0.5),
    ]
    return [*found, candidate("bad", optimizer="sgd", **bad)] if bad else found


def lanes(candidates: Sequence[Candidate], folds: int = 2, seeds: Sequence[int] = (0,)) -> list[Lane]:
    return [Lane(candidate=one, fold=fold, seed=seed) for one in candidates for fold in range(folds) for seed in seeds]


def stack(own: Sequence[Lane], *, length: int = LENGTH, stop: Callable[[], bool] = lambda: False) -> Stack:
    return Stack(list(own), data(), length=length, batch_size=BATCH, stop=stop)


def plan(candidates: Sequence[Candidate], *, rungs: Sequence[float] = (1 / 3, 1.0), workers: int = 2) -> Plan:
    return Plan(
        candidates=tuple(candidates),
        rungs=tuple(rungs),
        confirm={"mlp": 2, "linear": 2, "lightgbm": 1, "forest": 1, "tree": 1},
        folds=2,
        seeds=(0, 1),
        lengths=Lengths(rows_seen=LENGTH * BATCH, iterations=20),
        workers=workers,
        costs={one.id: 1.0 for one in candidates},
        grid=(0.25, 0.5, 0.75, 1.0),
    )


def builder(**others: Any) -> TeamBuilder:
    settings: dict[str, Any] = {"workers": 2, "stop": lambda: False}
    return TeamBuilder(data=data(), lengths=Lengths(rows_seen=LENGTH * BATCH, iterations=20), **(settings | others))


def race(
    planned: Plan,
    *,
    journal: Journal | None = None,
    build: TeamBuilder | None = None,
    threads: int | None = None,
    policy: Policy | None = None,
    save_every: float = 0.0,
    watch: Callable[[Any], None] = lambda pulse: None,
) -> Race:
    """A race that saves at every chance; ``threads`` run it if not as many as planned."""
    found = Race(
        plan=planned,
        builder=build or builder(),
        policy=policy or Halving(),
        metric=resolve_metric("log_loss", "multiclass"),
        y=numbers()[1],
        weight=None,
        watch=watch,
        journal=journal or NoJournal(),
        save_every=save_every,
    )
    if threads:
        found._threads = SideBySide(threads)
    return found


class MemoryJournal(Journal):
    """Keeps copies; the ``last``-th save is the last: after it the process is gone."""

    def __init__(self, kept: Mapping[str, Any] | None = None, *, last: int | None = None) -> None:
        self.kept = dict(kept or {})
        self.saves = 0
        self.last = last

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        if self.last is not None and self.saves >= self.last:
            raise CutOffError
        self.saves += 1
        self.kept[key] = {name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(dict(state))

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        if key not in self.kept:
            return None
        tensors, state = self.kept[key]
        return {name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(state)


def rows_of(team: Stack) -> dict[str, Tensor]:
    """A copy of every lane's weights by its id."""
    return {lane.id: row.clone() for lane, row in zip(team.lanes, team.buffer.values, strict=True)}


def same(one: Tensor, other: Tensor) -> bool:
    """Equal bit for bit, NaN included."""
    return one.numpy().tobytes() == other.numpy().tobytes()


def shown(found: Any) -> list[Any]:
    """What a race has shown, bit for bit, without what is measured."""
    confirmed = [
        (one.candidate, one.predictions.tobytes(), one.stop, np.array([one.curve, one.train_curve]).tobytes())
        for one in found.confirmed
    ]
    traces = [
        (
            trace.phase,
            trace.lane.id,
            trace.fractions,
            np.array(trace.scores).tobytes(),
            np.array(trace.train_losses).tobytes(),
            np.array(trace.train_scores).tobytes(),
            trace.fate,
            trace.events,
            trace.failure,
        )
        for trace in found.traces
    ]
    return [confirmed, traces, found.rungs]


def evidence_of(team: Team) -> dict[str, bytes]:
    return {item.lane.id: item.valid.tobytes() for item in team.evidence()}
