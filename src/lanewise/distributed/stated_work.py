"""Work as somebody states it who plans a mesh: a few numbers, from which the others follow."""

from dataclasses import dataclass
from math import isqrt
from typing import final

from lanewise.distributed.cost import Hardware, Workload
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.proposing import Proposal, propose
from lanewise.errors import UsageError, suggestion

NAMES = ("parameters", "batch", "lanes", "rows", "layers", "width")
NEEDED = ("parameters", "batch")

RACE = ("lane", "data")
MODEL = (("data", "shard", "tensor"), ("data", "pipeline", "shard"))
"""The axes that a race is split along, and one model: along tensor or pipeline, not both."""

FLOAT = 4


@final
@dataclass(frozen=True, kw_only=True)
class StatedWork:
    """``lanes`` models of so many ``parameters``, in steps of ``batch`` rows, over a data set of ``rows`` (0: any).

    Each has ``layers`` of a ``width``; 0 takes that of square matrices, ``sqrt(parameters / layers)``. A layer leaves
    two activations of each unit behind, and the optimizer keeps two numbers of each parameter, as Adam does.

    Raises ``UsageError`` for a number below 1, or below 0 where 0 says that there is none.
    """

    parameters: int
    batch: int
    lanes: int = 1
    rows: int = 0
    layers: int = 1
    width: int = 0

    def __post_init__(self) -> None:
        for name in NAMES:
            least = 0 if name in ("rows", "width") else 1
            if getattr(self, name) < least:
                message = f"{name} of --work must be a whole number from {least}, got {getattr(self, name)}"
                raise UsageError(message)

    @classmethod
    def parse(cls, text: str) -> "StatedWork":
        """The work that ``text`` states: ``name=number``, separated by commas.

        Raises ``UsageError`` for what is no number, and for names that do not exist, come twice or are missing.

        >>> StatedWork.parse("parameters=1e6, batch=256, lanes=64")
        StatedWork(parameters=1000000, batch=256, lanes=64, rows=0, layers=1, width=0)
        >>> StatedWork.parse("parameters=1e6")
        Traceback (most recent call last):
        lanewise.errors.UsageError: batch is missing in --work; write it as parameters=1e6,batch=256,lanes=64
        """
        numbers: dict[str, int] = {}
        for part in filter(None, (one.strip() for one in text.split(","))):
            name, _, number = (one.strip() for one in part.partition("="))
            if name not in NAMES:
                message = f"--work has no {name!r}: {suggestion(name, NAMES)}"
                raise UsageError(message)
            if name in numbers:
                message = f"{name} is given twice in --work; give each number once"
                raise UsageError(message)
            numbers[name] = _whole(name, number)
        for name in NEEDED:
            if name not in numbers:
                message = f"{name} is missing in --work; write it as parameters=1e6,batch=256,lanes=64"
                raise UsageError(message)
        return cls(**numbers)

    @property
    def workload(self) -> Workload:
        """The same as the cost model is told."""
        width = self.width or max(1, isqrt(self.parameters // self.layers))
        return Workload(
            parameters=self.parameters,
            batch=self.batch,
            lanes=self.lanes,
            layers=self.layers,
            width=width,
            activation_bytes=2.0 * FLOAT * width,
        )

    def propose(self, hardware: Hardware, size: int) -> Proposal:
        """The mesh over ``size`` ranks: of several lanes that of a race, of one that of ``lanewise.train``.

        Raises ``UsageError`` where no mesh splits it, or fits the memory of a rank.
        """
        if self.lanes > 1:
            return propose(self.workload, hardware, size, axes=RACE)
        return propose_for_one_model(self.workload, hardware, size)


def propose_for_one_model(work: Workload, hardware: Hardware, size: int) -> Proposal:
    """The mesh over ``size`` ranks, of those on which ``lanewise.train`` trains a model: they split its batch evenly.

    Raises ``UsageError`` where no mesh splits the work, or fits the memory of a rank.
    """
    found: list[Proposal] = []
    refused: list[UsageError] = []
    for axes in MODEL:
        try:
            found.append(propose(work, hardware, size, axes=axes, suits=lambda mesh: _splits_evenly(work, mesh)))
        except UsageError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return min(found, key=lambda one: one.cost.seconds)


def _splits_evenly(work: Workload, mesh: Mesh) -> bool:
    return work.batch // work.unit % (mesh.data * mesh.shard) == 0


def _whole(name: str, text: str) -> int:
    try:
        number = float(text)
        whole = int(number)
    except (ValueError, OverflowError):
        number, whole = 0.5, 0
    if number != whole or whole > 10**15:
        message = f"{name} of --work must be a whole number up to 1e15, got {text!r}"
        raise UsageError(message)
    return whole
