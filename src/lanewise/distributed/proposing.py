"""Which mesh to take: of all that fit the work and the memory the one with the shortest step, and why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

from lanewise.distributed.cost import Cost, Hardware, Workload, predict
from lanewise.distributed.fitting import divisors
from lanewise.distributed.mesh import AXES, Mesh
from lanewise.errors import UsageError

NEAR = 1.02
"""A mesh of fewer axes is taken where its step is longer by less than this factor."""

FILLS = tuple(2**power for power in range(13))
"""Microbatches that are tried, as multiples of the stages of a pipeline; without one the fewest that fit the memory."""


@final
@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A mesh, the microbatches in which a rank takes its rows, what a step costs, and why it was taken."""

    mesh: Mesh
    microbatches: int
    cost: Cost
    why: str


def propose(
    work: Workload,
    hardware: Hardware,
    size: int,
    *,
    axes: tuple[str, ...] = AXES,
    microbatches: int | None = None,
    suits: Callable[[Mesh], bool] = lambda mesh: True,
) -> Proposal:
    """The mesh over ``size`` ranks on which all lanes of ``work`` take a step soonest.

    Only ``axes`` are split, on meshes that ``suits`` does not rule out. Of meshes that take about as long, the one with
    the fewest axes that splits a model least. A rank's rows go through in ``microbatches``, None: as many as are best.

    Raises ``UsageError`` where no mesh fits the memory of a rank, with how much one would need.

    >>> from lanewise.distributed.link import Link
    >>> link = Link(alpha=1e-5, beta=1e9)
    >>> machine = Hardware(flops=1e12, memory=8e9, memory_speed=1e11, near=link, far=link)
    >>> proposal = propose(Workload(parameters=100_000, batch=256, lanes=64), machine, 4)
    >>> print(f"{proposal.mesh}: {proposal.why}")
    lane=4: 64 lanes split over 4 ranks, which tell each other nothing during a step; data=4 would take 17 times as long
    """
    candidates = (mesh for mesh in meshes(size, axes) if suits(mesh))
    tried = [one for mesh in candidates for one in _on(mesh, work, hardware, microbatches)]
    if not tried:
        message = (
            f"no mesh over {size} ranks splits this work along {', '.join(axes)}; change the number of ranks, or the "
            "rows of a batch"
        )
        raise UsageError(message)
    fitting = [one for one in tried if one.cost.lanes_at_once]
    if not fitting:
        least = min(tried, key=lambda one: one.cost.memory)
        message = (
            f"one lane needs {_gigabytes(least.cost.memory)} of a rank, which has {_gigabytes(hardware.memory)}, even "
            f"with {least.mesh} over {size} rank{'s' if size > 1 else ''}; take more ranks, or a smaller batch"
        )
        raise UsageError(message)
    soonest = min(one.cost.seconds for one in fitting)
    near = [one for one in fitting if one.cost.seconds <= NEAR * soonest]
    best = min(near, key=_intricate)
    return Proposal(
        mesh=best.mesh, microbatches=best.microbatches, cost=best.cost, why=_why(best, tried, work, hardware)
    )


def _intricate(one: Proposal) -> tuple[float, ...]:
    """How much is split, the model before all; then the seconds of a step."""
    mesh = one.mesh
    return len(mesh.active), mesh.pipeline * mesh.shard * mesh.tensor, one.cost.seconds


def meshes(size: int, axes: tuple[str, ...] = AXES) -> Iterator[Mesh]:
    """All meshes of ``size`` ranks that split no other than ``axes``.

    >>> [str(mesh) for mesh in meshes(4, ("lane", "data"))]
    ['data=4', 'lane=2,data=2', 'lane=4']
    """
    if not axes:
        if size == 1:
            yield Mesh()
        return
    for degree in divisors(size):
        for rest in meshes(size // degree, axes[1:]):
            yield Mesh(**{**rest.degrees, axes[0]: degree})


def _on(mesh: Mesh, work: Workload, hardware: Hardware, stated: int | None) -> Iterator[Proposal]:
    """What is tried on one mesh, by numbers of microbatches."""
    units = work.batch // work.unit // (mesh.data * mesh.shard)
    for microbatches in [fill * mesh.pipeline for fill in FILLS] if stated is None else [stated]:
        if microbatches > units:
            break
        try:
            cost = predict(work, mesh, hardware, microbatches=microbatches)
        except UsageError:  # it cannot split this work
            break
        yield Proposal(mesh=mesh, microbatches=microbatches, cost=cost, why="")
        if mesh.pipeline == 1 and cost.lanes_at_once:
            break


def _why(best: Proposal, tried: list[Proposal], work: Workload, hardware: Hardware) -> str:
    """What the mesh splits, and what the best one of another kind would cost."""
    words = [f"{_reasons(best.mesh, work)}"] if best.mesh.active else ["one rank does it alone"]
    others = [one for one in tried if len(one.mesh.active) <= 1 and one.mesh != best.mesh]
    simple = sorted(others, key=lambda one: one.cost.seconds)
    small = [one for one in simple if not one.cost.lanes_at_once]
    if simple and not small:
        words.append(f"{simple[0].mesh} would take {as_long(simple[0].cost.seconds / best.cost.seconds)}")
    elif small:
        least = min(small, key=lambda one: one.cost.memory)
        words.append(
            f"{least.mesh} alone would need {_gigabytes(least.cost.memory)} a rank, which has "
            f"{_gigabytes(hardware.memory)}"
        )
    return "; ".join(words)


def _reasons(mesh: Mesh, work: Workload) -> str:
    said = {
        "lane": f"{work.lanes:,} lanes split over {mesh.lane} ranks, which tell each other nothing during a step",
        "data": f"{work.batch:,} rows split over {mesh.data} ranks, which exchange gradients once a step",
        "pipeline": f"{work.layers} layers in {mesh.pipeline} stages",
        "shard": f"parameters and optimizer state kept in {mesh.shard} parts",
        "tensor": f"each matrix split over {mesh.tensor} ranks",
    }
    return ", ".join(said[axis] for axis in mesh.active)


def as_long(ratio: float, decimals: int = 1) -> str:
    """How long something takes beside something else; without a number where that would be 1.

    >>> as_long(1.96), as_long(17.2), as_long(1.04), as_long(1.04, 2)
    ('2.0 times as long', '17 times as long', 'as long', '1.04 times as long')
    """
    if abs(round(ratio, decimals) - 1.0) < 10.0 ** -(decimals + 1):
        return "as long"
    return f"{ratio:,.{decimals if ratio < 10 else 0}f} times as long"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
