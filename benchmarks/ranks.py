"""Two ranks against one process, and one sum of gradients against DDP: ratios, both sides in turns on the same machine.

    python benchmarks/ranks.py

Two forked ranks of one thread each; the sides of a comparison take turns, and the median of their ratios counts. Bytes
are what the kernel counts on the loopback interface, so other traffic on this machine is in them.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist  # noqa: TID251 one side is DDP itself
from torch import nn

from lanewise.distributed.joining import joined
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.ranks.crew import crew_of
from lanewise.training.stack import Stack

RANKS, ROUNDS = 2, 7
SHORT_ROUNDS = 41
"""Turns of what takes milliseconds, most of them waiting: single turns differ by half."""

ROWS, COLUMNS, BATCH, STEPS = 4096, 32, 256, 20
HIDDEN, OUTPUTS = 64, 2
SETTINGS = {"width": HIDDEN, "depth": 2, "activation": "relu", "layer_norm": False, "loss": "softmax", "lr": 1e-3}


def data() -> TrainingData:
    draw = torch.Generator().manual_seed(0)
    dense = torch.randn(ROWS, COLUMNS, generator=draw)
    fold = FoldData(
        dense=dense,
        codes=torch.zeros(ROWS, 0, dtype=torch.int64),
        target=(dense[:, 0] > 0).long(),
        train=torch.arange(ROWS),
        valid=torch.arange(64),
    )
    task = Task(target="y", kind="multiclass", metric="log_loss", classes=("a", "b"))
    return TrainingData(task=task, width=Width(dense=COLUMNS, levels=(), outputs=OUTPUTS), folds={0: fold}, rows=ROWS)


def stack(lanes: int, axis: Any = None, *, first: int = 0) -> Stack:
    own = [
        Lane(
            candidate=Candidate(
                id=f"{first + number}", model="mlp", optimizer="sgd", settings={**SETTINGS, "dropout": 0.0}
            ),
            fold=0,
            seed=0,
        )
        for number in range(lanes)
    ]
    return Stack(own, data(), length=10**6, batch_size=BATCH, axis=axis)


def net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(COLUMNS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUTPUTS)
    )


def steps_of(team: Stack) -> Callable[[], None]:
    def run() -> None:
        team.advance((team.optimizer.taken + STEPS) / team.length)

    return run


def steps_of_ddp(count: int, rank: int) -> Callable[[], None]:
    """``count`` models one after another, each under DDP, on this rank's half of every batch."""
    rows = data().folds[0]
    models = [nn.parallel.DistributedDataParallel(net()) for _ in range(count)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=1e-3) for model in models]
    draw = torch.Generator().manual_seed(0)

    def run() -> None:
        half = BATCH // RANKS
        for model, optimizer in zip(models, optimizers, strict=True):
            order = torch.randperm(ROWS, generator=draw)
            for step in range(STEPS):
                start = step * BATCH % (ROWS - BATCH) + rank * half
                taken = order[start : start + half]
                loss = nn.functional.cross_entropy(model(rows.dense[taken]), rows.target[taken])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return run


def seconds(work: Callable[[], None]) -> float:
    """Until the slower of the ranks is done."""
    dist.barrier()
    started = time.perf_counter()
    work()
    dist.barrier()
    return time.perf_counter() - started


def ratios(one: Callable[[], None], other: Callable[[], None], *, rounds: int = ROUNDS) -> list[float]:
    """How many times as long ``one`` takes as ``other``, again and again, in turns."""
    one()
    other()
    return [seconds(one) / seconds(other) for _ in range(rounds)]


def first_only(rank: int, work: Callable[[], None]) -> Callable[[], None]:
    return work if rank == 0 else lambda: None


def with_threads(count: int, work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        torch.set_num_threads(count)
        try:
            work()
        finally:
            torch.set_num_threads(1)

    return run


def loopback() -> int:
    """Bytes that have left through the loopback interface."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def moved() -> tuple[int, float]:
    """Bytes that all ranks sent in sums of a large message, and those of the ring formula."""
    message, times = torch.ones(1_000_000), 10
    dist.all_reduce(message)
    dist.barrier()
    before = loopback()
    for _ in range(times):
        dist.all_reduce(message)
    dist.barrier()
    formula = RANKS * times * 2 * (RANKS - 1) / RANKS * message.numel() * message.element_size()
    return loopback() - before, formula


def measured(rank: int) -> dict[str, Any]:
    with joined() as ranks:
        axis = crew_of(ranks, f"data={RANKS}").axis
        found: dict[str, Any] = {}
        for lanes in (8, 64):
            half = steps_of(stack(lanes // RANKS, first=rank * lanes // RANKS))
            whole = steps_of(stack(lanes))
            one_core, two_cores = first_only(rank, whole), first_only(rank, with_threads(2, whole))
            found[f"{lanes} lanes, one process on one core / over 2 ranks"] = ratios(one_core, half)
            found[f"{lanes} lanes, one process on two cores / over 2 ranks"] = ratios(two_cores, half)
        for lanes in (1, 64):
            name = f"{lanes} lane{'s' if lanes > 1 else ''}, DDP / data axis"
            rounds = SHORT_ROUNDS if lanes == 1 else ROUNDS
            found[name] = ratios(steps_of_ddp(lanes, rank), steps_of(stack(lanes, axis)), rounds=rounds)
        counted, formula = moved()
        found["bytes of a sum / ring formula"] = [counted / formula]
    return found


def launched(folder: Path, rank: int) -> None:
    names: Mapping[str, Any] = {"RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": RANKS}
    os.environ.update({name: str(value) for name, value in names.items()})
    found = measured(rank)
    if rank == 0:
        (folder / "found").write_text(json.dumps(found))


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        children = []
        for rank in range(RANKS):
            child = os.fork()
            if not child:
                code = 1
                try:
                    launched(Path(name), rank)
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if any(codes):
            return 1
        found = json.loads((Path(name) / "found").read_text())
    print(f"{RANKS} ranks, networks {COLUMNS}-{HIDDEN}-{HIDDEN}-{OUTPUTS}, batches of {BATCH}, at least {ROUNDS} turns")
    for what, values in found.items():
        print(f"{what:52} {statistics.median(values):6.2f}   ({min(values):.2f} to {max(values):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
