"""Settings of a training whose ranks average their weights every so many steps, and what it has exchanged."""

from dataclasses import dataclass
from typing import Any, final

from lanewise.distributed.apart import Apart
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.outer import Outer, outer_of
from lanewise.distributed.portion import Portion
from lanewise.errors import UsageError
from lanewise.one_model.course import whole_number
from lanewise.one_model.result import Exchange


@final
@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Every ``every`` steps the weights are averaged, and ``outer`` says what is made of the mean."""

    every: int
    outer: Outer


def averaging_of(every: int | None, outer: Any) -> Averaging | None:
    """What was asked for, checked; None where nothing was. Raises ``UsageError``.

    >>> averaging_of(100, "diloco")
    Averaging(every=100, outer=Outer(lr=0.7, momentum=0.9))
    """
    if every is None:
        if outer is not None:
            message = (
                "outer says what is made of averaged weights; give average_every, the steps between, or leave it out"
            )
            raise UsageError(message)
        return None
    return Averaging(every=whole_number("average_every", every), outer=outer_of(outer))


def check_apart(averaging: Averaging, mesh: Mesh) -> None:
    """Raise ``UsageError`` unless ``mesh``, which is resolved, has ranks along data and along nothing else."""
    others = [axis for axis in mesh.active if axis != "data"]
    if others:
        message = (
            f"average_every={averaging.every} averages whole models over the ranks along data, got mesh {mesh}; leave "
            f"{' and '.join(others)} out, or average_every"
        )
        raise UsageError(message)
    if mesh.data == 1:
        message = (
            f"average_every={averaging.every} averages over the ranks along the mesh axis data, of which there is 1; "
            "start several with torchrun --nproc-per-node, or leave average_every out"
        )
        raise UsageError(message)


def told_of(averaging: Averaging | None, mesh: Mesh) -> dict[str, Any]:
    """What ranks, and a checkpoint that is gone on from, must agree in."""
    if averaging is None:
        return {"average_every": None, "outer": None, "ranks that average": None}
    outer = averaging.outer
    told = f"lr {outer.lr:g}, momentum {outer.momentum:g}"
    return {"average_every": averaging.every, "outer": told, "ranks that average": mesh.data}


def exchange_of(portion: Portion, began: int, taken: int) -> Exchange | None:
    """What was exchanged from step ``began`` to step ``taken``; None where the ranks did not train apart."""
    if not isinstance(portion, Apart):
        return None
    return Exchange(
        bytes=portion.exchanged,
        averagings=portion.averagings,
        one_averaging=portion.one_exchange,
        steps=taken - began,
        one_gradient=portion.one_gradient,
    )
