"""What the ranks of ``test_averaging`` do: train one model apart, against a plain loop, killed and gone on with."""

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import lanewise
from lanewise.distributed.place import place_of
from lanewise.lanes.draws import RowStream

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
plain = importlib.import_module("plain_averaging")

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [1.0]], dtype=torch.float64)).tanh()
STEPS, BATCH, SEED = 11, 12, 3

CASES: Mapping[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "average": ({"optimizer": "sgd", "average_every": 4}, torch.optim.SGD, {"lr": 1.0}),
    "diloco": (
        {"optimizer": "adamw", "average_every": 4, "outer": "diloco"},
        lambda own, lr: torch.optim.AdamW(own, lr=lr, weight_decay=0.01),
        {"lr": 0.7, "momentum": 0.9, "nesterov": True},
    ),
    "of torch": (
        {"optimizer": torch.optim.Adam, "average_every": 3, "outer": lanewise.Outer(lr=0.5), "mesh": "data=-1"},
        torch.optim.Adam,
        {"lr": 0.5},
    ),
}

REFUSED: Mapping[str, dict[str, Any]] = {
    "shard": {"mesh": "shard=2"},
    "both": {"mesh": "data=-1,shard=2"},
    "never": {"average_every": 0},
    "outer": {"average_every": None, "outer": "diloco"},
    "name": {"outer": "nesterov"},
    "two sets": {"optimizer": "schedule_free_adamw"},
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)).double()


def trained(model: Any = network, loss: Any = None, **settings: Any) -> Any:
    usual = {"lr": 0.05, "steps": STEPS, "batch_size": BATCH, "seed": SEED, "schedule": "constant"}
    return lanewise.train(model, (X, Y), loss or nn.MSELoss(), **{**usual, "average_every": 4, **settings})


def gap(found: Any, case: str, ranks: int) -> float:
    """How far weights and losses are from those of the plain loop."""
    settings, inner, outer = CASES[case]
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        start = network()
    stream, size = RowStream(SEED, torch.arange(50), 50), BATCH // ranks
    rows = [[stream.take(step * BATCH + rank * size, size) for step in range(STEPS)] for rank in range(ranks)]
    shown = [[(X[own], Y[own]) for own in steps] for steps in rows]
    model, losses = plain.trained_apart(
        start, shown, every=settings["average_every"], inner=lambda own: inner(own, lr=0.05), outer=outer
    )
    weights, truth = found.state_dict(), model.state_dict()
    gaps = [float((weights[name] - own).abs().max()) for name, own in truth.items()]
    return max(*gaps, *(abs(one - other) for one, other in zip(found.losses, losses, strict=True)))


def digest(found: Any) -> str:
    own = hashlib.sha256(repr(found.losses).encode())
    for weight in found.model.state_dict().values():
        own.update(weight.numpy().tobytes())
    return own.hexdigest()


def averaging(task: Mapping[str, Any]) -> Any:
    """Gaps to plain loops of the cases; unless it is ``only`` these, also what was exchanged, and what is refused."""
    ranks = task["size"]
    found: dict[str, Any] = {}
    for name in task["cases"]:
        own = trained(**CASES[name][0])
        found[name] = {"gap": gap(own, name, ranks), "bits": digest(own)}
    if task.get("only"):
        return found
    exchange = own.exchange
    found["exchange"] = [exchange.bytes, exchange.averagings * exchange.one_averaging, exchange.synchronous]
    synchronous = trained(optimizer="sgd", average_every=None)
    every_step = trained(optimizer="sgd", average_every=1)
    weights = zip(synchronous.state_dict().values(), every_step.state_dict().values(), strict=True)
    found["at every step"] = max(float((one - other).abs().max()) for one, other in weights)
    found["silent"] = synchronous.exchange is None
    for name, settings in REFUSED.items():
        try:
            trained(**settings)
        except lanewise.UsageError as error:
            found[f"refused {name}"] = str(error)
    return found


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)).double()


def resumed(task: Mapping[str, Any]) -> Any:
    """Trains with checkpoints in a folder of this task's, harmed at a step where it says so; the bits at the end."""
    calls: list[int] = []
    planned = task.get("harm", {})

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        if place_of().rank == planned.get("rank") and len(calls) == planned["at"]:
            os.kill(os.getpid(), planned["signal"])
        return nn.functional.mse_loss(outputs, targets)

    folder = Path(task["folder"]) / task["checkpoints"]
    own = trained(normed, loss, optimizer="adamw", outer="diloco", checkpoint=folder, checkpoint_every=task["every"])
    return {"bits": digest(own), "steps": len(calls)}
