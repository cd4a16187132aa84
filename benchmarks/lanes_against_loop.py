"""64 candidates as lanes of stacks, against the same 64 in a tight PyTorch loop.

Both sides train the same networks from the same weights on the same batches, with AdamW, 64 learning rates and a
constant schedule. Lanewise: the teams that a race would form, side by side in processes of one torch thread each. The
loop: fused AdamW, tensors in memory, no data loader, the batches' rows drawn beforehand; in the better of two ways: one
candidate after another with all threads inside each operation, or one process per core with one thread each. The sides
take turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import better_of, in_turns, ratio

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.registry import build
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.planning.plan import Lengths
from lanewise.training.team import Team, never
from lanewise.training.teams import DTYPES, Seats, TeamBuilder
from lanewise.training.workers.side_by_side import SideBySide
from lanewise.training.workers.team_pool import TeamPool

CANDIDATES = 64
ROWS = 20_000
LOSS_ROWS = 4096
RATES = torch.logspace(-4, -2, CANDIDATES, dtype=torch.float64).tolist()
AGREE = {"float32": (1e-3, 0.02), "bfloat16": (0.02, 0.2)}
"""Largest median and largest single difference between the final losses of both sides, relative to the loop's."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained; ``recorded`` is the ratio of the first prototype, ``goal`` what Lanewise is to reach."""

    inputs: int
    hidden: int
    outputs: int
    batch: int
    recorded: float
    goal: float

    @property
    def model(self) -> str:
        return "mlp" if self.hidden else "linear"


NETWORKS = {
    "linear 30-2": Network(inputs=30, hidden=0, outputs=2, batch=256, recorded=17, goal=8),
    "linear 784-10": Network(inputs=784, hidden=0, outputs=10, batch=256, recorded=3.9, goal=4),
    "mlp 30-64-64-2": Network(inputs=30, hidden=64, outputs=2, batch=128, recorded=7.9, goal=8),
    "mlp 50-128-128-2": Network(inputs=50, hidden=128, outputs=2, batch=256, recorded=4.7, goal=4),
    "mlp 100-256-256-10": Network(inputs=100, hidden=256, outputs=10, batch=256, recorded=3.5, goal=4),
}


def data_of(network: Network) -> tuple[Tensor, Tensor]:
    """Rows ``[N, D]`` and classes ``[N]`` that a network can partly learn."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, network.inputs, generator=generator)
    scores = x @ torch.randn(network.inputs, network.outputs, generator=generator) / network.inputs**0.5
    gumbel = -torch.rand(scores.shape, generator=generator).clamp_min(1e-12).log().neg().log()
    return x, (2 * scores + gumbel).argmax(1)


def candidates_of(network: Network) -> list[Candidate]:
    """The candidates, which differ in their learning rate only."""
    shape = {"width": network.hidden, "depth": 2} if network.hidden else {}
    fixed = {"loss": "softmax", "batch_size": network.batch, "schedule": "constant", "weight_decay": 0.0, **shape}
    return [
        Candidate(id=f"c{place:02d}", model=network.model, optimizer="adamw", settings={"lr": rate, **fixed})
        for place, rate in enumerate(RATES)
    ]


def start_of(network: Network) -> dict[str, Tensor]:
    """The weights that every candidate starts from."""
    model = build(candidates_of(network)[:1], width_of(network))
    return {name: view[0].clone() for name, view in model.layout.views(model.init([0])).items()}


def width_of(network: Network) -> Width:
    return Width(dense=network.inputs, levels=(), outputs=network.outputs)


def plain_net(network: Network, weights: Mapping[str, Tensor]) -> nn.Sequential:
    """The network as anybody would write it, with the weights of one lane."""
    names = ("layer0", "layer1", "head") if network.hidden else ("",)
    modules: list[nn.Module] = []
    for name in names:
        prefix = f"{name}." if name else ""
        weight, bias = weights[f"{prefix}weight"], weights[f"{prefix}bias"]
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@torch.no_grad()
def final_loss(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean training loss of a trained network on the first rows."""
    return float(F.cross_entropy(net(x[:LOSS_ROWS]), y[:LOSS_ROWS]))


