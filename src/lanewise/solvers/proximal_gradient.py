"""Proximal and projected gradient, with acceleration and restarts, for many problems at once.

Sources: Beck and Teboulle, *A fast iterative shrinkage-thresholding algorithm* (SIAM J. Imaging Sci. 2,
2009); O'Donoghue and Candes, *Adaptive restart for accelerated gradient schemes* (2015), for the
restart, which also keeps the method stable where the function is not convex.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.optim.proximal import Penalty
from lanewise.solvers.curvature import dot
from lanewise.solvers.descent import running
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status, progress_of

SHRINK, GROW = 0.5, 1.1  # of the step length, after a refusal and after an acceptance
SHORTEST = 1e-18  # step length at which a row is given up
ROUNDING = 64.0  # of a value, in units of its last place


@dataclass(kw_only=True)
class ProximalGradientState:
    """All that a run needs to go on; every tensor has the rows first.

    ``problems [L]``, ``points [L, P]`` (accepted), ``ahead [L, P]`` (extrapolated, where the gradient is
    taken), ``values [L]`` (smooth part and penalty at ``points``), ``smooth [L]`` and ``gradients [L, P]`` (at
    ``ahead``), ``lengths [L]`` (of the step), ``momentum [L]``, ``norms [L]``, ``iterations [L]``,
    ``evaluations [L]``, ``status [L]``.
    """

    problems: Tensor
    points: Tensor
    ahead: Tensor
    values: Tensor
    smooth: Tensor
    gradients: Tensor
    lengths: Tensor
    momentum: Tensor
    norms: Tensor
    iterations: Tensor
    evaluations: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ProximalGradient(Solver[ProximalGradientState]):
    """Minimizes ``f(x) + penalty(x)``: ``x <- prox(y - s grad f(y), s)``, ``y`` ahead of ``x`` (FISTA).

    ``s`` shrinks until ``f(x) <= f(y) + grad f(y)'(x - y) + |x - y|^2 / 2s``. The momentum starts again
    where it leads uphill. With a :class:`~lanewise.optim.proximal.Within` it is projected gradient.

    A row has converged when the largest entry of ``(y - x) / s`` is at most ``tolerance``.

    >>> from lanewise.optim.proximal import L1
    >>> def bowl(points, rows):
    ...     return (points - 3).square().sum(1) / 2, points - 3
    >>> solver = ProximalGradient(penalty=L1(1.0))
    >>> state = solver.init(torch.zeros(1, 2, dtype=torch.float64), bowl)
    >>> while not solver.progress(state).finished:
    ...     solver.step(state, bowl)
    >>> solver.progress(state).points.round(decimals=5)
    tensor([[2., 2.]], dtype=torch.float64)
    """

    penalty: Penalty
    tolerance: float = 1e-6
    accelerated: bool = True
    max_iterations: int | None = None
    max_evaluations: int | None = None

    def init(self, points: Tensor, objective: Objective) -> ProximalGradientState:
        """Evaluate the start points ``[L, P]``, moved to where the penalty is finite."""
        if points.ndim != 2 or not points.is_floating_point():
            message = f"points must be floating numbers [L, P], got {points.dtype} {list(points.shape)}"
            raise UsageError(message)
        rows = torch.arange(len(points), device=points.device)
        outside = self.penalty.value(points).isinf()
        points = torch.where(outside[:, None], self.penalty.prox(points, 1.0), points).detach().clone()
        smooth, gradients = objective(points, rows)
        sizes = dot(gradients, gradients).sqrt()
        known = smooth.isfinite() & sizes.isfinite()
        zeros = torch.zeros_like(smooth)
        state = ProximalGradientState(
            problems=rows,
            points=points,
            ahead=points.clone(),
            values=smooth + self.penalty.value(points),
            smooth=smooth.clone(),
            gradients=gradients.clone(),
            lengths=1 / sizes.clamp(1e-6, 1e6),
            momentum=zeros + 1.0,
            norms=zeros + torch.inf,
            iterations=torch.zeros_like(rows),
            evaluations=torch.ones_like(rows),
            status=torch.where(known, CODE[Status.RUNNING], CODE[Status.NOT_FINITE]),
        )
        still = (self.penalty.prox(points - gradients, 1.0) - points).abs().amax(1)
        state.norms = torch.where(known, still, torch.nan)
        state.status[known & (still <= self.tolerance)] = CODE[Status.CONVERGED]
        return state

    def step(self, state: ProximalGradientState, objective: Objective) -> None:
        """One trial step of every running row, in place."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        ahead, gradients, lengths = state.ahead[rows], state.gradients[rows], state.lengths[rows]
        points = self.penalty.prox(ahead - lengths[:, None] * gradients, lengths)
        smooth, slopes = objective(points, state.problems[rows])
        state.evaluations[rows] += 1
        move = points - ahead
        bound = state.smooth[rows] + dot(gradients, move) + dot(move, move) / (2 * lengths)
        slack = ROUNDING * torch.finfo(points.dtype).eps * state.smooth[rows].abs()
        accepted = smooth.isfinite() & slopes.isfinite().all(1) & (smooth <= bound + slack)
        state.lengths[rows] = torch.where(accepted, lengths * GROW, lengths * SHRINK)
        refused = rows[~accepted]
        short = refused[state.lengths[refused] < SHORTEST]
        state.status[short] = CODE[Status.STALLED]
        if bool(accepted.any()):
            taken = accepted.nonzero().squeeze(1)
            self._take(state, rows[taken], points[taken], (smooth[taken], slopes[taken]), objective)
        going = state.status == CODE[Status.RUNNING]
        if self.max_iterations is not None:
            state.status[going & (state.iterations >= self.max_iterations)] = CODE[Status.ITERATIONS]
        if self.max_evaluations is not None:
            state.status[going & (state.evaluations >= self.max_evaluations)] = CODE[Status.EVALUATIONS]

    def progress(self, state: ProximalGradientState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return progress_of(state)

    def _take(
        self,
        state: ProximalGradientState,
        rows: Tensor,
        points: Tensor,
        found: tuple[Tensor, Tensor],
        objective: Objective,
    ) -> None:
        """Accept ``points`` for ``rows``, judge them, and go ahead of them."""
        smooth, slopes = found
        before, ahead = state.points[rows], state.ahead[rows]
        lengths = state.lengths[rows] / GROW
        state.norms[rows] = norms = ((ahead - points) / lengths[:, None]).abs().amax(1)
        state.values[rows] = values = smooth + self.penalty.value(points)
        state.points[rows] = points
        state.iterations[rows] += 1
        momentum = state.momentum[rows]
        following = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        # Uphill: the generalized gradient and the latest movement point the same way.
        uphill = dot(ahead - points, points - before) > 0
        weight = torch.where(uphill, 0.0, (momentum - 1) / following) * self.accelerated
        state.momentum[rows] = torch.where(uphill, 1.0, following)
        onward = points + weight[:, None] * (points - before)
        still = weight == 0
        done = norms <= self.tolerance
        fallen = values == -torch.inf
        state.status[rows[done]] = CODE[Status.CONVERGED]
        state.status[rows[fallen]] = CODE[Status.UNBOUNDED]
        state.ahead[rows], state.smooth[rows], state.gradients[rows] = onward, smooth, slopes
        moved = (~still & ~done & ~fallen).nonzero().squeeze(1)
        if len(moved):
            new_smooth, new_slopes = objective(onward[moved], state.problems[rows[moved]])
            state.evaluations[rows[moved]] += 1
            # Outside the domain there is nothing ahead: stay at the point itself.
            known = new_smooth.isfinite() & new_slopes.isfinite().all(1)
            kept = rows[moved][known]
            state.smooth[kept], state.gradients[kept] = new_smooth[known], new_slopes[known]
            lost = rows[moved][~known]
            state.ahead[lost], state.momentum[lost] = state.points[lost], 1.0
