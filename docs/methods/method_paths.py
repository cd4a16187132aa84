"""Every method run on two functions of two variables: what the pictures of the pages show.

Rules and methods that follow derivatives run in a bowl and in Rosenbrock's valley; methods that search a box on
Rastrigin's lattice of minima in place of the bowl; methods for constraints in the same bowl and valley, parts of
which are forbidden.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lanewise import Inequality, minimize, optim
from lanewise.optim.drop_in import DropIn
from lanewise.optim.projections import half_space, l2_ball
from lanewise.optim.proximal import Within
from lanewise.optim.registry import RULES
from lanewise.solvers.comparing import RATES, TOLERANCE, compare
from lanewise.solvers.form import Form
from lanewise.solvers.function_reading import read_function
from lanewise.solvers.landscapes import Landscape, landscape
from lanewise.solvers.methods import METHODS
from lanewise.solvers.outcome import FEASIBILITY, Setup, Step
from lanewise.solvers.posed import PosedObjective

Point = tuple[float, float]

EVALUATIONS = 200
"""Of a rule, and at most of a method that follows derivatives."""
TRIED = 512
"""Evaluations of a method that searches a box."""
LEVELS = 22
"""Of each variable in the picture of the grid."""
CONDITION = 20.0
FREE = ("dog", "prodigy")
"""Rules that find their rate: drawn at their factor of 1."""
MATRICES: dict[str, type[DropIn]] = {
    "adafactor": optim.Adafactor,
    "muon": optim.Muon,
    "shampoo": optim.Shampoo,
    "soap": optim.SOAP,
}
"""Rules that treat a matrix otherwise than a vector: drawn with the two variables as a matrix of one row."""
NAMES = (*RULES, *(name for name in METHODS if name not in RULES), "sam")
"""Every method that has a page."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A function, where it is drawn and where runs begin.

    ``room`` is not negative where points are allowed, if some are not; ``residuals`` have the function as the sum of
    their squares; ``project`` moves rows of points to the allowed ones.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    start: Point
    low: Point
    high: Point
    optima: tuple[Point, ...]
    least: float = 0.0
    room: Callable[[Tensor], Tensor] | None = None
    residuals: Callable[[Tensor], Tensor] | None = None
    project: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a method stood after each round, all points that it tried if it searches, and what it reached."""

    points: list[Point]
    value: float
    evaluations: int
    rate: float | None = None
    tried: tuple[Point, ...] = ()


def _ground(known: Landscape, name: str, **more: Any) -> Ground:
    usual = {
        "name": name,
        "function": known.function,
        "start": known.x0,
        "low": known.low,
        "high": known.high,
        "optima": known.optima,
    }
    return Ground(**usual | more)


_TURN = math.radians(30)
_AXES = ((math.cos(_TURN), math.sin(_TURN)), (-math.sin(_TURN), math.cos(_TURN)))


def _bent(x: Tensor) -> Tensor:
    """Residuals ``[2]`` of the bowl: along its axes, which lie aslant, so that no coordinate is by itself."""
    first, second = (x[0] * across + x[1] * up for across, up in _AXES)
    return torch.stack((first, math.sqrt(CONDITION) * second)) / math.sqrt(2)


def _bowl(x: Tensor) -> Tensor:
    return _bent(x).square().sum()


def _bowl_at_the_edge() -> Point:
    """The lowest point of the bowl with ``x1 + x2 = 2``: the inverse Hessian times (1, 1), at that length."""
    (a, b), (c, d) = _AXES
    first, second = a + b, (c + d) / CONDITION
    along = (a * first + c * second, b * first + d * second)
    return 2 * along[0] / sum(along), 2 * along[1] / sum(along)


_EDGE, _RIM = _bowl_at_the_edge(), (0.7864151509, 0.6176983166)
_ROSENBROCK = landscape("rosenbrock")

BOWL = Ground(
    name="bowl",
    function=_bowl,
    start=(-3.7, 2.2),
    low=(-5.0, -5.0),
    high=(5.0, 5.0),
    optima=((0.0, 0.0),),
    residuals=_bent,
)
VALLEY = _ground(
    _ROSENBROCK,
    "Rosenbrock's valley",
    low=(-2.2, -1.2),
    high=(2.2, 3.8),
    residuals=lambda x: torch.stack((10 * (x[1] - x[0].square()), 1 - x[0])),
)
LATTICE = _ground(landscape("rastrigin"), "Rastrigin's lattice")
CUT_BOWL = replace(
    BOWL,
    name="bowl where x1 + x2 \N{GREATER-THAN OR EQUAL TO} 2",
    optima=(_EDGE,),
    least=float(_bowl(torch.tensor(_EDGE, dtype=torch.float64))),
    room=lambda x: x[0] + x[1] - 2,
    project=partial(half_space, normal=torch.tensor([-1.0, -1.0], dtype=torch.float64), offset=-2.0),
)
CUT_VALLEY = replace(
    VALLEY,
    name="Rosenbrock's valley within the unit disk",
    optima=(_RIM,),
    least=float(_ROSENBROCK.function(torch.tensor(_RIM, dtype=torch.float64))),
    room=lambda x: 1 - x.square().sum(),
    project=partial(l2_ball, radius=1.0),
)


def grounds(name: str) -> tuple[Ground, Ground]:
    """The two functions that the picture of a method shows."""
    method = METHODS.get(name)
    if method is None or name in RULES:
        return BOWL, VALLEY
    if method.derivatives == 0:
        return LATTICE, VALLEY
    return (CUT_BOWL, CUT_VALLEY) if _walled(name) else (BOWL, VALLEY)


def _walled(name: str) -> bool:
    return METHODS[name].constraints or name == "proximal-gradient"


def run(name: str, ground: Ground) -> Run:
    """A method on a function, with the settings that the pages state."""
    if name == "sam":
        return _by_drop_in(lambda x, rate: optim.SAM([x], lr=rate, base=optim.GradientDescent), ground, cost=2)
    if name in MATRICES:
        return _by_drop_in(lambda x, rate: MATRICES[name]([x], lr=rate, **_no_decay(name)), ground, cost=1)
    method = METHODS[name]
    if method.derivatives == 0:
        return _search(name, ground)
    if _walled(name) or method.residuals:
        return _solve(name, ground)
    found = compare(
        ground.function,
        ground.start,
        methods=[name],
        max_evaluations=EVALUATIONS,
        lr=1.0 if name in FREE else None,
    )
    (trace,) = found.traces
    return Run(
        points=[(one[0], one[1]) for one in trace.points],
        value=trace.value,
        evaluations=trace.evaluations[-1],
        rate=trace.rate,
    )


def _no_decay(name: str) -> dict[str, Any]:
    return {} if name == "adafactor" else {"weight_decay": 0.0}


def _by_drop_in(make: Callable[[torch.nn.Parameter, float], DropIn], ground: Ground, *, cost: int) -> Run:
    """The run of a drop-in on a matrix ``[1, 2]`` at the rate that leads lowest, as ``compare`` chooses it."""
    runs = [_with_drop_in(make, ground, rate, cost) for rate in RATES]
    return min(runs, key=lambda one: one.value)


def _with_drop_in(make: Callable[[torch.nn.Parameter, float], DropIn], ground: Ground, rate: float, cost: int) -> Run:
    x = torch.nn.Parameter(torch.tensor([ground.start], dtype=torch.float64))
    optimizer: Any = make(x, rate)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = ground.function(x[0])
        value.backward()
        return value

    points, best = [ground.start], math.inf
    for _ in range(EVALUATIONS // cost):
        best = min(best, _finite(float(optimizer.step(closure).detach())))
        first, second = x.detach()[0].tolist()
        points.append((first, second))
        if not all(map(math.isfinite, points[-1])):
            break
    best = min(best, _finite(float(ground.function(x.detach()[0]))))
    return Run(points=points, value=best, evaluations=EVALUATIONS, rate=rate)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _solve(name: str, ground: Ground) -> Run:
    """A method for residuals, constraints or a set."""
    steps: list[Step] = []
    more: dict[str, Any] = {}
    if METHODS[name].residuals:
        more = {"residuals": True}
    elif name == "proximal-gradient":
        assert ground.project is not None
        more = {"penalty": Within(ground.project)}
    else:
        assert ground.room is not None
        more = {"constraints": Inequality(ground.room)}
    found = minimize(
        ground.residuals if METHODS[name].residuals else ground.function,  # type: ignore[arg-type]
        torch.tensor(ground.start, dtype=torch.float64),
        method=name,
        max_evaluations=5 * EVALUATIONS,
        callback=steps.append,
        **more,
    )
    own = found.evaluations - steps[0].evaluations + 1  # the first round has one at the start, after some to look
    return Run(points=[ground.start, *_places(steps)], value=found.value, evaluations=own)


def _search(name: str, ground: Ground) -> Run:
    """A method that asks for values only, with every point that it asked for."""
    tried: list[Point] = []
    values: list[float] = []

    def function(x: Sequence[float]) -> float:
        tried.append((float(x[0]), float(x[1])))
        values.append(float(ground.function(torch.tensor(tried[-1], dtype=torch.float64))))
        return values[-1]

    form, start = Form.of(list(ground.start))
    low, high = (torch.tensor(side, dtype=torch.float64) for side in (ground.low, ground.high))
    reading = read_function(function, form, start, scalar=True, name="fun", bounds=(low, high))
    tried.clear()  # of the calls that found out how it is to be called
    values.clear()
    setup = Setup(
        objective=PosedObjective(function=reading.function),
        starts=start[None].clone(),
        low=low,
        high=high,
        tolerance=TOLERANCE,
        feasibility=FEASIBILITY,
        max_evaluations=TRIED,
        seed=0,
        options={"levels": LEVELS} if name == "grid" else {},
        callback=None,
    )
    METHODS[name].run(setup)
    lowest = accumulate(values, min)
    best = [point for point, value, least in zip(tried, values, lowest, strict=True) if value == least]
    return Run(points=[ground.start, *best], value=min(values), evaluations=len(tried), tried=tuple(tried))


def _places(steps: Sequence[Step]) -> list[Point]:
    return [(float(step.places[0, 0]), float(step.places[0, 1])) for step in steps]
