"""64 candidates as lanes on a GPU, against the same 64 in a tight PyTorch loop on that GPU.

Both sides train the same networks from the same weights on the same batches with AdamW at 64 learning rates. The loop:
fused AdamW, rows drawn beforehand, everything on the GPU; in the better of two ways: as anybody writes it, or each
candidate's step recorded as a CUDA graph and replayed. The sides take turns; the recording is within what is timed, on
both sides. A loop takes 64 times as long as one candidate: it is timed for some of them and multiplied.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

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
from lanewise.training.device import device_name, device_of
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

CANDIDATES, SAMPLED = 64, 4
ROWS, CLASSES = 20_000, 10
RATES = torch.logspace(-4, -2, CANDIDATES, dtype=torch.float64).tolist()
CURVE = (1, 8, 64, 320)
WARM = 3


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, on rows of ``shape``."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    classes: int
    batch: int


NETWORKS = {
    "mlp 30-64-64-2": Network(make=lambda: mlp(30, 64, 2), shape=(30,), classes=2, batch=128),
    "mlp 100-256-256-10": Network(make=lambda: mlp(100, 256, 10), shape=(100,), classes=10, batch=256),
    "lenet 28x28": Network(make=lenet, shape=(1, 28, 28), classes=10, batch=64),
}


def rows_of(network: Network) -> tuple[Tensor, Tensor]:
    """Inputs ``[N, ...]`` and classes ``[N]`` that a network can partly learn."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, *network.shape, generator=draw)
    flat = x.flatten(1)
    scores = flat @ torch.randn(flat.shape[1], network.classes, generator=draw) / flat.shape[1] ** 0.5
    return x, (2 * scores + torch.randn(scores.shape, generator=draw)).argmax(1)


@dataclass(kw_only=True)
class Side:
    """What both sides know."""

    network: Network
    device: torch.device
    steps: int
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        x, y = rows_of(self.network)
        empty = torch.zeros(ROWS, 0, dtype=torch.int64)
        rows = torch.arange(ROWS)
        fold = FoldData(dense=x, codes=empty, target=y, train=rows, valid=rows[:1000])
        task = Task(target="y", kind="regression", metric="loss")
        data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)
        self.data = Moving(self.device)(data)
        self.x, self.y = self.data.folds[0].dense, self.data.folds[0].target
        self.blueprint = Blueprint.of(self.network.make, x[:8])
        stream = RowStream(0, rows.to(self.device), ROWS)
        self.rows = [stream.take(at * self.network.batch, self.network.batch) for at in range(self.steps)]


class Lanes(Side):
    """The candidates in one stack, as ``lanewise.tune`` trains them."""

    def run(self, count: int = CANDIDATES) -> None:
        rates = [RATES[place % CANDIDATES] for place in range(count)]
        settings = {"batch_size": self.network.batch, "schedule": "constant", "weight_decay": 0.0}
        lanes = [
            Lane(
                candidate=Candidate(
                    id=f"c{place:03d}", model="module", optimizer="adamw", settings={"lr": rate, **settings}
                ),
                fold=0,
                seed=0,
            )
            for place, rate in enumerate(rates)
        ]
        stack = Stack(
            lanes,
            self.data,
            length=self.steps,
            batch_size=self.network.batch,
            subject=ModuleSubject(self.blueprint, self.data, nn.CrossEntropyLoss()),
        )
        stack.advance(1.0)
        self.stack = stack

    def last_losses(self) -> list[float]:
        with torch.no_grad():
            model = self.blueprint.module().to(self.device).eval()
            views = self.stack.model.layout.views(self.stack.buffer.values)
            found = []
            for row in range(CANDIDATES):
                weights = {name: view[row] for name, view in views.items()}
                outputs = torch.func.functional_call(model, weights, (self.x[:4096],))
                found.append(float(F.cross_entropy(outputs, self.y[:4096])))
        return found


