"""Methods side by side on one function from one start: their paths, values, evaluations and seconds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Never

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.registry import RULES
from lanewise.solvers.assembling import best_row
from lanewise.solvers.form import Form
from lanewise.solvers.function_reading import read_function
from lanewise.solvers.functions import RowFunction
from lanewise.solvers.landscapes import Landscape, landscape
from lanewise.solvers.method import Method
from lanewise.solvers.methods import find_method, unknown_methods
from lanewise.solvers.outcome import FEASIBILITY, Setup, Step, at_optimum
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.reading import check_method, check_start, read_bounds, wrong_problem
from lanewise.solvers.rule_steps import RuleSteps
from lanewise.solvers.search_methods import search_box
from lanewise.solvers.solver import Status
from lanewise.solvers.stating import refuse, unknown_arguments, wrong_comparison, wrong_numbers

RATES = tuple(10.0 ** (place / 2) for place in range(-10, 2))
"""Learning rates of which each rule gets its best: 1e-5 to 10**0.5, two to a decade."""
USUAL = ("gd", "momentum", "adam", "newton", "bfgs", "genetic")
TOLERANCE = 1e-8
EVALUATIONS = 1000
GRID = 96
"""Cells of the map along each axis."""
WARM = 3  # evaluations of an unmeasured run, after which nothing is done for the first time
LEVELS = 11  # values of each variable on a grid, where the evaluations allow so many
DEEP = -1e100  # a value below which a function is taken to fall without end
SAME = 1e-10  # difference of values, relative to max(1, |value|), up to which two rates lead equally low
AIR = 0.2  # share of the span of the paths left free around them

Point = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One method's run: lists have one entry a round; ``points`` is where it stood, ``values`` the best by then.

    ``rate`` is the learning rate of a rule, ``distance`` that of ``x`` to the nearest known optimum.
    """

    method: str
    words: str
    points: list[Point]
    values: list[float]
    evaluations: list[int]
    seconds: list[float]
    x: Point
    value: float
    status: Status
    success: bool
    rate: float | None
    distance: float | None

    @property
    def endless(self) -> bool:
        """Whether it found that the function falls without end."""
        return self.status in (Status.UNBOUNDED, Status.RUNAWAY) or self.value < DEEP


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What :func:`compare` found; ``heights[row][column]`` are values on a grid over ``low`` to ``high``.

    ``optima`` and ``least``, the value there, are known for test functions only; heights of two variables only.
    ``tuned`` tells whether rates were tried, ``exact`` whether gradients are exact rather than differences.
    """

    name: str
    formula: str
    source: str
    x0: Point
    optima: tuple[Point, ...]
    least: float | None
    low: Point
    high: Point
    heights: list[list[float]]
    tuned: bool
    exact: bool
    traces: list[Trace]


def compare(
    fun: str | Callable[..., Any],
    x0: Sequence[float] | None = None,
    *,
    methods: Sequence[str] = USUAL,
    bounds: tuple[Any, Any] | None = None,
    max_evaluations: int = EVALUATIONS,
    lr: float | None = None,
    condition: float | None = None,
    seed: int = 0,
    name: str = "",
    **unknown: Never,
) -> Comparison:
    """Run every method on one function from ``x0``, each in the same number of evaluations.

    ``fun`` is the name of a test function (:mod:`lanewise.solvers.landscapes`) or a function as :func:`minimize`
    takes it. A rule runs at ``lr``, or at the best of :data:`RATES`, which are tried as lanes of one stack before;
    the trial is not counted. Methods without derivatives search the box of the bounds, else that of the test
    function, else ``x0`` plus and minus ten times ``max(1, |x0|)``. Seconds are those of one run on this machine.

    Raises ``UsageError`` for what :func:`minimize` refuses, a method given twice, and an argument that there is not.

    >>> found = compare("booth", methods=["gd", "bfgs"])
    >>> [(trace.method, trace.status.name, round(trace.distance, 6)) for trace in found.traces]
    [('gd', 'CONVERGED', 0.0), ('bfgs', 'CONVERGED', 0.0)]
    """
    refuse(
        (
            *unknown_arguments(unknown, compare),
            *wrong_numbers(starts=1, max_evaluations=max_evaluations, tolerance=None, seed=seed),
            *unknown_methods(methods),
            *wrong_comparison(methods, lr),
            *(wrong_problem(x0, bounds, ()) if x0 is not None else ()),
        )
    )
    known = landscape(fun, condition=condition) if isinstance(fun, str) else None
    if known is None and x0 is None:
        message = "give x0, the point to start from"
        raise UsageError(message)
    given: Any = torch.tensor(x0 or known.x0, dtype=torch.float64) if known is not None else x0
    form, start = Form.of(given)
    if known is not None:
        known.check(len(start))
    low, high = read_bounds(bounds, form, start)
    check_start(form, start, low, high)
    called: Any = fun if known is None else known.function
    problem = _Problem(
        function=_ready(called, form, start, (low, high)),
        start=start,
        low=low,
        high=high,
        known=known,
        max_evaluations=max_evaluations,
        seed=seed,
    )
    traces = [problem.trace(find_method(method), lr) for method in methods]
    low, high = problem.window(traces)
    return Comparison(
        name=name or (known.name if known else getattr(fun, "__name__", "function")),
        formula=known.formula if known and len(start) == 2 else "",
        source=known.source if known else "",
        x0=tuple(start.tolist()),
        optima=problem.optima,
        least=known.value if known else None,
        low=low,
        high=high,
        heights=problem.heights(low, high) if len(start) == 2 else [],
        tuned=lr is None and any(trace.rate is not None for trace in traces),
        exact=problem.function.exact,
        traces=traces,
    )


def _ready(
    fun: Callable[..., Any], form: Form, start: Tensor, bounds: tuple[Tensor | None, Tensor | None]
) -> RowFunction:
    """The function over rows, after the calls that find out how it is to be called."""
    function = read_function(fun, form, start, scalar=True, name="fun", bounds=bounds).function
    function.values(start.repeat(2, 1))
    if not bool(function.values(start[None]).isfinite().all()):
        message = f"the function is not finite at x0 = {start.tolist()}; start elsewhere"
        raise UsageError(message)
    return function


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """One function that all methods are given."""

    function: RowFunction
    start: Tensor
    low: Tensor | None
    high: Tensor | None
    known: Landscape | None
    max_evaluations: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of a rule that cost ``max_evaluations``: a gradient by differences costs two for each variable."""
        return max(2, self.max_evaluations // (1 if self.function.exact else 2 * len(self.start) + 1))

    @property
    def optima(self) -> tuple[Point, ...]:
        if self.known is None:
            return ()
        if len(self.start) == 2:
            return self.known.optima
        return (self.known.optima[0][:1] * len(self.start),)  # the same number in every place, whatever their count

    def trace(self, method: Method, lr: float | None) -> Trace:
        rate = None
        if "lr" in method.options:
            rate = self._best_rate(method) if lr is None else lr
        options: dict[str, float] = {} if rate is None else {"lr": rate}
        if "levels" in method.options:
            options["levels"] = self._levels
        check_method(method, self._setup(method, options), residuals=False, rough="", mixed=False)
        method.run(self._setup(method, options, callback=lambda step: step.evaluations >= WARM))
        steps: list[Step] = []
        outcome = method.run(self._setup(method, options, callback=steps.append))
        best = best_row(outcome)
        x, value = outcome.points[best], float(outcome.values[best])
        distances = [math.dist(x.tolist(), optimum) for optimum in self.optima]
        return Trace(
            method=method.name,
            words=method.words,
            points=[tuple(step.places[0].tolist()) for step in steps],
            values=outcome.history.values,
            evaluations=outcome.history.evaluations,
            seconds=outcome.history.seconds,
            x=tuple(x.tolist()),
            value=value,
            status=outcome.status[best],
            success=at_optimum(outcome.status[best], float(outcome.norms[best]), value),
            rate=rate,
            distance=min(distances, default=None),
        )

    @property
    def _levels(self) -> int:
        """Values of each variable, so that the grid costs no more than ``max_evaluations``, if that can be."""
        fitting = (self.max_evaluations + 0.5) ** (1 / len(self.start))
        return max(2, min(LEVELS, int(fitting)))

    def _best_rate(self, method: Method) -> float:
        """The rate that leads lowest; of several that lead there, the one that is done first."""
        rates = torch.tensor(RATES, dtype=torch.float64)
        solver = RuleSteps(
            rule=RULES[method.name],
            hyper={"lr": rates},
            low=self.low,
            high=self.high,
            tolerance=TOLERANCE,
            max_evaluations=self.steps,
        )
        objective = PosedObjective(function=self.function.fresh())
        state = solver.init(self.start.repeat(len(rates), 1), objective)
        while not (progress := solver.progress(state)).finished:
            solver.step(state, objective)
        values = torch.where(progress.values.isnan(), torch.inf, progress.values)
        as_low = values <= values.min() + SAME * max(1.0, abs(float(values.min())))
        return float(rates[torch.where(as_low, progress.evaluations.double(), torch.inf).argmin()])

    def _setup(
        self,
        method: Method,
        options: dict[str, float],
        *,
        callback: Callable[[Step], object] | None = None,
    ) -> Setup:
        low, high = self.low, self.high
        if method.derivatives == 0 and self.known is not None and low is None and high is None:
            own = (self.known.low, self.known.high)
            if len(self.start) > 2:
                own = (self.known.low[:1], self.known.high[:1])
            low, high = (torch.tensor(side, dtype=torch.float64).expand(len(self.start)) for side in own)
            low, high = low.minimum(self.start), high.maximum(self.start)  # the start may lie outside
        setup = Setup(
            objective=PosedObjective(function=self.function.fresh()),
            starts=self.start[None].clone(),
            low=low,
            high=high,
            tolerance=TOLERANCE,
            feasibility=FEASIBILITY,
            max_evaluations=self.max_evaluations,
            seed=self.seed,
            options=options,
            callback=callback,
        )
        if method.derivatives == 0 and method.bounds and not setup.boxed:
            low, high = search_box(setup)
            return replace(setup, low=low, high=high)
        return setup

    def window(self, traces: Sequence[Trace]) -> tuple[Point, Point]:
        """What the map shows: the box of a test function, else the bounds, else what holds the paths."""
        if self.known is not None and len(self.start) == 2:
            x0 = self.start.tolist()
            return tuple(map(min, self.known.low, x0)), tuple(map(max, self.known.high, x0))
        if any(trace.endless for trace in traces):  # somewhere far off is no place to draw a map up to
            low, high = search_box(self._setup(find_method("bfgs"), {}))
            return tuple(low.tolist()), tuple(high.tolist())
        ends = [trace.x for trace in traces if all(map(math.isfinite, trace.x))]
        seen = torch.tensor([self.start.tolist(), *ends], dtype=torch.float64)
        low, high = seen.amin(0), seen.amax(0)
        span = (high - low).clamp_min(1.0)
        paths = [point for trace in traces for point in trace.points if all(map(math.isfinite, point))]
        near = torch.tensor([self.start.tolist(), *paths], dtype=torch.float64)
        near = torch.maximum(torch.minimum(near, high + span), low - span)  # a leap may leave the map
        low, high = torch.minimum(low, near.amin(0)), torch.maximum(high, near.amax(0))
        air = AIR * (high - low).clamp_min(1.0)
        low, high = low - air, high + air
        if self.low is not None:
            low = torch.maximum(low, self.low)
        if self.high is not None:
            high = torch.minimum(high, self.high)
        return tuple(low.tolist()), tuple(high.tolist())

    def heights(self, low: Point, high: Point) -> list[list[float]]:
        """Values over the window of two variables, rows from its low end."""
        across = torch.linspace(low[0], high[0], GRID + 1, dtype=torch.float64)
        up = torch.linspace(low[1], high[1], GRID + 1, dtype=torch.float64)
        second, first = torch.meshgrid(up, across, indexing="ij")
        points = torch.stack((first.flatten(), second.flatten()), dim=1)
        return self.function.fresh().values(points).reshape(GRID + 1, GRID + 1).tolist()
