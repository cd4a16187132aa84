"""Limited-memory BFGS for many problems at once, with OWL-QN for rows that carry an L1 penalty.

Each row goes its own way: in one round every running row has its objective evaluated once, at the
next trial step of its own line search, and the rows whose step is taken get a new direction. The
number of rounds is therefore that of the row that needs most evaluations, not a sum over iterations.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.leaves import choose, larger
from lanewise.solvers import orthant
from lanewise.solvers.curvature import CurvatureMemory, Metric, dot, relink
from lanewise.solvers.line_search import Bracket, LineSearch, Trial
from lanewise.solvers.rows import Rows, Scalar, alike, finite, lesser, negate, table
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status, progress_of

PATIENCE = 100  # evaluations without a lower value or a smaller gradient before a row counts as stalled


@dataclass(kw_only=True)
class LBFGSState:
    """All that a run needs to go on; every tensor has the rows first.

    ``problems [L]`` numbers handed to the objective, ``points [L, P]``, ``values [L]`` (penalty
    included), ``gradients [L, P]`` (of the smooth part), ``directions [L, P]``, ``search [L, ...]``
    (the packed ``Bracket``), ``record [L, 3]`` (lowest value, smallest gradient norm, evaluations
    at the latest of either), ``norms [L]``, ``tolerance [L]``, ``l1 [L]``, ``iterations [L]``,
    ``evaluations [L]``, ``status [L]`` (place in ``Status``).
    """

    problems: Tensor
    points: Tensor
    values: Tensor
    gradients: Tensor
    directions: Tensor
    search: Tensor
    record: Tensor
    norms: Tensor
    tolerance: Tensor
    l1: Tensor
    iterations: Tensor
    evaluations: Tensor
    status: Tensor
    memory: CurvatureMemory

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name: what a checkpoint holds."""
        own = {name.name: getattr(self, name.name) for name in fields(self) if name.name != "memory"}
        return own | {f"memory.{name.name}": getattr(self.memory, name.name) for name in fields(self.memory)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "LBFGSState":
        """The state that ``tensors`` came from, bit for bit; it shares their storage."""
        memory = {name.removeprefix("memory."): t for name, t in tensors.items() if name.startswith("memory.")}
        own = {name: tensor for name, tensor in tensors.items() if "." not in name}
        if "links" not in memory:  # saved by an older version
            memory["links"] = relink(memory["pairs"], memory["pushed"])
        return cls(**own, memory=CurvatureMemory(**memory))


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """The points ``[R, P]`` just evaluated, with values (penalty included) and smooth gradients ``[R, P]``."""

    points: Tensor
    values: Scalar
    gradients: Tensor

    def at(self, index: Any) -> "_Candidate":
        """Those at ``index``, as :meth:`Rows.among` gave it."""
        if isinstance(index, slice):
            return self
        return _Candidate(points=self.points[index], values=self.values[index], gradients=self.gradients[index])


@dataclass(frozen=True, kw_only=True, eq=False)
class LBFGS(Solver[LBFGSState]):
    """Full-batch L-BFGS over rows; OWL-QN where a row has an L1 penalty.

    ``x <- x - t H g``, ``H`` the inverse Hessian built from the last ``memory`` pairs of step and
    gradient change, ``t`` from a strong-Wolfe line search. With ``l1 [L]`` row *l* minimises
    ``f(x) + l1[l] * sum_j |x_j|`` over the coordinates where ``penalised [P]`` is true (all, if
    not given): the objective still returns ``f`` alone, and coordinates reach exactly zero.

    A row stops when the largest absolute entry of its (pseudo-)gradient is at most ``tolerance``
    (absolute; a number or ``[L]``), when a step lowers the value by at most ``value_tolerance``
    times its size (off if None), or at a limit; ``max_evaluations`` counts calls per row.

    ``metric(problems [R], vectors [R, P]) -> [R, P]`` is what ``H`` is before any pair, up to its scale:
    the unit matrix, if not given. One that is near the inverse Hessian saves most of the iterations. Rows with an
    L1 penalty go without it: the projection onto an orthant would undo the steps (measured: 40 times the evaluations).

    Sources: Liu and Nocedal, *Mathematical Programming* 45 (1989); Andrew and Gao, ICML 2007.

    Raises ``UsageError`` if a setting is out of range or of another shape than the points.

    >>> def bowl(points, rows):
    ...     return (points - 3).square().sum(1), 2 * (points - 3)
    >>> solver = LBFGS()
    >>> state = solver.init(torch.zeros(2, 4, dtype=torch.float64), bowl)
    >>> while not solver.progress(state).finished:
    ...     solver.step(state, bowl)
    >>> solver.progress(state).points[0].round(decimals=5)
    tensor([3., 3., 3., 3.], dtype=torch.float64)
    """

    memory: int = 10
    tolerance: float | Tensor = 1e-6
    value_tolerance: float | None = None
    max_iterations: int = 1000
    max_evaluations: int | None = None
    l1: Tensor | None = None
    penalised: Tensor | None = None
    metric: Callable[[Tensor, Tensor], Tensor] | None = None
    line_search: LineSearch = field(default_factory=LineSearch)

    def __post_init__(self) -> None:
        for name in ("memory", "max_iterations", "max_evaluations"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"{name} must be at least 1, got {value}"
                raise UsageError(message)
        for name in ("tolerance", "value_tolerance", "l1"):
            value = getattr(self, name)
            if value is not None and not bool((torch.as_tensor(value) >= 0).all()):
                message = f"{name} must be zero or more, got {value}"
                raise UsageError(message)

    def init(self, points: Tensor, objective: Objective) -> LBFGSState:
        """Evaluate the start points ``[L, P]`` and allocate the state."""
        self._check(points)
        lanes = len(points)
        rows = torch.arange(lanes, device=points.device)
        values, gradients = objective(points, rows)
        l1 = torch.zeros_like(values) if self.l1 is None else self.l1.to(values)
        state = LBFGSState(
            problems=rows,
            points=points.detach().clone(),
            values=values.clone(),
            gradients=gradients.clone(),
            directions=torch.zeros_like(points),
            search=Bracket.start(values, values).pack(),
            record=torch.full((lanes, 3), torch.inf, dtype=points.dtype, device=points.device),
            norms=torch.zeros_like(values),
            tolerance=torch.as_tensor(self.tolerance, dtype=values.dtype, device=values.device).expand(lanes).clone(),
            l1=l1.clone(),
            iterations=torch.zeros_like(rows),
            evaluations=torch.ones_like(rows),
            status=torch.zeros_like(rows),
            memory=CurvatureMemory.empty(points, memory=self.memory),
        )
        if self.l1 is not None:
            state.values += orthant.penalty(points, self._weights(state, rows))
        slopes = self._slopes(state, rows)
        state.norms = slopes.abs().amax(1)
        state.record[:, 0], state.record[:, 1], state.record[:, 2] = state.values, state.norms, 1
        state.status[state.norms <= state.tolerance] = CODE[Status.CONVERGED]
        state.status[~(state.values + dot(slopes, slopes)).isfinite()] = CODE[Status.NOT_FINITE]
        if (going := self._running(state)) is not None:
            self._aim(state, going, slopes[going.at])
        return state

    def step(self, state: LBFGSState, objective: Objective) -> None:
        """One round of every running row, in place: an evaluation, then a new step or direction."""
        rows = self._running(state)
        if rows is None:
            return
        bracket = Bracket.of(rows.columns(state.search))
        candidate, trial = self._evaluate(state, rows, bracket, objective)
        accepted = self.line_search.accepts(bracket, trial)
        if (found := rows.among(accepted)) is not None:
            index, taken = found
            self._move(state, taken, candidate.at(index))
        if (found is None or len(found[1]) < len(rows)) and (found := rows.among(negate(accepted))) is not None:
            index, refused = found
            self._refine(state, refused, self.line_search.narrow(bracket, trial).pack()[index])
            if (endless := rows.among(candidate.values == -torch.inf)) is not None:
                state.status[endless[1].at] = CODE[Status.UNBOUNDED]
        if self.max_evaluations is not None:
            spent = (state.status == 0) & (state.evaluations >= self.max_evaluations)
            state.status.masked_fill_(spent, CODE[Status.EVALUATIONS])

    def progress(self, state: LBFGSState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return progress_of(state)

    def keep(self, state: LBFGSState, rows: Tensor) -> LBFGSState:
        """A state of its ``rows`` (numbers ``[K]`` or mask ``[L]``) only, each with its old problem number."""
        return LBFGSState.from_tensors({name: tensor[rows].clone() for name, tensor in state.tensors().items()})

    def _check(self, points: Tensor) -> None:
        if points.ndim != 2 or points.shape[1] == 0 or not points.is_floating_point():
            message = f"points must be floating numbers [L, P], got {points.dtype} {list(points.shape)}"
            raise UsageError(message)
        lanes, parameters = points.shape
        for name, length in (("tolerance", lanes), ("l1", lanes), ("penalised", parameters)):
            value = getattr(self, name)
            if isinstance(value, Tensor) and value.ndim > 0 and value.shape != (length,):
                message = f"{name} must have the shape [{length}] of the points, got {list(value.shape)}"
                raise UsageError(message)

    def _weights(self, state: LBFGSState, rows: Any) -> Tensor:
        """L1 weight ``[R, P]`` of every coordinate."""
        weights = state.l1[rows][:, None].expand(-1, state.points.shape[1])
        return weights if self.penalised is None else weights * self.penalised.to(weights)

    def _slopes(self, state: LBFGSState, rows: Any) -> Tensor:
        """(Pseudo-)gradients ``[R, P]`` at the current points."""
        gradients = state.gradients[rows]
        if self.l1 is None:
            return gradients
        return orthant.pseudo_gradient(state.points[rows], gradients, self._weights(state, rows))

    def _running(self, state: LBFGSState) -> Rows | None:
        """The rows that are still running, None if there is none; with a penalty many even where it is one."""
        numbers = (state.status == CODE[Status.RUNNING]).nonzero().squeeze(1)
        if len(numbers) == 0:
            return None
        return Rows.of(numbers, state.points) if self.l1 is None else Rows(numbers, apart=False)

    def _evaluate(
        self, state: LBFGSState, rows: Rows, bracket: Bracket, objective: Objective
    ) -> tuple[_Candidate, Trial]:
        """Call the objective at the next step of every search."""
        origins, directions = rows.take(state.points), rows.take(state.directions)
        points = origins + rows.across(bracket.step) * directions
        promise = bracket.step * bracket.slope
        bent = weights = None
        if self.l1 is not None:
            bent, weights = state.l1[rows.at] > 0, self._weights(state, rows.at)
            descents = -self._slopes(state, rows.at)
            points = orthant.project(points, orthant.orthant(origins, descents, weights))
            # A step cut short may promise an increase by its first order; then any decrease will do.
            promise = torch.where(bent, -dot(descents, points - origins).clamp_min(0.0), promise)
        found, gradients = objective(points, rows.take(state.problems))
        values, slopes = rows.scalar(found), rows.scalar(dot(gradients, directions))
        known = real = finite(values + slopes)
        if bent is not None and weights is not None:
            values, known = values + orthant.penalty(points, weights), real & ~bent
        rows.count(state.evaluations)
        trial = Trial(
            base=rows.read(state.values),
            promise=promise,
            value=choose(real, values, torch.inf),
            slope=choose(known, slopes, torch.nan),
        )
        return _Candidate(points=points, values=values, gradients=gradients), trial

    def _move(self, state: LBFGSState, rows: Rows, new: _Candidate) -> None:
        """Take the step of ``rows``: remember the pair, judge the new point, choose a direction."""
        steps = new.points - rows.take(state.points)
        state.memory.push(rows, steps, new.gradients - rows.take(state.gradients))
        before = rows.read(state.values)
        state.points[rows.at] = new.points
        state.values[rows.at] = new.values
        state.gradients[rows.at] = new.gradients
        iterations = rows.count(state.iterations)
        slopes = new.gradients if self.l1 is None else self._slopes(state, rows.at)
        norms = rows.scalar(slopes.abs().amax(1))
        state.norms[rows.at] = norms
        status = choose(iterations >= self.max_iterations, CODE[Status.ITERATIONS], CODE[Status.RUNNING])
        status = choose(self._stalls(state, rows, new.values, norms), CODE[Status.STALLED], status)
        if self.value_tolerance is not None:
            size = larger(abs(before), abs(new.values))
            status = choose(before - new.values <= self.value_tolerance * size, CODE[Status.FLAT], status)
        status = choose(norms <= rows.read(state.tolerance), CODE[Status.CONVERGED], status)
        state.status[rows.at] = status
        if (running := rows.among(status == CODE[Status.RUNNING])) is not None:
            index, going = running
            self._aim(state, going, slopes[index])

    def _stalls(self, state: LBFGSState, rows: Rows, values: Scalar, norms: Scalar) -> Scalar:
        """Which ``rows`` have gone PATIENCE evaluations without a new record; keeps the record."""
        lowest, smallest, latest = rows.columns(state.record)
        evaluations = rows.read(state.evaluations)
        latest = choose((values < lowest) | (norms < smallest), evaluations, latest)
        state.record[rows.at] = table(lesser(values, lowest), lesser(norms, smallest), latest)
        return evaluations - latest >= PATIENCE

    def _aim(self, state: LBFGSState, rows: Rows, slopes: Tensor) -> None:
        """Start a search of ``rows`` along the quasi-Newton direction from ``slopes [R, P]``."""
        metric = self._initial(state, rows.at)
        if self.l1 is None:
            directions = -state.memory.apply(rows, slopes, metric=metric)
        else:
            points, descents, weights = state.points[rows.at], -slopes, self._weights(state, rows.at)
            free = orthant.free(points, descents, weights)
            directions = state.memory.apply(rows, descents, free=free, metric=metric)
            directions = orthant.align(directions, points, descents, weights)
        descent = rows.scalar(dot(directions, slopes))
        known = rows.read(state.memory.pushed) > 0
        if metric is not None:
            known = known | (rows.read(state.l1) == 0)
        poor = rows.among(negate((descent < 0) & finite(descent) & known))
        if poor is not None:
            # Without curvature nothing is known of the scale: begin with a step of length one.
            index, restart = poor
            state.memory.forget(restart)
            steepest = slopes[index]
            steepest = steepest / steepest.abs().amax(1, keepdim=True)
            directions[index] = -(steepest / dot(steepest, steepest).sqrt()[:, None])
            descent = rows.scalar(dot(directions, slopes))
        state.directions[rows.at] = directions
        state.search[rows.at] = Bracket.start(rows.read(state.values), descent).pack()

    def _initial(self, state: LBFGSState, rows: Any) -> Metric | None:
        """The metric of ``rows``; the unit matrix for those among them with an L1 penalty."""
        if self.metric is None:
            return None
        metric = partial(self.metric, state.problems[rows])
        if self.l1 is None:
            return metric
        bent = (state.l1[rows] > 0)[:, None]
        return lambda vectors: torch.where(bent, vectors, metric(vectors))

    def _refine(self, state: LBFGSState, rows: Rows, narrowed: Tensor) -> None:
        """Store the ``narrowed`` brackets ``[R, ...]`` of refused rows; a failed search starts afresh or ends."""
        state.search[rows.at] = narrowed
        bracket = Bracket.of(rows.split(narrowed))
        if (found := rows.among(self.line_search.exhausted(bracket))) is None:
            return
        index, failed = found
        high, value = rows.pick(bracket.high, index), rows.pick(bracket.high_value, index)
        afresh = (failed.read(state.memory.pushed) > 0) & finite(high)
        reason = choose(finite(value), CODE[Status.STALLED], alike(failed.read(state.status), CODE[Status.NOT_FINITE]))
        reason = choose(finite(high), reason, CODE[Status.UNBOUNDED])
        state.status[failed.at] = choose(afresh, failed.read(state.status), reason)
        if (again := failed.among(afresh)) is not None:
            _, restart = again
            state.memory.forget(restart)
            self._aim(state, restart, self._slopes(state, restart.at))
