"""``lanewise.minimize``: a function, a start, and perhaps bounds and constraints in; a ``Solution`` out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Never

import torch

from lanewise.errors import UsageError
from lanewise.optim.proximal import Penalty
from lanewise.optim.registry import RULES
from lanewise.solvers.assembling import assemble
from lanewise.solvers.choosing import Traits, choose, roughness
from lanewise.solvers.constraints import Constraint
from lanewise.solvers.form import Form
from lanewise.solvers.function_reading import read_function
from lanewise.solvers.going_on import go_on
from lanewise.solvers.methods import find_method, unknown_methods
from lanewise.solvers.outcome import FEASIBILITY, Setup, Step
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.reading import (
    check_method,
    check_options,
    check_start,
    check_values,
    read_bounds,
    read_constraints,
    read_hessian,
    read_variables,
    wrong_problem,
)
from lanewise.solvers.rule_methods import SEARCHED
from lanewise.solvers.solution import Solution
from lanewise.solvers.starts import draw_starts
from lanewise.solvers.stating import refuse, unknown_arguments, wrong_functions, wrong_numbers, wrong_statements
from lanewise.solvers.variables import Space, Variable

EXACT_TOLERANCE, DIFFERENCE_TOLERANCE = 1e-8, 1e-6
MAX_EVALUATIONS = 10_000


def minimize(
    fun: Callable[..., Any],
    x0: Any = None,
    *,
    variables: Mapping[Any, Variable] | Sequence[Variable] | None = None,
    method: str = "auto",
    bounds: tuple[Any, Any] | None = None,
    constraints: Constraint | Sequence[Constraint] = (),
    starts: int = 1,
    maximize: bool = False,
    residuals: bool = False,
    jac: Callable[..., Any] | None = None,
    hess: Callable[..., Any] | None = None,
    penalty: Penalty | None = None,
    tolerance: float | None = None,
    max_evaluations: int | None = None,
    callback: Callable[[Step], object] | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **unknown: Never,
) -> Solution:
    """A local minimum of ``fun``, from one or many starts that run side by side as lanes.

    ``fun`` takes a point of the form of ``x0`` (a number, an array, a tensor, or dicts, lists and tuples
    of these) and returns a number; with ``residuals=True`` a vector whose sum of squares is minimized. A
    function of PyTorch operations is differentiated by autograd and evaluated for all starts at once;
    any other Python function by central differences, unless ``jac`` gives the derivatives. All work is
    in float64: tensors arrive as float64, arrays come back as float64.

    ``bounds`` is ``(low, high)``, each a number, something of the form of ``x0``, or None; in a dict or list each part
    may be a number or None, too. ``constraints``
    holds :class:`Equality` and :class:`Inequality`. ``starts`` is the number of starts: the first is
    ``x0``, the others are drawn between the bounds or around ``x0``, see
    :func:`lanewise.solvers.starts.draw_starts`. ``tolerance`` is the largest entry of the projected gradient
    at which a start has converged: 1e-8, or 1e-6 with differences. ``max_evaluations`` limits the evaluations of
    each start, see below. ``callback`` gets a :class:`~lanewise.solvers.outcome.Step` after each round, and stops the
    run by returning True. ``options`` are those of the method. ``penalty`` is added to the function: one of
    :mod:`lanewise.optim.proximal`, which need not be smooth, or ``Within`` a set.

    ``variables`` instead of ``x0`` and ``bounds`` states :class:`~lanewise.solvers.variables.Real`,
    ``Integer`` and ``Categorical`` variables by name or in a list; ``fun`` then takes a dict or a list of their
    values. ``method`` is ``"auto"`` or one of :data:`lanewise.solvers.methods.METHODS`.

    An evaluation is one point at which ``fun`` is evaluated, whoever asks: a value with its gradient by autograd or by
    ``jac`` is one, a gradient by differences costs two more for each variable, a member of a population one. Products
    with the Hessian cost none of their own by autograd; calls of ``jac``, ``hess`` and the constraints are not counted.
    A start ends after the round in which it reaches its limit. The limit is 10,000, and where a method follows
    derivatives by differences 10,000 values with their gradients. ``Solution.evaluations`` adds up all starts and the
    few calls that tell how ``fun`` is to be differentiated and whether it is smooth, which have no limit.

    Raises ``UsageError`` for a start that is not finite or outside the bounds, contradictory bounds,
    wrong shapes, a function that is not finite at any start, a method that cannot do what is asked, or an argument that
    there is not. An exception
    that ``fun`` itself raises ends the search and arrives as it was raised, but arithmetic of Python that fails beyond
    the start counts as nan; to forbid a point, return nan or infinity there.

    >>> import torch
    >>> from lanewise import Inequality
    >>> found = minimize(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, [-1.2, 1.0])
    >>> found.x.round(6), found.status.name, found.method
    (array([1., 1.]), 'CONVERGED', 'bfgs')
    >>> disk = Inequality(lambda x: 2 - x.square().sum())
    >>> found = minimize(lambda x: x.sum(), torch.ones(2), constraints=disk)
    >>> found.x.numpy().round(6), found.multipliers[0].numpy().round(6)
    (array([-1., -1.]), array([0.5]))
    """
    refuse(
        (
            *unknown_arguments(unknown, minimize),
            *wrong_numbers(starts=starts, max_evaluations=max_evaluations, tolerance=tolerance, seed=seed),
            *wrong_functions(jac=jac, hess=hess, callback=callback),
            *wrong_statements(method, options),
            *unknown_methods([method] if isinstance(method, str) and method != "auto" else []),
            *_conflicts(maximize=maximize, residuals=residuals, penalty=penalty),
            *(wrong_problem(x0, bounds, constraints) if variables is None and x0 is not None else ()),
        )
    )
    asked = _Asked(
        method=method,
        starts=starts,
        residuals=residuals,
        sign=-1.0 if maximize else 1.0,
        penalty=penalty,
        tolerance=tolerance,
        max_evaluations=max_evaluations,
        callback=callback,
        seed=seed,
        options=options,
    )
    if variables is not None:
        if bounds is not None or jac is not None or hess is not None or residuals or penalty is not None:
            message = "variables go without bounds, jac, hess, residuals and penalty: each variable states its range"
            raise UsageError(message)
        return _over_variables(fun, x0, variables, constraints, asked)
    if x0 is None:
        message = "give x0, the point to start from, or variables"
        raise UsageError(message)
    return _over_vectors(fun, x0, (bounds, constraints, jac, hess), asked)


def _conflicts(*, maximize: bool, residuals: bool, penalty: object) -> Iterator[str]:
    """What does not go together, and a penalty that is none."""
    if maximize and residuals:
        yield "maximize=True has no meaning with residuals=True, whose sum of squares is minimized; leave one out"
    if penalty is not None and not isinstance(penalty, Penalty):
        yield f"penalty must be one of lanewise.optim.proximal, got {penalty!r:.80}"


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a caller of ``minimize`` asked for, besides the problem itself."""

    method: str
    starts: int
    residuals: bool
    sign: float
    penalty: Penalty | None
    tolerance: float | None
    max_evaluations: int | None
    callback: Callable[[Step], object] | None
    seed: int
    options: Mapping[str, Any] | None


