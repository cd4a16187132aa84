"""Problems of More, Garbow and Hillstrom, *Testing unconstrained optimization software*, ACM TOMS 7 (1981).

Residuals as published; the objective is the sum of their squares.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, cos, exp, sin


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``values`` are those of all known minima, ``minimum`` where the first lies if it is known in closed form."""

    residuals: Callable[[Tensor], Tensor]
    start: list[float]
    values: tuple[float, ...]
    minimum: list[float] | None = None


def column(numbers: str) -> Tensor:
    return torch.tensor([float(word) for word in numbers.split()], dtype=torch.float64)


BARD = column(".14 .18 .22 .25 .29 .32 .35 .39 .37 .58 .73 .96 1.34 2.10 4.39")
OSBORNE_1 = column(
    ".844 .908 .932 .936 .925 .908 .881 .850 .818 .784 .751 .718 .685 .658 .628 .603 .580 "
    ".558 .538 .522 .506 .490 .478 .467 .457 .448 .438 .431 .424 .420 .414 .411 .406"
)
OSBORNE_2 = column(
    "1.366 1.191 1.112 1.013 .991 .885 .831 .847 .786 .725 .746 .679 .608 .655 .616 .606 .602 .626 .651 .724 .649 "
    ".649 .694 .644 .624 .661 .612 .558 .533 .495 .500 .423 .395 .375 .372 .391 .396 .405 .428 .429 .523 .562 .607 "
    ".653 .672 .708 .633 .668 .645 .632 .591 .559 .597 .625 .739 .710 .729 .720 .636 .581 .428 .292 .162 .098 .054"
)


def numbers_to(count: int) -> Tensor:
    return torch.arange(1, count + 1, dtype=torch.float64)


def beale(x: Tensor) -> Tensor:
    return column("1.5 2.25 2.625") - x[0] * (1 - x[1] ** numbers_to(3))


def bard(x: Tensor) -> Tensor:
    u = numbers_to(15)
    v = 16 - u
    return BARD - (x[0] + u / (v * x[1] + torch.minimum(u, v) * x[2]))


def brown_dennis(x: Tensor) -> Tensor:
    t = numbers_to(20) / 5
    return (x[0] + t * x[1] - exp(t)) ** 2 + (x[2] + x[3] * sin(t) - cos(t)) ** 2


def osborne_1(x: Tensor) -> Tensor:
    t = 10 * (numbers_to(33) - 1)
    return OSBORNE_1 - (x[0] + x[1] * exp(-t * x[3]) + x[2] * exp(-t * x[4]))


def osborne_2(x: Tensor) -> Tensor:
    t = (numbers_to(65) - 1) / 10
    peaks = sum(x[k] * exp(-((t - x[k + 7]) ** 2) * x[k + 4]) for k in (1, 2, 3))
    return OSBORNE_2 - (x[0] * exp(-t * x[4]) + peaks)


def jennrich_sampson(x: Tensor) -> Tensor:
    i = numbers_to(10)
    return 2 + 2 * i - (exp(i * x[0]) + exp(i * x[1]))


def powell_singular(x: Tensor) -> Tensor:
    root = math.sqrt(5), math.sqrt(10)
    return torch.stack(
        (x[0] + 10 * x[1], root[0] * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, root[1] * (x[0] - x[3]) ** 2)
    )


def wood(x: Tensor) -> Tensor:
    return torch.stack(
        (
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            math.sqrt(90) * (x[3] - x[2] ** 2),
            1 - x[2],
            math.sqrt(10) * (x[1] + x[3] - 2),
            (x[1] - x[3]) / math.sqrt(10),
        )
    )


def helical_valley(x: Tensor) -> Tensor:
    turn = torch.atan2(x[1], x[0]) / (2 * math.pi)
    return torch.stack((10 * (x[2] - 10 * turn), 10 * ((x[0] ** 2 + x[1] ** 2).sqrt() - 1), x[2]))


def freudenstein_roth(x: Tensor) -> Tensor:
    first = -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1]
    return torch.stack((first, -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]))


def rosenbrock(x: Tensor) -> Tensor:
    return torch.stack((10 * (x[1] - x[0] ** 2), 1 - x[0]))


PROBLEMS: dict[str, Problem] = {
    "Rosenbrock": Problem(residuals=rosenbrock, start=[-1.2, 1], values=(0.0,), minimum=[1, 1]),
    "Freudenstein-Roth": Problem(residuals=freudenstein_roth, start=[0.5, -2], values=(0.0, 48.98425368)),
    "Beale": Problem(residuals=beale, start=[1, 1], values=(0.0,), minimum=[3, 0.5]),
    "Jennrich-Sampson": Problem(residuals=jennrich_sampson, start=[0.3, 0.4], values=(124.362182,)),
    "helical valley": Problem(residuals=helical_valley, start=[-1, 0, 0], values=(0.0,), minimum=[1, 0, 0]),
    "Bard": Problem(residuals=bard, start=[1, 1, 1], values=(8.21487731e-3,)),
    "Powell singular": Problem(residuals=powell_singular, start=[3, -1, 0, 1], values=(0.0,)),
    "Wood": Problem(residuals=wood, start=[-3, -1, -3, -1], values=(0.0,), minimum=[1, 1, 1, 1]),
    "Brown-Dennis": Problem(residuals=brown_dennis, start=[25, 5, -5, -1], values=(85822.2016,)),
    "Osborne 1": Problem(residuals=osborne_1, start=[0.5, 1.5, -1, 0.01, 0.02], values=(5.46489469e-5,)),
    "Osborne 2": Problem(
        residuals=osborne_2,
        start=[1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
        values=(4.01377363e-2,),
    ),
}
