"""A user's function of one point, evaluated and differentiated over many rows at once.

A PyTorch function is batched over rows by ``torch.func.vmap`` and differentiated by autograd; the
first batch is compared with single calls, and if values or derivatives differ, or vmap refuses,
rows are evaluated one after another. Any other Python function is called row by row with arrays
and differentiated by central differences.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Self, final

import torch
from torch import Tensor
from torch.func import vmap

Pullback = Callable[[Tensor], Tensor]
AGREEMENT = 1e-9  # relative difference allowed between a batch and single calls: another order of sums
AT_ONCE = 1 << 20  # numbers of the points beside others that are made at once
PROBES = 3  # rows of the first batch that are compared with single calls


class RowFunction(ABC):
    """Values ``[R, M]`` of a function over rows, with first derivatives.

    ``calls`` counts the points evaluated, those of differences among them; ``looks`` those that only told how the
    function is to be called.
    """

    calls: int
    looks: int
    exact: bool
    """Whether derivatives are exact rather than differences."""

    def fresh(self) -> Self:
        """The same function with its counts at zero, and nothing remembered that would not be counted."""
        one = copy(self)
        one.calls = one.looks = 0
        return one

    @abstractmethod
    def values(self, points: Tensor) -> Tensor:
        """``[R, M]`` at ``points [R, P]``; M is 1 for a scalar function."""

    @abstractmethod
    def linearize(self, points: Tensor) -> tuple[Tensor, Pullback]:
        """Values ``[R, M]``, and a function from weights ``[R, M]`` to ``sum_m w_m grad f_m``, ``[R, P]``."""

    @abstractmethod
    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``[R, M]`` and derivatives ``[R, M, P]``."""

    @abstractmethod
    def second(self, points: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """A function that multiplies vectors ``[R, P]`` by the Hessians of ``sum_m w_m f_m``."""


@final
@dataclass(kw_only=True, eq=False)
class TorchFunction(RowFunction):
    """A function of PyTorch operations; ``single`` maps a row ``[P]`` to ``[M]``."""

    single: Callable[[Tensor], Tensor]
    calls: int = 0
    looks: int = 0
    exact: bool = True
    batched: bool | None = field(default=None)
    """Whether rows go through vmap; None until the first batch has been compared."""
    latest: tuple[Tensor, Tensor] | None = field(default=None, repr=False)
    """The latest single point ``[1, P]`` and its values ``[1, M]`` with their graph: many ask about a start in turn."""

    def fresh(self) -> Self:
        one = super().fresh()
        one.latest = None
        return one

    def values(self, points: Tensor) -> Tensor:
        if (known := self._known(points)) is not None:
            return known[1].detach()
        with torch.no_grad():
            return self._forward(points)

    def linearize(self, points: Tensor) -> tuple[Tensor, Pullback]:
        leaf, values = self._graph(points)

        def pull(weights: Tensor) -> Tensor:
            return pull_back(values, leaf, weights)

        return values.detach(), pull

    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        leaf, values = self._graph(points)
        count, width = values.shape[1], points.shape[1]
        if not values.requires_grad:
            return values.detach(), points.new_zeros(len(points), count, width)
        if count <= width:
            rows = [pull_back(values, leaf, _unit(values, place), retain=True) for place in range(count)]
            return values.detach(), torch.stack(rows, dim=1)
        # J v is the derivative of u -> v'J'u, which is linear in u: one pass per variable, not per residual.
        probe = torch.zeros_like(values, requires_grad=True)
        pulled = pull_back(values, leaf, probe, create=True)
        if not pulled.requires_grad:
            return values.detach(), points.new_zeros(len(points), count, width)
        columns = [pull_back(pulled, probe, _unit(pulled, place), retain=True) for place in range(width)]
        return values.detach(), torch.stack(columns, dim=2)

    def second(self, points: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        leaf, values = self._graph(points)
        gradients = pull_back(values, leaf, weights, create=True)
        return lambda vectors: pull_back(gradients, leaf, vectors, retain=True)

    def _known(self, points: Tensor) -> tuple[Tensor, Tensor] | None:
        known = self.latest
        return known if known is not None and len(points) == 1 and torch.equal(points, known[0]) else None

    def _graph(self, points: Tensor) -> tuple[Tensor, Tensor]:
        if (known := self._known(points)) is not None:
            return known
        self.latest = None  # its memory may be needed
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            found = leaf, self._forward(leaf)
        self.latest = found if len(points) == 1 else None
        return found

    def _forward(self, points: Tensor) -> Tensor:
        self.calls += len(points)
        if len(points) == 1:
            return self.single(points[0])[None]
        if self.batched is None:
            self.batched = self._agrees(points)
        if self.batched:
            return vmap(self.single)(points)
        return torch.stack([self.single(point) for point in points.unbind(0)])

    def _agrees(self, points: Tensor) -> bool:
        """Whether vmap gives the values and gradients of single calls, on some rows."""
        points = points.detach()[: max(2, PROBES)]
        self.looks += 2 * len(points)
        with torch.enable_grad():
            apart = points.clone().requires_grad_()
            alone = torch.stack([self.single(point) for point in apart.unbind(0)])
            alone_gradients = pull_back(alone, apart, torch.ones_like(alone))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    leaf = points.clone().requires_grad_()
                    batch = vmap(self.single)(leaf)
                    gradients = pull_back(batch, leaf, torch.ones_like(batch))
            except Exception:
                return False  # whatever vmap cannot batch is evaluated row by row
        return batch.shape == alone.shape and close(batch, alone) and close(gradients, alone_gradients)


def close(left: Tensor, right: Tensor) -> bool:
    size = right.detach()[right.isfinite()].abs()
    scale = float(size.max()) if len(size) else 1.0
    return torch.allclose(left, right, rtol=AGREEMENT, atol=AGREEMENT * scale, equal_nan=True)


def _unit(like: Tensor, place: int) -> Tensor:
    weights = torch.zeros_like(like)
    weights[:, place] = 1.0
    return weights


def pull_back(values: Tensor, leaf: Tensor, weights: Tensor, *, retain: bool = True, create: bool = False) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(leaf)
    # Told the weights themselves, torch would load sympy first, which takes most of a second.
    told = (values * weights).sum()
    (found,) = torch.autograd.grad(
        told, leaf, retain_graph=retain or create, create_graph=create, materialize_grads=True
    )
    return found


@final
@dataclass(kw_only=True, eq=False)
class PlainFunction(RowFunction):
    """Any function; ``single`` maps a row ``[P]`` to ``[M]``, ``jacobian``, if known, to ``[M, P]``.

    Without it derivatives are those of the parabola through three points: central differences, or
    one-sided ones at a bound ``low`` or ``high`` (``[P]``), beyond which the function is never called.
    """

    single: Callable[[Tensor], Tensor]
    jacobian: Callable[[Tensor], Tensor] | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    calls: int = 0
    looks: int = 0
    outputs: int | None = None
    """How many values the function returns, once it has returned any."""

    @property
    def exact(self) -> bool:  # type: ignore[override]  # a field of the base
        return self.jacobian is not None

    def values(self, points: Tensor) -> Tensor:
        self.calls += len(points)
        return torch.stack([self._value(point).to(points) for point in points.unbind(0)])

    def _value(self, point: Tensor) -> Tensor:
        """The value, or nan where arithmetic of Python fails, as NumPy and PyTorch would have it."""
        try:
            value = self.single(point)
        except (ArithmeticError, ValueError) as error:
            ours = isinstance(error, ArithmeticError) or "math domain error" in str(error)
            if self.outputs is None or not ours:
                raise
            return torch.full((self.outputs,), torch.nan, dtype=torch.float64)
        self.outputs = len(value)
        return value

    def linearize(self, points: Tensor) -> tuple[Tensor, Pullback]:
        values, jacobians = self.jacobians(points)
        return values, lambda weights: (jacobians * weights[:, :, None]).sum(1)

    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        values = self.values(points)
        if self.jacobian is not None:
            known = [self.jacobian(point).to(points) for point in points.unbind(0)]
            return values, torch.stack(known)
        return values, self._differences(points, values, self.values, power=1 / 3)

    def second(self, points: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        def gradient(where: Tensor) -> Tensor:
            pull = self.linearize(where)[1]
            return pull(weights)

        # Differences of differences lose more digits, so they need longer steps.
        power = 1 / 3 if self.exact else 1 / 5
        hessians = self._differences(points, gradient(points), gradient, power=power)
        hessians = (hessians + hessians.transpose(1, 2)) / 2
        return lambda vectors: (hessians * vectors[:, None, :]).sum(-1)

    def _differences(
        self, points: Tensor, values: Tensor, function: Callable[[Tensor], Tensor], *, power: float
    ) -> Tensor:
        """``[R, M, P]``: slope at ``points`` of the parabola through each and two points beside it."""
        near, far = self._offsets(points, torch.finfo(points.dtype).eps ** power)
        slopes = []
        for places in torch.arange(points.shape[1], device=points.device).split(max(1, AT_ONCE // points.numel())):
            at, here = torch.arange(len(places), device=points.device), points[:, places].T
            beside = points.expand(len(places), 2, *points.shape).clone()
            beside[at, 0, :, places] = here + near[:, places].T
            beside[at, 1, :, places] = here + far[:, places].T
            a, b = ((beside[at, side, :, places] - here)[:, :, None] for side in (0, 1))
            # Each in memory of its own: where numbers lie can decide on the last bits of a product.
            found = torch.stack([function(batch.clone()) for batch in beside.flatten(0, 1).unbind(0)])
            first, second = found.unflatten(0, (-1, 2)).unbind(1)
            slopes.append(((first - values) * (b / a) - (second - values) * (a / b)) / (b - a))
        return torch.stack(torch.cat(slopes).unbind(0), dim=2)

    def _offsets(self, points: Tensor, size: float) -> tuple[Tensor, Tensor]:
        step = size * points.abs().clamp_min(1.0)
        if self.low is not None and self.high is not None:
            step = torch.minimum(step, (self.high - self.low) / 4)
        near, far = step, -step
        if self.high is not None:
            over = points + step > self.high
            near, far = torch.where(over, -step, near), torch.where(over, -2 * step, far)
        if self.low is not None:
            under = points - step < self.low
            near, far = torch.where(under, step, near), torch.where(under, 2 * step, far)
        return near, far
