"""The lane buffer: all parameters of every lane, one lane per row."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """Name and shape ``[*shape]`` of one weight of a lane.

    ``penalised`` says whether L1, L2 and weight decay apply: to weights, not to biases and not to
    the scales of a normalization. ``fan_in`` is the width that its initial draw is scaled by. ``continues`` names the
    weight whose rows it continues: what feeds one output is then a row of both. ``rate`` and ``decay`` are what the
    learning rate and the weight decay of a lane are multiplied by for this weight: see :class:`Group`.
    """

    name: str
    shape: tuple[int, ...]
    fan_in: int
    penalised: bool = True
    continues: str = ""
    rate: float = 1.0
    decay: float = 1.0

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters of one rate and decay: ``columns`` of a row, laid out as ``layout`` says.

    Each is optimized as a parameter group of torch: a rule that sums over weights sums over those of the group.
    """

    columns: slice
    layout: "BufferLayout"
    rate: float = 1.0
    decay: float = 1.0

    @property
    def penalised(self) -> slice:
        """The columns of those that are penalised."""
        return slice(self.columns.start, self.columns.start + self.layout.penalised)


@dataclass(frozen=True)
class BufferLayout:
    """Where each parameter lies in a row; the penalised ones come first, end to end, and those of a group side by side.

    ``statistics`` are what a model keeps beside its weights: running means of a normalization, weights that are not
    trained. They lie behind the parameters; no rule sees them.
    """

    parameters: tuple[Parameter, ...]
    statistics: tuple[Parameter, ...] = ()

    @classmethod
    def of(cls, parameters: Sequence[Parameter], statistics: Sequence[Parameter] = ()) -> "BufferLayout":
        order = sorted(parameters, key=lambda own: (not own.penalised, own.rate, own.decay))
        return cls(tuple(order), tuple(statistics))

    @property
    def groups(self) -> tuple[Group, ...]:
        """The parameters by rate and decay; mostly one group, the whole row."""
        found, start = list[Group](), 0
        for (rate, decay), own in groupby(self.parameters, key=lambda own: (own.rate, own.decay)):
            layout = BufferLayout(tuple(own))
            columns = slice(start, start + layout.width)
            found.append(Group(columns=columns, layout=layout, rate=rate, decay=decay))
            start = columns.stop
        return tuple(found)

    @property
    def width(self) -> int:
        """P, the number of parameters of a lane."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def penalised(self) -> int:
        """How many entries at the start of a row are penalised."""
        return sum(parameter.size for parameter in self.parameters if parameter.penalised)

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Each parameter as a view ``[L, *shape]`` of ``buffer [L, P]``."""
        return _cut(self.parameters, buffer)

    def all_views(self, rows: Tensor) -> dict[str, Tensor]:
        """Each parameter and each of the statistics as a view ``[L, *shape]`` of ``rows [L, P + S]``."""
        return _cut((*self.parameters, *self.statistics), rows)


def _cut(parameters: Sequence[Parameter], buffer: Tensor) -> dict[str, Tensor]:
    result, start = {}, 0
    for parameter in parameters:
        piece = buffer[:, start : start + parameter.size]
        result[parameter.name] = piece.unflatten(1, parameter.shape) if parameter.shape else piece.squeeze(1)
        start += parameter.size
    return result


class Weight:
    """One parameter of every lane, as a model's forward reads it.

    ``value [L, *shape]`` is an autograd leaf over the lane buffer whose ``grad`` is a view of the
    gradient buffer. ``compute`` is what matrix products read: the value itself, or its bfloat16
    shadow. Gradients are *written*, not accumulated, so no pass over the buffer zeroes them.
    """

    __slots__ = ("compute", "value")

    def __init__(self, value: Tensor, compute: Tensor) -> None:
        self.value = value
        self.compute = compute

    def read(self) -> Tensor:
        """The value inside the autograd graph; all its uses together give one gradient."""
        return _Read.apply(self.value)  # pyright: ignore[reportReturnType]  # autograd.Function.apply is untyped


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        ctx.leaf = value
        return value.view_as(value)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> None:
        ctx.leaf.grad.copy_(grads[0])


def frozen_weights(layout: BufferLayout, values: Tensor, *, shadow: torch.dtype | None = None) -> dict[str, Weight]:
    """Weights for prediction only, over ``values [L, P + S]``: no gradients are allocated."""
    views = layout.all_views(values.to(shadow) if shadow else values)
    return {name: Weight(view, view) for name, view in views.items()}


class LaneBuffer:
    """Values and gradients ``[L, P]`` of a stack, with their views per parameter.

    ``rows [L, P + S]`` hold the values and, behind them, the statistics; without statistics they are the values.
    ``weights`` names both; the statistics are no autograd leaves, and a model writes them in place.

    ``message`` is what ranks that share a batch add up in one go: the gradients, and behind them ``beside [L]``, a
    number for every lane, and ``wish []``.
    """

    def __init__(self, layout: BufferLayout, values: Tensor, *, shadow: torch.dtype | None = None) -> None:
        self.layout = layout
        self._shadow_dtype = shadow
        self._adopt(values)

    def _adopt(self, rows: Tensor) -> None:
        self.rows = rows
        self.values = values = rows[:, : self.layout.width] if self.layout.statistics else rows
        self.message = values.new_zeros(values.numel() + len(values) + 1)
        self.gradients = self.message[: values.numel()].view(values.shape)
        self.beside = self.message[values.numel() : -1]
        self.wish = self.message[-1]
        self.shadow = values.to(self._shadow_dtype) if self._shadow_dtype else values
        gradients = self.layout.views(self.gradients)
        shadows = self.layout.views(self.shadow)
        self.weights: dict[str, Weight] = {}
        for name, view in self.layout.views(values).items():
            leaf = view.detach().requires_grad_()
            leaf.grad = gradients[name]
            self.weights[name] = Weight(leaf, shadows[name])
        if self.layout.statistics:
            # Through .data: autograd must not take a change of the statistics for one of the weights in the same row.
            views = self.layout.all_views(rows.data)
            self.weights |= {own.name: Weight(views[own.name], views[own.name]) for own in self.layout.statistics}

    def __len__(self) -> int:
        return len(self.values)

    def refresh(self) -> None:
        """Bring the low-precision shadow up to date; call after the values changed."""
        if self.shadow is not self.values:
            self.shadow.copy_(self.values)

    def keep(self, rows: Tensor) -> None:
        """Compact the buffer to ``rows [R]``, in that order."""
        self._adopt(self.rows[rows])
