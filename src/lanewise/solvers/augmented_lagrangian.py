"""Augmented Lagrangian for equality and inequality constraints, for many starts at once.

Sources: Nocedal and Wright, *Numerical Optimization* (2006), section 17.4; Birgin and Martinez,
*Practical Augmented Lagrangian Methods for Constrained Optimization* (2014), for the test that
decides whether the penalty grows and for its first value.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from lanewise.solvers.descent import Descent, DescentState
from lanewise.solvers.endless import ConstrainedObjective, falls_on
from lanewise.solvers.solver import CODE, STATUSES, Objective, Progress, Solver, Status

GROWTH = 10.0  # factor of the penalty where the violation did not fall enough
FALL = 0.25  # what counts as enough: the violation, relative to the one before
HEAVIEST = 1e10  # penalty at which a start is given up as infeasible
LARGEST = 1e12  # multipliers are kept within this size
ROUNDS = 100  # updates of multipliers after which a start is given up
FAR = 1e5  # fall of the objective, relative to max(1, |f|) at the start, that is out of all scale
BEYOND = 1e12  # fall by which the value at the start has gone under in rounding, nearly
LONG = 300  # iterations after an update of multipliers at which a fall is looked at, and at twice as many again
FASTER = 4.0  # factor by which it is then to have grown; one towards a minimum has slowed down
NEARLY = 1e-3  # violation, relative to the largest entry of x, up to which the constraints are nearly met
LOOK = 200  # evaluations after which it is looked at how an inner descent gets on
LABOURS = 5.0  # evaluations for each iteration from which on it labours: over kinks, or against rounding
GONE = 1e3  # fall of the objective, as FAR, from which on a descent that labours may be one without end
KINKS = 2  # inner descents that end labouring, after which a hasty solver gives the start up
FLIGHTS = 4  # falls out of all scale in a row, each under a heavier penalty, after which a start is given up


@dataclass(kw_only=True)
class AugmentedLagrangianState:
    """All that a run needs to go on; every tensor has the rows first.

    ``inner`` (of the descent on the augmented function), ``values [L]`` (of the objective alone),
    ``equalities [L, E]`` and ``inequalities [L, I]`` (constraint values), ``lambdas [L, E]``,
    ``mus [L, I]``, ``penalty [L]``, ``measure [L]`` (violation with complementarity),
    ``violation [L]``, ``kkt [L]`` (gradient of the Lagrangian, projected), ``anchors [L, P]``
    (where the latest finite inner solution was), ``rounds [L]``, ``status [L]``, ``first [L]`` (the value at the
    start), ``begun [L]`` (iterations at the latest update), ``mark [L]`` (the inner value ``LONG`` iterations later,
    nan before), ``flights [L]`` (falls out of all scale in a row), ``looked [L, 2]`` (evaluations and iterations at the
    latest look), ``kinks [L]`` (inner descents that ended labouring), ``kept [L, P]`` and ``kept_values [L]`` (the
    lowest point seen that meets the constraints, infinite where there is none).
    """

    inner: DescentState
    values: Tensor
    equalities: Tensor
    inequalities: Tensor
    lambdas: Tensor
    mus: Tensor
    penalty: Tensor
    measure: Tensor
    violation: Tensor
    kkt: Tensor
    anchors: Tensor
    rounds: Tensor
    status: Tensor
    first: Tensor
    begun: Tensor
    mark: Tensor
    flights: Tensor
    looked: Tensor
    kinks: Tensor
    kept: Tensor
    kept_values: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class AugmentedLagrangian(Solver[AugmentedLagrangianState]):
    """Minimizes ``f(x)`` with ``g(x) = 0``, ``h(x) >= 0`` and the bounds of ``descent``.

    The inner descent minimizes ``f + l'g + (c/2)|g|^2 + (|max(0, m - c h)|^2 - |m|^2) / 2c``; where it
    has ended, ``l <- l + c g`` and ``m <- max(0, m - c h)``, and the penalty ``c`` grows if the violation
    did not fall enough. Each start has its own ``l``, ``m`` and ``c``, and none waits for another.

    A row has converged when the gradient of the Lagrangian is at most ``tolerance`` and the
    violation ``max(|g|, |min(h, m / c)|)`` at most ``feasibility``. The Lagrangian is
    ``f + l'g - m'h``, so that ``m >= 0``.

    At kinks of the constraints inner descents labour, and get near the solution only. A ``hasty`` solver then gives
    the row up soon, for another method to go on.
    """

    descent: Descent
    tolerance: float = 1e-6
    feasibility: float = 1e-8
    max_evaluations: int | None = None
    hasty: bool = False

    def init(self, points: Tensor, objective: Objective) -> AugmentedLagrangianState:
        lanes = len(points)
        rows = torch.arange(lanes, device=points.device)
        values, equalities, inequalities, _ = cast("ConstrainedObjective", objective).constrained(points, rows)
        penalty = _first_penalty(values, equalities, inequalities)
        zeros = points.new_zeros(lanes)
        state = AugmentedLagrangianState(
            inner=cast("DescentState", None),
            values=values.clone(),
            equalities=equalities.clone(),
            inequalities=inequalities.clone(),
            lambdas=torch.zeros_like(equalities),
            mus=torch.zeros_like(inequalities),
            penalty=penalty,
            measure=zeros + torch.inf,
            violation=violation(equalities, inequalities),
            kkt=zeros + torch.inf,
            anchors=points.clone(),
            rounds=torch.zeros_like(rows),
            status=torch.zeros_like(rows),
            first=values.clone(),
            begun=torch.zeros_like(rows),
            mark=zeros + torch.nan,
            flights=torch.zeros_like(rows),
            looked=torch.zeros_like(rows)[:, None].repeat(1, 2),
            kinks=torch.zeros_like(rows),
            kept=points.clone(),
            kept_values=torch.full_like(values, torch.inf),
        )
        self._keep(state, rows, points, (values, equalities, inequalities))
        state.inner = self.descent.init(points, self._augmented(state, objective))
        state.inner.tolerance = torch.full_like(zeros, max(1e-2, self.tolerance))
        return state

    def step(self, state: AugmentedLagrangianState, objective: Objective) -> None:
        """One round of the inner descent of every running row; rows whose descent has ended are updated."""
        augmented = self._augmented(state, objective)
        self.descent.step(state.inner, augmented)
        self._watch(state)
        self._look(state, objective)
        ended = (state.status == CODE[Status.RUNNING]) & (state.inner.status != CODE[Status.RUNNING])
        rows = ended.nonzero().squeeze(1)
        if len(rows):
            self._update(state, rows, objective)
        if self.max_evaluations is not None:
            spent = (state.status == CODE[Status.RUNNING]) & (state.inner.evaluations >= self.max_evaluations)
            if bool(spent.any()):
                self.end(state, spent.nonzero().squeeze(1), Status.EVALUATIONS, objective)

    def end(self, state: AugmentedLagrangianState, rows: Tensor, status: Status, objective: Objective) -> None:
        """End ``rows`` with objective and constraints as they are where they stand."""
        self._judge(state, rows, objective)
        state.status[rows] = state.inner.status[rows] = CODE[status]

    def progress(self, state: AugmentedLagrangianState) -> Progress:
        """Where every row stands; values are those of the objective alone at the latest update."""
        return Progress(
            points=state.inner.points,
            values=state.values,
            gradient_norms=state.kkt,
            iterations=state.inner.iterations,
            evaluations=state.inner.evaluations,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

    def _augmented(self, state: AugmentedLagrangianState, objective: Objective) -> Objective:
        constrained = cast("ConstrainedObjective", objective).constrained

        def augmented(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            values, equalities, inequalities, pull = constrained(points, rows)
            self._keep(state, rows, points, (values, equalities, inequalities))
            lambdas, mus, penalty = state.lambdas[rows], state.mus[rows], state.penalty[rows, None]
            pressed = (mus - penalty * inequalities).clamp_min(0.0)
            extra = (lambdas * equalities + penalty / 2 * equalities.square()).sum(1)
            extra = extra + ((pressed.square() - mus.square()) / (2 * penalty)).sum(1)
            return values + extra, pull(lambdas + penalty * equalities, -pressed)

        return augmented

    def _keep(
        self, state: AugmentedLagrangianState, rows: Tensor, points: Tensor, found: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        """Remember the lowest point of ``rows`` that meets the constraints: the last one may not."""
        values, equalities, inequalities = found
        lower = (violation(equalities, inequalities) <= self.feasibility) & (values < state.kept_values[rows])
        if bool(lower.any()):
            state.kept[rows[lower]], state.kept_values[rows[lower]] = points[lower], values[lower]

    def _judge(self, state: AugmentedLagrangianState, rows: Tensor, objective: Objective) -> None:
        """Take in objective and constraints at the points of ``rows``."""
        points = state.inner.points[rows]
        found = cast("ConstrainedObjective", objective).constrained(points, state.inner.problems[rows])
        state.values[rows], state.equalities[rows], state.inequalities[rows] = found[:3]
        state.violation[rows] = violation(found[1], found[2])

    def _update(self, state: AugmentedLagrangianState, rows: Tensor, objective: Objective) -> None:
        """New multipliers and penalties for ``rows`` whose inner descent has ended, and what becomes of them."""
        inner = state.inner
        wild = (inner.status[rows] == CODE[Status.UNBOUNDED]) | (inner.status[rows] == CODE[Status.NOT_FINITE])
        fled = self._out_of_scale(state, inner.values)[rows] & (inner.status[rows] != CODE[Status.CONVERGED])
        fled &= inner.status[rows] != CODE[Status.UNBOUNDED]  # under a heavier penalty it may have an end
        wild |= ~inner.points[rows].isfinite().all(1) | ~inner.values[rows].isfinite() | fled
        self._judge(state, rows, objective)
        equalities, inequalities = state.equalities[rows], state.inequalities[rows]
        penalty = state.penalty[rows]
        mus = (state.mus[rows] - penalty[:, None] * inequalities).clamp(0.0, LARGEST)
        lambdas = (state.lambdas[rows] + penalty[:, None] * equalities).clamp(-LARGEST, LARGEST)
        slack = torch.minimum(inequalities, state.mus[rows] / penalty[:, None])
        measure = _largest(equalities, slack)
        state.kkt[rows] = torch.where(wild, state.kkt[rows], inner.norms[rows])
        state.rounds[rows] += 1
        feasible = (state.violation[rows] <= self.feasibility) & (measure <= self.feasibility)
        done = feasible & (inner.norms[rows] <= self.tolerance) & ~wild
        tight = inner.tolerance[rows] <= self.tolerance
        stuck = feasible & (inner.status[rows] == CODE[Status.STALLED]) & tight & ~wild
        state.lambdas[rows] = torch.where(wild[:, None], state.lambdas[rows], lambdas)
        state.mus[rows] = torch.where(wild[:, None], state.mus[rows], mus)
        grows = wild | (measure > FALL * state.measure[rows]) & (measure > self.feasibility)
        state.penalty[rows] = torch.where(grows, penalty * GROWTH, penalty)
        state.measure[rows] = torch.where(wild, state.measure[rows], measure)
        state.flights[rows] = torch.where(fled, state.flights[rows] + 1, 0)
        lost = (state.penalty[rows] > HEAVIEST) | (state.rounds[rows] >= ROUNDS)
        if self.hasty:
            labours = (inner.status[rows] == CODE[Status.STALLED]) & (inner.norms[rows] > NEARLY)
            state.kinks[rows] += labours & ~wild
            lost |= state.kinks[rows] >= KINKS
        status = torch.where(lost, self._verdict(state, rows, wild), CODE[Status.RUNNING])
        bent = (inner.status[rows] == CODE[Status.RUNAWAY]) & self._nearly_met(state, rows)
        status = torch.where(bent | (state.flights[rows] >= FLIGHTS), CODE[Status.RUNAWAY], status)
        status = torch.where(stuck, CODE[Status.STALLED], status)
        state.status[rows] = torch.where(done, CODE[Status.CONVERGED], status)
        # Near the solution the inner problem is worth solving as well as the constraints are met.
        aim = torch.minimum(inner.tolerance[rows] * 0.1, measure.clamp_min(self.tolerance)).clamp_min(self.tolerance)
        inner.tolerance[rows] = torch.where(wild, inner.tolerance[rows], aim)
        ended = state.status[rows] != CODE[Status.RUNNING]
        back = wild & ~(ended & inner.points[rows].isfinite().all(1))
        inner.points[rows] = torch.where(back[:, None], state.anchors[rows], inner.points[rows])
        if bool((back & ended).any()):
            self._judge(state, rows[back & ended], objective)
        state.anchors[rows], state.begun[rows], state.mark[rows] = inner.points[rows], inner.iterations[rows], torch.nan
        going = rows[state.status[rows] == CODE[Status.RUNNING]]
        changed = rows[grows & (state.status[rows] == CODE[Status.RUNNING])]
        self.descent.direction.forget(inner.memory, changed)
        self.descent.restart(inner, going, self._augmented(state, objective))

    def _out_of_scale(self, state: AugmentedLagrangianState, values: Tensor, by: float = FAR) -> Tensor:
        """Which ``values [L]`` are below all scale of the start; none where the start has no value."""
        return values < state.first - by * state.first.abs().clamp_min(1.0)

    def _nearly_met(self, state: AugmentedLagrangianState, rows: Tensor) -> Tensor:
        """Which ``rows [R]`` violate their constraints little for the size of their numbers."""
        return state.violation[rows] <= NEARLY * state.inner.points[rows].abs().amax(1).clamp_min(1.0)

    def _watch(self, state: AugmentedLagrangianState) -> None:
        """End inner descents that fall ever faster: in a bent valley no straight search finds that it has no end."""
        inner = state.inner
        taken = inner.iterations - state.begun
        state.mark = torch.where(state.mark.isnan() & (taken >= LONG), inner.values, state.mark)
        falls = self._out_of_scale(state, inner.values) & (taken >= 2 * LONG)
        faster = state.first - inner.values >= FASTER * (state.first - state.mark)
        running = inner.status == CODE[Status.RUNNING]
        beyond = self._out_of_scale(state, inner.values, BEYOND)
        inner.status[(falls & faster | beyond) & running] = CODE[Status.RUNAWAY]

    def _look(self, state: AugmentedLagrangianState, objective: Objective) -> None:
        """End inner descents that labour, if they are far down a valley without end, or if the solver is hasty."""
        inner = state.inner
        due = inner.evaluations - state.looked[:, 0] >= LOOK
        if not bool(due.any()):
            return
        counts = torch.stack((inner.evaluations, inner.iterations), dim=1)
        spent, taken = (counts - state.looked).unbind(1)
        labours = due & (spent >= LABOURS * taken) & (inner.status == CODE[Status.RUNNING])
        state.looked[due] = counts[due]
        gone = self._out_of_scale(state, inner.values, GONE)
        for row in (labours & gone).nonzero().flatten().tolist():
            one = slice(row, row + 1)
            origin, point = state.anchors[one], inner.points[one]
            # A way that is short of the start's own scale looks straight, whatever comes behind it.
            least = GONE * max(1.0, abs(float(state.first[row])))
            constrained = cast("ConstrainedObjective", objective)
            if falls_on(constrained, origin, point, inner.problems[one], least=least, clip=self.descent.clip):
                inner.status[row] = CODE[Status.RUNAWAY]
        if self.hasty:
            inner.status[labours & (inner.status == CODE[Status.RUNNING])] = CODE[Status.STALLED]

    def _verdict(self, state: AugmentedLagrangianState, rows: Tensor, wild: Tensor) -> Tensor:
        """Why rows without further hope end."""
        met = state.violation[rows] <= self.feasibility
        reason = torch.where(met, CODE[Status.STALLED], CODE[Status.INFEASIBLE])
        fallen = self._out_of_scale(state, state.values)[rows] & self._nearly_met(state, rows)
        reason = torch.where(fallen & ~met, CODE[Status.RUNAWAY], reason)
        inner = state.inner.status[rows]
        return torch.where(wild & (inner != CODE[Status.RUNNING]), inner, reason)


def violation(equalities: Tensor, inequalities: Tensor) -> Tensor:
    """``max(|g|, -h, 0)`` over all constraints, ``[R]``."""
    return _largest(equalities, inequalities.clamp_max(0.0))


def _largest(left: Tensor, right: Tensor) -> Tensor:
    both = torch.cat((left, right), dim=1).abs()
    return both.amax(1) if both.shape[1] else both.new_zeros(len(both))


def _first_penalty(values: Tensor, equalities: Tensor, inequalities: Tensor) -> Tensor:
    """A penalty ``[R]`` with which objective and violation weigh about the same at the start."""
    squares = equalities.square().sum(1) + inequalities.clamp_max(0.0).square().sum(1)
    ratio = 10 * values.abs().clamp_min(1.0) / (squares / 2).clamp_min(1.0)
    return torch.where(ratio.isfinite(), ratio, 10.0).clamp(1e-2, 1e3)
