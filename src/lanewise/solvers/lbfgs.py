"""Limited-memory BFGS for many problems at once, with OWL-QN for rows that carry an L1 penalty.

Each row goes its own way: in one round every running row has its objective evaluated once, at the
next trial step of its own line search, and the rows whose step is taken get a new direction. The
number of rounds is therefore that of the row that needs most evaluations, not a sum over iterations.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers import orthant
from lanewise.solvers.curvature import CurvatureMemory, Metric, dot
from lanewise.solvers.line_search import Bracket, LineSearch, Trial
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status

STATUSES = tuple(Status)
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
        return cls(**own, memory=CurvatureMemory(**memory))


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """The points ``[R, P]`` just evaluated, with values (penalty included) and smooth gradients."""

    points: Tensor
    values: Tensor
    gradients: Tensor

    def at(self, index: Tensor) -> "_Candidate":
        return _Candidate(
            points=self.points.index_select(0, index),
            values=self.values[index],
            gradients=self.gradients.index_select(0, index),
        )


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
        self._aim(state, _running(state), slopes[_running(state)])
        return state

    def step(self, state: LBFGSState, objective: Objective) -> None:
        """One round of every running row, in place: an evaluation, then a new step or direction."""
        rows = _running(state)
        if len(rows) == 0:
            return
        bracket = Bracket.unpack(state.search[rows])
        candidate, trial = self._evaluate(state, rows, bracket, objective)
        accepted = self.line_search.accepts(bracket, trial)
        taken = accepted.nonzero().squeeze(1)
        if len(taken) == len(rows):
            self._move(state, rows, candidate)
        else:
            if len(taken):
                self._move(state, rows[taken], candidate.at(taken))
            self._refine(state, rows, ~accepted, self.line_search.narrow(bracket, trial))
            state.status[rows[candidate.values == -torch.inf]] = CODE[Status.UNBOUNDED]
        if self.max_evaluations is not None:
            spent = (state.status == 0) & (state.evaluations >= self.max_evaluations)
            state.status.masked_fill_(spent, CODE[Status.EVALUATIONS])

    def progress(self, state: LBFGSState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return Progress(
            points=state.points,
            values=state.values,
            gradient_norms=state.norms,
            iterations=state.iterations,
            evaluations=state.evaluations,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

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

    def _weights(self, state: LBFGSState, rows: Tensor) -> Tensor:
        """L1 weight ``[R, P]`` of every coordinate."""
        weights = state.l1[rows][:, None].expand(-1, state.points.shape[1])
        return weights if self.penalised is None else weights * self.penalised.to(weights)

    def _slopes(self, state: LBFGSState, rows: Tensor) -> Tensor:
        """(Pseudo-)gradients ``[R, P]`` at the current points."""
        gradients = state.gradients[rows]
        if self.l1 is None:
            return gradients
        return orthant.pseudo_gradient(state.points[rows], gradients, self._weights(state, rows))

    def _evaluate(
        self, state: LBFGSState, rows: Tensor, bracket: Bracket, objective: Objective
    ) -> tuple[_Candidate, Trial]:
        """Call the objective at the next step of every search."""
        origins, directions = state.points.index_select(0, rows), state.directions.index_select(0, rows)
        points = origins + bracket.step[:, None] * directions
        promise = bracket.step * bracket.slope
        bent = weights = None
        if self.l1 is not None:
            bent, weights = state.l1[rows] > 0, self._weights(state, rows)
            descents = -self._slopes(state, rows)
            points = orthant.project(points, orthant.orthant(origins, descents, weights))
            # A step cut short may promise an increase by its first order; then any decrease will do.
            promise = torch.where(bent, -dot(descents, points - origins).clamp_min(0.0), promise)
        values, gradients = objective(points, state.problems[rows])
        slopes = dot(gradients, directions)
        known = finite = (values + slopes).isfinite()
        if bent is not None and weights is not None:
            values, known = values + orthant.penalty(points, weights), finite & ~bent
        state.evaluations[rows] += 1
        trial = Trial(
            base=state.values[rows],
            promise=promise,
            value=torch.where(finite, values, torch.inf),
            slope=torch.where(known, slopes, torch.nan),
        )
        return _Candidate(points=points, values=values, gradients=gradients), trial

    def _move(self, state: LBFGSState, rows: Tensor, new: _Candidate) -> None:
        """Take the step of ``rows``: remember the pair, judge the new point, choose a direction."""
        steps = new.points - state.points.index_select(0, rows)
        state.memory.push(rows, steps, new.gradients - state.gradients.index_select(0, rows))
        before = state.values[rows]
        state.points[rows] = new.points
        state.values[rows] = new.values
        state.gradients[rows] = new.gradients
        iterations = state.iterations[rows] + 1
        state.iterations[rows] = iterations
        slopes = new.gradients if self.l1 is None else self._slopes(state, rows)
        norms = slopes.abs().amax(1)
        state.norms[rows] = norms
        status = torch.where(iterations >= self.max_iterations, CODE[Status.ITERATIONS], 0)
        status = torch.where(self._stalls(state, rows, new.values, norms), CODE[Status.STALLED], status)
        if self.value_tolerance is not None:
            size = torch.maximum(before.abs(), new.values.abs())
            status = torch.where(before - new.values <= self.value_tolerance * size, CODE[Status.FLAT], status)
        status = torch.where(norms <= state.tolerance[rows], CODE[Status.CONVERGED], status)
        state.status[rows] = status
        running = (status == CODE[Status.RUNNING]).nonzero().squeeze(1)
        if len(running) < len(rows):
            rows, slopes = rows[running], slopes[running]
        self._aim(state, rows, slopes)

    def _stalls(self, state: LBFGSState, rows: Tensor, values: Tensor, norms: Tensor) -> Tensor:
        """Which ``rows`` have gone PATIENCE evaluations without a new record; keeps the record."""
        lowest, smallest, latest = state.record[rows].unbind(1)
        evaluations = state.evaluations[rows]
        latest = torch.where((values < lowest) | (norms < smallest), evaluations, latest)
        record = torch.stack((torch.minimum(lowest, values), torch.minimum(smallest, norms), latest), dim=1)
        state.record[rows] = record
        return evaluations - latest >= PATIENCE

    def _aim(self, state: LBFGSState, rows: Tensor, slopes: Tensor) -> None:
        """Start a search of ``rows`` along the quasi-Newton direction from ``slopes [R, P]``."""
        if len(rows) == 0:
            return
        metric = self._initial(state, rows)
        if self.l1 is None:
            directions = -state.memory.apply(rows, slopes, metric=metric)
        else:
            points, descents, weights = state.points[rows], -slopes, self._weights(state, rows)
            free = orthant.free(points, descents, weights)
            directions = state.memory.apply(rows, descents, free=free, metric=metric)
            directions = orthant.align(directions, points, descents, weights)
        descent = dot(directions, slopes)
        known = state.memory.pushed[rows] > 0
        if metric is not None:
            known |= state.l1[rows] == 0
        usable = (descent < 0) & descent.isfinite() & known
        restart = (~usable).nonzero().squeeze(1)
        if len(restart):
            # Without curvature nothing is known of the scale: begin with a step of length one.
            state.memory.forget(rows[restart])
            steepest = slopes[restart]
            steepest = steepest / steepest.abs().amax(1, keepdim=True)
            steepest = steepest / dot(steepest, steepest).sqrt()[:, None]
            directions[restart] = -steepest
            descent[restart] = -dot(steepest, slopes[restart])
        state.directions[rows] = directions
        state.search[rows] = Bracket.start(state.values[rows], descent).pack()

    def _initial(self, state: LBFGSState, rows: Tensor) -> Metric | None:
        """The metric of ``rows``; the unit matrix for those among them with an L1 penalty."""
        if self.metric is None:
            return None
        metric = partial(self.metric, state.problems[rows])
        if self.l1 is None:
            return metric
        bent = (state.l1[rows] > 0)[:, None]
        return lambda vectors: torch.where(bent, vectors, metric(vectors))

    def _refine(self, state: LBFGSState, rows: Tensor, refused: Tensor, bracket: Bracket) -> None:
        """Store the narrowed brackets of ``refused [R]`` rows; a failed search starts afresh or ends."""
        index = refused.nonzero().squeeze(1)
        table = bracket.pack()[index]
        rows, bracket = rows[index], Bracket.unpack(table)
        state.search[rows] = table
        failed = self.line_search.exhausted(bracket).nonzero().squeeze(1)
        if len(failed) == 0:
            return
        rows, high, value = rows[failed], bracket.high[failed], bracket.high_value[failed]
        afresh = (state.memory.pushed[rows] > 0) & high.isfinite()
        state.memory.forget(rows[afresh])
        self._aim(state, rows[afresh], self._slopes(state, rows[afresh]))
        reason = torch.where(value.isfinite(), CODE[Status.STALLED], CODE[Status.NOT_FINITE])
        reason = torch.where(high.isfinite(), reason, CODE[Status.UNBOUNDED])
        state.status[rows] = torch.where(afresh, state.status[rows], reason)


def _running(state: LBFGSState) -> Tensor:
    """Numbers ``[R]`` of the rows that are still running."""
    return (state.status == CODE[Status.RUNNING]).nonzero().squeeze(1)
