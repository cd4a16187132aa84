"""Whether a mesh can split a model and its data: checked before anything starts, with the number to change."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isqrt

from lanewise.errors import UsageError

FEW = 8
"""So many numbers that would do are named at the most."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a mesh is to split; what is 0 is not checked.

    ``heads`` of attention and the width ``hidden`` are split by tensor; ``batch`` rows of a step by data and shard,
    and each rank's part into ``microbatches`` where there is a pipeline; ``layers`` by pipeline, and ``lanes`` by lane.

    Raises ``UsageError`` for a negative size.
    """

    heads: int = 0
    hidden: int = 0
    batch: int = 0
    microbatches: int = 0
    layers: int = 0
    lanes: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            size = getattr(self, field.name)
            if not isinstance(size, int) or size < 0:
                message = f"{field.name} must be a whole number from 1, or 0 where there is none, got {size!r}"
                raise UsageError(message)


def check_sizes(degrees: Mapping[str, int], sizes: Sizes) -> None:
    """Raise ``UsageError`` for the first of ``sizes`` that does not fit the ``degrees`` of a mesh."""
    tensor, pipeline = degrees["tensor"], degrees["pipeline"]
    for name in ("heads", "hidden"):
        size = getattr(sizes, name)
        if size % tensor:
            message = (
                f"{size} {'heads do' if name == 'heads' else 'hidden units do'} not split evenly over tensor={tensor}; "
                f"set tensor to {_any_of(divisors(size))}, or {name} to {_any_of(_neighbours(size, tensor))}"
            )
            raise UsageError(message)
    _enough(sizes.layers, "layers", "pipeline", pipeline)
    _enough(sizes.microbatches, "microbatches", "pipeline", pipeline, more=True)
    _enough(sizes.lanes, "lanes", "lane", degrees["lane"])
    _check_batch(degrees, sizes)


def _check_batch(degrees: Mapping[str, int], sizes: Sizes) -> None:
    """Rows of a batch go to data x shard ranks, and in a pipeline into microbatches of one size."""
    parts = {axis: degrees[axis] for axis in ("data", "shard") if degrees[axis] > 1}
    if degrees["pipeline"] > 1 and sizes.microbatches > 1:
        parts["microbatches"] = sizes.microbatches
    unit = 1
    for number in parts.values():
        unit *= number
    if sizes.batch % unit:
        over = " x ".join(f"{name}={number}" for name, number in parts.items())
        message = (
            f"a batch of {sizes.batch} rows does not split evenly over {over}; set batch to "
            f"{_any_of(_neighbours(sizes.batch, unit))}, or change {' or '.join(parts)}"
        )
        raise UsageError(message)


def _enough(size: int, name: str, axis: str, degree: int, *, more: bool = False) -> None:
    if 0 < size < degree:
        change = f"set {name} to {degree} or more" if more else f"set {axis} to {size} or less"
        other = f"{axis} to {size} or less" if more else f"{name} to {degree} or more"
        message = f"{size} {name} are too few for {axis}={degree}, each needs one at least; {change}, or {other}"
        raise UsageError(message)


def divisors(size: int) -> list[int]:
    """All numbers that divide ``size``, in ascending order."""
    small = [number for number in range(1, isqrt(size) + 1) if size % number == 0]
    return sorted({*small, *(size // number for number in small)})


def _neighbours(size: int, unit: int) -> list[int]:
    """The multiples of ``unit`` next to ``size``."""
    below = size // unit * unit
    return [number for number in (below, below + unit) if number]


def _any_of(numbers: list[int]) -> str:
    named = numbers if len(numbers) <= FEW else [*numbers[: FEW - 1], numbers[-1]]
    words = [str(number) for number in named]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
