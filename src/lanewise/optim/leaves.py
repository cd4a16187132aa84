"""Vector arithmetic over lists of leaves, so that a rule reads like its formula.

A rule sees :class:`Leaves` and scalars. Over the lane buffer a scalar is one number per row, ``[rows]``, and a
leaf is ``[rows, ...]``; over a list of ordinary tensors a scalar is a float. The names are those of torch:
a trailing underscore works in place and returns the same leaves, without it the result is new.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, final

import torch
from torch import Tensor

_torch: Final[Any] = torch  # its foreach operations are what torch.optim is made of, and untyped

Scalar = float | Tensor
"""A number: one for all, or one per row ``[rows]`` in float64."""


class Leaves(ABC):
    """Tensors that are worked on together; every operation acts on each of them.

    ``scale`` multiplies what is added. Reductions look at all leaves of a row at once and give a scalar.
    """

    __slots__ = ("tensors",)

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, at: int) -> Tensor:
        return self.tensors[at]

    def new(self, tensors: Sequence[Tensor]) -> Self:
        """Other tensors under the same arithmetic."""
        return type(self)(tensors)

    def map(self, function: Callable[..., Tensor], *others: "Leaves") -> Self:
        """``function`` of each leaf ``[rows, ...]`` and its counterparts in ``others``: what has no name below."""
        return self.new([function(*pieces) for pieces in zip(self.tensors, *others, strict=True)])

    @abstractmethod
    def mul_(self, other: "Leaves | Scalar") -> Self: ...
    @abstractmethod
    def mul(self, other: "Leaves | Scalar") -> Self: ...
    @abstractmethod
    def div_(self, other: "Leaves | Scalar") -> Self: ...
    @abstractmethod
    def add_(self, other: "Leaves | Scalar", scale: Scalar | None = None) -> Self: ...
    @abstractmethod
    def add(self, other: "Leaves | Scalar", scale: Scalar | None = None) -> Self: ...
    @abstractmethod
    def addcmul_(self, one: "Leaves", other: "Leaves", scale: Scalar) -> Self: ...
    @abstractmethod
    def addcdiv_(self, one: "Leaves", other: "Leaves", scale: Scalar) -> Self: ...
    @abstractmethod
    def lerp_(self, other: "Leaves", weight: Scalar) -> Self: ...
    @abstractmethod
    def lerp(self, other: "Leaves", weight: Scalar) -> Self: ...
    @abstractmethod
    def copy_(self, other: "Leaves") -> Self: ...
    @abstractmethod
    def maximum_(self, other: "Leaves") -> Self: ...
    @abstractmethod
    def sqrt(self) -> Self: ...
    @abstractmethod
    def sqrt_(self) -> Self: ...
    @abstractmethod
    def abs(self) -> Self: ...
    @abstractmethod
    def sign(self) -> Self: ...
    @abstractmethod
    def sign_(self) -> Self: ...
    @abstractmethod
    def clamp_(self, low: Scalar, high: Scalar) -> Self: ...
    @abstractmethod
    def dot(self, other: "Leaves") -> Scalar: ...
    @abstractmethod
    def abs_sum(self) -> Scalar: ...

    def square_sum(self) -> Scalar:
        """Sum of squares over all leaves of a row."""
        return self.dot(self)


@final
class RowLeaves(Leaves):
    """Leaves ``[rows, ...]`` of the lane buffer: every row has scalars of its own and meets no other row."""

    __slots__ = ()

    def mul_(self, other: Leaves | Scalar) -> Self:
        for leaf, value in _pairs(self, other):
            leaf.mul_(value)
        return self

    def mul(self, other: Leaves | Scalar) -> Self:
        return self.new([leaf * value for leaf, value in _pairs(self, other)])

    def div_(self, other: Leaves | Scalar) -> Self:
        for leaf, value in _pairs(self, other):
            leaf.div_(value)
        return self

    def add_(self, other: Leaves | Scalar, scale: Scalar | None = None) -> Self:
        for leaf, value in _pairs(self, other):
            if scale is None:
                leaf.add_(value)
            else:
                leaf.addcmul_(value, rowwise(scale, leaf))
        return self

    def add(self, other: Leaves | Scalar, scale: Scalar | None = None) -> Self:
        if scale is None:
            return self.new([leaf + value for leaf, value in _pairs(self, other)])
        return self.new([torch.addcmul(leaf, value, rowwise(scale, leaf)) for leaf, value in _pairs(self, other)])

    def addcmul_(self, one: Leaves, other: Leaves, scale: Scalar) -> Self:
        for leaf, left, right in zip(self.tensors, one.tensors, other.tensors, strict=True):
            leaf.addcmul_(left, right * rowwise(scale, leaf))
        return self

    def addcdiv_(self, one: Leaves, other: Leaves, scale: Scalar) -> Self:
        for leaf, above, below in zip(self.tensors, one.tensors, other.tensors, strict=True):
            leaf.addcdiv_(above * rowwise(scale, leaf), below)
        return self

    def lerp_(self, other: Leaves, weight: Scalar) -> Self:
        for leaf, towards in zip(self.tensors, other.tensors, strict=True):
            leaf.lerp_(towards, rowwise(weight, leaf))
        return self

    def lerp(self, other: Leaves, weight: Scalar) -> Self:
        pairs = zip(self.tensors, other.tensors, strict=True)
        return self.new([leaf.lerp(towards, rowwise(weight, leaf)) for leaf, towards in pairs])

    def copy_(self, other: Leaves) -> Self:
        for leaf, value in zip(self.tensors, other.tensors, strict=True):
            leaf.copy_(value)
        return self

    def maximum_(self, other: Leaves) -> Self:
        for leaf, value in zip(self.tensors, other.tensors, strict=True):
            torch.maximum(leaf, value, out=leaf)
        return self

    def sqrt(self) -> Self:
        return self.new([leaf.sqrt() for leaf in self.tensors])

    def sqrt_(self) -> Self:
        for leaf in self.tensors:
            leaf.sqrt_()
        return self

    def abs(self) -> Self:
        return self.new([leaf.abs() for leaf in self.tensors])

    def sign(self) -> Self:
        return self.new([leaf.sign() for leaf in self.tensors])

    def sign_(self) -> Self:
        for leaf in self.tensors:
            leaf.sign_()
        return self

    def clamp_(self, low: Scalar, high: Scalar) -> Self:
        for leaf in self.tensors:
            leaf.clamp_(rowwise(low, leaf), rowwise(high, leaf))
        return self

    def dot(self, other: Leaves) -> Tensor:
        pairs = zip(self.tensors, other.tensors, strict=True)
        return _total([(leaf * value).flatten(1).sum(1, dtype=torch.float64) for leaf, value in pairs])

    def abs_sum(self) -> Tensor:
        return _total([leaf.abs().flatten(1).sum(1, dtype=torch.float64) for leaf in self.tensors])


@final
class ListLeaves(Leaves):
    """Leaves of one row, ordinary tensors of one dtype; a scalar is a float, an operation one foreach call."""

    __slots__ = ()

    def mul_(self, other: Leaves | Scalar) -> Self:
        _torch._foreach_mul_(self.tensors, _operand(other))
        return self

    def mul(self, other: Leaves | Scalar) -> Self:
        return self.new(_torch._foreach_mul(self.tensors, _operand(other)))

    def div_(self, other: Leaves | Scalar) -> Self:
        _torch._foreach_div_(self.tensors, _operand(other))
        return self

    def add_(self, other: Leaves | Scalar, scale: Scalar | None = None) -> Self:
        if isinstance(other, Leaves):
            _torch._foreach_add_(self.tensors, other.tensors, alpha=1.0 if scale is None else scale)
        else:
            _torch._foreach_add_(self.tensors, other if scale is None else other * scale)
        return self

    def add(self, other: Leaves | Scalar, scale: Scalar | None = None) -> Self:
        if isinstance(other, Leaves):
            return self.new(_torch._foreach_add(self.tensors, other.tensors, alpha=1.0 if scale is None else scale))
        return self.new(_torch._foreach_add(self.tensors, other if scale is None else other * scale))

    def addcmul_(self, one: Leaves, other: Leaves, scale: Scalar) -> Self:
        _torch._foreach_addcmul_(self.tensors, one.tensors, other.tensors, value=scale)
        return self

    def addcdiv_(self, one: Leaves, other: Leaves, scale: Scalar) -> Self:
        _torch._foreach_addcdiv_(self.tensors, one.tensors, other.tensors, value=scale)
        return self

    def lerp_(self, other: Leaves, weight: Scalar) -> Self:
        _torch._foreach_lerp_(self.tensors, other.tensors, weight)
        return self

    def lerp(self, other: Leaves, weight: Scalar) -> Self:
        return self.new(_torch._foreach_lerp(self.tensors, other.tensors, weight))

    def copy_(self, other: Leaves) -> Self:
        _torch._foreach_copy_(self.tensors, other.tensors)
        return self

    def maximum_(self, other: Leaves) -> Self:
        _torch._foreach_maximum_(self.tensors, other.tensors)
        return self

    def sqrt(self) -> Self:
        return self.new(_torch._foreach_sqrt(self.tensors))

    def sqrt_(self) -> Self:
        _torch._foreach_sqrt_(self.tensors)
        return self

    def abs(self) -> Self:
        return self.new(_torch._foreach_abs(self.tensors))

    def sign(self) -> Self:
        return self.new(_torch._foreach_sign(self.tensors))

    def sign_(self) -> Self:
        _torch._foreach_sign_(self.tensors)
        return self

    def clamp_(self, low: Scalar, high: Scalar) -> Self:
        _torch._foreach_clamp_min_(self.tensors, low)
        _torch._foreach_clamp_max_(self.tensors, high)
        return self

    def dot(self, other: Leaves) -> float:
        pairs = zip(self.tensors, other.tensors, strict=True)
        return _item([(leaf * value).sum(dtype=torch.float64) for leaf, value in pairs])

    def abs_sum(self) -> float:
        return _item([leaf.abs().sum(dtype=torch.float64) for leaf in self.tensors])


def _pairs(leaves: Leaves, other: Leaves | Scalar) -> Iterator[tuple[Tensor, Tensor]]:
    if isinstance(other, Leaves):
        return zip(leaves.tensors, other.tensors, strict=True)
    return ((leaf, rowwise(other, leaf)) for leaf in leaves.tensors)


def _operand(other: Leaves | Scalar) -> Sequence[Tensor] | Scalar:
    return other.tensors if isinstance(other, Leaves) else other


def _total(sums: list[Tensor]) -> Tensor:
    return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)


def _item(sums: list[Tensor]) -> float:
    return float(torch.stack([one.to(sums[0].device) for one in sums]).sum()) if sums else 0.0


def rowwise(values: Scalar, leaf: Tensor) -> Tensor:
    """``values [R]`` shaped to broadcast against ``leaf [R, ...]``, in the leaf's dtype; a float stays a number."""
    if not isinstance(values, Tensor):
        return leaf.new_full((), values)  # filled on the device, which a CUDA graph can record
    return values.to(leaf.dtype).view(-1, *([1] * (leaf.dim() - 1)))


