"""A lane whose parameters are in groups is what a loop with ``torch.optim`` and these groups makes of it alone.

In float64, to 1e-10 of the largest weight, after 20 steps with a schedule; vectorized and one by one, with lanes that
leave in the middle. Rules that torch has not are held against the drop-in, which the conformance table knows.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.draws import RowStream
from lanewise.tuning import tune
from lanewise.tuning.drop_ins import drop_in

STEPS, BATCH = 20, 8
DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 3, generator=DRAW).double(), torch.randn(60, 1, generator=DRAW).double()

SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "adamw", "lr": 0.02, "weight_decay": 0.3},
    {"optimizer": "adam", "lr": 0.02, "weight_decay": 0.3},
    {"optimizer": "momentum", "lr": 0.05, "weight_decay": 0.1},
    {"optimizer": "rmsprop", "lr": 0.01, "weight_decay": 0.1},
    {"optimizer": "muon", "lr": 0.02, "weight_decay": 0.1},  # takes each weight whole
    {"optimizer": "dog", "lr": 1.0, "schedule": "linear"},  # sums over a group
    {"optimizer": "adagrad", "lr": 0.05},
    {"optimizer": "schedule_free_adamw", "lr": 0.02, "weight_decay": 0.1},  # is judged by other weights
]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 6), nn.LayerNorm(6), nn.Linear(6, 1)
        self.double()

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(torch.tanh(self.norm(self.body(rows))))


class Looped(Network):
    """The same, which vmap refuses."""

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) * (1 + 0 * rows.sum().item())


def groups(network: nn.Module) -> list[dict[str, Any]]:
    assert isinstance(network, Network)
    return [
        {"params": network.body.parameters(), "lr_factor": 0.1},
        {"params": [*network.norm.parameters(), network.head.bias], "weight_decay_factor": 0.0},
    ]


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).pow(2)


def alone(make: type[Network], found: Any, place: int, *, by_torch: bool) -> Network:
    """A plain loop with parameter groups written out, knowing nothing of lanes but the order of rows."""
    candidate = found.plan.candidates[place]
    torch.manual_seed(0)
    network = make()
    lr, decay = candidate.number("lr"), candidate.number("weight_decay")
    parts = [
        {"params": [*network.body.parameters()], "lr": 0.1 * lr, "weight_decay": decay},
        {"params": [*network.norm.parameters(), network.head.bias], "lr": lr, "weight_decay": 0.0},
        {"params": [network.head.weight], "lr": lr, "weight_decay": decay},
    ]
    if by_torch:
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "momentum": torch.optim.SGD}
        own = {"momentum": 0.9} if candidate.optimizer == "momentum" else {}
        optimizer: Any = kinds[candidate.optimizer](parts, **own)
    else:
        optimizer = drop_in(candidate, network, groups=groups)
    constant = candidate.text("schedule") == "constant"
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if constant else 1 - step / STEPS)
    stream = RowStream(0, torch.arange(60), 120)  # rows of train and of valid have numbers
    for step in range(STEPS):
        rows = stream.take(step * BATCH, BATCH)
        optimizer.zero_grad()
        squares(network(X[rows]), Y[rows]).mean().backward()
        optimizer.step()
        scheduler.step()
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return network


@pytest.mark.parametrize("make", [Network, Looped])
@pytest.mark.parametrize("policy", ["never", "halving"])
def test_lanes_train_as_a_loop_with_groups_does(make: type[Network], policy: str) -> None:
    found = tune(
        make,
        train=(X, Y),
        valid=(X, Y),
        loss=squares,
        groups=groups,
        candidates=SETTINGS,
        batch_size=BATCH,
        budget=f"{STEPS}steps",
        policy=policy,
        workers=1,
    )
    assert any("2 at 0.1 times the rate" in words for words in found.plan.words)
    for place, candidate in enumerate(found.plan.candidates):
        kinds = [False] + [True] * (candidate.optimizer in ("adamw", "adam", "momentum"))
        confirmed = [item for item in found.race.confirmed if item.candidate.id == candidate.id]
        for by_torch in kinds if confirmed else []:
            network = alone(make, found, place, by_torch=by_torch)
            with torch.no_grad():
                truth = squares(network(X), Y)[:, 0]
            judged = torch.from_numpy(confirmed[0].predictions[-60:, 0])
            gap = float((judged - truth).abs().max())
            assert gap <= 1e-10 * max(1.0, float(truth.max())), f"{candidate.id} (torch: {by_torch}): {gap:.1e}"
