"""The rows that a round is about: many as vectors, a single one as views of the state and as Python's own numbers.

A round takes some hundred decisions about numbers, each of them for every row. Over many rows they are operations on
vectors; for one row such an operation costs far more than what it computes. So the decisions are written once, over
:data:`Scalar`; what a scalar is depends on how many rows there are. Both give the same numbers, to the last bit.
"""

import math
from typing import Any, final

import torch
from torch import Tensor

from lanewise.optim.leaves import choose

Scalar = Any
"""A number for each row: a tensor ``[R]`` for many, a float, an int or a bool for one."""


@final
class Rows:
    """``numbers [R]`` of rows; ``at`` selects them from a state.

    A single row of a state in float64 on the CPU stands ``apart``: ``at`` is a slice, and what it selects is a view.
    """

    __slots__ = ("apart", "at", "numbers", "place")

    def __init__(self, numbers: Tensor, *, apart: bool) -> None:
        self.numbers = numbers
        self.apart = apart
        self.place: Any = int(numbers) if apart else numbers
        self.at: Any = slice(self.place, self.place + 1) if apart else numbers

    @classmethod
    def of(cls, numbers: Tensor, like: Tensor) -> "Rows":
        """The rows ``numbers [R]`` of a state whose points are ``like [L, P]``."""
        return cls(numbers, apart=len(numbers) == 1 and like.dtype == torch.float64 and like.is_cpu)

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, tensor: Tensor) -> Tensor:
        """``[R, ...]`` of ``tensor [L, ...]``: a view for one row, a copy for many."""
        return tensor[self.at] if self.apart else tensor.index_select(0, self.numbers)

    def read(self, tensor: Tensor) -> Scalar:
        """A number for each row, of ``tensor [L]``."""
        return tensor[self.place].item() if self.apart else tensor[self.numbers]

    def columns(self, table: Tensor) -> tuple[Scalar, ...]:
        """The columns of ``table [L, C]``, each a number for each row."""
        return tuple(table[self.place].tolist()) if self.apart else table[self.numbers].unbind(1)

    def split(self, table: Tensor) -> tuple[Scalar, ...]:
        """The same of a table of these rows only, ``[R, C]``."""
        return tuple(table[0].tolist()) if self.apart else table.unbind(1)

    def scalar(self, vector: Tensor) -> Scalar:
        """``vector [R]`` as a number for each row."""
        return vector.item() if self.apart else vector

    def across(self, scalar: Scalar) -> Scalar:
        """A number for each row, as a factor of ``[R, P]``."""
        return scalar if self.apart else scalar[:, None]

    def count(self, tensor: Tensor) -> Scalar:
        """Add one to each row of ``tensor [L]``; the new numbers."""
        if self.apart:
            return tensor[self.at].add_(1).item()
        more = tensor[self.numbers] + 1
        tensor[self.numbers] = more
        return more

    def among(self, chosen: Scalar) -> "tuple[Any, Rows] | None":
        """Where in ``[R, ...]`` the rows are for which ``chosen`` is true, and these rows; None if there is none."""
        if self.apart:
            return (slice(None), self) if chosen else None
        index = chosen.nonzero().squeeze(1)
        if len(index) == len(self):
            return slice(None), self
        return (index, Rows(self.numbers[index], apart=False)) if len(index) else None

    def pick(self, scalar: Scalar, index: Any) -> Scalar:
        """A number for each of the rows at ``index``, as :meth:`among` gave it."""
        return scalar if self.apart else scalar[index]


def table(*columns: Scalar) -> Tensor:
    """The inverse of :meth:`Rows.columns`: ``[R, C]``."""
    return (
        torch.stack(columns, dim=1) if isinstance(columns[0], Tensor) else torch.tensor([columns], dtype=torch.float64)
    )


def alike(scalar: Scalar, number: float) -> Scalar:
    """``number`` for as many rows as ``scalar``."""
    return torch.full_like(scalar, number) if isinstance(scalar, Tensor) else number


def negate(condition: Scalar) -> Scalar:
    """Whether ``condition`` does not hold."""
    return ~condition if isinstance(condition, Tensor) else not condition


def finite(scalar: Scalar) -> Scalar:
    """Whether a number is neither infinite nor nan."""
    return scalar.isfinite() if isinstance(scalar, Tensor) else math.isfinite(scalar)


def lesser(one: Scalar, other: Scalar) -> Scalar:
    """The smaller of two numbers; ``other`` where ``one`` is nan."""
    return choose(one < other, one, other)


def clamp(scalar: Scalar, low: float, high: float = math.inf) -> Scalar:
    """The nearest number from ``low`` to ``high``; nan stays nan."""
    if isinstance(scalar, Tensor):
        return scalar.clamp(low, high)
    return low if scalar < low else high if scalar > high else scalar


def root(scalar: Scalar) -> Scalar:
    """``sqrt``, as tensors have it: the last bit may be another than Python's."""
    return scalar.sqrt() if isinstance(scalar, Tensor) else torch.tensor(scalar, dtype=torch.float64).sqrt().item()


def divide(above: Scalar, below: Scalar) -> Scalar:
    """``above / below``; by zero as tensors have it, infinite or nan."""
    if isinstance(below, Tensor) or below != 0:
        return above / below
    return math.nan if above == 0 or math.isnan(above) else math.copysign(math.inf, above) * math.copysign(1.0, below)
