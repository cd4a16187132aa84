"""A user's function of one point, evaluated and differentiated over many rows at once.

A PyTorch function is batched over rows by ``torch.func.vmap`` and differentiated by autograd; the
first batch is compared with single calls, and if values or derivatives differ, or vmap refuses,
rows are evaluated one after another. Any other Python function is called row by row with arrays
and differentiated by central differences.
"""

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from lanewise.errors import UsageError
from lanewise.solvers.form import Form

Pullback = Callable[[Tensor], Tensor]
AGREEMENT = 1e-9  # relative difference allowed between a batch and single calls: another order of sums
PROBES = 3  # rows of the first batch that are compared with single calls


class RowFunction(ABC):
    """Values ``[R, M]`` of a function over rows, with first derivatives; ``calls`` counts points evaluated."""

    calls: int
    exact: bool
    """Whether derivatives are exact rather than differences."""

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


def as_vector(output: object, *, scalar: bool, name: str) -> Tensor:
    """What a function returned as ``[M]`` in float64; raises ``UsageError`` if it is not numbers."""
    if isinstance(output, (list, tuple)) and any(isinstance(entry, Tensor) for entry in output):
        output = torch.stack([torch.as_tensor(entry, dtype=torch.float64) for entry in output])
    tensor = output if isinstance(output, Tensor) else None
    if tensor is None and output is not None:  # None would become nan
        with contextlib.suppress(TypeError, ValueError):
            tensor = torch.from_numpy(np.array(output, dtype=np.float64))
    if tensor is None:
        message = f"{name} must return {'a number' if scalar else 'numbers'}, got {output!r:.80}"
        raise UsageError(message)
    if scalar and tensor.numel() != 1:
        message = (
            f"{name} must return one number, got the shape {list(tensor.shape)}; if these are residuals "
            "whose squares are to be summed, say residuals=True"
        )
        raise UsageError(message)
    if tensor.is_complex():
        message = f"{name} must return real numbers, got {tensor.dtype}"
        raise UsageError(message)
    return tensor.reshape(-1).to(torch.float64)


