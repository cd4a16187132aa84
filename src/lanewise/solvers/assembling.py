"""From where every start ended to the one :class:`Solution`."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from lanewise.solvers.form import Form
from lanewise.solvers.outcome import SEARCHED_WELL, Outcome, Setup, at_optimum
from lanewise.solvers.solution import Counts, Optimum, Solution
from lanewise.solvers.solver import Status
from lanewise.solvers.variables import Space

APART = 1e-4  # distance, relative to max(1, |x|), from which on two optima count as two
UNLIKE = 1e-6  # difference of values, relative to max(1, |value|), from which on they do


def assemble(
    outcome: Outcome, setup: Setup, form: Form | Space, *, method: str, reason: str, order: list[int]
) -> Solution:
    """The best start, the distinct optima, the counts. ``order`` has the place of each constraint."""
    _tell_kinks(outcome)
    sign = setup.objective.sign
    best = best_row(outcome)
    return Solution(
        x=form.shown(outcome.points[best]),
        value=sign * float(outcome.values[best]),
        status=outcome.status[best],
        gradient_norm=float(outcome.norms[best]),
        violation=float(outcome.violations[best]),
        multipliers=_multipliers(outcome, setup, form, best, order),
        counts=Counts(
            evaluations=setup.objective.evaluated,
            gradients=setup.objective.gradients,
            hessians=setup.objective.hessian_count,
            iterations=int(outcome.iterations.sum()),
        ),
        history=outcome.history,
        optima=_optima(outcome, setup, form),
        statuses=Counter(outcome.status),
        method=method,
        reason=reason,
        tolerance=setup.tolerance,
        cosine=float("nan") if outcome.cosines is None else float(outcome.cosines[best]),
        direction="maximized" if sign < 0 else "minimized",
    )


def _tell_kinks(outcome: Outcome) -> None:
    """A start that stalled where the gradient is far from zero did not do so for rounding."""
    for place, status in enumerate(outcome.status):
        norm, value = float(outcome.norms[place]), float(outcome.values[place])
        if status is Status.STALLED and not at_optimum(status, norm, value):
            outcome.status[place] = Status.KINK


def best_row(outcome: Outcome) -> int:
    """The start with the lowest value among the feasible, else the one that violates least.

    Of several with the very same value it is the one with the smallest gradient: the others ended in the rounding.
    """
    values = torch.where(outcome.values.isnan(), torch.inf, outcome.values)
    feasible = outcome.violations <= outcome.feasibility
    feasible &= torch.tensor([one is not Status.INFEASIBLE for one in outcome.status], device=feasible.device)
    if bool(feasible.any()):
        lowest = feasible & (values == values[feasible].min())
        return int(torch.where(lowest, outcome.norms.nan_to_num(nan=0.0), torch.inf).argmin())
    return int(torch.where(outcome.violations.isnan(), torch.inf, outcome.violations).argmin())


def _multipliers(outcome: Outcome, setup: Setup, form: Form | Space, best: int, order: list[int]) -> list[Any] | None:
    if outcome.equality_multipliers is None or outcome.inequality_multipliers is None:
        return None
    found: list[Tensor] = []
    for functions, multipliers in (
        (setup.objective.equalities, outcome.equality_multipliers[best]),
        (setup.objective.inequalities, outcome.inequality_multipliers[best]),
    ):
        widths = [function.values(outcome.points[best : best + 1]).shape[1] for function in functions]
        found += list(multipliers.split(widths)) if widths else []
    placed = sorted(zip(order, found, strict=True), key=lambda pair: pair[0])
    return [one.clone() if form.torch else one.cpu().numpy().copy() for _, one in placed]


def _optima(outcome: Outcome, setup: Setup, form: Form | Space) -> list[Optimum]:
    """Distinct points among the starts that ended well and feasibly, lowest value first."""
    norms, levels = outcome.norms.tolist(), outcome.values.tolist()
    ended = [at_optimum(*row) for row in zip(outcome.status, norms, levels, strict=True)]
    if not any(ended):
        ended = [status in SEARCHED_WELL for status in outcome.status]
    well = torch.tensor(ended, device=outcome.values.device)
    left = (well & (outcome.violations <= outcome.feasibility) & outcome.values.isfinite()).nonzero().flatten()
    left = left[outcome.norms[left].argsort(stable=True)]
    left = left[outcome.values[left].argsort(stable=True)]
    found: list[Optimum] = []
    while len(left):
        points, values = outcome.points[left], outcome.values[left]
        size = points[0].abs().clamp_min(1.0)
        same = ((points - points[0]).abs() <= APART * size).all(1)
        same &= (values - values[0]).abs() <= UNLIKE * values[0].abs().clamp_min(1.0)
        same[0] = True
        value = setup.objective.sign * float(values[0])
        found.append(Optimum(x=form.shown(points[0]), value=value, starts=int(same.sum())))
        left = left[~same]
    return found
