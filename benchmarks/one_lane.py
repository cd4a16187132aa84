"""One lane of ``lanewise.tune``, against a tight PyTorch loop over the same module: what the machinery costs alone.

Both sides train the same network from the same weights on the same batches in float32, with AdamW and a constant
schedule, in this process. The loop: ``torch.optim.AdamW`` fused, tensors in memory, no data loader, the rows of every
batch drawn beforehand. The lane: what a race runs, its guard, its averaged weights and its own draw of the rows
included. The sides take turns.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from networks import lenet
from torch import Tensor, nn
from turns import in_turns, ratio

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.teams import ModuleTeams, choose_way
from lanewise.training.planning.plan import Lengths
from lanewise.training.stack import Stack

RATE = 1e-3
GOAL = 1.03
AGREE = 1e-3
"""Largest difference between the final losses of both sides, relative to the loop's."""


class Encoder(nn.Module):
    """A small transformer over tokens."""

    def __init__(self, vocabulary: int = 64, width: int = 128, time: int = 32) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(time, width) / width**0.5)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.table(tokens) + self.places).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def large_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, on rows of which form: ``shape`` of numbers, or as many tokens."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    tokens: bool = False


NETWORKS = {
    "mlp 784-256-10": Network(make=mlp, shape=(784,), batch=128),
    "lenet": Network(make=lenet, shape=(1, 28, 28), batch=128),
    "transformer": Network(make=Encoder, shape=(32,), batch=32, tokens=True),
    "mlp 784-1024-1024-10": Network(make=large_mlp, shape=(784,), batch=256),
}
ROWS = 4096


def data_of(network: Network) -> TrainingData:
    """Rows and classes ``[N]`` of a rule that can be learned."""
    draw = torch.Generator().manual_seed(0)
    if network.tokens:
        x = torch.randint(0, 64, (ROWS, *network.shape), generator=draw)
        y = x[:, :2].sum(1) % 10
    else:
        x = torch.randn(ROWS, *network.shape, generator=draw)
        y = x.flatten(1)[:, 300:310].argmax(1)
    rows = torch.arange(ROWS)
    fold = FoldData(dense=x, codes=torch.zeros(ROWS, 0, dtype=torch.int64), target=y, train=rows, valid=rows[:256])
    task = Task(target="y", kind="regression", metric="loss")
    return TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)


class Loop:
    """The loop that anybody would write who knows how to make it tight."""

    def __init__(self, network: Network, data: TrainingData, steps: int) -> None:
        self.network, self.fold = network, data.folds[0]
        stream = RowStream(0, self.fold.train, ROWS)
        self.rows = [stream.take(step * network.batch, network.batch) for step in range(steps)]
        self.losses: list[Tensor] = []

    def run(self) -> None:
        """Train from the start."""
        x, y = self.fold.dense, self.fold.target
        torch.manual_seed(0)
        net = self.network.make().train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01, fused=True)
        self.losses = []
        for rows in self.rows:
            loss = F.cross_entropy(net(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            self.losses.append(loss.detach())

    @property
    def loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return float(torch.stack(last).mean())


class OneLane:
    """The same training as the only lane of a stack."""

    def __init__(self, network: Network, data: TrainingData, steps: int) -> None:
        settings = {"lr": RATE, "weight_decay": 0.01, "batch_size": network.batch, "schedule": "constant"}
        self.lane = Lane(
            candidate=Candidate(id="c", model="module", optimizer="adamw", settings=settings), fold=0, seed=0
        )
        self.steps = steps
        self.teams = ModuleTeams(
            blueprint=Blueprint.of(network.make, data.folds[0].dense[: network.batch]),
            data=data,
            loss=nn.CrossEntropyLoss(),
            score=None,
            lengths=Lengths(rows_seen=steps * network.batch),
            ways={},
        )
        self.way = choose_way(self.teams, network.batch)
        self.stack: Stack | None = None
        self.loss = float("nan")

    def run(self) -> None:
        """Train from the start."""
        self.stack = self.teams.stack([self.lane], self.way, length=self.steps)
        self.stack.advance(1.0)

    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps, of a training that is not timed."""
        stack = self.teams.stack([self.lane], self.way, length=self.steps)
        stack.advance(1 - max(1, self.steps // 10) / self.steps)
        stack.evidence()
        stack.advance(1.0)
        return stack.evidence()[0].train_loss


def compare(name: str, *, steps: int, rounds: int) -> bool:
    """Measure and print one network; whether both sides computed the same."""
    network = NETWORKS[name]
    data = data_of(network)
    loop, lane = Loop(network, data, steps), OneLane(network, data, steps)
    lane.run()
    loop.run()
    seconds = in_turns({"lane": lane.run, "loop": loop.run}, rounds)
    expected, found = loop.loss, lane.final_loss()
    apart = abs(found - expected) / expected
    cost = ratio(seconds["lane"], seconds["loop"])
    medians = ", ".join(f"{side} {1e3 * statistics.median(own) / steps:.3f} ms" for side, own in seconds.items())
    verdict = "agree" if apart <= AGREE else "DISAGREE"
    parameters = sum(weight.numel() for weight in network.make().parameters())
    print(f"{name:22} {parameters:9,} parameters  {cost!s:26} a step: {medians}; losses {verdict} ({apart:.0e} apart)")
    return apart <= AGREE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of taking turns (default 7)")
    parser.add_argument("--steps", type=int, default=300, help="steps of every training, at least 20 (default 300)")
    parser.add_argument("--only", choices=NETWORKS, help="one network only")
    parser.add_argument("--threads", type=int, default=1, help="threads inside each operation (default 1)")
    given = parser.parse_args()
    if given.steps < 20 or given.rounds < 1 or given.threads < 1:
        parser.error("--steps must be at least 20, --rounds and --threads at least 1")
    torch.set_num_threads(given.threads)
    print(f"{given.steps} steps, {given.rounds} rounds, {given.threads} threads")
    print(f"seconds of a lane / of the loop: median of the rounds (smallest to largest); the goal is {GOAL:g}x\n")
    names = [given.only] if given.only else list(NETWORKS)
    same = [compare(name, steps=given.steps, rounds=given.rounds) for name in names]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