class Loop:
    """One candidate after another, as tight as PyTorch allows."""

    def __init__(self, network: Network, places: Sequence[int]) -> None:
        self.network, self.places = network, places
        self.x, self.y = data_of(network)
        self.start = start_of(network)
        self.rows: list[Tensor] = []
        self.trained: list[nn.Module] = []

    def draw(self, steps: int) -> None:
        """The rows of every step, the same as the lanes see; this is not part of what is timed."""
        stream = RowStream(0, torch.arange(ROWS), ROWS)
        batch = self.network.batch
        self.rows = [stream.take(step * batch, batch) for step in range(steps)]

    def run(self) -> None:
        """Train, which is what is timed."""
        self.trained = [self._train(RATES[place]) for place in self.places]

    def losses(self) -> list[float]:
        """The final losses of the last run, in the order of the places."""
        return [final_loss(net, self.x, self.y) for net in self.trained]

    def warm_up(self) -> None:
        """A short training, so that nothing is done for the first time when the clock runs."""
        self.draw(20)
        self._train(RATES[0])

    def _train(self, rate: float) -> nn.Module:
        x, y = self.x, self.y
        net = plain_net(self.network, self.start)
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0, fused=True)
        for rows in self.rows:
            loss = F.cross_entropy(net(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return net


class Workers:
    """The loop in one process per core, each with one thread; they have started before anything is timed."""

    def __init__(self, name: str, steps: int, count: int) -> None:
        command = [sys.executable, __file__, "--steps", str(steps), "--only", name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._processes = [
            subprocess.Popen(
                [*command, "--worker", f"{place}/{count}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for place in range(count)
        ]
        for process in self._processes:
            self._line(process)

    def run(self) -> None:
        """Have all of them train; returns when the last one has."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in self._processes:
            self._line(process)

    def close(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    @staticmethod
    def _line(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            message = f"a worker ended with code {process.wait()}"
            raise RuntimeError(message)
        return line


@contextmanager
def workers(name: str, steps: int, count: int) -> Iterator[Workers]:
    made = Workers(name, steps, count)
    try:
        yield made
    finally:
        made.close()


def work(name: str, share: str, steps: int) -> None:
    """What a worker process does: its share of the candidates, again and again, when it is told to."""
    place, count = map(int, share.split("/"))
    torch.set_num_threads(1)
    loop = Loop(NETWORKS[name], range(place, CANDIDATES, count))
    loop.warm_up()
    loop.draw(steps)
    print("ready", flush=True)
    for _ in sys.stdin:
        loop.run()
        print("done", flush=True)


class Lanes:
    """The candidates as a race would train them, in the worker processes of ``pool``."""

    def __init__(self, network: Network, pool: TeamPool, *, precision: str) -> None:
        x, y = data_of(network)
        self.network, self.x, self.y = network, x, y
        rows = torch.arange(ROWS)
        fold = FoldData(
            dense=x, codes=torch.zeros(ROWS, 0, dtype=torch.int64), target=y, train=rows, valid=rows[:LOSS_ROWS]
        )
        classes = tuple(map(str, range(network.outputs)))
        task = Task(target="y", kind="multiclass", metric="log_loss", classes=classes)
        data = TrainingData(task=task, width=width_of(network), folds={0: fold}, rows=ROWS)
        self.data, name = pool.share(data)
        self.seats = Seats(pool=pool, data=name)
        self.lanes = [Lane(candidate=candidate, fold=0, seed=0) for candidate in candidates_of(network)]
        self.precision = precision
        self.teams: list[Team] = []

    def run(self, steps: int) -> None:
        """Build the stacks and train them, which is what is timed."""
        builder = TeamBuilder(
            data=self.data,
            lengths=Lengths(rows_seen=steps * self.network.batch),
            workers=self.seats.pool.workers,
            stop=never,
            compute=DTYPES[self.precision],
            seats=self.seats,
        )
        self.teams = builder.form(self.lanes, "benchmark")
        SideBySide(self.seats.pool.workers).run([partial(self._train, team) for team in self.teams])

    @staticmethod
    def _train(team: Team) -> None:
        team.advance(1.0)
        team.settle()

    def losses(self) -> dict[str, float]:
        """The final loss of each candidate in the last run."""
        losses: dict[str, float] = {}
        layout = build(candidates_of(self.network)[:1], width_of(self.network)).layout
        for team in self.teams:
            views = layout.views(team.state()[0]["values"])  # an export would be judged by averaged weights
            for row, lane in enumerate(team.lanes):
                net = plain_net(self.network, {name: view[row] for name, view in views.items()})
                losses[lane.candidate.id] = final_loss(net, self.x, self.y)
        return losses


def agreement(found: Mapping[str, float], expected: Sequence[float], precision: str) -> tuple[str, bool]:
    """How far the final losses are apart, in words, and whether that is rounding."""
    pairs = zip((found[name] for name in sorted(found)), expected, strict=True)
    apart = [abs(a - b) / b for a, b in pairs]
    middle, worst = AGREE[precision]
    fits = statistics.median(apart) <= middle and max(apart) <= worst
    verdict = "agree" if fits else "DISAGREE"
    return f"final losses {verdict}: median {statistics.median(apart):.1e}, worst {max(apart):.1e} apart", fits


def compare(name: str, *, steps: int, rounds: int, threads: int) -> bool:
    """Measure and print one network; whether both sides computed the same."""
    network = NETWORKS[name]
    precisions = ("float32", "bfloat16") if network.hidden else ("float32",)  # a race keeps linear models in float32
    loop = Loop(network, range(CANDIDATES))
    torch.set_num_threads(threads)
    loop.warm_up()
    loop.draw(steps)
    with workers(name, steps, threads) as processes, TeamPool(workers=threads) as pool:
        stacked = {precision: Lanes(network, pool, precision=precision) for precision in precisions}
        for side in stacked.values():
            side.run(20)
        sides: dict[str, Callable[[], None]] = {
            precision: partial(side.run, steps) for precision, side in stacked.items()
        }
        sides |= {"one after another": loop.run, "a process per core": processes.run}
        seconds = in_turns(sides, rounds)
        found = {precision: side.losses() for precision, side in stacked.items()}
    best = better_of(seconds, ("one after another", "a process per core"))
    torch.set_num_threads(1)
    expected = loop.losses()
    fits = True
    for precision in precisions:
        words, same = agreement(found[precision], expected, precision)
        fits &= same
        gain = ratio(seconds[best], seconds[precision])
        print(f"{name:20} {precision:9} {gain!s:28} {words}")
    medians = ", ".join(f"{side} {statistics.median(own):.2f} s" for side, own in seconds.items())
    print(f"{'':20} medians: {medians}; compared with the loop {best}")
    print(f"{'':20} the first prototype reached {network.recorded:g}x; the goal is {network.goal:g}x", flush=True)
    return fits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of taking turns (default 5)")
    parser.add_argument("--steps", type=int, default=300, help="steps of every training, at least 20 (default 300)")
    parser.add_argument("--only", choices=NETWORKS, help="one network only")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads, processes (default: cores)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.steps < 20 or given.rounds < 1 or given.threads < 1:
        parser.error("--steps must be at least 20, --rounds and --threads at least 1")
    if given.worker:
        work(given.only, given.worker, given.steps)
        return 0
    print(f"{CANDIDATES} candidates, {given.steps} steps, {given.rounds} rounds, {given.threads} threads")
    print("loop seconds / Lanewise seconds: median of the rounds (smallest to largest)\n")
    names = [given.only] if given.only else list(NETWORKS)
    same = [compare(name, steps=given.steps, rounds=given.rounds, threads=given.threads) for name in names]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
