"""What the ranks of ``test_data_axis`` do: stacks whose batches they share, each lane held against a plain loop."""

import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lanewise.distributed.data_axis import DataAxis
from lanewise.distributed.joining import joined
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.ranks.crew import crew_of
from lanewise.training.stack import Stack

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
cases = importlib.import_module("lane_cases")

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "dropout": {"dropout": 0.3},
    "l1": {"l1": 0.02},
    "clipped": {"clip_norm": 0.2, "clip_value": 0.02, "label_smoothing": 0.2, "l2": 0.1},
    "sharpness": {"sam_rho": 0.05},
}

LENGTH = 20
"""Steps of a stack that is held against plain loops: more than an epoch."""


def lanes_of(model: str, *, names: Sequence[str]) -> list[Lane]:
    """A lane of each rule and setting, in one fold or the other: any two of the three meet in some lane."""
    return [
        cases.lane(f"{rule}-{name}", model, rule, SETTINGS[name], fold=(row + place) % 2)
        for row, rule in enumerate(("sgd", "adam"))
        for place, name in enumerate(names)
    ]


def stack_of(race: Any, axis: DataAxis | None) -> Stack:
    return Stack(list(race.lanes), race.data, length=race.length, batch_size=race.batch, dtype=race.dtype, axis=axis)


def digest(stack: Stack) -> str:
    return hashlib.sha256(stack.buffer.rows.numpy().tobytes()).hexdigest()


def held(race: Any, axis: DataAxis | None) -> str:
    """Train the stack of a race, hold every lane against the plain loop, and say which bits came out."""
    stack = stack_of(race, axis)
    start = cases.rows_of(stack)
    stack.advance(1.0)
    if axis is None or axis.leads:  # the others come to the same bits
        race.hold(start, cases.rows_of(stack))
    return digest(stack)


def stacks(task: Mapping[str, Any]) -> Any:
    """The bits of stacks of every kind, and what is not of bits: repairs, bytes, errors of a payload, refusals."""
    data = cases.race_data()
    kinds = {
        "mlp": lanes_of("mlp", names=("plain", "dropout", "l1", "clipped")),
        "linear": lanes_of("linear", names=("plain", "l1", "clipped")),
        "twice": lanes_of("mlp", names=("sharpness",)),
        "full batches": [cases.lane("all", "linear", "gd", {"lr": 0.1}, fold=fold) for fold in (0, 1)],
    }
    if task["only"]:
        kinds = {"mlp": lanes_of("mlp", names=("dropout", "clipped"))}
    with joined() as ranks:
        axis = crew_of(ranks, f"data={ranks.size}").axis
        found: dict[str, Any] = {
            name: held(cases.Race(lanes=own, data=data, length=LENGTH), axis) for name, own in kinds.items()
        }
        if task["only"]:  # more ranks than rows
            found["few rows"] = held(cases.Race(lanes=kinds["mlp"], data=data, length=LENGTH, batch=2), axis)
        else:
            found |= {"guarded": guarded(data, axis), "modules": modules(axis), "refused": refused(axis)}
            found |= {"bytes": moved(data, axis), "payload": rounded(data, axis)}
    return found


def guards(task: Mapping[str, Any]) -> Any:
    """What becomes in one process of the lanes that diverge."""
    del task
    return guarded(cases.race_data(), None)


def guarded(data: TrainingData, axis: DataAxis | None) -> Any:
    """What becomes of lanes that diverge, and of one that leaves updates out."""
    own = [
        cases.lane("ill", "mlp", "sgd", {"lr": 1e150}),
        cases.lane("well", "mlp", "sgd"),
        cases.lane("skips", "mlp", "sgd", {"lr": 1e150, "skip_nonfinite": 5}),
    ]
    stack = stack_of(cases.Race(lanes=own, data=data), axis)
    stack.advance(1.0)
    repairs = {name: [event.fraction for event in events] for name, events in stack.repairs().items()}
    lost = {name: asdict(failure) for name, failure in stack.lost().items()}
    return {"repairs": repairs, "lost": lost, "bits": digest(stack)}


def moved(data: TrainingData, axis: DataAxis | None) -> Any:
    """Bytes given to sums in a training, and how many gradients and losses those are."""
    if axis is None:
        return None
    stack = stack_of(cases.Race(lanes=lanes_of("linear", names=("plain",)), data=data), axis)
    before = axis.exchanged
    stack.advance(1.0)
    return [axis.exchanged - before, stack.length * (stack.buffer.values.numel() + len(stack.lanes) + 1) * 8]


def rounded(data: TrainingData, axis: DataAxis | None) -> Any:
    """How far weights lie apart where gradients travel as bfloat16, relative to how far they moved: by optimizer."""
    race = cases.Race(lanes=lanes_of("mlp", names=("plain",)), data=data)
    plain, rough = stack_of(race, None), stack_of(race, axis)
    start = plain.buffer.values.clone()
    if axis is not None:
        axis.payload = torch.bfloat16
    for stack in (plain, rough):
        stack.advance(1.0)
    rounding = 0.0
    if axis is not None:
        axis.payload, rounding = None, axis.rounding
    apart, moved = (plain.buffer.values - rough.buffer.values).norm(dim=1), (plain.buffer.values - start).norm(dim=1)
    assert rounding is not None
    found: dict[str, float] = {"first sum": rounding}
    for row, lane in enumerate(plain.lanes):
        rule = lane.candidate.optimizer
        found[rule] = max(found.get(rule, 0.0), float(apart[row] / moved[row]))
    return found


def module_stack(make: Any, axis: DataAxis | None) -> Stack:
    draw = torch.Generator().manual_seed(3)
    dense = torch.randn(60, 5, generator=draw, dtype=torch.float64)
    fold = FoldData(
        dense=dense,
        codes=torch.zeros(60, 0, dtype=torch.int64),
        target=dense.sum(1, keepdim=True).tanh(),
        train=torch.arange(50),
        valid=torch.arange(50, 60),
    )
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=60)
    own = [
        Lane(candidate=Candidate(id=name, model="module", optimizer=name, settings={"lr": 0.01}), fold=0, seed=seed)
        for name in ("sgd", "adam")
        for seed in (0, 1)
    ]
    subject = ModuleSubject(Blueprint.of(make, dense[:4]), data, torch.nn.functional.mse_loss)
    return Stack(own, data, length=20, batch_size=13, dtype=torch.float64, subject=subject, axis=axis)


def perceptron() -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)).double()


class Branched(torch.nn.Module):
    """No chain of layers, so that it is called as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = torch.nn.Linear(5, 1).double(), torch.nn.Linear(5, 1).double()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.one(rows).tanh() + self.other(rows)


def modules(axis: DataAxis | None) -> Any:
    """How far modules over the axis end from the same in one process, relative to the largest weight."""
    gaps = []
    for make in (perceptron, Branched):
        alone, shared = module_stack(make, None), module_stack(make, axis)
        for stack in (alone, shared):
            stack.advance(1.0)
        gap = (alone.buffer.values - shared.buffer.values).abs().max() / alone.buffer.values.abs().max()
        gaps.append(float(gap))
    return gaps


def refused(axis: DataAxis | None) -> Any:
    nn = torch.nn

    def normalizing() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()

    try:
        module_stack(normalizing, axis)
    except UsageError as error:
        return str(error)
    return ""
