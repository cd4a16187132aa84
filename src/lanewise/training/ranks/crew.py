"""The ranks of a race as a mesh: which train the same lanes, and who speaks for them."""

from dataclasses import dataclass
from typing import Any, get_args

from lanewise.distributed.data_axis import DataAxis
from lanewise.distributed.mesh import AUTO, AXES, OPEN, Mesh
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import UsageError
from lanewise.settings.fit import Payload

SPLIT = ("lane", "data")
"""The axes along which a race is split."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Crew:
    """``ranks`` arranged by ``mesh``: those of one place along lane train the same lanes.

    They share the rows of every batch along ``axis``; None where each of them trains lanes of its own.
    """

    ranks: Ranks
    mesh: Mesh
    axis: DataAxis | None = None

    @property
    def place(self) -> int:
        """Where this rank stands along lane, of ``size`` places."""
        return self.mesh.coordinates(self.ranks.rank)["lane"]

    @property
    def size(self) -> int:
        return self.mesh.lane

    @property
    def exchanged(self) -> dict[str, Any]:
        """What ranks that share batches gave to sums, and in which format, as a document has it."""
        if self.axis is None:
            return {}
        found: dict[str, Any] = {"exchanged_bytes": self.axis.exchanged}
        if self.axis.payload is not None:
            payload = str(self.axis.payload).removeprefix("torch.")
            found |= {"payload": payload, "payload_error": self.axis.rounding}
        return found

    @property
    def leads(self) -> bool:
        """Whether this rank speaks for those that train the same lanes."""
        return self.axis is None or self.axis.leads

    def first(self, place: int) -> int:
        """The rank that speaks for a place along lane."""
        return self.mesh.rank_at({"lane": place})


def mesh_of(text: str | None, size: int) -> Mesh:
    """The mesh of ``size`` ranks that ``text`` asks for; all along lane where it is None, or yet to be chosen.

    Raises ``UsageError`` where it does not fit, or names an axis that a race is not split along.

    >>> mesh_of("lane=-1,data=2", 6).lane, mesh_of(None, 4).lane
    (3, 4)
    """
    mesh = (Mesh(lane=OPEN) if text is None or text == AUTO else Mesh.parse(text)).resolve(size)
    for axis in AXES:
        if axis not in SPLIT and mesh.degrees[axis] > 1:
            message = f"a race is split along {' and '.join(SPLIT)}, got mesh {mesh}; leave {axis} out"
            raise UsageError(message)
    return mesh


def check_workers(mesh: str | None, size: int, workers: int | None) -> None:
    """``UsageError`` where each of ``size`` ranks is to have several workers, and they share batches or may come to."""
    found = mesh_of(mesh, size)
    if (workers or 1) == 1 or size == 1:
        return
    if found.data > 1:
        message = (
            f"workers must be 1 where ranks share batches, for each trains one stack at a time, got {workers}; "
            "start more ranks instead"
        )
        raise UsageError(message)
    if mesh == AUTO:
        message = (
            f"mesh auto chooses whether ranks share batches, which they do with one worker each, got {workers}; leave "
            "workers out, or mesh"
        )
        raise UsageError(message)


def check_payload(payload: Payload, mesh: str | None, size: int) -> None:
    """``UsageError`` where gradients are to travel as ``payload``, and none do: no ranks share batches.

    >>> check_payload("bfloat16", None, 4)
    Traceback (most recent call last):
    lanewise.errors.UsageError: payload bfloat16 is for gradients that ranks add up, and in mesh lane=4 no ranks share
    batches; give a mesh with the axis data, such as data=4, or leave payload out
    """
    if payload not in get_args(Payload):
        message = f"payload must be {' or '.join(get_args(Payload))}, got {payload!r}"
        raise UsageError(message)
    found = mesh_of(mesh, size)
    if payload != "full" and found.data == 1 and not (mesh == AUTO and size > 1):
        where = f"in mesh {found} no ranks share batches" if size > 1 else "there is one process"
        message = (
            f"payload {payload} is for gradients that ranks add up, and {where}; give a mesh with the axis data, such "
            f"as data={max(size, 2)}{'' if size > 1 else ', under torchrun'}, or leave payload out"
        )
        raise UsageError(message)


def check_device(device: str, mesh: str | None, size: int) -> None:
    """``UsageError`` where ranks that share batches, or may come to, are to train elsewhere than on processors.

    >>> check_device("cuda", "lane=4", 4)
    >>> check_device("cuda", "lane=2,data=2", 4)
    Traceback (most recent call last):
    lanewise.errors.UsageError: ranks that share batches train on processors only, got device cuda in mesh
    lane=2,data=2; leave data out of the mesh, so that each rank trains lanes of its own on its GPU, or use device cpu
    """
    found = mesh_of(mesh, size)
    if not device.startswith("cuda") or size == 1:
        return
    if mesh == AUTO:
        message = (
            "mesh auto chooses whether ranks share batches, which they do on processors only, got device "
            f"{device}; leave mesh out, so that each rank trains lanes of its own on its GPU, or use device cpu"
        )
        raise UsageError(message)
    if found.data > 1:
        message = (
            f"ranks that share batches train on processors only, got device {device} in mesh {found}; leave data out "
            "of the mesh, so that each rank trains lanes of its own on its GPU, or use device cpu"
        )
        raise UsageError(message)


def fitting(mesh: str | None, size: int) -> str | None:
    """The mesh, or None where it is not one of ``size`` ranks.

    >>> fitting("data=2", 2), fitting("data=2", 3)
    ('data=2', None)
    """
    try:
        mesh_of(mesh, size)
    except UsageError:
        return None
    return mesh


def crew_of(ranks: Ranks, mesh: str | None = None, *, payload: Payload = "full", resumed: bool = False) -> Crew:
    """The crew of all ``ranks``, which call this alike; those that share batches exchange gradients as ``payload``.

    A run that is ``resumed`` on a number of ranks that its mesh does not fit goes on with all of them along lane.
    """
    found = mesh_of(fitting(mesh, ranks.size) if resumed else mesh, ranks.size)
    axis = ranks.data_axis(found, payload=None if payload == "full" else payload)
    return Crew(ranks=ranks, mesh=found, axis=axis)


def lone() -> Crew:
    """One process that trains everything."""
    return crew_of(Lone())
