"""What ``method="auto"`` does where the method that it took ends short of an optimum: another goes on from there."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.bounds import within
from lanewise.solvers.descent import Descent
from lanewise.solvers.exact_penalty import descend
from lanewise.solvers.gradient_sampling import GradientSampling
from lanewise.solvers.methods import find_method
from lanewise.solvers.outcome import History, Outcome, Setup, Watch, at_optimum
from lanewise.solvers.scipy_methods import FEASIBILITY as MET
from lanewise.solvers.smooth_methods import LARGE
from lanewise.solvers.solver import Status

SHORT = (Status.STALLED, Status.KINK, Status.INFEASIBLE, Status.FEASIBLE)
"""Ends that another method may get over."""
UNEVEN = 100.0  # ratio of the sizes of variables from which on each is measured in its own
PROGRAMS = 2000  # values with their gradients after which quadratic programs have had their chance
SAME = 1e-9  # rise of the value, relative to max(1, |value|), at which a point that is an optimum is still taken


def go_on(outcome: Outcome, setup: Setup) -> str:
    """Let other methods go on with the starts that ended short, in place; what was done in words, or ``""``."""
    rows = [place for place in range(len(outcome.status)) if _short(outcome, place)]
    spent = setup.objective.spent
    if not rows or spent is None or setup.penalty is not None or setup.starts.device.type != "cpu":
        return ""
    left = setup.max_evaluations - int(spent[rows].max())
    if left < 2 or Status.STOPPED in outcome.status:
        return ""
    setup.objective.spent, before = None, setup.objective.evaluated
    if setup.constrained:
        words = _by_quadratic_programs(outcome, setup, rows, left)
        left -= (setup.objective.evaluated - before) // len(rows)
        # Quadratic programs had a part of the evaluations only.
        rows = [row for row in rows if _short(outcome, row) or outcome.status[row] is Status.EVALUATIONS]
        if not rows or left < 2 or Status.STOPPED in outcome.status or setup.starts.shape[1] > LARGE:
            return words
        return words + _over_kinks_of_constraints(outcome, setup, rows, left)
    if setup.starts.shape[1] > LARGE:
        return ""
    words = _in_own_sizes(outcome, setup, rows, left)
    rows = [row for row in rows if _short(outcome, row)]
    return words + (_over_kinks(outcome, setup, rows, left) if rows and Status.STOPPED not in outcome.status else "")


def _short(outcome: Outcome, row: int) -> bool:
    status = outcome.status[row]
    return status in SHORT and not _ended_well(outcome, row)


def _ended_well(outcome: Outcome, row: int) -> bool:
    return at_optimum(outcome.status[row], float(outcome.norms[row]), float(outcome.values[row]))


def _by_quadratic_programs(outcome: Outcome, setup: Setup, rows: list[int], left: int) -> str:
    """SLSQP from where multipliers and penalties ended, and from where they began: either may be too near for it."""
    index, cost = torch.tensor(rows), 1 if setup.objective.function.exact else 1 + 2 * setup.starts.shape[1]
    most = min(left // 2, PROGRAMS * cost)
    for starts in (outcome.points[index].clone(), setup.starts[index]):
        further = find_method("slsqp").run(replace(setup, starts=starts, max_evaluations=most))
        for place, row in enumerate(rows[: len(further.points)]):
            _take(outcome, row, further, place)
        _extend(outcome.history, further.history, setup)
        if Status.STOPPED in further.status:
            break
    return f"; {_starts(rows, outcome)}slsqp went on from where that ended"


def _take(outcome: Outcome, row: int, further: Outcome, place: int) -> None:
    """Put what ``further`` has in ``place`` into ``row``, if it meets the constraints and is no worse."""
    value, old = float(further.values[place]), float(outcome.values[row])
    met = float(outcome.violations[row]) <= outcome.feasibility and outcome.status[row] is not Status.INFEASIBLE
    as_low = value <= old + SAME * max(1.0, abs(old))
    if float(further.violations[place]) > further.feasibility or (met and not as_low):
        return
    for name in (
        "points",
        "values",
        "norms",
        "violations",
        "equality_multipliers",
        "inequality_multipliers",
        "cosines",
    ):
        old_ones, new_ones = getattr(outcome, name), getattr(further, name)
        if old_ones is not None:
            old_ones[row] = torch.nan if new_ones is None else new_ones[place]
    outcome.iterations[row] += further.iterations[place]
    outcome.status[row] = further.status[place]
    if float(further.violations[place]) > outcome.feasibility:
        outcome.feasibility = further.feasibility


def _in_own_sizes(outcome: Outcome, setup: Setup, rows: list[int], left: int) -> str:
    """BFGS once more, each variable measured in its own size, if the sizes differ much."""
    index = torch.tensor(rows)
    points = outcome.points[index]
    size = torch.cat((points, setup.starts[index])).abs().amax(0)
    size = torch.where((size > 0) & size.isfinite(), size, 1.0)
    if float(size.max()) < UNEVEN * float(size.min()):
        return ""
    objective, watch = setup.objective, Watch(setup)

    def measured(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = objective(points * size, rows)
        return values, gradients * size

    solver = Descent(
        direction=BFGS(),
        low=None if setup.low is None else setup.low / size,
        high=None if setup.high is None else setup.high / size,
        tolerance=setup.tolerance,
        max_evaluations=left,
    )
    state = solver.init(points / size, measured)
    while True:
        progress = solver.progress(state)
        stopped = watch.stops(state.points * size, state.values)
        if stopped or progress.finished:
            break
        solver.step(state, measured)
    for place, row in enumerate(rows):
        status, value = progress.status[place], float(state.values[place])
        if value > float(outcome.values[row]) or not bool(state.points[place].isfinite().all()):
            continue
        ended = at_optimum(status, float(state.norms[place]), value)
        outcome.points[row], outcome.values[row] = state.points[place] * size, value
        # In the units of the user the gradient may be large although no step leads lower.
        outcome.norms[row] = _norm(setup, outcome.points[row], state.gradients[place] / size)
        outcome.iterations[row] += state.iterations[place]
        small = float(outcome.norms[row]) <= setup.tolerance
        outcome.status[row] = Status.CONVERGED if small else Status.SCALED if ended else status
    outcome.status[:] = [Status.STOPPED if one is Status.RUNNING else one for one in outcome.status]
    _extend(outcome.history, watch.history, setup)
    return f"; {_starts(rows, outcome)}it went on with each variable measured in its own size"


def _norm(setup: Setup, point: Tensor, gradient: Tensor) -> Tensor:
    return (point - within(point - gradient, setup.low, setup.high)).abs().amax()


def _over_kinks(outcome: Outcome, setup: Setup, rows: list[int], left: int) -> str:
    """Gradient sampling from the kinks where the search ended: it goes on, or confirms that there is no way down."""
    watch = Watch(setup)
    for row in rows:
        solver = GradientSampling(
            objective=setup.objective, low=setup.low, high=setup.high, max_evaluations=left, seed=setup.seed
        )
        found = solver.run(outcome.points[row].clone(), float(outcome.values[row]))
        outcome.points[row], outcome.values[row] = found.point, found.value
        if found.stationary:
            outcome.status[row], outcome.norms[row] = Status.CORNER, found.norm
        if watch.stops(outcome.points, outcome.values):
            outcome.status[row] = Status.STOPPED
            break
    _extend(outcome.history, watch.history, setup)
    return f"; {_starts(rows, outcome)}gradient sampling went on from the kink where that ended"


def _over_kinks_of_constraints(outcome: Outcome, setup: Setup, rows: list[int], left: int) -> str:
    """Gradient sampling of the function with its constraints as a penalty that has kinks."""
    watch, done = Watch(setup), 0
    for row in rows:
        known = [one[row] for one in (outcome.equality_multipliers, outcome.inequality_multipliers) if one is not None]
        largest = float(torch.cat([torch.zeros(1).double(), *known]).nan_to_num(0.0).abs().max())
        ended = descend(setup, outcome.points[row].clone(), largest, feasibility=MET, left=left)
        found = ended.found
        done += 1
        further = Outcome(
            points=found.point[None],
            values=torch.tensor([ended.value], dtype=torch.float64),
            norms=torch.tensor([found.norm], dtype=torch.float64),
            violations=torch.tensor([ended.violation], dtype=torch.float64),
            iterations=torch.zeros(1, dtype=torch.int64),
            status=[Status.CORNER if found.stationary else outcome.status[row]],
            history=watch.history,
            equality_multipliers=ended.lambdas[None],
            inequality_multipliers=ended.mus[None],
            feasibility=MET,
        )
        _take(outcome, row, further, 0)
        if watch.stops(outcome.points, outcome.values, outcome.violations):
            outcome.status[row] = Status.STOPPED
            break
    _extend(outcome.history, watch.history, setup)
    return f"; {_starts(rows[:done], outcome)}gradient sampling, the constraints as a penalty, went on from there"


def _starts(rows: list[int], outcome: Outcome) -> str:
    return "" if len(outcome.status) == 1 else f"for {len(rows):,} of {len(outcome.status):,} starts "


def _extend(history: History, further: History, setup: Setup) -> None:
    """Put ``further`` behind ``history``; the best value so far never gets worse."""
    sign, begun = setup.objective.sign, history.seconds[-1] if history.seconds else 0.0
    for evaluations, value, seconds in zip(further.evaluations, further.values, further.seconds, strict=True):
        last = history.values[-1] if history.values else torch.nan
        worse = math.isnan(value) or sign * value > sign * last
        history.evaluations.append(evaluations)
        history.values.append(last if worse else value)
        history.seconds.append(begun + seconds)