class Loop(Side):
    """One candidate after another; with ``graph`` each one's step is recorded and replayed."""

    graph: bool = False

    def run(self) -> None:
        self.trained = [self._train(RATES[place]) for place in self.places]

    @property
    def places(self) -> range:
        return range(0, CANDIDATES, CANDIDATES // SAMPLED)

    def _train(self, rate: float) -> nn.Module:
        net = self.blueprint.module()
        with torch.no_grad():
            row = self.blueprint.start(0)[None]
            for name, weight in net.named_parameters():
                weight.copy_(self.blueprint.layout.views(row)[name][0])
        net.to(self.device).train()
        on_gpu = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=rate, weight_decay=0.0, fused=True, capturable=self.graph and on_gpu
        )
        step = self._step(net, optimizer)
        if not self.graph:
            for rows in self.rows:
                step(rows)
            return net
        rows = self.rows[0].clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for at in range(WARM):
                rows.copy_(self.rows[at])
                step(rows)
            graph = torch.cuda.CUDAGraph()
            optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph, stream=stream):  # once for each candidate
                step(rows)
            for at in range(WARM, self.steps):
                rows.copy_(self.rows[at])
                graph.replay()
        torch.cuda.current_stream().wait_stream(stream)
        return net

    def _step(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
        def step(rows: Tensor) -> None:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(net(self.x.index_select(0, rows)), self.y.index_select(0, rows)).backward()
            optimizer.step()

        return step

    @torch.no_grad()
    def last_losses(self) -> list[float]:
        return [float(F.cross_entropy(net.eval()(self.x[:4096]), self.y[:4096])) for net in self.trained]


class RecordedLoop(Loop):
    graph = True


def compare(name: str, device: torch.device, *, steps: int, rounds: int) -> None:
    network = NETWORKS[name]
    given = {"network": network, "device": device, "steps": steps}
    lanes, loop = Lanes(**given), Loop(**given)
    sides: dict[str, Callable[[], None]] = {"lanes": lanes.run, "loop": loop.run}
    if device.type == "cuda":
        sides["recorded loop"] = RecordedLoop(**given).run
    in_turns(sides, 1, device)  # to warm up
    seconds = in_turns(sides, rounds, device)
    share = CANDIDATES / SAMPLED
    for side in seconds:
        if side != "lanes":
            seconds[side] = [share * own for own in seconds[side]]
    found, expected = lanes.last_losses(), loop.last_losses()
    apart = [abs(found[place] - own) / own for place, own in zip(loop.places, expected, strict=True)]
    for side in list(seconds)[1:]:
        print(f"{name:20} against the {side:14} {ratio(seconds[side], seconds['lanes'])!s:30}", end=" ")
        print(f"medians {statistics.median(seconds[side]):.2f} s and {statistics.median(seconds['lanes']):.3f} s")
    recorded = lanes.stack._recorded
    state = "not recorded" if recorded is None else recorded.refused or f"recorded: {recorded.recorded}"
    print(f"{'':20} final losses {max(apart):.1e} apart at most; {state}", flush=True)
    curve = []
    for count in CURVE:
        own = in_turns({"lanes": lambda count=count: lanes.run(count)}, 3, device)["lanes"]
        curve.append(f"L={count}: {count * steps / statistics.median(own):,.0f}")
    print(f"{'':20} lane steps per second: {', '.join(curve)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the script (default cuda)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of taking turns (default 3)")
    parser.add_argument("--steps", type=int, default=300, help="steps of every training (default 300)")
    parser.add_argument("--only", choices=NETWORKS, help="one network only")
    given = parser.parse_args()
    device = device_of(given.device)
    print(f"{device_name(device)}, torch {torch.__version__}: {CANDIDATES} candidates, {given.steps} steps")
    print("loop seconds / Lanewise seconds: median of the rounds (smallest to largest)\n")
    torch.backends.cudnn.allow_tf32 = False  # the loop in float32 too
    for name in [given.only] if given.only else NETWORKS:
        compare(name, device, steps=given.steps, rounds=given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
