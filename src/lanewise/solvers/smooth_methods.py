"""The methods that follow derivatives, each as a run of one of our solvers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.projections import box
from lanewise.optim.proximal import L1, Penalty, SquaredL2, Within
from lanewise.solvers.augmented_lagrangian import AugmentedLagrangian, AugmentedLagrangianState
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.conjugate_gradient import ConjugateGradient
from lanewise.solvers.descent import Descent
from lanewise.solvers.direction import Direction
from lanewise.solvers.gauss_newton import GaussNewton
from lanewise.solvers.lbfgs import LBFGS
from lanewise.solvers.levenberg_marquardt import LevenbergMarquardt
from lanewise.solvers.limited_memory import LimitedMemory
from lanewise.solvers.method import Method
from lanewise.solvers.newton import Newton
from lanewise.solvers.newton_cg import NewtonCG
from lanewise.solvers.outcome import Outcome, Setup, drive
from lanewise.solvers.proximal_gradient import ProximalGradient
from lanewise.solvers.solver import Status

LARGE = 100
"""Variables from which on a dense matrix per start is more than a limited memory is worth."""


def _along(direction: Direction) -> Callable[[Setup], Outcome]:
    def run(setup: Setup) -> Outcome:
        solver = Descent(
            direction=direction,
            low=setup.low,
            high=setup.high,
            tolerance=setup.tolerance,
        )
        return drive(solver, setup)[0]

    return run


def _lbfgs(setup: Setup) -> Outcome:
    if setup.low is not None or setup.high is not None:
        return _along(LimitedMemory())(setup)
    lanes = len(setup.starts)
    solver = LBFGS(
        tolerance=setup.tolerance,
        max_iterations=setup.max_evaluations,
        l1=torch.full((lanes,), setup.penalty.weight, dtype=torch.float64) if isinstance(setup.penalty, L1) else None,
    )
    return drive(solver, setup)[0]


def _levenberg_marquardt(setup: Setup) -> Outcome:
    solver = LevenbergMarquardt(low=setup.low, high=setup.high, tolerance=setup.tolerance)
    outcome, state = drive(solver, setup)
    outcome.cosines = state.angles
    creeping = [place for place, status in enumerate(outcome.status) if status is Status.FLAT]
    return _go_on(outcome, setup, creeping) if creeping else outcome


def _go_on(outcome: Outcome, setup: Setup, rows: list[int]) -> Outcome:
    """Let BFGS go on with ``rows`` from where they are: it learns what large residuals add to the Hessian."""
    index = torch.tensor(rows, device=outcome.points.device)
    setup.objective.keep(index)
    further = _along(BFGS())(replace(setup, starts=outcome.points[index]))
    for name in ("points", "values", "norms"):
        getattr(outcome, name)[index] = getattr(further, name)
    if outcome.cosines is not None:
        outcome.cosines[index] = torch.nan
    outcome.iterations[index] += further.iterations
    for row, status in zip(rows, further.status, strict=True):
        outcome.status[row] = status
    for name in ("evaluations", "values", "seconds"):
        getattr(outcome.history, name).extend(getattr(further.history, name))
    return outcome


def _augmented_lagrangian(setup: Setup) -> Outcome:
    direction = BFGS() if setup.starts.shape[1] <= LARGE else LimitedMemory()
    solver = AugmentedLagrangian(
        descent=Descent(direction=direction, low=setup.low, high=setup.high),
        tolerance=setup.tolerance,
        feasibility=setup.feasibility,
        hasty=setup.hasty,
    )
    state: AugmentedLagrangianState
    outcome, state = drive(solver, setup, measure=lambda state: state.violation)
    outcome.equality_multipliers, outcome.inequality_multipliers = state.lambdas, state.mus
    broken = (outcome.violations > setup.feasibility) & state.kept_values.isfinite()
    for row in broken.nonzero().flatten().tolist():
        if outcome.status[row] in (Status.INFEASIBLE, Status.EVALUATIONS, Status.STOPPED):
            outcome.points[row], outcome.values[row] = state.kept[row], state.kept_values[row]
            outcome.violations[row : row + 1] = setup.objective.violations(outcome.points[row : row + 1])
            outcome.norms[row] = torch.nan  # known only where the search ended
        if outcome.status[row] is Status.INFEASIBLE:
            outcome.status[row] = Status.FEASIBLE
    return outcome


@dataclass(frozen=True)
class _Bounded(Penalty):
    """A separable penalty within a box: the map of each entry, then the nearest point of its interval."""

    penalty: Penalty
    box: Within

    def value(self, points: Tensor) -> Tensor:
        return self.penalty.value(points) + self.box.value(points)

    def prox(self, points: Tensor, step: float | Tensor) -> Tensor:
        return self.box.prox(self.penalty.prox(points, step), step)


def _within_bounds(setup: Setup) -> Penalty:
    penalty = setup.penalty or SquaredL2(0.0)
    if setup.low is None or setup.high is None:
        return penalty
    if not penalty.separable:
        message = f"bounds go with separable penalties only, and {type(penalty).__name__} is none"
        raise UsageError(message)
    return _Bounded(penalty, Within(partial(box, low=setup.low, high=setup.high)))


def _proximal_gradient(setup: Setup) -> Outcome:
    solver = ProximalGradient(penalty=_within_bounds(setup), tolerance=setup.tolerance)
    return drive(solver, setup)[0]


SMOOTH_METHODS = (
    Method(name="bfgs", words="keeps a dense inverse Hessian (BFGS)", run=_along(BFGS())),
    Method(name="lbfgs", words="keeps the last ten gradient changes (L-BFGS)", run=_lbfgs, penalties=(L1,)),
    Method(name="cg", words="follows conjugate gradients (Hager-Zhang)", run=_along(ConjugateGradient())),
    Method(name="newton", words="factors the Hessian (Newton)", run=_along(Newton()), derivatives=2),
    Method(name="newton-cg", words="multiplies by the Hessian (Newton-CG)", run=_along(NewtonCG()), derivatives=2),
    Method(name="gauss-newton", words="linearizes residuals", run=_along(GaussNewton()), residuals=True),
    Method(
        name="levenberg-marquardt",
        words="linearizes residuals and damps the steps; where that creeps, BFGS goes on",
        run=_levenberg_marquardt,
        residuals=True,
    ),
    Method(
        name="augmented-lagrangian",
        words="adds multipliers and a penalty to the objective",
        run=_augmented_lagrangian,
        constraints=True,
    ),
    Method(
        name="proximal-gradient",
        words="steps along the gradient and then to the nearest point of low penalty (FISTA)",
        run=_proximal_gradient,
        penalties=(Penalty,),
    ),
)
