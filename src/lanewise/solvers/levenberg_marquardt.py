"""Levenberg-Marquardt for many least-squares problems at once, within bounds if there are any.

Sources: More, *The Levenberg-Marquardt algorithm: implementation and theory* (1978), for the scale
of the variables; Nielsen, *Damping parameter in Marquardt's method* (1999), for the damping; Transtrum
and Sethna, *Improvements to the Levenberg-Marquardt algorithm for nonlinear least-squares
minimization* (2012), for the second-order correction, which follows narrow curved valleys. Steps
solve orthogonal factorizations, for normal equations would lose half of the digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from lanewise.errors import UsageError
from lanewise.solvers.bounds import within
from lanewise.solvers.curvature import dot
from lanewise.solvers.descent import running
from lanewise.solvers.direction import ResidualObjective, finite_rows
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status, progress_of

FIRST_DAMPING = 1e-3
ANGLE = 1e-12  # cosine between residuals and every column of the Jacobian that counts as a right angle
ROUGHLY = 1e-6  # cosine that will do where no step lowers the value any more
TINY = 1e-14  # relative length of a step that counts as none
FORGETTING = 0.9  # the scale of a variable falls by this factor a step at most
PROBE = 0.1  # part of the step at which the curvature along it is measured
BEND = 0.75  # largest second-order correction, relative to half of the step
CREEP, CREEP_STEPS = 1e-3, 50  # relative decrease over so many steps below which a row ends as flat
HEAVY, HEAVY_CREEP = 1.0, 0.1  # the same decrease where the damping is so large that the model hardly has a say
VANISHED = 1e-20  # of the value at the start: what a gradient that points do not feel may be taken for none at
FAILURES = 40  # refused steps in a row, each shorter, before a row counts as stalled


@dataclass(kw_only=True)
class LevenbergMarquardtState:
    """All that a run needs to go on; every tensor has the rows first.

    ``problems [L]``, ``points [L, P]``, ``values [L]`` (sums of squares), ``begun [L]`` (at the start),
    ``gradients [L, P]``, ``residuals [L, M]``, ``axes [L, M, P]`` and ``factors [L, P, P]`` (``Q`` and ``R``
    of the Jacobian; M is at least P here), ``scales [L, P]``, ``damping [L]``, ``growth [L]``, ``failures
    [L]``, ``milestone [L, 2]`` (value and iterations at the latest check of progress), ``norms [L]``,
    ``angles [L]``, ``tolerance [L]``, ``iterations [L]``, ``evaluations [L]``, ``status [L]``.
    """

    problems: Tensor
    points: Tensor
    values: Tensor
    begun: Tensor
    gradients: Tensor
    residuals: Tensor
    axes: Tensor
    factors: Tensor
    scales: Tensor
    damping: Tensor
    growth: Tensor
    failures: Tensor
    milestone: Tensor
    norms: Tensor
    angles: Tensor
    tolerance: Tensor
    iterations: Tensor
    evaluations: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LevenbergMarquardt(Solver[LevenbergMarquardtState]):
    """``x <- x + p`` with ``p`` the least ``|J p + r|^2 + m |D p|^2``.

    followed, where it is small, by half of the acceleration ``a``, the least ``|J a + r''|^2 + m |D a|^2``
    with ``r''`` the second derivative of ``r`` along ``p``. ``r [M]`` are the residuals, ``J`` their
    Jacobian, ``D`` the lengths of its columns, which may fall only slowly, ``m`` the damping, which
    follows the ratio of actual to predicted decrease. The value is ``r'r``.
    The objective must have ``residuals`` and ``jacobians``
    (:class:`~lanewise.solvers.direction.ResidualObjective`).

    Units of variables differ in curve fitting, so a small gradient alone says little: a row goes on
    until residuals and Jacobian are at right angles, or no step of any length lowers the value. It has then
    converged if its largest gradient entry is at most ``tolerance``; else its end is the right angle, if that is
    right to 1e-6.
    Where residuals stay large the method may creep; a row that does ends as flat, and is better
    handed to a method that learns second derivatives.

    Raises ``UsageError`` if the objective has no residuals.
    """

    low: Tensor | None = None
    high: Tensor | None = None
    tolerance: float | Tensor = 1e-6
    max_iterations: int | None = None
    max_evaluations: int | None = None

    def init(self, points: Tensor, objective: Objective) -> LevenbergMarquardtState:
        if not isinstance(objective, ResidualObjective):
            message = "Levenberg-Marquardt needs an objective with residuals, got one without"
            raise UsageError(message)
        lanes, parameters = points.shape
        rows = torch.arange(lanes, device=points.device)
        zeros = points.new_zeros(lanes)
        state = LevenbergMarquardtState(
            problems=rows,
            points=self.clip(points.detach().clone()),
            values=zeros.clone(),
            begun=zeros.clone(),
            gradients=torch.zeros_like(points),
            residuals=points.new_zeros(lanes, 0),
            axes=points.new_zeros(lanes, 0, parameters),
            factors=points.new_zeros(lanes, parameters, parameters),
            scales=torch.zeros_like(points),
            damping=zeros + FIRST_DAMPING,
            growth=zeros + 2.0,
            failures=torch.zeros_like(rows),
            milestone=torch.stack((zeros + torch.inf, zeros), dim=1),
            norms=zeros.clone(),
            angles=zeros.clone(),
            tolerance=torch.as_tensor(self.tolerance, dtype=points.dtype, device=points.device).expand(lanes).clone(),
            iterations=torch.zeros_like(rows),
            evaluations=torch.zeros_like(rows),
            status=torch.zeros_like(rows),
        )
        self._linearize(state, rows, objective)
        state.begun = state.values.clone()
        return state

    def step(self, state: LevenbergMarquardtState, objective: Objective) -> None:
        """One trial step of every running row, in place."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        origins = state.points[rows]
        residuals = cast("ResidualObjective", objective).residuals
        first, second = self._steps(state, rows, residuals)
        points = self.clip(origins + first + second)
        steps = points - origins
        first = self.clip(origins + first) - origins
        state.evaluations[rows] += 2
        values = residuals(points, state.problems[rows]).square().sum(1)
        before = state.values[rows]
        bent = (state.factors[rows] * first[:, None, :]).sum(-1)
        pulled = (state.axes[rows] * state.residuals[rows][:, :, None]).sum(1)
        predicted = -(dot(bent, bent) + 2 * dot(bent, pulled))
        actual = before - values
        ratio = actual / predicted.clamp_min(1e-300)
        better = values.isfinite() & (actual > 0) & (ratio > 1e-4)
        self._damp(state, rows, ratio, better)
        still = (steps.abs() <= TINY * points.abs()).all(1) | (predicted <= 1e-16 * before)
        done = still & ~better | (state.failures[rows] >= FAILURES)
        state.points[rows[better]], state.values[rows[better]] = points[better], values[better]
        state.iterations[rows[better]] += 1
        self._finish(state, rows[done])
        self._linearize(state, rows[better], objective)
        self._creep(state, rows[better])
        self._limit(state)

    def progress(self, state: LevenbergMarquardtState) -> Progress:
        """Where every row stands now; the tensors are those of the state, not copies."""
        return progress_of(state)

    def clip(self, points: Tensor) -> Tensor:
        """The nearest points ``[R, P]`` within the bounds."""
        return within(points, self.low, self.high)

    def _linearize(self, state: LevenbergMarquardtState, rows: Tensor, objective: Objective) -> None:
        """Residuals and Jacobian at the points of ``rows``, factored; judge the gradient."""
        if len(rows) == 0:
            return
        residuals, jacobians = cast("ResidualObjective", objective).jacobians(state.points[rows], state.problems[rows])
        state.evaluations[rows] += 1
        values = residuals.square().sum(1)
        known = finite_rows(residuals, jacobians) & values.isfinite()
        state.status[rows[~known]] = CODE[Status.NOT_FINITE]
        residuals = torch.where(known[:, None], residuals, 0.0)
        jacobians = torch.where(known[:, None, None], jacobians, 0.0)
        gradients = 2 * (jacobians * residuals[:, :, None]).sum(1)
        lengths = jacobians.square().sum(1).sqrt()
        short = jacobians.shape[2] - jacobians.shape[1]
        if short > 0:  # fewer residuals than variables
            jacobians = torch.cat((jacobians, jacobians.new_zeros(len(rows), short, jacobians.shape[2])), dim=1)
            residuals = torch.cat((residuals, residuals.new_zeros(len(rows), short)), dim=1)
        orthogonal, factors = torch.linalg.qr(jacobians)
        state.values[rows] = torch.where(known, values, torch.nan)
        state.gradients[rows], state.factors[rows] = gradients, factors
        if state.residuals.shape[1] != residuals.shape[1]:  # the first call tells how many there are
            state.residuals = residuals.new_zeros(len(state.points), residuals.shape[1])
            state.axes = residuals.new_zeros(len(state.points), *orthogonal.shape[1:])
        state.residuals[rows], state.axes[rows] = residuals, orthogonal
        state.scales[rows] = torch.maximum(FORGETTING * state.scales[rows], lengths)
        points = state.points[rows]
        ahead = points - gradients
        onto = self.clip(ahead)
        # Not by the difference where no bound is near: a small gradient goes under in the rounding of large points.
        projected = torch.where(onto == ahead, gradients, points - onto)
        state.norms[rows] = projected.abs().amax(1)
        free = torch.where(projected == 0, 0.0, gradients)
        cosines = free.abs() / (2 * lengths * values.sqrt()[:, None]).clamp_min(1e-300)
        state.angles[rows] = cosines.amax(1)
        # Residuals that all go to zero at a singular Jacobian keep their angle for ever.
        gone = (points == onto).all(1) & (values <= VANISHED * state.begun[rows])
        right = known & ((state.angles[rows] <= ANGLE) | (state.norms[rows] == 0))
        state.status[rows[known & gone]] = CODE[Status.VANISHED]
        state.status[rows[right]] = CODE[Status.RIGHT_ANGLE]
        small = (right | gone & known) & (state.norms[rows] <= state.tolerance[rows])
        state.status[rows[small]] = CODE[Status.CONVERGED]

    def _steps(
        self, state: LevenbergMarquardtState, rows: Tensor, function: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The damped steps ``[R, P]`` and what to add to them, both zero for coordinates that a bound holds."""
        scales = state.scales[rows]
        scales = torch.where(scales > 0, scales, 1.0)
        gradients, points = state.gradients[rows], state.points[rows]
        held = torch.zeros_like(points, dtype=torch.bool)
        if self.low is not None:
            held |= (points <= self.low.to(points)) & (gradients > 0)
        if self.high is not None:
            held |= (points >= self.high.to(points)) & (gradients < 0)
        factors = state.factors[rows]
        scaled = factors * ~held[:, None, :] / scales[:, None, :]
        damp = torch.diag_embed(state.damping[rows].sqrt()[:, None].expand_as(scales))
        orthogonal, upper = torch.linalg.qr(torch.cat((scaled, damp), dim=1))
        axes, residuals = state.axes[rows], state.residuals[rows]

        def solve(target: Tensor) -> Tensor:
            """The damped least squares solution, in scaled variables, for ``J p = -target [R, M]``."""
            pulled = (axes * target[:, :, None]).sum(1)
            right = -(orthogonal[:, : scaled.shape[1]] * pulled[:, :, None]).sum(1)
            return torch.linalg.solve_triangular(upper, right[:, :, None], upper=True).squeeze(2)

        first = solve(residuals)
        step = torch.where(held, 0.0, first / scales)
        probed = function(self.clip(points + PROBE * step), state.problems[rows])
        along = (axes * (factors * step[:, None, :]).sum(-1)[:, None, :]).sum(-1)
        along, known = along[:, : probed.shape[1]], residuals[:, : probed.shape[1]]
        bend = torch.zeros_like(residuals)
        bend[:, : probed.shape[1]] = 2 / PROBE * ((probed - known) / PROBE - along)
        second = solve(torch.where(bend.isfinite().all(1)[:, None], bend, 0.0)) / 2
        small = 2 * dot(second, second).sqrt() <= BEND * dot(first, first).sqrt()
        second = torch.where(held | ~small[:, None] | ~second.isfinite(), 0.0, second / scales)
        return step, second

    def _damp(self, state: LevenbergMarquardtState, rows: Tensor, ratio: Tensor, better: Tensor) -> None:
        """Nielsen's damping: smooth in the ratio after a success, growing ever faster after failures."""
        damping, growth = state.damping[rows], state.growth[rows]
        eased = damping * (1 - (2 * ratio.clamp(0, 1) - 1) ** 3).clamp_min(1 / 3)
        state.damping[rows] = torch.where(better, eased, damping * growth).clamp(1e-20, 1e20)
        state.growth[rows] = torch.where(better, 2.0, growth * 2)
        state.failures[rows] = torch.where(better, 0, state.failures[rows] + 1)

    def _finish(self, state: LevenbergMarquardtState, rows: Tensor) -> None:
        status = torch.where(state.angles[rows] <= ROUGHLY, CODE[Status.RIGHT_ANGLE], CODE[Status.STALLED])
        small = state.norms[rows] <= state.tolerance[rows]
        state.status[rows] = torch.where(small, CODE[Status.CONVERGED], status)

    def _creep(self, state: LevenbergMarquardtState, rows: Tensor) -> None:
        """End rows that hardly get lower; Newton-like convergence would long have ended."""
        value, since = state.milestone[rows].unbind(1)
        count = state.iterations[rows].to(value.dtype)
        due = count - since >= CREEP_STEPS
        least = torch.where(state.damping[rows] >= HEAVY, HEAVY_CREEP, CREEP)
        slow = due & (state.values[rows] > (1 - least) * value) & (state.status[rows] == CODE[Status.RUNNING])
        state.status[rows[slow]] = CODE[Status.FLAT]
        fresh = torch.stack((state.values[rows], count), dim=1)
        state.milestone[rows] = torch.where((due | value.isinf())[:, None], fresh, state.milestone[rows])

    def _limit(self, state: LevenbergMarquardtState) -> None:
        going = state.status == CODE[Status.RUNNING]
        if self.max_iterations is not None:
            state.status[going & (state.iterations >= self.max_iterations)] = CODE[Status.ITERATIONS]
        if self.max_evaluations is not None:
            state.status[going & (state.evaluations >= self.max_evaluations)] = CODE[Status.EVALUATIONS]