@final
@dataclass(kw_only=True, eq=False)
class TorchFunction(RowFunction):
    """A function of PyTorch operations; ``single`` maps a row ``[P]`` to ``[M]``."""

    single: Callable[[Tensor], Tensor]
    calls: int = 0
    exact: bool = True
    batched: bool | None = field(default=None)
    """Whether rows go through vmap; None until the first batch has been compared."""

    def values(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return self._forward(points)

    def linearize(self, points: Tensor) -> tuple[Tensor, Pullback]:
        leaf, values = self._graph(points)

        def pull(weights: Tensor) -> Tensor:
            return _gradient(values, leaf, weights)

        return values.detach(), pull

    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        leaf, values = self._graph(points)
        count, width = values.shape[1], points.shape[1]
        if not values.requires_grad:
            return values.detach(), points.new_zeros(len(points), count, width)
        if count <= width:
            rows = [_gradient(values, leaf, _unit(values, place), retain=True) for place in range(count)]
            return values.detach(), torch.stack(rows, dim=1)
        # J v is the derivative of u -> v'J'u, which is linear in u: one pass per variable, not per residual.
        probe = torch.zeros_like(values, requires_grad=True)
        pulled = _gradient(values, leaf, probe, create=True)
        if not pulled.requires_grad:
            return values.detach(), points.new_zeros(len(points), count, width)
        columns = [_gradient(pulled, probe, _unit(pulled, place), retain=True) for place in range(width)]
        return values.detach(), torch.stack(columns, dim=2)

    def second(self, points: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        leaf, values = self._graph(points)
        gradients = _gradient(values, leaf, weights, create=True)
        return lambda vectors: _gradient(gradients, leaf, vectors, retain=True)

    def _graph(self, points: Tensor) -> tuple[Tensor, Tensor]:
        leaf = points.detach().clone().requires_grad_()
        with torch.enable_grad():
            return leaf, self._forward(leaf)

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
        with torch.enable_grad():
            apart = points.clone().requires_grad_()
            alone = torch.stack([self.single(point) for point in apart.unbind(0)])
            alone_gradients = _gradient(alone, apart, torch.ones_like(alone))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    leaf = points.clone().requires_grad_()
                    batch = vmap(self.single)(leaf)
                    gradients = _gradient(batch, leaf, torch.ones_like(batch))
            except Exception:
                return False  # whatever vmap cannot batch is evaluated row by row
        return batch.shape == alone.shape and _close(batch, alone) and _close(gradients, alone_gradients)


def _close(left: Tensor, right: Tensor) -> bool:
    size = right.detach()[right.isfinite()].abs()
    scale = float(size.max()) if len(size) else 1.0
    return torch.allclose(left, right, rtol=AGREEMENT, atol=AGREEMENT * scale, equal_nan=True)


def _unit(like: Tensor, place: int) -> Tensor:
    weights = torch.zeros_like(like)
    weights[:, place] = 1.0
    return weights


def _gradient(values: Tensor, leaf: Tensor, weights: Tensor, *, retain: bool = True, create: bool = False) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(
        values, leaf, weights, retain_graph=retain or create, create_graph=create, materialize_grads=True
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

    @property
    def exact(self) -> bool:  # type: ignore[override]
        return self.jacobian is not None

    def values(self, points: Tensor) -> Tensor:
        self.calls += len(points)
        return torch.stack([self.single(point).to(points) for point in points.unbind(0)])

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
        columns = []
        for place in range(points.shape[1]):
            first, second = points.clone(), points.clone()
            first[:, place] += near[:, place]
            second[:, place] += far[:, place]
            a, b = (first - points)[:, place, None], (second - points)[:, place, None]
            slope = ((function(first) - values) * (b / a) - (function(second) - values) * (a / b)) / (b - a)
            columns.append(slope)
        return torch.stack(columns, dim=2)

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


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a function was understood: the function over rows, and a sentence on its derivatives."""

    function: RowFunction
    words: str


def read_function(
    fun: Callable[..., Any],
    form: Form,
    start: Tensor,
    *,
    scalar: bool,
    name: str,
    jac: Callable[..., Any] | None = None,
    bounds: tuple[Tensor | None, Tensor | None] = (None, None),
) -> Reading:
    """Find out by calls at ``start [P]`` how ``fun`` is to be called and differentiated.

    With tensors in ``x0`` it gets tensors. With numbers or arrays it is tried with tensors all the
    same; if the result carries derivatives, and they agree with differences, autograd is used.
    """
    if not callable(fun):
        message = f"{name} must be a function, got {fun!r:.80}"
        raise UsageError(message)

    def with_tensors(row: Tensor) -> Tensor:
        return as_vector(fun(form.tensors(row)), scalar=scalar, name=name)

    def with_arrays(row: Tensor) -> Tensor:
        return as_vector(fun(form.arrays(row)), scalar=scalar, name=name)

    plain = with_tensors if form.torch else with_arrays
    low, high = bounds
    if jac is not None:

        def known(row: Tensor) -> Tensor:
            slopes = jac(form.tensors(row) if form.torch else form.arrays(row))
            return _derivatives(slopes, form, scalar=scalar)

        function = PlainFunction(single=_detached(plain), jacobian=known, low=low, high=high)
        _compare_given(function, start)
        return Reading(function=function, words="derivatives by the given jac")
    traced = _traced(fun, form, start)
    try:
        with warnings.catch_warnings():
            if traced:  # tensors and arrays meet in this one call
                warnings.simplefilter("ignore")
            reference = _detached(plain)(start)
    except Exception:
        if not traced or form.torch:
            raise
        plain = with_tensors  # PyTorch operations that arrays do not have
        reference = _detached(plain)(start)
    if traced and (form.torch or _agrees_with_differences(with_tensors, reference, _detached(plain), start)):
        return Reading(function=TorchFunction(single=with_tensors), words="derivatives by autograd")
    by_differences = PlainFunction(single=_detached(plain), low=low, high=high)
    return Reading(function=by_differences, words="derivatives by central differences")


def _detached(single: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(row: Tensor) -> Tensor:
        with torch.no_grad():
            return single(row.detach())

    return call


def _derivatives(slopes: object, form: Form, *, scalar: bool) -> Tensor:
    """What ``jac`` returned as ``[M, P]``: for a scalar function in the form of the point."""
    if scalar:
        return form.row(slopes, "the result of jac")[None]
    matrix = torch.as_tensor(np.asarray(slopes) if not isinstance(slopes, Tensor) else slopes, dtype=torch.float64)
    if matrix.ndim != 2 or matrix.shape[1] != form.width:
        message = f"jac must return [residuals, {form.width}], got the shape {list(matrix.shape)}"
        raise UsageError(message)
    return matrix


def _traced(fun: Callable[..., Any], form: Form, start: Tensor) -> bool:
    """Whether the result of a call with tensors carries derivatives."""
    leaf = start.detach().clone().requires_grad_()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            result = fun(form.tensors(leaf))
    except Exception:
        if form.torch:
            raise
        return False  # a function for arrays
    entries = result if isinstance(result, (list, tuple)) else [result]
    return any(isinstance(entry, Tensor) and entry.requires_grad for entry in entries)


def _agrees_with_differences(
    single: Callable[[Tensor], Tensor], reference: Tensor, plain: Callable[[Tensor], Tensor], start: Tensor
) -> bool:
    """Whether values are those for arrays, and the slope along a fixed direction that of a difference.

    A call such as ``math.sin(x[0])`` drops out of the graph without a word.
    """
    leaf = start.detach().clone().requires_grad_()
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        values = single(leaf)
        if values.shape != reference.shape or not _close(values.detach()[None], reference[None]):
            return False
        slopes = _gradient(values, leaf, torch.ones_like(values))
    draw = torch.Generator().manual_seed(0)
    scale = start.abs().clamp_min(1.0)
    for _ in range(2):
        direction = scale * (0.5 + torch.rand(len(start), generator=draw, dtype=torch.float64))
        step = 6e-6
        rise = plain(start + step * direction).sum() - plain(start - step * direction).sum()
        expected = float(rise / (2 * step))
        found = float((slopes * direction).sum())
        size = float((slopes * direction).abs().sum()) + 1e-4 * float(reference.abs().sum()) + 1e-12
        if not abs(found - expected) <= 1e-3 * max(size, abs(expected)):
            return not np.isfinite(expected)
    return True


def _compare_given(function: PlainFunction, start: Tensor) -> None:
    """Refuse a ``jac`` that is plainly another function's: compared with differences at the start."""
    values, given = function.jacobians(start[None])
    if given.shape[1] != values.shape[1]:
        message = f"jac must return one row per residual, {values.shape[1]}; got {given.shape[1]}"
        raise UsageError(message)
    found = PlainFunction(single=function.single, low=function.low, high=function.high).jacobians(start[None])[1]
    scale = found[found.isfinite()].abs()
    if not len(scale) or not bool(found.isfinite().all()):
        return
    worst = (given - found).abs().amax()
    if not float(worst) <= 1e-2 * max(1.0, float(scale.max())):
        place = int((given - found).abs().amax((0, 1)).argmax())
        message = (
            f"jac disagrees with differences of the function at x0: entry {place} is "
            f"{float(given[0, :, place].flatten()[0]):.6g} where differences give "
            f"{float(found[0, :, place].flatten()[0]):.6g}; correct jac, or leave it out"
        )
        raise UsageError(message)
