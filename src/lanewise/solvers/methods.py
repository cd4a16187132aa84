"""Every method of :func:`lanewise.minimize` by name: what it can take and how it is run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from lanewise.errors import UsageError
from lanewise.solvers.augmented_lagrangian import AugmentedLagrangian, AugmentedLagrangianState
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.conjugate_gradient import ConjugateGradient
from lanewise.solvers.descent import Descent
from lanewise.solvers.direction import Direction
from lanewise.solvers.gauss_newton import GaussNewton
from lanewise.solvers.lbfgs import LBFGS
from lanewise.solvers.levenberg_marquardt import LevenbergMarquardt
from lanewise.solvers.limited_memory import LimitedMemory
from lanewise.solvers.newton import Newton
from lanewise.solvers.newton_cg import NewtonCG
from lanewise.solvers.outcome import Outcome, Setup, drive
from lanewise.solvers.solver import Status

LARGE = 100
"""Variables from which on a dense matrix per start is more than a limited memory is worth."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """``words`` complete "it ..."; ``derivatives`` tells how many orders it asks for."""

    name: str
    words: str
    run: Callable[[Setup], Outcome]
    derivatives: int = 1
    bounds: bool = True
    constraints: bool = False
    residuals: bool = False
    whole: bool = False
    """Whether integers and categories can be searched."""
    options: tuple[str, ...] = ()


def _along(direction: Direction) -> Callable[[Setup], Outcome]:
    def run(setup: Setup) -> Outcome:
        solver = Descent(
            direction=direction,
            low=setup.low,
            high=setup.high,
            tolerance=setup.tolerance,
            max_evaluations=setup.max_evaluations,
        )
        return drive(solver, setup)[0]

    return run


def _lbfgs(setup: Setup) -> Outcome:
    if setup.low is not None or setup.high is not None:
        return _along(LimitedMemory())(setup)
    solver = LBFGS(
        tolerance=setup.tolerance, max_iterations=setup.max_evaluations, max_evaluations=setup.max_evaluations
    )
    return drive(solver, setup)[0]


def _levenberg_marquardt(setup: Setup) -> Outcome:
    solver = LevenbergMarquardt(
        low=setup.low, high=setup.high, tolerance=setup.tolerance, max_evaluations=setup.max_evaluations
    )
    outcome, _ = drive(solver, setup)
    creeping = [place for place, status in enumerate(outcome.status) if status is Status.FLAT]
    return _go_on(outcome, setup, creeping) if creeping else outcome


def _go_on(outcome: Outcome, setup: Setup, rows: list[int]) -> Outcome:
    """Let BFGS go on with ``rows`` from where they are: it learns what large residuals add to the Hessian."""
    index = torch.tensor(rows, device=outcome.points.device)
    further = _along(BFGS())(replace(setup, starts=outcome.points[index]))
    for name in ("points", "values", "norms"):
        getattr(outcome, name)[index] = getattr(further, name)
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
        max_evaluations=setup.max_evaluations,
    )
    state: AugmentedLagrangianState
    outcome, state = drive(solver, setup, measure=lambda state: state.violation)
    outcome.equality_multipliers, outcome.inequality_multipliers = state.lambdas, state.mus
    return outcome


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(name="bfgs", words="keeps a dense inverse Hessian (BFGS)", run=_along(BFGS())),
        Method(name="lbfgs", words="keeps the last ten gradient changes (L-BFGS)", run=_lbfgs),
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
    )
}


def find_method(name: str, methods: Mapping[str, Method] = METHODS) -> Method:
    """The method of that name; raises ``UsageError`` with all names if there is none."""
    if name not in methods:
        message = f"there is no method {name!r}; there are auto, {', '.join(sorted(methods))}"
        raise UsageError(message)
    return methods[name]
