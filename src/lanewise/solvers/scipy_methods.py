"""Methods of SciPy behind the interface of :func:`lanewise.minimize`: adapted, not rewritten.

SLSQP and trust-constr run from one start after another; differential evolution and dual annealing search
the box as a whole, with as many evaluations as all starts together may have.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from lanewise.solvers.augmented_lagrangian import BEYOND
from lanewise.solvers.functions import RowFunction
from lanewise.solvers.method import Method
from lanewise.solvers.multipliers import estimate_multipliers
from lanewise.solvers.outcome import Outcome, Setup, Watch
from lanewise.solvers.ranking import better
from lanewise.solvers.solver import Status

FEASIBILITY = 1e-6
"""Violation that SciPy's methods leave at their own tolerances."""


class _Enough(Exception):
    """Ends a run of SciPy: the limit was reached or the callback asked to stop."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.value)
        self.status = status


class _Ledger:
    """What SciPy calls: counts the evaluations of a run and remembers its best point."""

    def __init__(self, setup: Setup, watch: Watch, limit: int) -> None:
        self.setup, self.watch, self.limit = setup, watch, limit
        self.spent = 0
        self.first: float | None = None
        self.point = setup.starts[:1].clone()
        self.value = torch.full((1,), torch.inf, dtype=torch.float64)
        self.violation = torch.full((1,), torch.inf, dtype=torch.float64)

    def smooth(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at ``[P]``."""
        row = torch.from_numpy(np.array(point, dtype=np.float64))[None]
        self._check()
        before = self.setup.objective.evaluated
        values, gradients = self.setup.objective(row, torch.zeros(1, dtype=torch.int64))
        self.spent += self.setup.objective.evaluated - before  # more than one by differences
        self._note(row, values)
        return float(values[0]), gradients[0].numpy()

    def value_of(self, point: np.ndarray) -> float:
        return float(self.values_of(np.asarray(point)[:, None])[0])

    def values_of(self, points: np.ndarray) -> np.ndarray:
        """Values ``[R]`` at ``points [P, R]``, SciPy's way round."""
        columns = np.asarray(points, dtype=np.float64)
        rows = torch.from_numpy(np.ascontiguousarray(np.atleast_2d(columns.T)))
        self._check()
        self.spent += len(rows)
        values = self.setup.objective.values(rows)
        self._note(rows, values)
        found = torch.where(values.isnan(), torch.inf, values).numpy()
        return found if columns.ndim > 1 else found[0]

    def settle(self, point: np.ndarray) -> None:
        """Take the point that a run ended with: it may meet the constraints less well than one before.

        Not one at which a fall without end has come out of all scale, where values are nothing but rounding.
        """
        ended = torch.from_numpy(np.array(point, dtype=np.float64))[None]
        value, violation = self.setup.objective.values(ended), self.setup.objective.violations(ended)
        seen = self.value, self.violation
        if self.fell() and bool(better(seen[0], _met(seen[1]), value, _met(violation))):
            return
        self.point, self.value, self.violation = ended, value, violation

    def fell(self) -> bool:
        """Whether the best point seen is out of all scale below the first."""
        return self.first is not None and float(self.value) < self.first - BEYOND * max(1.0, abs(self.first))

    def _check(self) -> None:
        if self.spent >= self.limit:
            raise _Enough(Status.EVALUATIONS)

    def _note(self, rows: Tensor, values: Tensor) -> None:
        self.first = float(values[0]) if self.first is None else self.first
        violations = self.setup.objective.violations(rows)
        for place in range(len(rows)):
            one = slice(place, place + 1)
            if bool(better(values[one], _met(violations[one]), self.value, _met(self.violation))):
                self.point, self.value, self.violation = rows[one].clone(), values[one], violations[one]
        if self.watch.stops(self.point, self.value, self.violation):
            raise _Enough(Status.STOPPED)


