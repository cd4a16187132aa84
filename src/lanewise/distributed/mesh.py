"""How the processes of a job are arranged: along which axes the work is split, and over how many ranks each.

It is arithmetic only and loads nothing; :mod:`lanewise.distributed.groups` makes process groups of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import final

from lanewise.distributed.fitting import Sizes, check_sizes
from lanewise.errors import UsageError, suggestion

AXES = ("lane", "data", "pipeline", "shard", "tensor")
"""From the outermost to the innermost. Ranks of one host have neighbouring numbers, so an axis that is further in has
the faster links. Tensor waits for the network several times in every layer; shard gathers each layer too, but beside
the computation of another; pipeline sends activations at the ends of stages only; data exchanges gradients once a
step; lane exchanges evidence once a rung."""

AUTO = "auto"
"""What stands where a mesh may be stated, for one that is chosen by what is measured."""

OPEN = -1
"""The degree of the axis that is filled from the number of processes."""


@final
@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Degrees of the axes ``lane, data, pipeline, shard, tensor``; their product is the number of processes.

    Ranks are numbered row by row: of the axes ``a_1, ..., a_5`` in the order of :data:`AXES`, with degrees ``n_i``,
    ``rank = (((a_1 * n_2 + a_2) * n_3 + a_3) * n_4 + a_4) * n_5 + a_5``.

    ==========  ============================================================================
    ``lane``    rows of the lane buffer ``[L, P]`` are split; evidence is exchanged at rungs
    ``data``    rows of a batch are split; gradients are averaged every step
    ``pipeline``  layers are split into stages; activations pass from one to the next
    ``shard``   rows of a batch are split, and with them parameters and optimizer state
    ``tensor``  each weight matrix is split; activations are added up in every layer
    ==========  ============================================================================

    One degree may be -1: :meth:`resolve` fills it. An axis of degree 1 is named and has coordinates as any other,
    and costs nothing: no process group is made for it.

    Raises ``UsageError`` for a degree that is neither positive nor -1, or where two axes are left open.

    >>> mesh = Mesh(data=-1, tensor=2).resolve(8)
    >>> str(mesh), mesh.size, mesh.active
    ('data=4,tensor=2', 8, ('data', 'tensor'))
    >>> mesh.coordinates(5)
    {'lane': 0, 'data': 2, 'pipeline': 0, 'shard': 0, 'tensor': 1}
    >>> mesh.group("data", rank=5)
    (1, 3, 5, 7)
    """

    lane: int = 1
    data: int = 1
    pipeline: int = 1
    shard: int = 1
    tensor: int = 1

    def __post_init__(self) -> None:
        for axis, degree in self.degrees.items():
            if not isinstance(degree, int) or isinstance(degree, bool) or (degree < 1 and degree != OPEN):
                message = f"{axis} of a mesh must be a whole number from 1, or -1 to be filled, got {degree!r}"
                raise UsageError(message)
        if len(self.left_open) > 1:
            message = (
                f"one axis of a mesh can be left open, got -1 for {' and '.join(self.left_open)}; give a number to all "
                "but one of them"
            )
            raise UsageError(message)

    @classmethod
    def parse(cls, text: str, *, instead: Sequence[str] = (AUTO,)) -> "Mesh":
        """The mesh that ``text`` describes: ``axis=degree``, separated by commas.

        Raises ``UsageError`` for an axis that does not exist or comes twice, and for what is no number; of a word alone
        it says what might stand ``instead`` of axes.

        >>> Mesh.parse("lane=2,data=-1")
        Mesh(lane=2, data=-1, pipeline=1, shard=1, tensor=1)
        """
        degrees: dict[str, int] = {}
        for part in filter(None, (one.strip() for one in text.split(","))):
            axis, sign, number = (one.strip() for one in part.partition("="))
            known(axis, instead=() if sign else instead)
            if axis in degrees:
                message = f"{axis} is given twice in mesh {text!r}; give each axis once"
                raise UsageError(message)
            try:
                degrees[axis] = int(number)
            except ValueError:
                message = f"{axis} of a mesh must be a whole number from 1, or -1 to be filled, got {number!r}"
                raise UsageError(message) from None
        return cls(**degrees)

    def __str__(self) -> str:
        """As :meth:`parse` reads it, without the axes of degree 1."""
        return ",".join(f"{axis}={degree}" for axis, degree in self.degrees.items() if degree != 1) or "data=1"

    @property
    def degrees(self) -> dict[str, int]:
        """The degree of every axis, the outermost first."""
        return {axis: getattr(self, axis) for axis in AXES}

    @property
    def left_open(self) -> tuple[str, ...]:
        return tuple(axis for axis, degree in self.degrees.items() if degree == OPEN)

    @property
    def size(self) -> int:
        """The number of processes; raises ``UsageError`` while an axis is open."""
        self._check_resolved()
        return prod(self.degrees.values())

    @property
    def active(self) -> tuple[str, ...]:
        """The axes that split anything, the outermost first."""
        return tuple(axis for axis, degree in self.degrees.items() if degree > 1)

    def resolve(self, size: int) -> "Mesh":
        """This mesh over ``size`` processes, every degree a number.

        Raises ``UsageError`` where the degrees do not fit, with the numbers that would.

        >>> Mesh(lane=2, data=-1).resolve(6).data
        3
        >>> Mesh(lane=2, data=4).resolve(6)
        Traceback (most recent call last):
        lanewise.errors.UsageError: mesh lane=2,data=4 is for 8 processes, there are 6; start 8, or set data=3
        """
        if size < 1:
            message = f"a job has at least 1 process, got {size}"
            raise UsageError(message)
        given = prod(degree for degree in self.degrees.values() if degree != OPEN)
        if self.left_open:
            if size % given:
                message = (
                    f"{size} processes cannot be split by mesh {self}: {size} is no multiple of {given}; start "
                    f"{_multiples(size, given)}{self._changes(size, given)}"
                )
                raise UsageError(message)
            return replace(self, **{self.left_open[0]: size // given})
        if given != size:
            there = f"there {'are' if size > 1 else 'is'} {size}; start {given}{self._changes(size, given)}"
            message = f"mesh {self} is for {given} process{'es' if given > 1 else ''}, {there}"
            raise UsageError(message)
        return self

    def coordinates(self, rank: int) -> dict[str, int]:
        """Where ``rank`` stands on every axis."""
        if not 0 <= rank < self.size:
            message = f"rank must be from 0 to {self.size - 1} in mesh {self}, got {rank}"
            raise UsageError(message)
        found: dict[str, int] = {}
        for axis in reversed(AXES):
            rank, found[axis] = divmod(rank, getattr(self, axis))
        return {axis: found[axis] for axis in AXES}

    def rank_at(self, coordinates: Mapping[str, int]) -> int:
        """The rank that stands at ``coordinates``; an axis that is not named counts as 0.

        >>> Mesh(data=4, tensor=2).rank_at({"data": 2, "tensor": 1})
        5
        """
        self._check_resolved()
        known(*coordinates)
        rank = 0
        for axis, degree in self.degrees.items():
            at = coordinates.get(axis, 0)
            if not 0 <= at < degree:
                message = f"{axis} must be from 0 to {degree - 1} in mesh {self}, got {at}"
                raise UsageError(message)
            rank = rank * degree + at
        return rank

    def group(self, *axes: str, rank: int) -> tuple[int, ...]:
        """The ranks that differ from ``rank`` along ``axes`` only, ``rank`` among them, in ascending order."""
        along, own = known(*axes), self.coordinates(rank)
        return self._spread({axis: at for axis, at in own.items() if axis not in along}, along)

    def groups(self, *axes: str) -> tuple[tuple[int, ...], ...]:
        """All groups along ``axes``: every rank is in exactly one.

        >>> Mesh(data=2, tensor=2).groups("tensor")
        ((0, 1), (2, 3))
        """
        self._check_resolved()
        along = known(*axes)
        others = [axis for axis in AXES if axis not in along]
        places = product(*(range(getattr(self, axis)) for axis in others))
        return tuple(self._spread(dict(zip(others, place, strict=True)), along) for place in places)

    def check(self, **sizes: int) -> None:
        """Check that this mesh can split what :class:`~lanewise.distributed.fitting.Sizes` names.

        Raises ``UsageError`` with the number to change.

        >>> Mesh(tensor=8).check(heads=12, layers=6)
        Traceback (most recent call last):
        lanewise.errors.UsageError: 12 heads do not split evenly over tensor=8; set tensor to 1, 2, 3, 4, 6 or 12, or
        heads to 8 or 16
        """
        check_sizes(self.degrees, Sizes(**sizes))

    def _check_resolved(self) -> None:
        for axis in self.left_open:
            message = f"{axis} of mesh {self} is open until it is known how many processes there are; resolve it first"
            raise UsageError(message)

    def _spread(self, at: Mapping[str, int], axes: tuple[str, ...]) -> tuple[int, ...]:
        along = [axis for axis in AXES if axis in axes]
        places = product(*(range(getattr(self, axis)) for axis in along))
        return tuple(self.rank_at({**at, **dict(zip(along, place, strict=True))}) for place in places)

    def _changes(self, size: int, given: int) -> str:
        """For each axis what would make the mesh fit ``size`` processes; where an axis is open, the nearest below."""
        wanted = []
        for axis, degree in self.degrees.items():
            rest = given // degree if degree > 1 else 0
            if rest and size % rest == 0:
                fits = size // rest
                if self.left_open:
                    fits = max(number for number in range(1, degree + 1) if fits % number == 0)
                wanted.append(f"{axis}={fits}")
        return f", or set {' or '.join(wanted)}" if wanted else ""


def _multiples(size: int, given: int) -> str:
    below, above = size // given * given, (size // given + 1) * given
    return f"{below} or {above}" if below else str(above)


def known(*axes: str, instead: Sequence[str] = ()) -> tuple[str, ...]:
    """``axes`` as they are; raises ``UsageError`` for one that does not exist, with what may stand ``instead``."""
    for axis in axes:
        if axis not in AXES:
            written = " or ".join([*instead, "lane=2,data=-1"])
            message = f"a mesh has no axis {axis!r}: {suggestion(axis, (*AXES, *instead))}; write it as {written}"
            raise UsageError(message)
    return axes
