"""``lanewise.minimize``: a function, a start, and perhaps bounds and constraints in; a ``Solution`` out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.assembling import assemble
from lanewise.solvers.choosing import Traits, choose, roughness
from lanewise.solvers.constraints import Constraint, Equality, Inequality
from lanewise.solvers.form import Form
from lanewise.solvers.functions import RowFunction, read_function
from lanewise.solvers.methods import Method, find_method
from lanewise.solvers.outcome import Setup, Step
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solution import Solution
from lanewise.solvers.starts import draw_starts

EXACT_TOLERANCE, DIFFERENCE_TOLERANCE = 1e-8, 1e-6
FEASIBILITY = 1e-8
MAX_EVALUATIONS = 10_000


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    *,
    method: str = "auto",
    bounds: tuple[Any, Any] | None = None,
    constraints: Constraint | Sequence[Constraint] = (),
    starts: int = 1,
    maximize: bool = False,
    residuals: bool = False,
    jac: Callable[..., Any] | None = None,
    hess: Callable[..., Any] | None = None,
    tolerance: float | None = None,
    max_evaluations: int = MAX_EVALUATIONS,
    callback: Callable[[Step], object] | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Solution:
    """A local minimum of ``fun``, from one or many starts that run side by side as lanes.

    ``fun`` takes a point of the form of ``x0`` (a number, an array, a tensor, or dicts, lists and tuples
    of these) and returns a number; with ``residuals=True`` a vector whose sum of squares is minimized. A
    function of PyTorch operations is differentiated by autograd and evaluated for all starts at once;
    any other Python function by central differences, unless ``jac`` gives the derivatives. All work is
    in float64: tensors arrive as float64, arrays come back as float64.

    ``bounds`` is ``(low, high)``, each a number, something of the form of ``x0``, or None. ``constraints``
    holds :class:`Equality` and :class:`Inequality`. ``starts`` is the number of starts: the first is
    ``x0``, the others are drawn between the bounds or around ``x0``, see
    :func:`lanewise.solvers.starts.draw_starts`. ``tolerance`` is the largest entry of the projected gradient
    at which a start has converged: 1e-8, or 1e-6 with differences. ``max_evaluations`` limits the calls
    per start. ``callback`` gets a :class:`~lanewise.solvers.outcome.Step` after each round, and stops the
    run by returning True. ``options`` are those of the method.

    Raises ``UsageError`` for a start that is not finite or outside the bounds, contradictory bounds,
    wrong shapes, a function that is not finite at any start, or a method that cannot do what is asked.

    >>> import torch
    >>> found = minimize(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, [-1.2, 1.0])
    >>> found.x.round(6), found.status.name, found.method
    (array([1., 1.]), 'CONVERGED', 'bfgs')
    >>> disk = Inequality(lambda x: 2 - x.square().sum())
    >>> found = minimize(lambda x: x.sum(), torch.ones(2), constraints=disk)
    >>> found.x.numpy().round(6), found.multipliers[0].numpy().round(6)
    (array([-1., -1.]), array([0.5]))
    """
    _check_numbers(starts=starts, max_evaluations=max_evaluations, tolerance=tolerance)
    form, start = Form.of(x0)
    start = start.detach()
    low, high = _read_bounds(bounds, form, start)
    _check_start(start, low, high)
    if maximize and residuals:
        message = "maximize=True has no meaning with residuals=True, whose sum of squares is minimized"
        raise UsageError(message)
    reading = read_function(fun, form, start, scalar=not residuals, name="fun", jac=jac, bounds=(low, high))
    equalities, inequalities = _read_constraints(constraints, form, start, (low, high))
    objective = PosedObjective(
        function=reading.function,
        sign=-1.0 if maximize else 1.0,
        squares=residuals,
        given_hessian=None if hess is None else _read_hessian(hess, form),
        equalities=tuple(function for _, function in equalities),
        inequalities=tuple(function for _, function in inequalities),
    )
    constrained = bool(equalities or inequalities)
    rough = roughness(reading.function, start, low, high)
    boxed = low is not None and high is not None and bool((low.isfinite() & high.isfinite()).all())
    reason = "as asked"
    if method == "auto":
        traits = Traits(
            variables=form.width,
            derivatives=reading.words,
            smooth=not rough,
            rough=rough,
            bounded=boxed,
            constrained=constrained,
            residuals=residuals,
        )
        method, reason = choose(traits)
    chosen = find_method(method)
    _check_method(chosen, bounded=low is not None, constrained=constrained, residuals=residuals, rough=rough)
    exact = reading.function.exact
    setup = Setup(
        objective=objective,
        starts=draw_starts(start, low, high, starts=starts, seed=seed),
        low=low,
        high=high,
        tolerance=(EXACT_TOLERANCE if exact else DIFFERENCE_TOLERANCE) if tolerance is None else tolerance,
        feasibility=FEASIBILITY,
        max_evaluations=max_evaluations,
        seed=seed,
        options=_read_options(chosen, options),
        callback=callback,
    )
    _check_values(setup)
    order = [place for place, _ in (*equalities, *inequalities)]
    return assemble(chosen.run(setup), setup, form, method=chosen.name, reason=reason, order=order)


def _check_numbers(*, starts: int, max_evaluations: int, tolerance: float | None) -> None:
    for name, value in (("starts", starts), ("max_evaluations", max_evaluations)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            message = f"{name} must be a whole number of at least 1, got {value!r}"
            raise UsageError(message)
    if tolerance is not None and not tolerance >= 0:
        message = f"tolerance must be zero or more, got {tolerance!r}"
        raise UsageError(message)


def _read_bounds(bounds: Any, form: Form, start: Tensor) -> tuple[Tensor | None, Tensor | None]:
    if bounds is None:
        return None, None
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        message = f"bounds must be a pair (low, high), each a number, of the form of x0, or None; got {bounds!r:.80}"
        raise UsageError(message)
    sides: list[Tensor] = []
    for side, name, open_end in ((bounds[0], "low", -torch.inf), (bounds[1], "high", torch.inf)):
        if side is None:
            sides.append(torch.full_like(start, open_end))
        elif isinstance(side, (int, float, np.number)):
            sides.append(torch.full_like(start, float(side)))
        else:
            sides.append(form.row(side, f"bounds: {name}").to(start))
    low, high = sides
    if bool((low.isnan() | high.isnan()).any()):
        message = "bounds must not be nan; use -inf and inf, or None, where there is no bound"
        raise UsageError(message)
    crossed = (low > high).nonzero().flatten()
    if len(crossed):
        place = int(crossed[0])
        message = (
            f"bounds contradict each other: variable {place} must be at least {float(low[place]):g} "
            f"and at most {float(high[place]):g}"
        )
        raise UsageError(message)
    return low, high


def _check_start(start: Tensor, low: Tensor | None, high: Tensor | None) -> None:
    wrong = (~start.isfinite()).nonzero().flatten()
    if len(wrong):
        message = f"x0 must be finite, got {float(start[wrong[0]])} in variable {int(wrong[0])}"
        raise UsageError(message)
    if low is None or high is None:
        return
    outside = ((start < low) | (start > high)).nonzero().flatten()
    if len(outside):
        place = int(outside[0])
        message = (
            f"x0 must lie within the bounds: variable {place} is {float(start[place]):g}, "
            f"the bounds are {float(low[place]):g} and {float(high[place]):g}"
        )
        raise UsageError(message)


Placed = list[tuple[int, RowFunction]]


def _read_constraints(
    constraints: Constraint | Sequence[Constraint],
    form: Form,
    start: Tensor,
    bounds: tuple[Tensor | None, Tensor | None],
) -> tuple[Placed, Placed]:
    """Equalities and inequalities, each with its place in the list that was given."""
    given = [constraints] if isinstance(constraints, (Equality, Inequality)) else list(constraints)
    equalities: Placed = []
    inequalities: Placed = []
    for place, constraint in enumerate(given):
        if not isinstance(constraint, (Equality, Inequality)):
            message = f"constraints must be Equality(g) or Inequality(h), got {constraint!r:.80}"
            raise UsageError(message)
        name = f"constraint {place}"
        reading = read_function(
            constraint.function, form, start, scalar=False, name=name, jac=constraint.jac, bounds=bounds
        )
        values = reading.function.values(start[None])
        if bool(values.isnan().any()):
            message = f"{name} is nan at x0; give a start where every constraint has a value"
            raise UsageError(message)
        (equalities if constraint.kind == "equality" else inequalities).append((place, reading.function))
    return equalities, inequalities


def _read_hessian(hess: Callable[..., Any], form: Form) -> Callable[[Tensor], Tensor]:
    def hessian(row: Tensor) -> Tensor:
        found = hess(form.tensors(row) if form.torch else form.arrays(row))
        matrix = found if isinstance(found, Tensor) else torch.from_numpy(np.array(found, dtype=np.float64))
        matrix = matrix.detach().to(row)
        if matrix.numel() != form.width**2:
            message = f"hess must return [{form.width}, {form.width}], got the shape {list(matrix.shape)}"
            raise UsageError(message)
        return matrix.reshape(form.width, form.width)

    return hessian


def _check_method(method: Method, *, bounded: bool, constrained: bool, residuals: bool, rough: str) -> None:
    if method.derivatives and rough:
        message = (
            f"method {method.name!r} needs a smooth function, and this is {rough}; "
            "use method='auto', 'genetic' or 'differential-evolution'"
        )
        raise UsageError(message)
    if bounded and not method.bounds:
        message = f"method {method.name!r} takes no bounds; use method='auto', 'bfgs' or 'lbfgs'"
        raise UsageError(message)
    if constrained and not method.constraints:
        message = f"method {method.name!r} takes no constraints; use method='auto' or 'augmented-lagrangian'"
        raise UsageError(message)
    if method.residuals and not residuals:
        message = f"method {method.name!r} is for least squares: let fun return residuals and say residuals=True"
        raise UsageError(message)


def _read_options(method: Method, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    unknown = [name for name in options or {} if name not in method.options]
    if unknown:
        known = ", ".join(method.options) or "none"
        message = f"method {method.name!r} has no option {unknown[0]!r}; it has {known}"
        raise UsageError(message)
    return dict(options or {})


def _check_values(setup: Setup) -> None:
    """Refuse a function that has no value at any start."""
    values = setup.objective.values(setup.starts[:1])
    if bool(values.isnan().any()) or float(values[0]) == torch.inf:
        others = setup.objective.values(setup.starts[1:]) if len(setup.starts) > 1 else values
        if not bool(others.isfinite().any()):
            where = "x0" if len(setup.starts) == 1 else "all starts"
            message = f"fun is {float(values[0])} at {where}; give a start where it is finite"
            raise UsageError(message)
