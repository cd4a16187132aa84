"""The solver contract: a method that decides itself where the objective is evaluated.

A *rule* (``lanewise.optim``) is handed a gradient per step and never asks for another. A *solver*
calls the objective: a line search, a trust region, a population. Both work on rows: row *l* of
``points [L, P]`` is one problem (a start, a penalty, a fold), and no row ever looks at another.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar, cast

from torch import Tensor

State = TypeVar("State")


class Objective(Protocol):
    """A smooth function of every row, with its gradient."""

    def __call__(self, points: Tensor, rows: Tensor, /) -> tuple[Tensor, Tensor]:
        """Values ``[R]`` and gradients ``[R, P]`` at ``points [R, P]``.

        ``rows [R]`` (int64) names which of the L problems each point belongs to, for a solver
        evaluates only the rows that still need it; a problem keeps its number when others are
        dropped. A row's result depends on its own point only. Values and gradients that are not
        finite are allowed: the solver shortens its step.
        """
        ...


class Status(Enum):
    """Why a row stopped; the value is the sentence shown to the user."""

    RUNNING = "still running"
    CONVERGED = "the gradient is within the tolerance"
    FLAT = "the last step lowered the objective by less than the relative tolerance on values"
    STALLED = "rounding hides any further decrease: neither value nor gradient gets smaller"
    UNBOUNDED = "the objective falls without end along the search direction"
    ITERATIONS = "the limit on iterations was reached"
    EVALUATIONS = "the limit on evaluations was reached"
    NOT_FINITE = "the objective was not finite at the start or stayed so along every step"
    INFEASIBLE = "no point was found that meets the constraints to the tolerance"
    STOPPED = "the callback asked to stop"
    SEARCHED = "all points that were to be tried have been tried; of other points nothing is known"
    SETTLED = "the best value has not improved for long; nothing proves that it is the lowest"
    MET = "the method's own test of convergence was met"
    KINK = (
        "no shorter step leads lower although the gradient is not small: "
        "a kink, a gradient that is wrong, or variables of very unlike size"
    )
    DIVERGED = "the steps left the finite numbers: the learning rate is too large"
    RUNAWAY = "the objective fell ever faster, out of all scale, with the constraints nearly met: unbounded, it seems"
    FEASIBLE = "no optimum was found; this is the best point seen that meets the constraints"
    CORNER = "a kink with no way down: the gradients close by average to zero"
    SCALED = "the gradient is as small as the tolerance or rounding asks, each variable measured in its own size"
    RIGHT_ANGLE = "the residuals stand at right angles to their derivatives: no small step lowers their squares"
    VANISHED = "the squares of the residuals have vanished beside those at the start"
    EXHAUSTED = "every combination of the variables has been tried: none has a lower value"


STATUSES = tuple(Status)
"""The status that a number stands for."""

CODE = {status: code for code, status in enumerate(Status)}
"""The number that stands for a status in a tensor; a checkpoint holds it, so new ones come last."""


@dataclass
class Progress:
    """Where every row stands: the whole state that a caller may read between steps.

    ``points [L, P]``, ``values [L]`` (penalty included), ``gradient_norms [L]`` (largest absolute
    entry of the, for L1 pseudo-, gradient), ``iterations [L]``, ``evaluations [L]``, ``status``. ``places [L, P]`` is
    where a method stands whose ``points`` are its best so far; None where they are the same.
    """

    points: Tensor
    values: Tensor
    gradient_norms: Tensor
    iterations: Tensor
    evaluations: Tensor
    status: list[Status]
    places: Tensor | None = None

    @property
    def finished(self) -> bool:
        return all(status is not Status.RUNNING for status in self.status)


class Stoppable(Protocol):
    """A state with a status for each row, as a number of :data:`CODE`."""

    status: Tensor


class Judged(Stoppable, Protocol):
    """A state that has what :class:`Progress` tells, ``norms`` those of the gradients."""

    points: Tensor
    values: Tensor
    norms: Tensor
    iterations: Tensor
    evaluations: Tensor


def progress_of(state: Judged) -> Progress:
    """Where every row of a state stands; the tensors are those of the state, not copies."""
    return Progress(
        points=state.points,
        values=state.values,
        gradient_norms=state.norms,
        iterations=state.iterations,
        evaluations=state.evaluations,
        status=[STATUSES[code] for code in state.status.tolist()],
    )


class Solver(ABC, Generic[State]):
    """Many problems solved side by side; rows that have finished cost nothing."""

    @abstractmethod
    def init(self, points: Tensor, objective: Objective) -> State:
        """Evaluate the start points ``[L, P]`` and allocate the state."""

    @abstractmethod
    def step(self, state: State, objective: Objective) -> None:
        """One round of every row that is still running, in place: at most one iteration of each.

        In a round a row may also only refine its step length, so that no row ever waits for
        another. Without a running row it does nothing.
        """

    @abstractmethod
    def progress(self, state: State) -> Progress:
        """Where every row stands now."""

    def end(self, state: State, rows: Tensor, status: Status, objective: Objective) -> None:
        """End ``rows [R]`` where they stand, for a reason from outside, such as a limit.

        By default that is written into ``state.status [L]``, numbers of :data:`CODE`.
        """
        del objective
        cast("Stoppable", state).status[rows] = CODE[status]
