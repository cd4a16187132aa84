"""Every gradient rule as a solver: it is handed one gradient a step and never asks for another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lanewise.lanes.draws import generator
from lanewise.optim.leaves import RowLeaves, Scalar
from lanewise.optim.rule import Rule, State
from lanewise.solvers.bounds import within
from lanewise.solvers.descent import running
from lanewise.solvers.solver import CODE, STATUSES, Objective, Progress, Solver, Status


@dataclass(kw_only=True)
class RuleState:
    """All that a run needs to go on; every tensor has the rows first.

    ``slots`` (``[L, ...]``) and ``numbers [L]`` are those of the rule; ``taken [L]`` counts its steps, ``best [L, P]``
    and ``values [L]`` are the lowest point so far, ``points [L, P]`` where the rule stands.
    """

    problems: Tensor
    points: Tensor
    gradients: Tensor
    best: Tensor
    values: Tensor
    norms: Tensor
    slots: dict[str, Tensor]
    numbers: dict[str, Tensor]
    taken: Tensor
    status: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleSteps(Solver[RuleState]):
    """``x <- clip(rule(x, gradient))`` at a constant rate; the best point so far is what counts.

    ``hyper`` overrides defaults of the rule, by one number for all rows or by one for each (``[L]``). A row has
    converged when the largest entry of its projected gradient is at most ``tolerance``, and has diverged when it is no
    longer finite.

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
    hyper: Mapping[str, float | Tensor] = field(default_factory=dict)
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
            slots={slot.name: slot.first(points, self._hyper(rows)) for slot in self.rule.slots},
            numbers={
                one.name: torch.full((lanes,), one.start, dtype=torch.float64, device=points.device)
                for one in self.rule.numbers
            },
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
        leaf = state.points[rows]
        state.taken[rows] += 1
        self._update(state, rows, leaf)
        leaf = self._clip(leaf)
        found, slopes = objective(leaf, state.problems[rows])
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

    def _hyper(self, problems: Tensor) -> dict[str, Tensor]:
        """Hyper-parameters ``[R]`` of ``problems [R]``; no weight decay, which would be another objective."""
        own = {hyper.name: float(hyper.default) for hyper in self.rule.hypers if hyper.name != "weight_decay"}
        values = {"weight_decay": 0.0, **own, **self.hyper}
        stated = {
            name: torch.as_tensor(value, dtype=torch.float64, device=problems.device) for name, value in values.items()
        }
        return {name: one[problems] if one.ndim else one.expand(len(problems)) for name, one in stated.items()}

    def _update(self, state: RuleState, rows: Tensor, leaf: Tensor) -> None:
        """Move ``leaf [R, P]``, the points of ``rows [R]``, and the rule's state with them."""
        slots = {name: slot[rows] for name, slot in state.slots.items()}
        numbers: dict[str, Scalar] = {name: own[rows] for name, own in state.numbers.items()}
        leaves = {name: RowLeaves([slot]) for name, slot in slots.items()}
        count = state.taken[rows].to(torch.float64)
        if self.rule.draws:
            leaves["draws"] = RowLeaves([self._draws(leaf, state.problems[rows], state.taken[rows])])
        own, params, grads = State(leaves, numbers), RowLeaves([leaf]), RowLeaves([state.gradients[rows]])
        hyper = self._hyper(state.problems[rows])
        if self.rule.numbers:
            self.rule.measure(params, grads, own, hyper, count)
        self.rule.update(params, grads, own, hyper, count)
        for name, slot in slots.items():
            state.slots[name][rows] = slot
        for name, number in own.numbers.items():
            state.numbers[name][rows] = torch.as_tensor(number, dtype=torch.float64)

    @staticmethod
    def _draws(leaf: Tensor, problems: Tensor, taken: Tensor) -> Tensor:
        """Standard normal numbers like ``leaf [R, P]``, keyed by each problem and its step."""
        keys = zip(problems.tolist(), taken.tolist(), strict=True)
        sources = [generator(problem, "draws", step) for problem, step in keys]
        drawn = [torch.randn(leaf.shape[1:], generator=source, dtype=leaf.dtype) for source in sources]
        return torch.stack(drawn).to(leaf.device)

    def progress(self, state: RuleState) -> Progress:
        """The lowest point of every row so far."""
        return Progress(
            points=state.best,
            values=state.values,
            gradient_norms=state.norms,
            iterations=state.taken,
            evaluations=state.taken + 1,
            status=[STATUSES[code] for code in state.status.tolist()],
            places=state.points,
        )

    def _clip(self, points: Tensor) -> Tensor:
        return within(points, self.low, self.high)

    def _norms(self, points: Tensor, gradients: Tensor) -> Tensor:
        return (points - self._clip(points - gradients)).abs().amax(1)
