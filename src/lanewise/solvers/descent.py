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
from lanewise.optim.leaves import choose
from lanewise.solvers.bounds import within
from lanewise.solvers.curvature import dot
from lanewise.solvers.direction import Direction, Memory, Place
from lanewise.solvers.line_search import Bracket, LineSearch, Trial
from lanewise.solvers.rows import Rows, Scalar, alike, finite, lesser, negate, table
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status, progress_of

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
        going = rows[state.status[rows] == CODE[Status.RUNNING]]
        if len(going):
            self._aim(state, Rows.of(going, state.points), objective)

    def step(self, state: DescentState, objective: Objective) -> None:
        """One round of every running row, in place: an evaluation, then a new step or direction."""
        numbers = running(state.status)
        if len(numbers) == 0:
            return
        rows = Rows.of(numbers, state.points)
        bracket = Bracket.of(rows.columns(state.search))
        points, trial, gradients = self._evaluate(state, rows, bracket, objective)
        accepted = self.line_search.accepts(bracket, trial)
        if (found := rows.among(accepted)) is not None:
            index, taken = found
            self._move(state, taken, (points[index], rows.pick(trial.value, index), gradients[index]), objective)
        if (found is None or len(found[1]) < len(rows)) and (found := rows.among(negate(accepted))) is not None:
            if (endless := rows.among(trial.value == -torch.inf)) is not None:
                state.status[endless[1].at] = CODE[Status.UNBOUNDED]
            index, refused = found
            narrowed = self.line_search.narrow(bracket, trial)
            self._refine(state, refused, narrowed.pack()[index], objective)
            reach = choose(finite(narrowed.low_value), narrowed.low, bracket.low)
            fallen = (rows.read(state.status) == CODE[Status.UNBOUNDED]) & (reach > 0)
            if (found := rows.among(fallen)) is not None:
                self._fall(state, found[1], rows.pick(reach, found[0]), objective)
        if self.max_evaluations is not None:
            spent = (state.status == CODE[Status.RUNNING]) & (state.evaluations >= self.max_evaluations)
            state.status.masked_fill_(spent, CODE[Status.EVALUATIONS])

    def progress(self, state: DescentState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return progress_of(state)

    def clip(self, points: Tensor) -> Tensor:
        """The nearest points ``[R, P]`` within the bounds."""
        return within(points, self.low, self.high)

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
        self, state: DescentState, rows: Rows, bracket: Bracket, objective: Objective
    ) -> tuple[Tensor, Trial, Tensor]:
        """Call the objective at the next step of every search."""
        origins, directions = rows.take(state.points), rows.take(state.directions)
        straight = origins + rows.across(bracket.step) * directions
        points = self.clip(straight)
        promise = bracket.step * bracket.slope
        found, gradients = objective(points, rows.take(state.problems))
        rows.count(state.evaluations)
        values, slopes = rows.scalar(found), rows.scalar(dot(gradients, directions))
        real = known = finite(values) & finite(slopes)
        if self._bounded:
            bent = rows.scalar((points != straight).any(1))
            known = real & negate(bent)
            along = rows.scalar(dot(rows.take(state.gradients), points - origins).clamp_max(0.0))
            promise = choose(bent, along, promise)
        trial = Trial(
            base=rows.read(state.values),
            promise=promise,
            value=choose(real | (values == -torch.inf), values, torch.inf),
            slope=choose(known, slopes, torch.nan),
        )
        return points, trial, gradients

    def _move(self, state: DescentState, rows: Rows, new: tuple[Tensor, Scalar, Tensor], objective: Objective) -> None:
        """Take the step of ``rows``: remember the pair, judge the new point, choose a direction."""
        points, values, grads = new
        steps = points - rows.take(state.points)
        self.direction.learn(state.memory, rows.numbers, steps, grads - rows.take(state.gradients))
        state.points[rows.at], state.values[rows.at], state.gradients[rows.at] = points, values, grads
        iterations = rows.count(state.iterations)
        norms = rows.scalar(self._norms(points, grads))
        state.norms[rows.at] = norms
        status = choose(self._stalls(state, rows, values, norms), CODE[Status.STALLED], CODE[Status.RUNNING])
        if self.max_iterations is not None:
            status = choose(iterations >= self.max_iterations, CODE[Status.ITERATIONS], status)
        status = choose(values == -torch.inf, CODE[Status.UNBOUNDED], status)
        status = choose(norms <= rows.read(state.tolerance), CODE[Status.CONVERGED], status)
        state.status[rows.at] = status
        if (going := rows.among(status == CODE[Status.RUNNING])) is not None:
            self._aim(state, going[1], objective)

    def _fall(self, state: DescentState, rows: Rows, reach: Scalar, objective: Objective) -> None:
        """Move ``rows`` without end to the lowest point of the search, at the step ``reach``."""
        points = self.clip(rows.take(state.points) + rows.across(reach) * rows.take(state.directions))
        found, gradients = objective(points, rows.take(state.problems))
        rows.count(state.evaluations)
        values = rows.scalar(found)
        if (lower := rows.among((values < rows.read(state.values)) & finite(values))) is None:
            return
        index, rows = lower
        state.points[rows.at], state.values[rows.at] = points[index], found[index]
        state.gradients[rows.at] = gradients[index]
        state.norms[rows.at] = self._norms(points[index], gradients[index])

    def _stalls(self, state: DescentState, rows: Rows, values: Scalar, norms: Scalar) -> Scalar:
        """Which ``rows`` have gone PATIENCE evaluations without a new record; keeps the record."""
        lowest, smallest, latest = rows.columns(state.record)
        count = rows.read(state.evaluations)
        latest = choose((values < lowest) | (norms < smallest), count, latest)
        state.record[rows.at] = table(lesser(values, lowest), lesser(norms, smallest), latest)
        return count - latest >= PATIENCE

    def _aim(self, state: DescentState, rows: Rows, objective: Objective, *, steepest: bool = False) -> None:
        """Start a search of ``rows``: along the direction of the method, or of steepest descent."""
        points, gradients = rows.take(state.points), rows.take(state.gradients)
        held = self._held(points, gradients)
        inner = gradients if held is None else gradients.masked_fill(held, 0.0)
        if steepest:
            directions = torch.zeros_like(points)
        else:
            place = Place(
                rows=rows.numbers,
                problems=rows.take(state.problems),
                points=points,
                gradients=inner,
                free=None if held is None else ~held,
            )
            directions = self.direction.aim(state.memory, place, objective)
        descent = rows.scalar(dot(directions, inner))
        poor = negate((descent < 0) & finite(descent))
        if (found := rows.among(poor)) is not None:
            # Without curvature nothing is known of the scale: begin with a step of length one.
            index, _ = found
            scaled = inner[index] / inner[index].abs().amax(1, keepdim=True).clamp_min(1e-300)  # huge squares overflow
            directions = directions.clone()
            directions[index] = -scaled / dot(scaled, scaled).sqrt().clamp_min(1e-300)[:, None]
        if held is not None:
            onto = self.clip(points - torch.where(held, gradients.sign() * torch.inf, 0.0)) - points
            directions = torch.where(held, onto, directions)
        state.steepest[rows.at] = poor
        state.directions[rows.at] = directions
        slopes = rows.scalar(dot(directions, gradients))
        state.search[rows.at] = Bracket.start(rows.read(state.values), slopes).pack()

    def _refine(self, state: DescentState, rows: Rows, narrowed: Tensor, objective: Objective) -> None:
        """Store the ``narrowed`` brackets ``[R, ...]`` of refused rows; a failed search starts afresh or ends."""
        state.search[rows.at] = narrowed
        bracket = Bracket.of(rows.split(narrowed))
        going = rows.read(state.status) == CODE[Status.RUNNING]
        if (found := rows.among(self.line_search.exhausted(bracket) & going)) is None:
            return
        index, failed = found
        high, value = rows.pick(bracket.high, index), rows.pick(bracket.high_value, index)
        afresh = negate(failed.read(state.steepest)) & finite(high)
        before = failed.read(state.status)
        reason = choose(finite(value), CODE[Status.STALLED], alike(before, CODE[Status.NOT_FINITE]))
        reason = choose(finite(high), reason, CODE[Status.UNBOUNDED])
        state.status[failed.at] = choose(afresh, before, reason)
        if (again := failed.among(afresh)) is not None:
            _, restart = again
            self.direction.forget(state.memory, restart.numbers)
            self._aim(state, restart, objective, steepest=True)


def running(status: Tensor) -> Tensor:
    """Numbers ``[R]`` of the rows of ``status [L]`` that are still running."""
    return (status == CODE[Status.RUNNING]).nonzero().squeeze(1)
