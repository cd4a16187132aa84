"""Line-search descent for many problems at once, within bounds if there are any.

Every method that chooses a direction and then searches along it is this solver with another
:class:`~lanewise.solvers.direction.Direction`: BFGS, L-BFGS, Newton, Newton-CG, conjugate gradient,
Gauss-Newton. In one round every running row has its objective evaluated once, at the next trial
step of its own line search; no row waits for another, and finished rows cost nothing.

Bounds are met by two-metric projection: coordinates that the gradient presses against a bound are
held there, the direction is chosen in the others, and the search follows the projected path.

Sources: Nocedal and Wright, *Numerical Optimization* (2006), chapters 3 and 6; Bertsekas,
*Projected Newton methods for optimization problems with simple constraints*, SIAM J. Control
Optim. 20 (1982).
"""

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import Direction, Memory, Place
from lanewise.solvers.line_search import Bracket, LineSearch, Trial
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status

STATUSES = tuple(Status)
PATIENCE = 100  # evaluations without a lower value or a smaller gradient before a row counts as stalled
NEAR = 1e-4  # a coordinate this near to a bound, relative to its scale, is moved onto it at once


@dataclass(kw_only=True)
class DescentState:
    """All that a run needs to go on; every tensor has the rows first.

    ``problems [L]``, ``points [L, P]``, ``values [L]``, ``gradients [L, P]``, ``directions [L, P]``,
    ``search [L, ...]`` (the packed ``Bracket``), ``record [L, 3]`` (lowest value, smallest norm,
    evaluations at the latest of either), ``norms [L]`` (of the projected gradient), ``tolerance [L]``,
    ``steepest [L]`` (whether the search follows the gradient itself), ``iterations [L]``,
    ``evaluations [L]``, ``status [L]`` (see ``CODE``), ``memory`` (of the direction).
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
    steepest: Tensor
    iterations: Tensor
    evaluations: Tensor
    status: Tensor
    memory: Memory

    def keep(self, rows: Tensor) -> "DescentState":
        """The state of ``rows`` only (numbers ``[K]`` or a mask ``[L]``), as copies."""
        own = {item.name: getattr(self, item.name)[rows].clone() for item in fields(self) if item.name != "memory"}
        return DescentState(**own, memory={name: tensor[rows].clone() for name, tensor in self.memory.items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class Descent(Solver[DescentState]):
    """``x <- clip(x + t d)``: ``d`` from ``direction``, ``t`` from a strong-Wolfe search.

    Where a bound bends the path, sufficient decrease alone is asked for (Armijo). ``low`` and
    ``high`` are ``[P]``, infinite where there is no bound, or None.

    A row stops when the largest entry of its projected gradient ``x - clip(x - g)`` is at most
    ``tolerance`` (a number or ``[L]``), or at a limit; ``max_evaluations`` counts calls per row.

    Raises ``UsageError`` if a setting is out of range or points are not floating numbers ``[L, P]``.

    >>> from lanewise.solvers.bfgs import BFGS
    >>> def bowl(points, rows):
    ...     return (points - 3).square().sum(1), 2 * (points - 3)
    >>> solver = Descent(direction=BFGS(), high=torch.tensor([5.0, 1.0], dtype=torch.float64))
    >>> state = solver.init(torch.zeros(1, 2, dtype=torch.float64), bowl)
    >>> while not solver.progress(state).finished:
    ...     solver.step(state, bowl)
    >>> solver.progress(state).points.round(decimals=5)
    tensor([[3., 1.]], dtype=torch.float64)
    """

    direction: Direction
    low: Tensor | None = None
    high: Tensor | None = None
    tolerance: float | Tensor = 1e-6
    max_iterations: int | None = None
    max_evaluations: int | None = None
    line_search: LineSearch = field(default_factory=LineSearch)

    def __post_init__(self) -> None:
        for name in ("max_iterations", "max_evaluations"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"{name} must be at least 1, got {value}"
                raise UsageError(message)
        object.__setattr__(self, "line_search", replace(self.line_search, curvature=self.direction.wolfe))

    def init(self, points: Tensor, objective: Objective) -> DescentState:
        """Evaluate the start points ``[L, P]``, moved into the bounds, and allocate the state."""
        if points.ndim != 2 or points.shape[1] == 0 or not points.is_floating_point():
            message = f"points must be floating numbers [L, P], got {points.dtype} {list(points.shape)}"
            raise UsageError(message)
        lanes = len(points)
        rows = torch.arange(lanes, device=points.device)
        zeros = points.new_zeros(lanes)
        state = DescentState(
            problems=rows,
            points=self.clip(points.detach().clone()),
            values=zeros.clone(),
            gradients=torch.zeros_like(points),
            directions=torch.zeros_like(points),
            search=Bracket.start(zeros, zeros).pack(),
            record=points.new_full((lanes, 3), torch.inf),
            norms=zeros.clone(),
            tolerance=torch.as_tensor(self.tolerance, dtype=points.dtype, device=points.device).expand(lanes).clone(),
            steepest=torch.zeros(lanes, dtype=torch.bool, device=points.device),
            iterations=torch.zeros_like(rows),
            evaluations=torch.zeros_like(rows),
            status=torch.zeros_like(rows),
            memory=self.direction.empty(points),
        )
        self.restart(state, rows, objective)
        return state

    def restart(self, state: DescentState, rows: Tensor, objective: Objective) -> None:
        """Evaluate ``rows [R]`` again, for an objective that has changed, and set them running."""
        if len(rows) == 0:
            return
        values, gradients = objective(state.points[rows], state.problems[rows])
        state.evaluations[rows] += 1
        state.values[rows], state.gradients[rows] = values, gradients
        state.norms[rows] = norms = self._norms(state.points[rows], gradients)
        count = state.evaluations[rows].to(values.dtype)
        state.record[rows] = torch.stack((values, norms, count), dim=1)
        status = torch.where(norms <= state.tolerance[rows], CODE[Status.CONVERGED], CODE[Status.RUNNING])
        known = values.isfinite() & gradients.isfinite().all(1)
        state.status[rows] = torch.where(known, status, CODE[Status.NOT_FINITE])
        self._aim(state, rows[state.status[rows] == CODE[Status.RUNNING]], objective)

    def step(self, state: DescentState, objective: Objective) -> None:
        """One round of every running row, in place: an evaluation, then a new step or direction."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        bracket = Bracket.unpack(state.search[rows])
        directions = state.directions.index_select(0, rows)
        points, trial, gradients = self._evaluate(state, rows, directions, bracket, objective)
        accepted = self.line_search.accepts(bracket, trial)
        taken = accepted.nonzero().squeeze(1)
        if len(taken):
            self._move(state, rows[taken], (points[taken], trial.value[taken], gradients[taken]), objective)
        if len(taken) < len(rows):
            state.status[rows[trial.value == -torch.inf]] = CODE[Status.UNBOUNDED]
            narrowed = self.line_search.narrow(bracket, trial)
            self._refine(state, rows, ~accepted, narrowed, objective)
            reach = torch.where(narrowed.low_value.isfinite(), narrowed.low, bracket.low)
            fallen = (state.status[rows] == CODE[Status.UNBOUNDED]) & (reach > 0)
            if bool(fallen.any()):
                self._fall(state, rows[fallen], reach[fallen], objective)
        if self.max_evaluations is not None:
            spent = (state.status == CODE[Status.RUNNING]) & (state.evaluations >= self.max_evaluations)
            state.status.masked_fill_(spent, CODE[Status.EVALUATIONS])

    def progress(self, state: DescentState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return Progress(
            points=state.points,
            values=state.values,
            gradient_norms=state.norms,
            iterations=state.iterations,
            evaluations=state.evaluations,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

    def clip(self, points: Tensor) -> Tensor:
        """The nearest points ``[R, P]`` within the bounds."""
        if self.low is not None:
            points = torch.maximum(points, self.low.to(points))
        return points if self.high is None else torch.minimum(points, self.high.to(points))

    def _norms(self, points: Tensor, gradients: Tensor) -> Tensor:
        return (points - self.clip(points - gradients)).abs().amax(1) if self._bounded else gradients.abs().amax(1)

    @property
    def _bounded(self) -> bool:
        return self.low is not None or self.high is not None

    def _held(self, points: Tensor, gradients: Tensor) -> Tensor | None:
        """Where ``[R, P]`` a coordinate lies at, or close to, a bound against which it is pressed."""
        if not self._bounded:
            return None
        reach = self._norms(points, gradients).clamp_max(NEAR)[:, None] * points.abs().clamp_min(1.0)
        held = torch.zeros_like(points, dtype=torch.bool)
        if self.low is not None:
            held |= (points <= self.low.to(points) + reach) & (gradients > 0)
        if self.high is not None:
            held |= (points >= self.high.to(points) - reach) & (gradients < 0)
        return held

    def _evaluate(
        self, state: DescentState, rows: Tensor, directions: Tensor, bracket: Bracket, objective: Objective
    ) -> tuple[Tensor, Trial, Tensor]:
        """Call the objective at the next step of every search."""
        origins = state.points.index_select(0, rows)
        straight = origins + bracket.step[:, None] * directions
        points = self.clip(straight)
        promise = bracket.step * bracket.slope
        values, gradients = objective(points, state.problems[rows])
        state.evaluations[rows] += 1
        slopes = dot(gradients, directions)
        finite = known = values.isfinite() & slopes.isfinite()
        if self._bounded:
            bent = (points != straight).any(1)
            known = finite & ~bent
            along = dot(state.gradients.index_select(0, rows), points - origins).clamp_max(0.0)
            promise = torch.where(bent, along, promise)
        trial = Trial(
            base=state.values[rows],
            promise=promise,
            value=torch.where(finite | (values == -torch.inf), values, torch.inf),
            slope=torch.where(known, slopes, torch.nan),
        )
        return points, trial, gradients

    def _move(
        self, state: DescentState, rows: Tensor, new: tuple[Tensor, Tensor, Tensor], objective: Objective
    ) -> None:
        """Take the step of ``rows``: remember the pair, judge the new point, choose a direction."""
        points, values, grads = new
        steps = points - state.points.index_select(0, rows)
        self.direction.learn(state.memory, rows, steps, grads - state.gradients.index_select(0, rows))
        state.points[rows], state.values[rows], state.gradients[rows] = points, values, grads
        iterations = state.iterations[rows] + 1
        state.iterations[rows] = iterations
        state.norms[rows] = norms = self._norms(points, grads)
        status = torch.where(self._stalls(state, rows, values, norms), CODE[Status.STALLED], CODE[Status.RUNNING])
        if self.max_iterations is not None:
            status = torch.where(iterations >= self.max_iterations, CODE[Status.ITERATIONS], status)
        status = torch.where(values == -torch.inf, CODE[Status.UNBOUNDED], status)
        state.status[rows] = torch.where(norms <= state.tolerance[rows], CODE[Status.CONVERGED], status)
        self._aim(state, rows[state.status[rows] == CODE[Status.RUNNING]], objective)

    def _fall(self, state: DescentState, rows: Tensor, reach: Tensor, objective: Objective) -> None:
        """Move ``rows`` without end to the lowest point of the search, at the step ``reach [R]``."""
        points = self.clip(state.points[rows] + reach[:, None] * state.directions[rows])
        values, gradients = objective(points, state.problems[rows])
        state.evaluations[rows] += 1
        lower = (values < state.values[rows]) & values.isfinite()
        rows, points, gradients = rows[lower], points[lower], gradients[lower]
        state.points[rows], state.values[rows], state.gradients[rows] = points, values[lower], gradients
        state.norms[rows] = self._norms(points, gradients)

    def _stalls(self, state: DescentState, rows: Tensor, values: Tensor, norms: Tensor) -> Tensor:
        """Which ``rows`` have gone PATIENCE evaluations without a new record; keeps the record."""
        lowest, smallest, latest = state.record[rows].unbind(1)
        count = state.evaluations[rows].to(values.dtype)
        latest = torch.where((values < lowest) | (norms < smallest), count, latest)
        record = torch.stack((torch.minimum(lowest, values), torch.minimum(smallest, norms), latest), dim=1)
        state.record[rows] = record
        return count - latest >= PATIENCE

    def _aim(self, state: DescentState, rows: Tensor, objective: Objective, *, steepest: bool = False) -> None:
        """Start a search of ``rows``: along the direction of the method, or of steepest descent."""
        if len(rows) == 0:
            return
        points, gradients = state.points[rows], state.gradients[rows]
        held = self._held(points, gradients)
        inner = gradients if held is None else gradients.masked_fill(held, 0.0)
        if steepest:
            directions = torch.zeros_like(points)
        else:
            free = None if held is None else ~held
            place = Place(rows=rows, problems=state.problems[rows], points=points, gradients=inner, free=free)
            directions = self.direction.aim(state.memory, place, objective)
        descent = dot(directions, inner)
        poor = ~((descent < 0) & descent.isfinite())
        # Without curvature nothing is known of the scale: begin with a step of length one.
        scaled = inner / inner.abs().amax(1, keepdim=True).clamp_min(1e-300)  # squares of huge entries overflow
        unit = scaled / dot(scaled, scaled).sqrt().clamp_min(1e-300)[:, None]
        directions = torch.where(poor[:, None], -unit, directions)
        if held is not None:
            onto = self.clip(points - torch.where(held, gradients.sign() * torch.inf, 0.0)) - points
            directions = torch.where(held, onto, directions)
        state.steepest[rows] = poor
        state.directions[rows] = directions
        state.search[rows] = Bracket.start(state.values[rows], dot(directions, gradients)).pack()

    def _refine(
        self, state: DescentState, rows: Tensor, refused: Tensor, bracket: Bracket, objective: Objective
    ) -> None:
        """Store the narrowed brackets of ``refused [R]`` rows; a failed search starts afresh or ends."""
        index = refused.nonzero().squeeze(1)
        table = bracket.pack()[index]
        rows, bracket = rows[index], Bracket.unpack(table)
        state.search[rows] = table
        failed = (self.line_search.exhausted(bracket) & (state.status[rows] == CODE[Status.RUNNING])).nonzero()
        failed = failed.squeeze(1)
        if len(failed) == 0:
            return
        rows, high, value = rows[failed], bracket.high[failed], bracket.high_value[failed]
        afresh = ~state.steepest[rows] & high.isfinite()
        reason = torch.where(value.isfinite(), CODE[Status.STALLED], CODE[Status.NOT_FINITE])
        reason = torch.where(high.isfinite(), reason, CODE[Status.UNBOUNDED])
        state.status[rows] = torch.where(afresh, state.status[rows], reason)
        self.direction.forget(state.memory, rows[afresh])
        self._aim(state, rows[afresh], objective, steepest=True)


def running(status: Tensor) -> Tensor:
    """Numbers ``[R]`` of the rows of ``status [L]`` that are still running."""
    return (status == CODE[Status.RUNNING]).nonzero().squeeze(1)
