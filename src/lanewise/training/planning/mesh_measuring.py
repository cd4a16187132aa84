"""Measures what ranks can tell each other and how long their steps take, and holds predictions against it."""

import importlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lanewise.data.memory import memory_bytes
from lanewise.distributed.cost import Cost, Hardware, Workload, predict
from lanewise.distributed.groups import make_groups
from lanewise.distributed.link import Exchange, Link, fit_link
from lanewise.distributed.mesh import AXES, Mesh
from lanewise.distributed.proposing import propose
from lanewise.distributed.ranks import Ranks
from lanewise.distributed.stated_work import StatedWork
from lanewise.errors import UsageError
from lanewise.training.planning import mesh_steps
from lanewise.training.workers.cores import cores

KIB, MIB = 2**10, 2**20
FITTED = (4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB)
"""Bytes of the all-reduces that the link is fitted to."""

CHECKED = (16 * KIB, 256 * KIB, 4 * MIB, 32 * MIB)
"""Those that it is held against, between the others."""

QUICK, QUICK_SECONDS = (16 * KIB, 2 * MIB), 0.15
"""Those that a race has time for, and what each may take."""

ROUNDS = 9
SECONDS = 0.6
"""What a measurement may take; at least three rounds are made."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An all-reduce of ``size`` bytes that the link was not fitted to."""

    size: int
    predicted: float
    measured: float


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of a step on a mesh; ``told`` is the part of the prediction that is not this rank's own work."""

    mesh: str
    predicted: float
    told: float
    measured: float


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The mesh for ``work`` that was stated, by what was measured, and why.

    ``seconds`` are those of a step of all lanes, ``epoch`` those of all rows, where they are known; a rank needs so
    many bytes of ``memory``, of the ``room`` that it has.
    """

    work: StatedWork
    mesh: str
    microbatches: int
    seconds: float
    epoch: float | None
    memory: float
    room: float
    why: str

    def words(self) -> str:
        work = self.work
        lanes = "one model" if work.lanes == 1 else f"{work.lanes:,} lanes"
        parts = f" in {self.microbatches} parts" if self.microbatches > 1 else ""
        epoch = "" if self.epoch is None else f", {self.epoch:,.1f} s for {work.rows:,} rows"
        return (
            f"For {lanes} of {work.parameters:,} parameters in steps of {work.batch:,} rows, Lanewise would take "
            f"{self.mesh}{parts}: {_milliseconds(self.seconds)} a step{epoch}, {self.memory / 1e9:.1f} GB of the "
            f"{self.room / 1e9:.1f} GB of a rank; {self.why}."
        )


@dataclass(frozen=True, kw_only=True)
class MeshFindings:
    """What was measured over ``ranks``: a link, a rate, and steps beside what was predicted of them."""

    ranks: int
    hosts: int
    threads: int
    alpha: float
    beta: float
    flops: float
    memory_speed: float
    start: float
    lanes: int
    parameters: int
    batch: int
    exchanges: tuple[Checked, ...]
    steps: tuple[Timed, ...]
    proposed: str
    why: str
    planned: Planned | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def words(self) -> str:
        """The findings as a page for a terminal."""
        where = "on this host" if self.hosts == 1 else f"on {self.hosts} hosts"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''} each"
        lines = [
            f"ranks       {self.ranks} {where}, {threads}",
            f"link        alpha {1e6 * self.alpha:,.0f} us to start a message, beta {self.beta / 1e9:.2f} GB/s",
            f"rank        {self.flops / 1e9:,.0f} GFLOP/s in training, memory {self.memory_speed / 1e9:.1f} GB/s, "
            f"{1e3 * self.start:.2f} ms to start a step",
            "",
            "all-reduce of sizes that were not fitted    predicted   measured",
            *(_line(_bytes(one.size), one.predicted, one.measured) for one in self.exchanges),
            "",
            f"step of {self.lanes} lanes of {self.parameters:,} parameters, {self.batch} rows",
            "                                            predicted   measured   of it exchange",
            *(_line(one.mesh, one.predicted, one.measured, one.told) for one in self.steps),
            "",
            f"Lanewise would take {self.proposed}: {self.why}.",
            *([] if self.planned is None else ["", self.planned.words()]),
        ]
        return "\n".join(lines)


def examine_mesh(ranks: Ranks, asked: Mesh | None = None, stated: StatedWork | None = None) -> MeshFindings:
    """Measure for some seconds over the ranks that have met: all meshes of one axis, or the one ``asked`` for.

    By what was measured a mesh is proposed for the work that was ``stated``.

    Raises ``UsageError`` where the mesh does not fit the ranks, or has more than one axis that splits, and where the
    work fits no mesh.
    """
    meshes = _meshes(ranks.size, asked)
    hosts = len(set(ranks.gather(os.uname().nodename.encode())))
    threads = max(1, cores() // ranks.place.local_size)
    torch.set_num_threads(threads)
    exchanges = [_exchange(size, ranks.size) for size in sorted((*FITTED, *CHECKED))]
    hardware = _hardware(_link(exchanges), ranks)
    link = hardware.near
    work = mesh_steps.workload(ranks.size)
    steps = tuple(_timed(mesh, work, hardware) for mesh in meshes)
    proposal = propose(work, hardware, ranks.size)
    planned = None if stated is None else _planned(stated, hardware, ranks.size)
    return MeshFindings(
        ranks=ranks.size,
        hosts=hosts,
        threads=threads,
        alpha=link.alpha,
        beta=link.beta,
        flops=hardware.flops,
        memory_speed=hardware.memory_speed,
        start=hardware.start,
        lanes=work.lanes,
        parameters=work.parameters,
        batch=work.batch,
        exchanges=tuple(
            Checked(size=one.size, predicted=link.all_reduce(one.size, one.ranks), measured=one.seconds)
            for one in exchanges
            if one.size in CHECKED
        ),
        steps=steps,
        proposed=str(proposal.mesh),
        why=proposal.why,
        planned=planned,
    )


def measured_hardware(ranks: Ranks) -> Hardware:
    """What the ranks that have met reach, measured for some seconds; the times are those of the slowest."""
    return _hardware(_link([_exchange(size, ranks.size) for size in FITTED]), ranks)


def measured_link(ranks: Ranks) -> Link:
    """What the ranks that have met tell each other, from two sizes, in a third of a second; all of them call it."""
    return fit_link([_exchange(size, ranks.size, seconds=QUICK_SECONDS) for size in QUICK])


def _planned(work: StatedWork, hardware: Hardware, size: int) -> Planned:
    found = work.propose(hardware, size)
    return Planned(
        work=work,
        mesh=str(found.mesh),
        microbatches=found.microbatches,
        seconds=found.cost.seconds,
        epoch=found.cost.seconds * work.rows / work.batch if work.rows else None,
        memory=found.cost.memory,
        room=hardware.memory,
        why=found.why,
    )


def _meshes(size: int, asked: Mesh | None) -> list[Mesh]:
    if size < 2:
        message = "a mesh needs 2 ranks or more to be measured, there is 1"
        raise UsageError(message)
    if asked is None:
        found = [Mesh(**{axis: size}) for axis in AXES]
        return [mesh for mesh in found if mesh.pipeline <= mesh_steps.BLOCKS]
    mesh = asked.resolve(size)
    if len(mesh.active) > 1:
        message = f"one axis at a time is measured, got {mesh}; leave one of {', '.join(mesh.active)}"
        raise UsageError(message)
    work = mesh_steps.workload(size)
    mesh.check(hidden=mesh_steps.HIDDEN, batch=work.batch, layers=work.layers, lanes=work.lanes)
    return [mesh]


def _exchange(size: int, ranks: int, *, seconds: float | None = None) -> Exchange:
    dist: Any = importlib.import_module("torch.distributed")
    block = torch.zeros(size // 4)
    return Exchange(ranks=ranks, size=size, seconds=_median(lambda: dist.all_reduce(block), seconds))


def _link(exchanges: Sequence[Exchange]) -> Link:
    return fit_link([one for one in exchanges if one.size in FITTED])


def _hardware(link: Link, ranks: Ranks) -> Hardware:
    """What a rank reaches while all of them work: a step of one lane, a tiny one, and a copy."""
    work = mesh_steps.workload(1)
    start, whole = _median(mesh_steps.tiny()), _median(mesh_steps.alone())
    block = torch.empty(8 * MIB)
    other = torch.empty_like(block)
    copied = 2 * block.numel() * block.element_size() / _median(lambda: other.copy_(block))
    return Hardware(
        flops=work.flops / max(whole - start, 1e-9),
        memory=memory_bytes() / ranks.place.local_size,
        memory_speed=copied,
        near=link,
        far=link,
        per_host=ranks.place.local_size,
        start=start,
        scatter=2.0,  # gloo sums all and keeps its part
    )


def _timed(mesh: Mesh, work: Workload, hardware: Hardware) -> Timed:
    microbatches = mesh_steps.MICROBATCHES if mesh.pipeline > 1 else 1
    cost = predict(work, mesh, hardware, microbatches=microbatches)
    step = mesh_steps.on_mesh(make_groups(mesh), work.lanes)
    return Timed(mesh=str(mesh), predicted=cost.seconds, told=_told(cost), measured=_median(step))


def _told(cost: Cost) -> float:
    return cost.tensor + cost.shard + cost.pipeline + cost.data


def _median(work: Callable[[], object], seconds: float | None = None) -> float:
    """Seconds until all ranks have done ``work`` that they began together; the same number of rounds on each."""
    dist: Any = importlib.import_module("torch.distributed")
    work()
    times: list[float] = []
    while len(times) < ROUNDS:
        dist.barrier()
        started = time.perf_counter()
        work()
        longest = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
        dist.all_reduce(longest, op=dist.ReduceOp.MAX)
        times.append(float(longest))
        if len(times) >= 3 and sum(times) > (SECONDS if seconds is None else seconds):
            break
    return statistics.median(times)


def _line(name: str, predicted: float, measured: float, told: float | None = None) -> str:
    more = "" if told is None else f" {_milliseconds(told):>12}"
    return f"  {name:40} {_milliseconds(predicted):>10} {_milliseconds(measured):>10}{more}"


def _milliseconds(seconds: float) -> str:
    digits = 1 if seconds >= 0.01 else 2
    return f"{1e3 * seconds:,.{digits}f} ms"


def _bytes(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
