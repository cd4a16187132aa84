"""``method="auto"``: which method is taken, and the sentence that says why."""

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from lanewise.data.wording import counted
from lanewise.optim.proximal import L1, Penalty
from lanewise.solvers.functions import RowFunction
from lanewise.solvers.smooth_methods import LARGE

GRID = 1000  # combinations up to which all are tried


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is known of a problem when a method is chosen."""

    variables: int
    derivatives: str
    smooth: bool
    rough: str
    bounded: bool
    constrained: bool
    residuals: bool
    penalty: Penalty | None = None
    combinations: float = float("inf")
    """Of whole numbers and categories; infinite where a variable is real."""
    mixed: bool = False
    """Whether variables were stated rather than a vector given."""


def choose(traits: Traits) -> tuple[str, str]:
    """Name of the method and why it was chosen.

    >>> choose(Traits(variables=2, derivatives="derivatives by autograd", smooth=True, rough="",
    ...               bounded=False, constrained=False, residuals=False))
    ('bfgs', 'a smooth function of 2 variables, few enough for a dense matrix; derivatives by autograd')
    """
    count = counted(traits.variables, "variable")
    if traits.mixed:
        return _over_variables(traits, count)
    if traits.penalty is not None:
        return _with_penalty(traits, count)
    if not traits.smooth:
        return _without_derivatives(traits, count)
    if traits.constrained:
        name, words = "augmented-lagrangian", f"a smooth problem with constraints in {count}"
    elif traits.residuals:
        name, words = "levenberg-marquardt", f"a sum of squared residuals in {count}"
    elif traits.variables <= LARGE:
        name, words = "bfgs", f"a smooth function of {count}, few enough for a dense matrix"
    else:
        name, words = "lbfgs", f"a smooth function of {count}, too many for a dense matrix"
    return name, f"{words}; {traits.derivatives}"


def _over_variables(traits: Traits, count: str) -> tuple[str, str]:
    if traits.combinations <= GRID:
        return "grid", f"{count} with {counted(int(traits.combinations), 'combination')}, few enough to try them all"
    return "genetic", f"{count} that are not one real vector"


def _with_penalty(traits: Traits, count: str) -> tuple[str, str]:
    if isinstance(traits.penalty, L1) and not traits.bounded:
        return "lbfgs", f"a smooth function of {count} with an L1 penalty; {traits.derivatives}"
    words = f"a smooth function of {count} with a penalty or set given by its proximal map; {traits.derivatives}"
    return "proximal-gradient", words


def _without_derivatives(traits: Traits, count: str) -> tuple[str, str]:
    if traits.constrained:
        return "genetic", f"{traits.rough}, under constraints, in {count}"
    # First on functions in steps, with noise and with kinks (benchmarks/rough_search.py, its figures in results.md).
    if find_spec("cmaes") is not None and traits.variables > 1:
        return "cmaes", f"{traits.rough}, {'within' if traits.bounded else 'without'} bounds, in {count}"
    if traits.bounded:
        return "differential-evolution", f"{traits.rough}, within bounds, in {count}"
    return "genetic", f"{traits.rough}, in {count}"


def roughness(function: RowFunction, start: Tensor, low: Tensor | None, high: Tensor | None) -> str:
    """Why a function is not smooth near ``start [P]``, as words; empty if it seems to be.

    Told by evaluations: values that differ between two calls, values in steps (no slope anywhere
    near although they differ), and a second difference that shrinks with the step, or not at all,
    where that of a smooth function shrinks with its square.
    """
    try:
        return _judge(function, start, low, high)
    except Exception:
        # What fails beside the start will fail again where the search goes, and say so there.
        return ""


def _judge(function: RowFunction, start: Tensor, low: Tensor | None, high: Tensor | None) -> str:
    """The words of :func:`roughness`."""
    draw = torch.Generator().manual_seed(0)
    scale = start.abs().clamp_min(1.0)
    direction = scale * (torch.rand(len(start), generator=draw, dtype=start.dtype) + 0.5).to(start)

    if not function.exact:
        first = function.values(start[None])
        if not torch.equal(first, function.values(start[None])) and bool(first.isfinite().all()):
            return "a function whose values differ from call to call"
    if _in_steps(function, start, direction, low, high):
        return "a function without slopes, in steps"
    middle = _with_room(start, 2e-3 * direction, low, high)
    if function.exact or middle is None:
        return ""
    sides = (torch.stack([middle - step * direction, middle, middle + step * direction]) for step in (1e-3, 1e-4))
    coarse, fine = (function.values(points).sum(1) for points in sides)
    bends = [abs(float(found[0] - 2 * found[1] + found[2])) for found in (coarse, fine)]
    noise = 1e-11 * max(1e-300, float(fine.abs().max()))
    if bends[1] > 1e3 * noise and bends[0] < 30 * bends[1]:
        return "a function with a kink or a jump at x0"
    return ""


def _with_room(start: Tensor, reach: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor | None:
    """The point nearest to ``start [P]`` that is ``reach [P]`` away from all bounds; None where they are too close."""
    least = torch.full_like(start, -torch.inf) if low is None else low + reach
    most = torch.full_like(start, torch.inf) if high is None else high - reach
    return None if bool((least > most).any()) else start.clamp(least, most)


def _in_steps(function: RowFunction, start: Tensor, direction: Tensor, low: Tensor | None, high: Tensor | None) -> bool:
    """Whether all slopes beside the start are exactly zero although values differ farther away."""
    lengths = [0.0, 0.013, -0.021]
    points = torch.stack([start + length * direction for length in lengths])
    far = torch.stack([start + length * direction for length in (-3.1, -1.7, -0.6, 0.6, 1.7, 3.1)])
    if low is not None:
        points, far = torch.maximum(points, low), torch.maximum(far, low)
    if high is not None:
        points, far = torch.minimum(points, high), torch.minimum(far, high)
    levels: list[Tensor] = []
    for some in (points[:1], points[1:]):  # the start alone tells of nearly every function that it has slopes
        values, pull = function.linearize(some)
        if not bool(values.isfinite().all()) or bool((pull(torch.ones_like(values)) != 0).any()):
            return False
        levels.append(values)
    spread = torch.cat((*levels, function.values(far))).sum(1)
    spread = spread[spread.isfinite()]
    return bool(len(spread)) and float(spread.max()) > float(spread.min())