def square_root(value: Scalar) -> Scalar:
    """``sqrt`` of a scalar; of a negative float it is nan, as torch has it."""
    if isinstance(value, Tensor):
        return value.sqrt()
    return math.sqrt(value) if value >= 0 else math.nan


def logarithm(value: Scalar) -> Scalar:
    """Natural logarithm of a scalar; of zero it is minus infinity, of a negative float nan, as torch has it."""
    if isinstance(value, Tensor):
        return value.log()
    if value > 0:
        return math.log(value)
    return -math.inf if value == 0 else math.nan


def exponential(value: Scalar) -> Scalar:
    """``e^value`` of a scalar."""
    return value.exp() if isinstance(value, Tensor) else math.exp(value)


def larger(one: Scalar, other: Scalar) -> Scalar:
    """The larger of two scalars, nan if either is."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        one, other = torch.as_tensor(one, dtype=torch.float64), torch.as_tensor(other, dtype=torch.float64)
        return torch.maximum(one, other)
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)


def choose(condition: "bool | Tensor", one: Scalar, other: Scalar) -> Scalar:
    """``one`` where the condition holds, else ``other``; a row that is not chosen cannot spoil the result."""
    if isinstance(condition, Tensor):
        return torch.where(condition, one, other)
    return one if condition else other


def quotient(above: Scalar, below: Scalar) -> Scalar:
    """``above / below``; zero divided by zero is zero: nothing seen yet, nothing to do."""
    if isinstance(below, Tensor):
        return torch.where(below == 0, torch.zeros_like(below), above / below)
    return above / below if below != 0 else 0.0


def bias_correction(beta: Scalar, step: Scalar) -> Scalar:
    """``1 - beta^step``, what a zero-started running mean still lacks (Kingma & Ba 2015, section 3)."""
    if isinstance(beta, Tensor):
        return -torch.expm1(step * torch.log(beta))
    return 1 - beta**step
