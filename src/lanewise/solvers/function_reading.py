"""How a user's function is understood: whom it wants as arguments, and how it is differentiated."""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.form import Form
from lanewise.solvers.functions import PlainFunction, RowFunction, TorchFunction, close, pull_back


def as_vector(output: object, *, scalar: bool, name: str) -> Tensor:
    """What a function returned as ``[M]`` in float64; raises ``UsageError`` if it is not numbers."""
    if isinstance(output, float):  # the usual one, without the looks at what else it could be
        return torch.tensor([output], dtype=torch.float64)
    if isinstance(output, tuple) and len(output) == 2 and np.ndim(output[0]) == 0 < np.ndim(output[1]):
        message = (
            f"{name} must return {'a number' if scalar else 'numbers'}, got a pair; of one that returns its value and "
            f"its derivatives give {name}=lambda x: both(x)[0] and jac=lambda x: both(x)[1]"
        )
        raise UsageError(message)
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

    asked = _Counted(fun)

    def with_tensors(row: Tensor) -> Tensor:
        return as_vector(asked(form.tensors(row)), scalar=scalar, name=name)

    def with_arrays(row: Tensor) -> Tensor:
        return as_vector(asked(form.arrays(row)), scalar=scalar, name=name)

    plain = with_tensors if form.torch else with_arrays
    low, high = bounds
    if jac is not None:

        def known(row: Tensor) -> Tensor:
            slopes = jac(form.tensors(row) if form.torch else form.arrays(row))
            return _derivatives(slopes, form, scalar=scalar)

        function = PlainFunction(single=_detached(plain), jacobian=known, low=low, high=high)
        _compare_given(function, start)
        function.looks = asked.calls - function.calls
        return Reading(function=function, words="derivatives by the given jac")
    traced = _traced(asked, form, start)
    if traced is not None:
        with torch.enable_grad():
            values = as_vector(traced.result, scalar=scalar, name=name)
        reference = values.detach()
        if not form.torch:
            try:
                with warnings.catch_warnings():  # tensors and arrays meet in this one call
                    warnings.simplefilter("ignore")
                    reference = _detached(plain)(start)
            except Exception:
                plain = with_tensors  # PyTorch operations that arrays do not have
        if form.torch or _agrees_with_differences((traced.leaf, values), reference, _detached(plain), start):
            latest = (traced.leaf, values[None])
            by_autograd = TorchFunction(single=with_tensors, looks=asked.calls, latest=latest)
            return Reading(function=by_autograd, words=f"derivatives by autograd{traced.coarse}")
    else:
        _detached(plain)(start)  # what is wrong with it is told before anything else is tried
    by_differences = PlainFunction(single=_detached(plain), low=low, high=high, looks=asked.calls)
    return Reading(function=by_differences, words="derivatives by central differences")


@dataclass(eq=False)
class _Counted:
    """A function that counts how often it was called."""

    function: Callable[..., Any]
    calls: int = 0

    def __call__(self, point: Any) -> Any:
        self.calls += 1
        return self.function(point)


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


@dataclass(frozen=True, kw_only=True)
class _Traced:
    """A call at ``leaf [1, P]`` whose ``result`` carries derivatives; ``dtype`` is that of the result."""

    leaf: Tensor
    result: Any
    dtype: torch.dtype

    @property
    def coarse(self) -> str:
        """What to tell of a result that is not float64."""
        return "" if self.dtype == torch.float64 else f", in {str(self.dtype).removeprefix('torch.')}: convert its data"


def _traced(fun: Callable[..., Any], form: Form, start: Tensor) -> _Traced | None:
    """The call with tensors, if its result carries derivatives, else None."""
    leaf = start.detach().clone()[None].requires_grad_()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            result = fun(form.tensors(leaf[0]))
    except Exception as error:
        if not form.torch or (isinstance(error, RuntimeError) and "requires grad" in str(error)):
            return None  # a function for arrays, or one that takes a tensor without derivatives only
        if isinstance(error, RuntimeError) and "dtype" in str(error):
            message = f"fun fails on a float64 point ({error}); convert the data that it uses with .double()"
            raise UsageError(message) from error
        raise
    entries = result if isinstance(result, (list, tuple)) else [result]
    traced = [entry.dtype for entry in entries if isinstance(entry, Tensor) and entry.requires_grad]
    return _Traced(leaf=leaf, result=result, dtype=traced[0]) if traced else None


def _agrees_with_differences(
    traced: tuple[Tensor, Tensor], reference: Tensor, plain: Callable[[Tensor], Tensor], start: Tensor
) -> bool:
    """Whether values are those for arrays, and the slope along a fixed direction that of a difference.

    ``traced`` are the point ``[1, P]`` and the values ``[M]`` that carry derivatives. A call such as ``math.sin(x[0])``
    drops out of the graph without a word.
    """
    leaf, values = traced
    if values.shape != reference.shape or not close(values.detach()[None], reference[None]):
        return False
    slopes = pull_back(values, leaf, torch.ones_like(values)).squeeze(0)
    draw = torch.Generator().manual_seed(0)
    scale = start.abs().clamp_min(1.0)
    for _ in range(2):
        direction = scale * (0.5 + torch.rand(len(start), generator=draw, dtype=torch.float64))
        step = 6e-6
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tensors that meet arrays, as in the call that gave the reference
                rise = plain(start + step * direction).sum() - plain(start - step * direction).sum()
        except (ArithmeticError, ValueError):  # arithmetic of Python, beside the bounds perhaps: it has no derivatives
            return False
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