def _over_vectors(fun: Callable[..., Any], x0: Any, problem: tuple[Any, Any, Any, Any], asked: _Asked) -> Solution:
    """The problem of one real vector."""
    bounds, constraints, jac, hess = problem
    form, start = Form.of(x0)
    low, high = read_bounds(bounds, form, start)
    check_start(form, start, low, high)
    reading = read_function(fun, form, start, scalar=not asked.residuals, name="fun", jac=jac, bounds=(low, high))
    equalities, inequalities = read_constraints(constraints, form, start, (low, high))
    objective = PosedObjective(
        function=reading.function,
        sign=asked.sign,
        squares=asked.residuals,
        given_hessian=None if hess is None else read_hessian(hess, form),
        equalities=tuple(function for _, function in equalities),
        inequalities=tuple(function for _, function in inequalities),
    )
    # What asks for values only does as well on a rough function; to look would cost it hundreds of evaluations.
    smooth_wanted = asked.method == "auto" or find_method(asked.method).derivatives > 0
    rough = roughness(reading.function, start, low, high) if smooth_wanted else ""
    usual = EXACT_TOLERANCE if reading.function.exact else DIFFERENCE_TOLERANCE
    setup = Setup(
        objective=objective,
        starts=draw_starts(start, low, high, starts=asked.starts, seed=asked.seed),
        low=low,
        high=high,
        tolerance=usual if asked.tolerance is None else asked.tolerance,
        feasibility=FEASIBILITY,
        max_evaluations=asked.max_evaluations or MAX_EVALUATIONS,
        seed=asked.seed,
        options=asked.options or {},
        callback=asked.callback,
        penalty=asked.penalty,
    )
    traits = Traits(
        variables=form.width,
        derivatives=reading.words,
        smooth=not rough,
        rough=rough,
        bounded=setup.boxed,
        constrained=setup.constrained,
        residuals=asked.residuals,
        penalty=asked.penalty,
    )
    order = [place for place, _ in (*equalities, *inequalities)]
    return _run(setup, traits, form, asked, order)


