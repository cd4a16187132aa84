"""Every gradient rule as a solver: it is handed one gradient a step and never asks for another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lanewise.optim.rule import Rule
from lanewise.solvers.descent import STATUSES, running
from lanewise.solvers.solver import CODE, Objective, Progress, Solver, Status


@dataclass(kw_only=True)
class RuleState:
    """All that a run needs to go on; every tensor has the rows first.

    ``slots`` are those of the rule, ``[L, P]`` each; ``taken [L]`` counts its steps, ``best [L, P]`` and
    ``values [L]`` are the lowest point so far, ``points [L, P]`` where the rule stands.
    """

    problems: Tensor
    points: Tensor
    gradients: Tensor
    best: Tensor
    values: Tensor
    norms: Tensor
    slots: dict[str, Tensor]
    taken: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleSteps(Solver[RuleState]):
    """``x <- clip(rule(x, gradient))`` at a constant rate; the best point so far is what counts.

    ``hyper`` overrides defaults of the rule. A row has converged when the largest entry of its projected
    gradient is at most ``tolerance``, and has diverged when it is no longer finite.

    >>> from lanewise.optim.registry import RULES
    >>> def bowl(points, rows):
    ...     return (points - 3).square().sum(1), 2 * (points - 3)
    >>> solver = RuleSteps(rule=RULES["gd"], hyper={"lr": 0.25})
    >>> state = solver.init(torch.zeros(1, 2, dtype=torch.float64), bowl)
    >>> while not solver.progress(state).finished:
    ...     solver.step(state, bowl)
    >>> solver.progress(state).points.round(decimals=5)
    tensor([[3., 3.]], dtype=torch.float64)
    """

    rule: Rule
    hyper: Mapping[str, float] = field(default_factory=dict)
    low: Tensor | None = None
    high: Tensor | None = None
    tolerance: float = 1e-6
    max_evaluations: int = 10_000

    def init(self, points: Tensor, objective: Objective) -> RuleState:
        lanes = len(points)
        rows = torch.arange(lanes, device=points.device)
        points = self._clip(points.detach().clone())
        values, gradients = objective(points, rows)
        state = RuleState(
            problems=rows,
            points=points,
            gradients=gradients.clone(),
            best=points.clone(),
            values=values.clone(),
            norms=torch.zeros_like(values),
            slots={name: torch.zeros_like(points) for name in self.rule.slots},
            taken=torch.zeros_like(rows),
            status=torch.zeros_like(rows),
        )
        known = values.isfinite() & gradients.isfinite().all(1)
        state.norms = self._norms(points, gradients)
        state.status[state.norms <= self.tolerance] = CODE[Status.CONVERGED]
        state.status[~known] = CODE[Status.NOT_FINITE]
        return state

    def step(self, state: RuleState, objective: Objective) -> None:
        """One step of the rule for every running row, in place."""
        rows = running(state.status)
        if len(rows) == 0:
            return
        leaf, gradients = state.points[rows], state.gradients[rows]
        slots = {name: tensor[rows] for name, tensor in state.slots.items()}
        state.taken[rows] += 1
        count = state.taken[rows].to(leaf.dtype)
        own = {hyper.name: float(hyper.default) for hyper in self.rule.hypers if hyper.name != "weight_decay"}
        values = {"weight_decay": 0.0, **own, **self.hyper}
        hyper = {name: torch.full((len(rows),), value, dtype=leaf.dtype) for name, value in values.items()}
        self.rule.update([leaf], [gradients], {name: [slot] for name, slot in slots.items()}, hyper, count)
        leaf = self._clip(leaf)
        found, slopes = objective(leaf, state.problems[rows])
        for name, slot in slots.items():
            state.slots[name][rows] = slot
        state.points[rows], state.gradients[rows] = leaf, slopes
        lower = found < state.values[rows]
        norms = self._norms(leaf, slopes)
        done = norms <= self.tolerance
        taken = rows[lower | done]
        state.best[taken], state.values[taken] = leaf[lower | done], found[lower | done]
        state.norms[taken] = norms[lower | done]
        wild = ~(found.isfinite() & slopes.isfinite().all(1))
        state.status[rows[state.taken[rows] + 1 >= self.max_evaluations]] = CODE[Status.EVALUATIONS]
        state.status[rows[done]] = CODE[Status.CONVERGED]
        state.status[rows[wild]] = CODE[Status.DIVERGED]
        state.status[rows[found == -torch.inf]] = CODE[Status.UNBOUNDED]

    def progress(self, state: RuleState) -> Progress:
        """The lowest point of every row so far."""
        return Progress(
            points=state.best,
            values=state.values,
            gradient_norms=state.norms,
            iterations=state.taken,
            evaluations=state.taken + 1,
            status=[STATUSES[code] for code in state.status.tolist()],
        )

    def _clip(self, points: Tensor) -> Tensor:
        if self.low is not None:
            points = torch.maximum(points, self.low.to(points))
        return points if self.high is None else torch.minimum(points, self.high.to(points))

    def _norms(self, points: Tensor, gradients: Tensor) -> Tensor:
        return (points - self._clip(points - gradients)).abs().amax(1)
