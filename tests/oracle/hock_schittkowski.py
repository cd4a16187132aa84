"""Problems of Hock and Schittkowski, *Test Examples for Nonlinear Programming Codes* (1981), by their numbers.

Each is written from the published definition: objective, start, bounds, constraints (``h(x) >= 0``,
``g(x) = 0``) and the value at the solution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, exp

Bounds = tuple[list[float], list[float]]
FREE = math.inf


@dataclass(frozen=True)
class Condition:
    """``function(x) = 0`` where it is ``exact``, else ``function(x) >= 0``."""

    function: Callable[[Tensor], Tensor]
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Problem:
    objective: Callable[[Tensor], Tensor]
    start: list[float]
    value: float
    bounds: Bounds | None = None
    conditions: tuple[Condition, ...] = ()
    starts: int = 1
    """More than one where a worse local solution lies nearer to the published start."""


def at_least(function: Callable[[Tensor], Tensor]) -> Condition:
    return Condition(function, exact=False)


def is_zero(function: Callable[[Tensor], Tensor]) -> Condition:
    return Condition(function, exact=True)


def rosen_suzuki(x: Tensor) -> Tensor:
    squares = x[0] ** 2 + x[1] ** 2 + 2 * x[2] ** 2 + x[3] ** 2
    return squares - 5 * x[0] - 5 * x[1] - 21 * x[2] + 7 * x[3]


def hs100(x: Tensor) -> Tensor:
    first = (x[0] - 10) ** 2 + 5 * (x[1] - 12) ** 2 + x[2] ** 4 + 3 * (x[3] - 11) ** 2
    return first + 10 * x[4] ** 6 + 7 * x[5] ** 2 + x[6] ** 4 - 4 * x[5] * x[6] - 10 * x[5] - 8 * x[6]


def hs113(x: Tensor) -> Tensor:
    first = x[0] ** 2 + x[1] ** 2 + x[0] * x[1] - 14 * x[0] - 16 * x[1] + (x[2] - 10) ** 2 + 4 * (x[3] - 5) ** 2
    second = (x[4] - 3) ** 2 + 2 * (x[5] - 1) ** 2 + 5 * x[6] ** 2 + 7 * (x[7] - 11) ** 2 + 2 * (x[8] - 10) ** 2
    return first + second + (x[9] - 7) ** 2 + 45


def hs79(x: Tensor) -> Tensor:
    return (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4 + (x[3] - x[4]) ** 4


def hs77(x: Tensor) -> Tensor:
    return (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2 + (x[2] - 1) ** 2 + (x[3] - 1) ** 4 + (x[4] - 1) ** 6


def hs76(x: Tensor) -> Tensor:
    squares = x[0] ** 2 + 0.5 * x[1] ** 2 + x[2] ** 2 + 0.5 * x[3] ** 2
    return squares - x[0] * x[2] + x[2] * x[3] - x[0] - 3 * x[1] + x[2] - x[3]


def hs35(x: Tensor) -> Tensor:
    squares = 2 * x[0] ** 2 + 2 * x[1] ** 2 + x[2] ** 2
    return 9 - 8 * x[0] - 6 * x[1] - 4 * x[2] + squares + 2 * x[0] * x[1] + 2 * x[0] * x[2]


def hs38(x: Tensor) -> Tensor:
    first = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 + 90 * (x[3] - x[2] ** 2) ** 2 + (1 - x[2]) ** 2
    return first + 10.1 * ((x[1] - 1) ** 2 + (x[3] - 1) ** 2) + 19.8 * (x[1] - 1) * (x[3] - 1)


def hs52(x: Tensor) -> Tensor:
    return (4 * x[0] - x[1]) ** 2 + (x[1] + x[2] - 2) ** 2 + (x[3] - 1) ** 2 + (x[4] - 1) ** 2


def hs48(x: Tensor) -> Tensor:
    return (x[0] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[3] - x[4]) ** 2


def banana(x: Tensor) -> Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


PROBLEMS: dict[str, Problem] = {
    "HS1": Problem(objective=banana, start=[-2, 1], bounds=([-FREE, -1.5], [FREE, FREE]), value=0.0),
    "HS3": Problem(
        objective=lambda x: x[1] + 1e-5 * (x[1] - x[0]) ** 2,
        start=[10, 1],
        bounds=([-FREE, 0], [FREE, FREE]),
        value=0.0,
    ),
    "HS4": Problem(
        objective=lambda x: (x[0] + 1) ** 3 / 3 + x[1],
        start=[1.125, 0.125],
        bounds=([1, 0], [FREE, FREE]),
        value=8 / 3,
    ),
    "HS5": Problem(
        objective=lambda x: (x[0] + x[1]).sin() + (x[0] - x[1]) ** 2 - 1.5 * x[0] + 2.5 * x[1] + 1,
        start=[0, 0],
        bounds=([-1.5, -3], [4, 3]),
        value=-math.sqrt(3) / 2 - math.pi / 3,
    ),
    "HS6": Problem(
        objective=lambda x: (1 - x[0]) ** 2,
        start=[-1.2, 1],
        conditions=(is_zero(lambda x: 10 * (x[1] - x[0] ** 2)),),
        value=0.0,
    ),
    "HS7": Problem(
        objective=lambda x: (1 + x[0] ** 2).log() - x[1],
        start=[2, 2],
        conditions=(is_zero(lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4),),
        value=-math.sqrt(3),
    ),
    "HS8": Problem(
        objective=lambda x: 0 * x[0] - 1,
        start=[2, 1],
        conditions=(is_zero(lambda x: x[0] ** 2 + x[1] ** 2 - 25), is_zero(lambda x: x[0] * x[1] - 9)),
        value=-1.0,
    ),
    "HS9": Problem(
        objective=lambda x: (math.pi * x[0] / 12).sin() * (math.pi * x[1] / 16).cos(),
        start=[0, 0],
        conditions=(is_zero(lambda x: 4 * x[0] - 3 * x[1]),),
        value=-0.5,
    ),
    "HS10": Problem(
        objective=lambda x: x[0] - x[1],
        start=[-10, 10],
        conditions=(at_least(lambda x: -3 * x[0] ** 2 + 2 * x[0] * x[1] - x[1] ** 2 + 1),),
        value=-1.0,
    ),
    "HS11": Problem(
        objective=lambda x: (x[0] - 5) ** 2 + x[1] ** 2 - 25,
        start=[4.9, 0.1],
        conditions=(at_least(lambda x: -(x[0] ** 2) + x[1]),),
        value=-8.498464223,
    ),
    "HS12": Problem(
        objective=lambda x: 0.5 * x[0] ** 2 + x[1] ** 2 - x[0] * x[1] - 7 * x[0] - 7 * x[1],
        start=[0, 0],
        conditions=(at_least(lambda x: 25 - 4 * x[0] ** 2 - x[1] ** 2),),
        value=-30.0,
    ),
    "HS14": Problem(
        objective=lambda x: (x[0] - 2) ** 2 + (x[1] - 1) ** 2,
        start=[2, 2],
        conditions=(at_least(lambda x: 1 - 0.25 * x[0] ** 2 - x[1] ** 2), is_zero(lambda x: x[0] - 2 * x[1] + 1)),
        value=9 - 2.875 * math.sqrt(7),
    ),
    "HS15": Problem(
        objective=banana,
        start=[-2, 1],
        bounds=([-FREE, -FREE], [0.5, FREE]),
        conditions=(at_least(lambda x: x[0] * x[1] - 1), at_least(lambda x: x[0] + x[1] ** 2)),
        value=306.5,
    ),
    "HS16": Problem(
        objective=banana,
        start=[-2, 1],
        bounds=([-2, -FREE], [0.5, 1]),
        conditions=(at_least(lambda x: x[0] + x[1] ** 2), at_least(lambda x: x[0] ** 2 + x[1])),
        value=0.25,
        starts=20,
    ),
    "HS18": Problem(
        objective=lambda x: 0.01 * x[0] ** 2 + x[1] ** 2,
        start=[2, 2],
        bounds=([2, 0], [50, 50]),
        conditions=(at_least(lambda x: x[0] * x[1] - 25), at_least(lambda x: x[0] ** 2 + x[1] ** 2 - 25)),
        value=5.0,
    ),
    "HS21": Problem(
        objective=lambda x: 0.01 * x[0] ** 2 + x[1] ** 2 - 100,
        start=[2, -1],
        bounds=([2, -50], [50, 50]),
        conditions=(at_least(lambda x: 10 * x[0] - x[1] - 10),),
        value=-99.96,
    ),
    "HS22": Problem(
        objective=lambda x: (x[0] - 2) ** 2 + (x[1] - 1) ** 2,
        start=[2, 2],
        conditions=(at_least(lambda x: -x[0] - x[1] + 2), at_least(lambda x: -(x[0] ** 2) + x[1])),
        value=1.0,
    ),
    "HS23": Problem(
        objective=lambda x: x[0] ** 2 + x[1] ** 2,
        start=[3, 1],
        bounds=([-50, -50], [50, 50]),
        conditions=(
            at_least(lambda x: x[0] + x[1] - 1),
            at_least(lambda x: x[0] ** 2 + x[1] ** 2 - 1),
            at_least(lambda x: 9 * x[0] ** 2 + x[1] ** 2 - 9),
            at_least(lambda x: x[0] ** 2 - x[1]),
            at_least(lambda x: x[1] ** 2 - x[0]),
        ),
        value=2.0,
    ),
    "HS24": Problem(
        objective=lambda x: ((x[0] - 3) ** 2 - 9) * x[1] ** 3 / (27 * math.sqrt(3)),
        start=[1, 0.5],
        bounds=([0, 0], [FREE, FREE]),
        conditions=(
            at_least(lambda x: x[0] / math.sqrt(3) - x[1]),
            at_least(lambda x: x[0] + math.sqrt(3) * x[1]),
            at_least(lambda x: 6 - x[0] - math.sqrt(3) * x[1]),
        ),
        value=-1.0,
    ),
    "HS26": Problem(
        objective=lambda x: (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 4,
        start=[-2.6, 2, 2],
        conditions=(is_zero(lambda x: (1 + x[1] ** 2) * x[0] + x[2] ** 4 - 3),),
        value=0.0,
    ),
    "HS27": Problem(
        objective=lambda x: 0.01 * (x[0] - 1) ** 2 + (x[1] - x[0] ** 2) ** 2,
        start=[2, 2, 2],
        conditions=(is_zero(lambda x: x[0] + x[2] ** 2 + 1),),
        value=0.04,
    ),
    "HS28": Problem(
        objective=lambda x: (x[0] + x[1]) ** 2 + (x[1] + x[2]) ** 2,
        start=[-4, 1, 1],
        conditions=(is_zero(lambda x: x[0] + 2 * x[1] + 3 * x[2] - 1),),
        value=0.0,
    ),
    "HS29": Problem(
        objective=lambda x: -x[0] * x[1] * x[2],
        start=[1, 1, 1],
        conditions=(at_least(lambda x: -(x[0] ** 2) - 2 * x[1] ** 2 - 4 * x[2] ** 2 + 48),),
        value=-16 * math.sqrt(2),
    ),
    "HS30": Problem(
        objective=lambda x: (x**2).sum(),
        start=[1, 1, 1],
        bounds=([1, -10, -10], [10, 10, 10]),
        conditions=(at_least(lambda x: x[0] ** 2 + x[1] ** 2 - 1),),
        value=1.0,
    ),
    "HS31": Problem(
        objective=lambda x: 9 * x[0] ** 2 + x[1] ** 2 + 9 * x[2] ** 2,
        start=[1, 1, 1],
        bounds=([-10, 1, -10], [10, 10, 1]),
        conditions=(at_least(lambda x: x[0] * x[1] - 1),),
        value=6.0,
    ),
    "HS32": Problem(
        objective=lambda x: (x[0] + 3 * x[1] + x[2]) ** 2 + 4 * (x[0] - x[1]) ** 2,
        start=[0.1, 0.7, 0.2],
        bounds=([0, 0, 0], [FREE, FREE, FREE]),
        conditions=(
            at_least(lambda x: 6 * x[1] + 4 * x[2] - x[0] ** 3 - 3),
            is_zero(lambda x: 1 - x[0] - x[1] - x[2]),
        ),
        value=1.0,
    ),
    "HS33": Problem(
        objective=lambda x: (x[0] - 1) * (x[0] - 2) * (x[0] - 3) + x[2],
        start=[0, 0, 3],
        bounds=([0, 0, 0], [FREE, FREE, 5]),
        conditions=(
            at_least(lambda x: x[2] ** 2 - x[1] ** 2 - x[0] ** 2),
            at_least(lambda x: x[0] ** 2 + x[1] ** 2 + x[2] ** 2 - 4),
        ),
        value=math.sqrt(2) - 6,
        starts=20,
    ),
    "HS35": Problem(
        objective=hs35,
        start=[0.5, 0.5, 0.5],
        bounds=([0, 0, 0], [FREE, FREE, FREE]),
        conditions=(at_least(lambda x: 3 - x[0] - x[1] - 2 * x[2]),),
        value=1 / 9,
    ),
    "HS36": Problem(
        objective=lambda x: -x[0] * x[1] * x[2],
        start=[10, 10, 10],
        bounds=([0, 0, 0], [20, 11, 42]),
        conditions=(at_least(lambda x: 72 - x[0] - 2 * x[1] - 2 * x[2]),),
        value=-3300.0,
    ),
    "HS37": Problem(
        objective=lambda x: -x[0] * x[1] * x[2],
        start=[10, 10, 10],
        bounds=([0, 0, 0], [42, 42, 42]),
        conditions=(
            at_least(lambda x: 72 - x[0] - 2 * x[1] - 2 * x[2]),
            at_least(lambda x: x[0] + 2 * x[1] + 2 * x[2]),
        ),
        value=-3456.0,
    ),
    "HS38": Problem(objective=hs38, start=[-3, -1, -3, -1], bounds=([-10] * 4, [10] * 4), value=0.0),
    "HS39": Problem(
        objective=lambda x: -x[0],
        start=[2, 2, 2, 2],
        conditions=(is_zero(lambda x: x[1] - x[0] ** 3 - x[2] ** 2), is_zero(lambda x: x[0] ** 2 - x[1] - x[3] ** 2)),
        value=-1.0,
    ),
    "HS40": Problem(
        objective=lambda x: -x[0] * x[1] * x[2] * x[3],
        start=[0.8, 0.8, 0.8, 0.8],
        conditions=(
            is_zero(lambda x: x[0] ** 3 + x[1] ** 2 - 1),
            is_zero(lambda x: x[0] ** 2 * x[3] - x[2]),
            is_zero(lambda x: x[3] ** 2 - x[1]),
        ),
        value=-0.25,
    ),
    "HS42": Problem(
        objective=lambda x: (x[0] - 1) ** 2 + (x[1] - 2) ** 2 + (x[2] - 3) ** 2 + (x[3] - 4) ** 2,
        start=[1, 1, 1, 1],
        conditions=(is_zero(lambda x: x[0] - 2), is_zero(lambda x: x[2] ** 2 + x[3] ** 2 - 2)),
        value=28 - 10 * math.sqrt(2),
    ),
    "HS43": Problem(
        objective=rosen_suzuki,
        start=[0, 0, 0, 0],
        conditions=(
            at_least(lambda x: 8 - (x**2).sum() - x[0] + x[1] - x[2] + x[3]),
            at_least(lambda x: 10 - x[0] ** 2 - 2 * x[1] ** 2 - x[2] ** 2 - 2 * x[3] ** 2 + x[0] + x[3]),
            at_least(lambda x: 5 - 2 * x[0] ** 2 - x[1] ** 2 - x[2] ** 2 - 2 * x[0] + x[1] + x[3]),
        ),
        value=-44.0,
    ),
    "HS48": Problem(
        objective=hs48,
        start=[3, 5, -3, 2, -2],
        conditions=(is_zero(lambda x: x.sum() - 5), is_zero(lambda x: x[2] - 2 * (x[3] + x[4]) + 3)),
        value=0.0,
    ),
    "HS52": Problem(
        objective=hs52,
        start=[2, 2, 2, 2, 2],
        conditions=(
            is_zero(lambda x: x[0] + 3 * x[1]),
            is_zero(lambda x: x[2] + x[3] - 2 * x[4]),
            is_zero(lambda x: x[1] - x[4]),
        ),
        value=1859 / 349,
    ),
    "HS65": Problem(
        objective=lambda x: (x[0] - x[1]) ** 2 + (x[0] + x[1] - 10) ** 2 / 9 + (x[2] - 5) ** 2,
        start=[-4.5, 4.5, 0],  # the published start, (-5, 5, 0), moved into its bounds
        bounds=([-4.5, -4.5, -5], [4.5, 4.5, 5]),
        conditions=(at_least(lambda x: 48 - (x**2).sum()),),
        value=0.9535288567,
    ),
    "HS71": Problem(
        objective=lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        start=[1, 5, 5, 1],
        bounds=([1] * 4, [5] * 4),
        conditions=(at_least(lambda x: x.prod() - 25), is_zero(lambda x: (x**2).sum() - 40)),
        value=17.0140173,
    ),
    "HS76": Problem(
        objective=hs76,
        start=[0.5, 0.5, 0.5, 0.5],
        bounds=([0] * 4, [FREE] * 4),
        conditions=(
            at_least(lambda x: 5 - x[0] - 2 * x[1] - x[2] - x[3]),
            at_least(lambda x: 4 - 3 * x[0] - x[1] - 2 * x[2] + x[3]),
            at_least(lambda x: x[1] + 4 * x[2] - 1.5),
        ),
        value=-4.681818181,
    ),
    "HS77": Problem(
        objective=hs77,
        start=[2, 2, 2, 2, 2],
        conditions=(
            is_zero(lambda x: x[0] ** 2 * x[3] + (x[3] - x[4]).sin() - 2 * math.sqrt(2)),
            is_zero(lambda x: x[1] + x[2] ** 4 * x[3] ** 2 - 8 - math.sqrt(2)),
        ),
        value=0.24150513,
    ),
    "HS78": Problem(
        objective=lambda x: x.prod(),
        start=[-2, 1.5, 2, -1, -1],
        conditions=(
            is_zero(lambda x: (x**2).sum() - 10),
            is_zero(lambda x: x[1] * x[2] - 5 * x[3] * x[4]),
            is_zero(lambda x: x[0] ** 3 + x[1] ** 3 + 1),
        ),
        value=-2.91970041,
    ),
    "HS79": Problem(
        objective=hs79,
        start=[2, 2, 2, 2, 2],
        conditions=(
            is_zero(lambda x: x[0] + x[1] ** 2 + x[2] ** 3 - 2 - 3 * math.sqrt(2)),
            is_zero(lambda x: x[1] - x[2] ** 2 + x[3] + 2 - 2 * math.sqrt(2)),
            is_zero(lambda x: x[0] * x[4] - 2),
        ),
        value=0.0787768209,
    ),
    "HS80": Problem(
        objective=lambda x: exp(x.prod()),
        start=[-2, 2, 2, -1, -1],
        bounds=([-2.3, -2.3, -3.2, -3.2, -3.2], [2.3, 2.3, 3.2, 3.2, 3.2]),
        conditions=(
            is_zero(lambda x: (x**2).sum() - 10),
            is_zero(lambda x: x[1] * x[2] - 5 * x[3] * x[4]),
            is_zero(lambda x: x[0] ** 3 + x[1] ** 3 + 1),
        ),
        value=0.0539498478,
    ),
    "HS100": Problem(
        objective=hs100,
        start=[1, 2, 0, 4, 0, 1, 1],
        conditions=(
            at_least(lambda x: 127 - 2 * x[0] ** 2 - 3 * x[1] ** 4 - x[2] - 4 * x[3] ** 2 - 5 * x[4]),
            at_least(lambda x: 282 - 7 * x[0] - 3 * x[1] - 10 * x[2] ** 2 - x[3] + x[4]),
            at_least(lambda x: 196 - 23 * x[0] - x[1] ** 2 - 6 * x[5] ** 2 + 8 * x[6]),
            at_least(
                lambda x: -4 * x[0] ** 2 - x[1] ** 2 + 3 * x[0] * x[1] - 2 * x[2] ** 2 - 5 * x[5] + 11 * x[6],
            ),
        ),
        value=680.6300573,
    ),
    "HS113": Problem(
        objective=hs113,
        start=[2, 3, 5, 5, 1, 2, 7, 3, 6, 10],
        conditions=(
            at_least(lambda x: 105 - 4 * x[0] - 5 * x[1] + 3 * x[6] - 9 * x[7]),
            at_least(lambda x: -10 * x[0] + 8 * x[1] + 17 * x[6] - 2 * x[7]),
            at_least(lambda x: 8 * x[0] - 2 * x[1] - 5 * x[8] + 2 * x[9] + 12),
            at_least(lambda x: -3 * (x[0] - 2) ** 2 - 4 * (x[1] - 3) ** 2 - 2 * x[2] ** 2 + 7 * x[3] + 120),
            at_least(lambda x: -5 * x[0] ** 2 - 8 * x[1] - (x[2] - 6) ** 2 + 2 * x[3] + 40),
            at_least(lambda x: -0.5 * (x[0] - 8) ** 2 - 2 * (x[1] - 4) ** 2 - 3 * x[4] ** 2 + x[5] + 30),
            at_least(lambda x: -(x[0] ** 2) - 2 * (x[1] - 2) ** 2 + 2 * x[0] * x[1] - 14 * x[4] + 6 * x[5]),
            at_least(lambda x: 3 * x[0] - 6 * x[1] - 12 * (x[8] - 8) ** 2 + 7 * x[9]),
        ),
        value=24.3062091,
    ),
}