def _over_variables(fun: Callable[..., Any], x0: Any, variables: Any, constraints: Any, asked: _Asked) -> Solution:
    """The problem of variables that are stated one by one."""
    space = Space.of(variables)
    function, equalities, inequalities = read_variables(fun, constraints, space)
    start = space.middle() if x0 is None else space.row(x0)
    objective = PosedObjective(
        function=function,
        sign=asked.sign,
        equalities=tuple(function for _, function in equalities),
        inequalities=tuple(function for _, function in inequalities),
    )
    drawn = draw_starts(start, space.low, space.high, starts=asked.starts, seed=asked.seed)
    setup = Setup(
        objective=objective,
        starts=torch.where(space.whole, drawn.round(), drawn),
        low=space.low,
        high=space.high,
        tolerance=DIFFERENCE_TOLERANCE if asked.tolerance is None else asked.tolerance,
        feasibility=FEASIBILITY,
        max_evaluations=asked.max_evaluations or MAX_EVALUATIONS,
        seed=asked.seed,
        options=asked.options or {},
        callback=asked.callback,
        whole=space.whole,
        categories=space.categories,
    )
    counted = bool((space.whole | (space.low == space.high)).all())
    traits = Traits(
        variables=space.width,
        derivatives="",
        smooth=False,
        rough="",
        bounded=True,
        constrained=setup.constrained,
        residuals=False,
        combinations=float((space.high - space.low + 1).prod()) if counted else float("inf"),
        mixed=True,
    )
    return _run(setup, traits, space, asked, [place for place, _ in (*equalities, *inequalities)])


def _run(setup: Setup, traits: Traits, form: Form | Space, asked: _Asked, order: list[int]) -> Solution:
    """Choose the method, check that it can do what is asked, run it."""
    name, reason = choose(traits) if asked.method == "auto" else (asked.method, _as_asked(asked))
    method = find_method(name)
    if asked.max_evaluations is None and method.derivatives and not setup.objective.function.exact:
        setup = replace(setup, max_evaluations=MAX_EVALUATIONS * (1 + 2 * setup.starts.shape[1]))
    check_method(method, setup, residuals=asked.residuals, rough=traits.rough, mixed=traits.mixed)
    check_options(method, asked.options)
    check_values(setup)
    hasty = asked.method == "auto" and setup.starts.device.type == "cpu"  # where another method can go on
    outcome = method.run(replace(setup, hasty=hasty))
    if asked.method == "auto":
        reason += go_on(outcome, setup)
    return assemble(outcome, setup, form, method=name, reason=reason, order=order)


def _as_asked(asked: _Asked) -> str:
    """The reason of a method that was named; of a rule without a learning rate, which one it took."""
    if asked.method not in RULES or "lr" in (asked.options or {}):
        return "as asked"
    if asked.method == SEARCHED:
        return "as asked; without options={'lr': ...} each step is as long as a line search finds"
    usual = next((float(one.default) for one in RULES[asked.method].hypers if one.name == "lr"), None)
    if usual is None:
        return "as asked"
    return (
        f"as asked, at its usual learning rate of {usual:g}, which may not fit: "
        "lanewise compare tries twelve, options={'lr': ...} sets one"
    )
