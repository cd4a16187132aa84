"""What a user gives to :func:`lanewise.minimize`, checked and turned into tensors and functions over rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.constraints import Constraint, Equality, Inequality
from lanewise.solvers.form import Form
from lanewise.solvers.function_reading import as_vector, read_function
from lanewise.solvers.functions import PlainFunction, RowFunction
from lanewise.solvers.method import Method
from lanewise.solvers.outcome import Setup
from lanewise.solvers.stating import refuse, wrong_functions
from lanewise.solvers.variables import Space


def read_bounds(bounds: Any, form: Form, start: Tensor) -> tuple[Tensor | None, Tensor | None]:
    if bounds is None:
        return None, None
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        message = f"bounds must be a pair (low, high), each a number, of the form of x0, or None; got {bounds!r:.80}"
        if _by_variable(bounds, len(start)):
            message += "; of one pair for each variable make tuple(zip(*bounds))"
        elif isinstance(bounds, Mapping):
            message += "; of a pair for each name make ({name: low, ...}, {name: high, ...})"
        elif hasattr(bounds, "lb"):
            message += "; of SciPy's Bounds make (bounds.lb, bounds.ub)"
        raise UsageError(message)
    if isinstance(bounds, list) and len(start) == 2 and all(isinstance(pair, tuple) for pair in bounds):
        pairs = [tuple(pair) for pair in bounds]
        message = (
            f"bounds={bounds} can be read in two ways: give (low, high), each of the form of x0. Where each pair is "
            f"that of one variable, it is bounds=({[pair[0] for pair in pairs]}, {[pair[-1] for pair in pairs]}); "
            f"else bounds={tuple(map(list, pairs))}"
        )
        raise UsageError(message)
    low = form.row(bounds[0], "bounds: low", fill=-torch.inf).to(start)
    high = form.row(bounds[1], "bounds: high", fill=torch.inf).to(start)
    if bool((low.isnan() | high.isnan()).any()):
        message = "bounds must not be nan; use -inf and inf, or None, where there is no bound"
        raise UsageError(message)
    crossed = (low > high).nonzero().flatten()
    if len(crossed):
        place = int(crossed[0])
        message = (
            f"bounds contradict each other: {form.place(place)} must be at least {float(low[place]):g} "
            f"and at most {float(high[place]):g}"
        )
        raise UsageError(message)
    return low, high


def wrong_problem(x0: Any, bounds: Any, constraints: Any) -> Iterator[str]:
    """What is wrong with the start, the bounds and the form of the constraints, each by itself."""
    low, high = None, None
    try:
        form, start = Form.of(x0)
    except UsageError as error:
        yield str(error)
    else:
        try:
            low, high = read_bounds(bounds, form, start)
        except UsageError as error:
            yield str(error)
        try:
            check_start(form, start, low, high)
        except UsageError as error:
            yield str(error)
    try:
        _listed(constraints)
    except UsageError as error:
        yield str(error)


def _by_variable(bounds: Any, count: int) -> bool:
    """Whether there is one pair for each variable, as SciPy has it."""
    if not isinstance(bounds, (tuple, list)) or len(bounds) != count:
        return False
    return all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in bounds)


def check_start(form: Form, start: Tensor, low: Tensor | None, high: Tensor | None) -> None:
    """Refuse a start that is not finite or outside the bounds."""
    wrong = (~start.isfinite()).nonzero().flatten()
    if len(wrong):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        message = f"x0 must be finite, got {float(start[wrong[0]])} in {form.place(int(wrong[0]))}{more}"
        raise UsageError(message)
    if low is None or high is None:
        return
    outside = ((start < low) | (start > high)).nonzero().flatten()
    if len(outside):
        place = int(outside[0])
        message = (
            f"x0 must lie within the bounds: {form.place(place)} is {float(start[place]):g}, "
            f"the bounds are {float(low[place]):g} and {float(high[place]):g}"
        )
        raise UsageError(message)


Placed = list[tuple[int, RowFunction]]


def read_constraints(
    constraints: Constraint | Sequence[Constraint],
    form: Form,
    start: Tensor,
    bounds: tuple[Tensor | None, Tensor | None],
) -> tuple[Placed, Placed]:
    """Equalities and inequalities, each with its place in the list that was given."""
    given = _listed(constraints)
    equalities: Placed = []
    inequalities: Placed = []
    for place, constraint in enumerate(given):
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


def read_variables(
    fun: Callable[..., Any], constraints: Constraint | Sequence[Constraint], space: Space
) -> tuple[RowFunction, Placed, Placed]:
    """The function and its constraints over rows of ``space``, without derivatives."""

    def over(function: Callable[..., Any], name: str, *, scalar: bool) -> RowFunction:
        if not callable(function):
            message = f"{name} must be a function, got {function!r:.80}"
            raise UsageError(message)
        return PlainFunction(single=lambda row: as_vector(function(space.shown(row)), scalar=scalar, name=name))

    given = _listed(constraints)
    placed: dict[str, Placed] = {"equality": [], "inequality": []}
    for place, constraint in enumerate(given):
        placed[constraint.kind].append((place, over(constraint.function, f"constraint {place}", scalar=False)))
    return over(fun, "fun", scalar=True), placed["equality"], placed["inequality"]


def _listed(constraints: Constraint | Sequence[Constraint]) -> list[Constraint]:
    given: list[Any] = list(constraints) if isinstance(constraints, (list, tuple)) else [constraints]
    for constraint in given:
        if not isinstance(constraint, (Equality, Inequality)):
            message = f"constraints must be Equality(g) or Inequality(h), or a list of these; got {constraint!r:.80}"
            if isinstance(constraint, Mapping):
                message += "; of SciPy's {'type': 'eq', 'fun': g} make Equality(g), of 'ineq' Inequality(g)"
            raise UsageError(message)
        refuse(wrong_functions(jac=constraint.jac))
    return given


def read_hessian(hess: Callable[..., Any], form: Form) -> Callable[[Tensor], Tensor]:
    def hessian(row: Tensor) -> Tensor:
        found = hess(form.tensors(row) if form.torch else form.arrays(row))
        matrix = found if isinstance(found, Tensor) else torch.from_numpy(np.array(found, dtype=np.float64))
        matrix = matrix.detach().to(row)
        if matrix.numel() != form.width**2:
            message = f"hess must return [{form.width}, {form.width}], got the shape {list(matrix.shape)}"
            raise UsageError(message)
        return matrix.reshape(form.width, form.width)

    return hessian


def check_method(method: Method, setup: Setup, *, residuals: bool, rough: str, mixed: bool) -> None:
    """Refuse a method that cannot do what is asked."""
    bounded, constrained = setup.low is not None, setup.constrained
    if method.derivatives and rough:
        message = (
            f"method {method.name!r} needs a smooth function, and this is {rough}; "
            "use method='auto', 'genetic' or 'differential-evolution'"
        )
        raise UsageError(message)
    if mixed and not method.whole:
        message = (
            f"method {method.name!r} takes one real vector: give x0 and bounds, or use 'genetic', 'grid' or 'random'"
        )
        raise UsageError(message)
    if setup.penalty is not None and not isinstance(setup.penalty, method.penalties):
        message = (
            f"method {method.name!r} cannot take the penalty {type(setup.penalty).__name__}; use 'proximal-gradient'"
        )
        raise UsageError(message)
    if method.boxed and not setup.boxed:
        message = f"method {method.name!r} needs finite bounds for every variable; give bounds=(low, high)"
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


def check_options(method: Method, options: Mapping[str, Any] | None) -> None:
    """Refuse options that the method does not have."""
    known = ", ".join(method.options) or "none"
    refuse(
        f"method {method.name!r} has no option {name!r}; it has {known}"
        for name in options or {}
        if name not in method.options
    )


def check_values(setup: Setup) -> None:
    """Refuse a function that has no value at any start."""
    values = setup.objective.values(setup.starts[:1])
    if bool(values.isnan().any()) or float(values[0]) == torch.inf:
        others = setup.objective.values(setup.starts[1:]) if len(setup.starts) > 1 else values
        if not bool(others.isfinite().any()):
            where = "x0" if len(setup.starts) == 1 else "all starts"
            message = f"fun is {float(values[0])} at {where}; give a start where it is finite"
            raise UsageError(message)