def _met(violations: Tensor) -> Tensor:
    return torch.where(violations <= FEASIBILITY, 0.0, violations)


def _box(setup: Setup) -> scipy.optimize.Bounds | None:
    if setup.low is None or setup.high is None:
        return None
    # Not kept at every step: trust-constr makes no progress from a start that lies on a bound.
    build: Any = scipy.optimize.Bounds
    return build(setup.low.numpy(), setup.high.numpy())


def _constraint(function: RowFunction) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Values ``[M]`` and derivatives ``[M, P]`` of a constraint at a point."""

    def row(point: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(point, dtype=np.float64))[None]

    return lambda p: function.values(row(p))[0].numpy(), lambda p: function.jacobians(row(p))[1][0].numpy()


def _nonlinear(setup: Setup, *, with_derivatives: bool) -> list[Any]:
    """Constraints in the form of trust-constr and differential evolution."""
    found = []
    build: Any = scipy.optimize.NonlinearConstraint
    for functions, high in ((setup.objective.equalities, 0.0), (setup.objective.inequalities, np.inf)):
        for function in functions:
            values, derivatives = _constraint(function)
            extra = {"jac": derivatives} if with_derivatives else {}
            found.append(build(values, 0.0, high, **extra))
    return found


def _seed(function: Callable[..., Any], seed: int) -> dict[str, Any]:
    """The argument for random numbers, which newer releases call rng."""
    name = "rng" if "rng" in inspect.signature(function).parameters else "seed"
    return {name: np.random.default_rng(seed)}


def _slsqp(setup: Setup, ledger: _Ledger, start: np.ndarray) -> Any:
    constraints = []
    for functions, kind in ((setup.objective.equalities, "eq"), (setup.objective.inequalities, "ineq")):
        for function in functions:
            values, derivatives = _constraint(function)
            constraints.append({"type": kind, "fun": values, "jac": derivatives})
    return scipy.optimize.minimize(
        ledger.smooth,
        start,
        jac=True,
        method="SLSQP",
        bounds=_box(setup),
        constraints=constraints,
        options={"ftol": 1e-12, "maxiter": setup.max_evaluations},
    )


def _trust_constr(setup: Setup, ledger: _Ledger, start: np.ndarray) -> Any:
    return scipy.optimize.minimize(
        ledger.smooth,
        start,
        jac=True,
        hess=scipy.optimize.BFGS(),
        method="trust-constr",
        bounds=_box(setup),
        constraints=_nonlinear(setup, with_derivatives=True),
        options={"gtol": setup.tolerance, "xtol": 1e-9, "maxiter": setup.max_evaluations},
    )


def _differential_evolution(setup: Setup, ledger: _Ledger, start: np.ndarray) -> Any:
    function: Any = scipy.optimize.differential_evolution
    return function(
        ledger.values_of,
        _box(setup),
        x0=start,
        constraints=_nonlinear(setup, with_derivatives=False) if setup.constrained else (),
        integrality=None if setup.whole is None else setup.whole.numpy(),
        vectorized=not setup.constrained,
        updating="immediate" if setup.constrained else "deferred",
        maxiter=setup.max_evaluations,
        polish=False,
        tol=1e-10,
        atol=1e-12,
        **_seed(function, setup.seed),
    )


def _dual_annealing(setup: Setup, ledger: _Ledger, start: np.ndarray) -> Any:
    function: Any = scipy.optimize.dual_annealing
    assert setup.low is not None
    assert setup.high is not None
    box = list(zip(setup.low.tolist(), setup.high.tolist(), strict=True))
    limit = min(1000, setup.max_evaluations)
    return function(ledger.value_of, box, x0=start, maxiter=limit, **_seed(function, setup.seed))


Runner = Callable[[Setup, _Ledger, np.ndarray], Any]


def _run(runner: Runner, *, whole_box: bool) -> Callable[[Setup], Outcome]:
    def run(setup: Setup) -> Outcome:
        watch = Watch(setup)
        starts = setup.starts[:1] if whole_box else setup.starts
        limit = setup.max_evaluations * (len(setup.starts) if whole_box else 1)
        ledgers: list[_Ledger] = []
        status: list[Status] = []
        iterations: list[int] = []
        for start in starts:
            ledger = _Ledger(setup, watch, limit)
            ledgers.append(ledger)
            count = 0
            try:
                with warnings.catch_warnings():
                    # Of a quasi-Newton pair without a change of the gradient; the run goes on without it.
                    warnings.filterwarnings("ignore", message="delta_grad == 0.0", category=UserWarning)
                    found = runner(setup, ledger, start.numpy().copy())
                count = int(getattr(found, "nit", 0))
                if not whole_box and np.isfinite(found.x).all():
                    ledger.settle(np.asarray(found.x))
                status.append(_status(ledger, whole_box=whole_box, success=bool(found.success)))
            except _Enough as enough:
                status.append(enough.status)
            iterations.append(count)
            if status[-1] is Status.STOPPED:
                break
        points = torch.cat([ledger.point for ledger in ledgers])
        outcome = Outcome(
            points=points,
            values=torch.cat([ledger.value for ledger in ledgers]),
            norms=torch.full((len(points),), torch.nan, dtype=torch.float64),
            violations=torch.cat([ledger.violation for ledger in ledgers]),
            iterations=torch.tensor(iterations),
            status=status,
            history=watch.history,
            feasibility=FEASIBILITY,
        )
        if not whole_box:
            _with_multipliers(outcome, setup)
        return outcome

    return run


def _with_multipliers(outcome: Outcome, setup: Setup) -> None:
    """Gradient norms and multipliers of the starts that came to their end, which SciPy does not tell alike."""
    count = len(outcome.points)
    lambdas, mus = (
        torch.full((count, sum(function.values(outcome.points[:1]).shape[1] for function in functions)), torch.nan)
        for functions in (setup.objective.equalities, setup.objective.inequalities)
    )
    lambdas, mus = lambdas.double(), mus.double()
    ended = torch.tensor([one not in (Status.EVALUATIONS, Status.STOPPED) for one in outcome.status])
    ended &= outcome.values.isfinite()
    if bool(ended.any()):
        lambdas[ended], mus[ended], outcome.norms[ended] = estimate_multipliers(setup, outcome.points[ended])
        if outcome.history.evaluations:
            outcome.history.evaluations[-1] = setup.objective.evaluated
    if setup.constrained:
        outcome.equality_multipliers, outcome.inequality_multipliers = lambdas, mus


def _status(ledger: _Ledger, *, whole_box: bool, success: bool) -> Status:
    if float(ledger.violation) > FEASIBILITY:
        return Status.INFEASIBLE
    if not np.isfinite(float(ledger.value)):
        return Status.NOT_FINITE
    if ledger.fell() and not ledger.setup.boxed:
        return Status.RUNAWAY if ledger.setup.constrained else Status.UNBOUNDED
    if whole_box:
        return Status.SETTLED
    return Status.MET if success else Status.STALLED


SCIPY_METHODS = (
    Method(
        name="slsqp",
        words="solves quadratic programs in sequence (SciPy's SLSQP)",
        run=_run(_slsqp, whole_box=False),
        constraints=True,
    ),
    Method(
        name="trust-constr",
        words="trusts a model within a region (SciPy's trust-constr)",
        run=_run(_trust_constr, whole_box=False),
        constraints=True,
    ),
    Method(
        name="differential-evolution",
        words="evolves differences of points (SciPy's differential evolution)",
        run=_run(_differential_evolution, whole_box=True),
        derivatives=0,
        boxed=True,
        constraints=True,
    ),
    Method(
        name="dual-annealing",
        words="anneals and searches locally (SciPy's dual annealing)",
        run=_run(_dual_annealing, whole_box=True),
        derivatives=0,
        boxed=True,
    ),
)
