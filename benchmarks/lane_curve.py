"""What 1 to 320 lanes (64 candidates x 5 folds) cost against one, with the roofline of the machine beside it.

Three networks, AdamW, float32, one thread. The lanes are formed as ``lanewise.tune`` forms them: in stacks as wide as
the plan makes them, or one by one where it decides so, and the stacks train one after another. A step of all lanes is
timed in short blocks, of which the fastest counts.

The roofline (Williams et al. 2009) is what the machine allows: ``min(peak, intensity * bandwidth)``, both measured,
by a product of large matrices and by a copy between buffers that fit into no cache. The operations of a lane's step are
counted by PyTorch, forward and backward. Its traffic is reckoned if nothing stayed in a cache: ten passes over the
weights (read forward and backward; gradient written and read; weights and two moments read and written) and four over
inputs and activations (written and read forward, read and written backward). A stack that fits into a cache may be
above the slanted part of the roof, never above the peak.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from turns import waited

from gpu import NETWORKS, ROWS, Network, rows_of
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, Moving, TrainingData
from lanewise.training.device import device_name, device_of
from lanewise.training.modules.choosing import choose_way
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Lengths
from lanewise.training.team import Team

CURVE = (1, 2, 4, 8, 16, 32, 64, 128, 320)
CANDIDATES, FOLDS = 64, 5
LENGTH, LONGEST_BLOCK, SECONDS = 400, 25, 1.0
WEIGHT_PASSES, ACTIVATION_PASSES, FLOAT = 10, 4, 4
SIDE, COPIED = 2048, 2**26


@dataclass(frozen=True, kw_only=True)
class Roof:
    """What a machine can do: floating-point operations a second, and bytes a second to and from memory."""

    peak: float
    bandwidth: float

    @classmethod
    def of(cls, device: torch.device) -> "Roof":
        one = torch.randn(SIDE, SIDE, device=device)
        out, source = torch.empty_like(one), torch.randn(COPIED, device=device)
        target = torch.empty_like(source)
        product = fastest(lambda: torch.mm(one, one, out=out), device)
        copy = fastest(lambda: target.copy_(source), device)
        return cls(peak=2 * SIDE**3 / product, bandwidth=2 * FLOAT * COPIED / copy)

    def allows(self, intensity: float) -> float:
        """Operations a second at so many operations for each byte."""
        return min(self.peak, intensity * self.bandwidth)


def fastest(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """Seconds of the fastest of some rounds, after one to warm up."""
    work()
    seconds = []
    for _ in range(rounds):
        waited(device)
        started = time.perf_counter()
        work()
        waited(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one lane's step asks of a machine."""

    operations: float
    traffic: float

    @property
    def intensity(self) -> float:
        return self.operations / self.traffic

    @classmethod
    def of(cls, network: Network, batch: Tensor) -> "Load":
        module, elements = network.make(), [batch.numel()]
        hooks = [
            part.register_forward_hook(lambda _part, _inputs, out: elements.append(out.numel()))
            for part in module.modules()
            if not list(part.children())
        ]
        with FlopCounterMode(display=False) as counted:
            module(batch).square().mean().backward()
        for hook in hooks:
            hook.remove()
        weights = sum(weight.numel() for weight in module.parameters())
        traffic = FLOAT * (WEIGHT_PASSES * weights + ACTIVATION_PASSES * sum(elements))
        return cls(operations=counted.get_total_flops(), traffic=traffic)


def teams_of(network: Network, device: torch.device) -> ModuleTeams:
    """Former of the lanes of a network over five folds of rows that it can partly learn."""
    x, y = rows_of(network)
    rows = torch.arange(ROWS)
    folds = {}
    for fold in range(FOLDS):
        held = rows % FOLDS == fold
        codes = torch.zeros(ROWS, 0, dtype=torch.int64)
        folds[fold] = FoldData(dense=x, codes=codes, target=y, train=rows[~held], valid=rows[held])
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds=folds, rows=ROWS)
    teams = ModuleTeams(
        blueprint=Blueprint.of(network.make, x[: network.batch]),
        data=Moving(device)(data),
        loss=nn.CrossEntropyLoss(),
        score=None,
        lengths=Lengths(rows_seen=LENGTH * network.batch),
        ways={},
        device=device,
    )
    way = choose_way(teams, network.batch)
    return ModuleTeams(**{**vars(teams), "ways": {network.batch: way}})


