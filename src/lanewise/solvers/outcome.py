"""What a method is given, what it gives back, and the loop that runs a solver to its end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lanewise.optim.proximal import Penalty
from lanewise.solvers.posed import PosedObjective
from lanewise.solvers.solver import Solver, Status

SEARCHED_WELL = (Status.SEARCHED, Status.SETTLED)
"""A row with one of these did what it was to do, but it cannot tell an optimum."""

OPTIMAL = (
    Status.CONVERGED,
    Status.FLAT,
    Status.MET,
    Status.CORNER,
    Status.SCALED,
    Status.RIGHT_ANGLE,
    Status.VANISHED,
    Status.EXHAUSTED,
)
"""A row with one of these stands at a local optimum, to the tolerance or to rounding."""

FEASIBILITY = 1e-8
"""Violation up to which constraints count as met."""

SMALL = 1e-4  # gradient, relative to max(1, |value|), that rounding may leave where a row has stalled


def at_optimum(status: Status, norm: float, value: float) -> bool:
    """Whether a row stands at what is, to the tolerance or to rounding, a local optimum.

    A row that stalled with a large gradient stands at a kink or a cliff instead.
    """
    if status is Status.STALLED:
        return not norm > SMALL * max(1.0, abs(value))
    return status in OPTIMAL


@dataclass(kw_only=True)
class History:
    """One entry a round: points evaluated so far, the best value by then (nan if none is feasible), seconds."""

    evaluations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a callback sees after each round; it may return True to stop.

    ``points [S, P]`` and ``values [S]`` of all starts, of the function as the user wrote it;
    ``evaluations`` so far. ``places [S, P]`` is where each start stands now: a rule that oscillates stands beside its
    best point.
    """

    round: int
    evaluations: int
    points: Tensor
    values: Tensor
    places: Tensor

    @property
    def value(self) -> float:
        """The value of the first start, which begins at ``x0``."""
        return float(self.values[0])


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A posed problem: ``starts [S, P]``, bounds ``[P]`` (infinite where there is none), or None without any."""

    objective: PosedObjective
    starts: Tensor
    low: Tensor | None
    high: Tensor | None
    tolerance: float
    feasibility: float
    max_evaluations: int
    seed: int
    options: Mapping[str, Any]
    callback: Callable[[Step], object] | None
    whole: Tensor | None = None
    """Which coordinates ``[P]`` take whole numbers only."""
    categories: Tensor | None = None
    """Which coordinates ``[P]`` number categories, which have no order."""
    penalty: Penalty | None = None
    """What is added to the objective, as far as it is not smooth; bounds are part of it."""
    hasty: bool = False
    """Whether another method goes on from starts that give trouble, so that they are better given up soon."""

    @property
    def boxed(self) -> bool:
        """Whether every variable has two bounds."""
        if self.low is None or self.high is None:
            return False
        return bool((self.low.isfinite() & self.high.isfinite()).all())

    @property
    def constrained(self) -> bool:
        return bool(self.objective.equalities or self.objective.inequalities)


@dataclass(kw_only=True)
class Outcome:
    """Where every start ended; values are those that were minimized.

    ``points [S, P]``, ``values [S]``, ``norms [S]`` (of the projected gradient; nan where it is not
    known), ``violations [S]``, ``iterations [S]``, ``status``, multipliers ``[S, E]`` and ``[S, I]`` if known,
    ``cosines [S]`` of the residuals with the nearest column of their Jacobian if known.
    """

    points: Tensor
    values: Tensor
    norms: Tensor
    violations: Tensor
    iterations: Tensor
    status: list[Status]
    history: History
    equality_multipliers: Tensor | None = None
    inequality_multipliers: Tensor | None = None
    cosines: Tensor | None = None
    feasibility: float = FEASIBILITY


class Watch:
    """Keeps the history of a run and asks the callback whether to go on."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.history = History()
        self.begun = time.perf_counter()

    def stops(
        self, points: Tensor, values: Tensor, violations: Tensor | None = None, places: Tensor | None = None
    ) -> bool:
        """Record a round; True if the callback wants no more."""
        setup, history = self.setup, self.history
        counted = values if violations is None else torch.where(violations <= setup.feasibility, values, torch.nan)
        best = float(counted.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).min())
        if history.values and not best < setup.objective.sign * history.values[-1]:
            value = history.values[-1]
        else:
            value = setup.objective.sign * best if best < torch.inf else torch.nan
        history.evaluations.append(setup.objective.evaluated)
        history.values.append(value)
        history.seconds.append(time.perf_counter() - self.begun)
        if setup.callback is None:
            return False
        step = Step(
            round=len(history.values) - 1,
            evaluations=history.evaluations[-1],
            points=points.detach().clone(),
            values=setup.objective.sign * values.detach(),
            places=(points if places is None else places).detach().clone(),
        )
        return setup.callback(step) is True


def drive(solver: Solver[Any], setup: Setup, measure: Callable[[Any], Tensor] | None = None) -> tuple[Outcome, Any]:
    """Run a solver from all starts until every row has ended; the outcome and the last state.

    ``measure`` takes the violation ``[S]`` of the constraints out of the state.
    """
    watch, objective = Watch(setup), setup.objective
    if objective.spent is None:
        objective.begin(len(setup.starts))
    state = solver.init(setup.starts, objective)
    stopped = False
    while True:
        progress = solver.progress(state)
        violations = None if measure is None else measure(state)
        stopped = watch.stops(progress.points, progress.values, violations, progress.places)
        if stopped or progress.finished:
            break
        solver.step(state, objective)
        _limit(solver, state, setup)
    status = [Status.STOPPED if one is Status.RUNNING else one for one in progress.status]
    outcome = Outcome(
        points=progress.points,
        values=progress.values,
        norms=progress.gradient_norms,
        violations=torch.zeros_like(progress.values) if violations is None else violations,
        iterations=progress.iterations,
        status=status,
        history=watch.history,
    )
    return outcome, state


def _limit(solver: Solver[Any], state: Any, setup: Setup) -> None:
    """End the rows that have had their evaluations and are still running."""
    spent = setup.objective.spent
    if spent is None or setup.objective.evaluated < setup.max_evaluations or int(spent.max()) < setup.max_evaluations:
        return  # the first of these looks at no tensor
    running = torch.tensor([status is Status.RUNNING for status in solver.progress(state).status])
    rows = (running & (spent >= setup.max_evaluations)).nonzero().squeeze(1)
    if len(rows):
        solver.end(state, rows.to(setup.starts.device), Status.EVALUATIONS, setup.objective)
