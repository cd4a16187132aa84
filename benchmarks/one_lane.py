"""One lane of ``lanewise.tune``, against a tight PyTorch loop over the same module: what the machinery costs alone.

Both sides train the same network from the same weights on the same batches in float32, with AdamW and a constant
schedule, in this process. The loop: ``torch.optim.AdamW`` fused, tensors in memory, no data loader, the rows of every
batch drawn beforehand. The lane: what a race runs, its guard, its averaged weights and its own draw of the rows
included. The sides take turns.

Whether both compute the same is asked in float64, where the final losses and all weights must agree to 1e-10. Float32
cannot tell: a training multiplies its rounding errors, of LeNet from 1e-7 to 1e-2 within 300 steps. So how far apart
both sides end in float32 is printed beside how far the loop ends from itself when its first weights are one rounding
off.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

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
from lanewise.training.data import FoldData, Moving, TrainingData
from lanewise.training.device import CPU, device_name, device_of
from lanewise.training.modules.choosing import choose_way
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Lengths
from lanewise.training.stack import Stack

RATE = 1e-3
GOAL = 1.03
AGREE = 1e-10
"""Largest difference in float64 between final losses, and between weights, relative to the loop's largest."""

ONE_ROUNDING = 2.0**-23
RERUNS = (1 + ONE_ROUNDING, 1 - ONE_ROUNDING, 1 + 2 * ONE_ROUNDING, 1 - 2 * ONE_ROUNDING)
"""Factors of the first weights of a float32 loop that differs from itself by rounding alone."""


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
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU

    def built(self) -> nn.Module:
        """The network in its dtype."""
        return self.make().to(self.dtype)


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
        x = torch.randn(ROWS, *network.shape, generator=draw).to(network.dtype)
        y = x.flatten(1)[:, 300:310].argmax(1)
    rows = torch.arange(ROWS)
    fold = FoldData(dense=x, codes=torch.zeros(ROWS, 0, dtype=torch.int64), target=y, train=rows, valid=rows[:256])
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)
    return Moving(network.device)(data)


class Loop:
    """The loop that anybody would write who knows how to make it tight."""

    def __init__(self, network: Network, data: TrainingData, steps: int) -> None:
        self.network, self.fold = network, data.folds[0]
        stream = RowStream(0, self.fold.train, ROWS)
        self.rows = [stream.take(step * network.batch, network.batch) for step in range(steps)]
        self.losses: list[Tensor] = []

    def run(self, factor: float = 1.0) -> None:
        """Train from the start, its weights multiplied by ``factor``."""
        x, y = self.fold.dense, self.fold.target
        torch.manual_seed(0)
        self.net = net = self.network.built().to(self.network.device).train()
        if factor != 1.0:
            with torch.no_grad():
                for weight in net.parameters():
                    weight.mul_(factor)
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

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.net.named_parameters()}


class OneLane:
    """The same training as the only lane of a stack."""

    def __init__(self, network: Network, data: TrainingData, steps: int) -> None:
        settings = {"lr": RATE, "weight_decay": 0.01, "batch_size": network.batch, "schedule": "constant"}
        self.lane = Lane(
            candidate=Candidate(id="c", model="module", optimizer="adamw", settings=settings), fold=0, seed=0
        )
        self.steps = steps
        self.teams = ModuleTeams(
            blueprint=Blueprint.of(network.built, data.folds[0].dense[: network.batch].cpu()),
            data=data,
            loss=nn.CrossEntropyLoss(),
            score=None,
            lengths=Lengths(rows_seen=steps * network.batch),
            ways={},
            device=network.device,
        )
        self.way = choose_way(self.teams, network.batch)

    def run(self) -> None:
        """Train from the start."""
        self._stack().advance(1.0)

    def _stack(self) -> Stack:
        return self.teams.stack([self.lane], self.way, length=self.steps)

    def final(self) -> tuple[float, dict[str, Tensor]]:
        """Mean loss of the last tenth of the steps, and the weights at the end, of a training that is not timed."""
        stack = self._stack()
        stack.go_on(self.steps - max(1, self.steps // 10))
        stack.evidence()
        stack.advance(1.0)
        weights = {own.name: stack.buffer.weights[own.name].value[0] for own in stack.buffer.layout.parameters}
        return stack.evidence()[0].train_loss, {name: weight.detach() for name, weight in weights.items()}


def apart(found: float, expected: float) -> float:
    """The difference relative to what is expected."""
    return abs(found - expected) / abs(expected)


def exactly_apart(network: Network, steps: int) -> float:
    """The largest difference between both sides in float64: of final losses, and of weights."""
    exact = replace(network, dtype=torch.float64)
    data = data_of(exact)
    loop = Loop(exact, data, steps)
    loop.run()
    loss, weights = OneLane(exact, data, steps).final()
    largest = max(float(weight.abs().max()) for weight in loop.weights.values())
    gaps = [float((weights[name] - weight).abs().max()) / largest for name, weight in loop.weights.items()]
    return max(apart(loss, loop.loss), *gaps)


def agreement(network: Network, data: TrainingData, steps: int) -> tuple[bool, str]:
    """Whether both sides compute the same, and in words by how much they differ."""
    exact = exactly_apart(network, steps)
    loop = Loop(network, data, steps)
    loop.run()
    expected = loop.loss
    rerun = []
    for factor in RERUNS:
        loop.run(factor)
        rerun.append(apart(loop.loss, expected))
    found, _ = OneLane(network, data, steps).final()
    words = (
        f"{'agree' if exact <= AGREE else 'DISAGREE'} in float64 ({exact:.0e} apart); losses in float32 "
        f"{apart(found, expected):.0e} apart, of the loop with itself {min(rerun):.0e} to {max(rerun):.0e}"
    )
    return exact <= AGREE, words


def compare(network: Network, name: str, *, steps: int, rounds: int) -> bool:
    """Measure and print one network; whether both sides computed the same."""
    data = data_of(network)
    same, words = agreement(network, data, steps)
    loop, lane = Loop(network, data, steps), OneLane(network, data, steps)
    seconds = in_turns({"lane": lane.run, "loop": loop.run}, rounds, network.device)
    cost = ratio(seconds["lane"], seconds["loop"])
    medians = ", ".join(f"{side} {1e3 * statistics.median(own) / steps:.3f} ms" for side, own in seconds.items())
    parameters = sum(weight.numel() for weight in network.make().parameters())
    print(f"{name:22} {parameters:9,} parameters  {cost!s:26} a step: {medians}\n{'':22} {words}")
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of taking turns (default 7)")
    parser.add_argument("--steps", type=int, default=300, help="steps of every training, at least 20 (default 300)")
    parser.add_argument("--only", choices=NETWORKS, help="one network only")
    parser.add_argument("--threads", type=int, default=1, help="threads inside each operation (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default cpu)")
    given = parser.parse_args()
    if given.steps < 20 or given.rounds < 1 or given.threads < 1:
        parser.error("--steps must be at least 20, --rounds and --threads at least 1")
    torch.set_num_threads(given.threads)
    device = device_of(given.device)
    torch.backends.cudnn.allow_tf32 = False  # the loop in float32 too
    print(f"{device_name(device)}: {given.steps} steps, {given.rounds} rounds, {given.threads} threads")
    print(f"seconds of a lane / of the loop: median of the rounds (smallest to largest); the goal is {GOAL:g}x\n")
    names = [given.only] if given.only else list(NETWORKS)
    same = [
        compare(replace(NETWORKS[name], device=device), name, steps=given.steps, rounds=given.rounds) for name in names
    ]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