def formed(teams: ModuleTeams, network: Network, count: int) -> list[Team]:
    """The teams of ``count`` lanes: every candidate on one fold before any is on two."""
    rates = torch.logspace(-4, -2, CANDIDATES, dtype=torch.float64).tolist()
    lanes = [
        Lane(
            candidate=Candidate(
                id=f"c{place % CANDIDATES:02d}",
                model="module",
                optimizer="adamw",
                settings={"lr": rates[place % CANDIDATES], "batch_size": network.batch, "schedule": "constant"},
            ),
            fold=place // CANDIDATES,
            seed=0,
        )
        for place in range(count)
    ]
    return teams.form(lanes, "confirm")


def step_seconds(teams: Sequence[Team], device: torch.device) -> float:
    """Seconds of a step of all lanes."""
    taken = 0

    def advance(steps: int) -> float:
        nonlocal taken
        taken += steps
        waited(device)
        started = time.perf_counter()
        for team in teams:
            team.advance(taken / LENGTH)
        waited(device)
        return (time.perf_counter() - started) / steps

    if device.type == "cuda":
        advance(2 * LONGEST_BLOCK)  # a step is recorded after the first few
    advance(1)
    guess = advance(1)
    block = max(1, min(LONGEST_BLOCK, round(SECONDS / 5 / guess)))
    blocks = max(2, min(8, (LENGTH - taken) // block, round(SECONDS / (block * guess))))
    return min(advance(block) for _ in range(blocks))


def curve(name: str, roof: Roof, device: torch.device, counts: Sequence[int]) -> None:
    network = NETWORKS[name]
    teams = teams_of(network, device)
    load = Load.of(network, rows_of(network)[0][: network.batch])
    allowed = roof.allows(load.intensity)
    way = teams.ways[network.batch]
    print(
        f"{name}, batch {network.batch}: {teams.blueprint.layout.width:,} parameters; {way.words}\n"
        f"a lane's step: {load.operations / 1e6:.2f} MFLOP, {load.traffic / 1e6:.2f} MB, {load.intensity:.1f} FLOP/B; "
        f"the roof is {allowed / 1e9:.0f} GFLOP/s\n\n"
        "| lanes | a step of all | times one lane | lane steps a second | GFLOP/s | of the roof | of the peak |\n"
        "|---|---|---|---|---|---|---|",
        flush=True,
    )
    alone = None
    for count in counts:
        seconds = step_seconds(formed(teams, network, count), device)
        alone = alone or seconds / count
        reached = count * load.operations / seconds
        print(
            f"| {count} | {1e3 * seconds:.3g} ms | {seconds / alone:.1f} | {count / seconds:,.0f} | "
            f"{reached / 1e9:.1f} | {reached / allowed:.0%} | {reached / roof.peak:.0%} |",
            flush=True,
        )
    print(flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default cpu)")
    parser.add_argument("--threads", type=int, default=1, help="threads inside each operation (default 1)")
    parser.add_argument("--only", choices=NETWORKS, help="one network only")
    parser.add_argument("--most", type=int, default=CURVE[-1], help="lanes at most (default 320)")
    given = parser.parse_args()
    if given.threads < 1 or given.most < 1:
        parser.error("--threads and --most must be at least 1")
    torch.set_num_threads(given.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 throughout
    device = device_of(given.device)
    roof = Roof.of(device)
    print(
        f"{device_name(device)}, torch {torch.__version__}, {given.threads} threads: {roof.peak / 1e9:.0f} GFLOP/s in "
        f"a product of {SIDE} x {SIDE}, {roof.bandwidth / 1e9:.1f} GB/s in a copy; from "
        f"{roof.peak / roof.bandwidth:.1f} FLOP/B the peak is the roof\n"
    )
    for name in [given.only] if given.only else NETWORKS:
        curve(name, roof, device, [count for count in CURVE if count <= given.most])
    return 0


if __name__ == "__main__":
    sys.exit(main())
