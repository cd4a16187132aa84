"""Functions on which optimizers are shown and compared, with the optima that their authors published."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lanewise.errors import UsageError, suggestion

CONDITION = 10.0


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """A test function of two variables, or of any number of them if ``scalable``.

    ``x0`` is where comparisons start, ``low`` and ``high`` bound every variable where a box is needed, ``optima`` are
    the global minima of two variables and ``value`` is the function there. ``formula`` and ``source`` say what it is.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    x0: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    optima: tuple[tuple[float, float], ...]
    formula: str
    source: str
    scalable: bool = False
    value: float = 0.0

    def check(self, count: int) -> None:
        """``UsageError`` if it is no function of ``count`` variables."""
        if count < 2 or (count > 2 and not self.scalable):
            wanted = "two or more variables" if self.scalable else "two variables"
            message = f"{self.name} is a function of {wanted}, got x0 with {count}"
            raise UsageError(message)


def _rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


def _himmelblau(x: Tensor) -> Tensor:
    return (x[0].square() + x[1] - 11).square() + (x[0] + x[1].square() - 7).square()


def _rastrigin(x: Tensor) -> Tensor:
    return (x.square() + 10 - 10 * torch.cos(2 * math.pi * x)).sum()


def _beale(x: Tensor) -> Tensor:
    return sum((c - x[0] * (1 - x[1] ** k)).square() for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))  # type: ignore[return-value]  # never empty, so no 0


def _ackley(x: Tensor) -> Tensor:
    # Its slope at the minimum is that of a cone, and sqrt has none at zero: hypot with the least number has.
    radius = (x.square().mean() + torch.finfo(x.dtype).tiny).sqrt()
    return 20 + math.e - 20 * torch.exp(-0.2 * radius) - torch.exp(torch.cos(2 * math.pi * x).mean())


def _booth(x: Tensor) -> Tensor:
    return (x[0] + 2 * x[1] - 7).square() + (2 * x[0] + x[1] - 5).square()


def _quadratic(condition: float) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        powers = torch.linspace(0, 1, len(x), dtype=x.dtype, device=x.device)
        return (condition**powers * x.square()).sum() / 2

    return function


_FIXED = (
    Landscape(
        name="rosenbrock",
        function=_rosenbrock,
        x0=(-1.2, 1.0),
        low=(-2.0, -1.0),
        high=(2.0, 3.0),
        optima=((1.0, 1.0),),
        formula="100 (x2 - x1²)² + (1 - x1)²",
        source="H. H. Rosenbrock, 1960",
        scalable=True,
    ),
    Landscape(
        name="himmelblau",
        function=_himmelblau,
        x0=(-0.5, -1.0),
        low=(-5.0, -5.0),
        high=(5.0, 5.0),
        optima=(
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.283185991286170),
            (3.584428340330492, -1.848126526964404),
        ),
        formula="(x1² + x2 - 11)² + (x1 + x2² - 7)²",
        source="D. M. Himmelblau, 1972",
    ),
    Landscape(
        name="rastrigin",
        function=_rastrigin,
        x0=(3.3, -2.7),
        low=(-5.12, -5.12),
        high=(5.12, 5.12),
        optima=((0.0, 0.0),),
        formula="20 + x1² + x2² - 10 cos 2πx1 - 10 cos 2πx2",
        source="L. A. Rastrigin, 1974",
        scalable=True,
    ),
    Landscape(
        name="beale",
        function=_beale,
        x0=(1.0, 1.0),
        low=(-4.5, -4.5),
        high=(4.5, 4.5),
        optima=((3.0, 0.5),),
        formula="Σ (c - x1 (1 - x2ᵏ))², c = 1.5, 2.25, 2.625 for k = 1, 2, 3",
        source="E. M. L. Beale, 1958",
    ),
    Landscape(
        name="ackley",
        function=_ackley,
        x0=(2.6, -3.4),
        low=(-5.0, -5.0),
        high=(5.0, 5.0),
        optima=((0.0, 0.0),),
        formula="20 + e - 20 exp(-r / 5) - exp((cos 2πx1 + cos 2πx2) / 2), r² = (x1² + x2²) / 2",
        source="D. H. Ackley, 1987",
        scalable=True,
    ),
    Landscape(
        name="booth",
        function=_booth,
        x0=(-8.0, 6.0),
        low=(-10.0, -10.0),
        high=(10.0, 10.0),
        optima=((1.0, 3.0),),
        formula="(x1 + 2 x2 - 7)² + (2 x1 + x2 - 5)²",
        source="A. D. Booth, 1957",
    ),
)

NAMES = (*(one.name for one in _FIXED), "quadratic")


def landscape(name: str, *, condition: float | None = None) -> Landscape:
    """The test function of that name; ``condition`` is that of the quadratic: largest over least curvature.

    Raises ``UsageError`` for another name, or a condition below 1 or of another function.

    >>> found = landscape("booth")
    >>> float(found.function(torch.tensor(found.optima[0]))), found.value
    (0.0, 0.0)
    """
    if name not in NAMES:
        message = f"there is no test function {name!r}; {suggestion(name, NAMES)}, or name a file.py:function"
        raise UsageError(message)
    if condition is not None and name != "quadratic":
        message = f"condition is a setting of quadratic, not of {name}; leave it out"
        raise UsageError(message)
    if name != "quadratic":
        return next(one for one in _FIXED if one.name == name)
    kappa = CONDITION if condition is None else condition
    if not 1 <= kappa < math.inf:
        message = f"condition must be at least 1, got {kappa:g}"
        raise UsageError(message)
    return Landscape(
        name=name,
        function=_quadratic(kappa),
        x0=(-4.0, 2.0),
        low=(-5.0, -5.0),
        high=(5.0, 5.0),
        optima=((0.0, 0.0),),
        formula=f"(x1² + {kappa:g} x2²) / 2",
        source=f"condition number {kappa:g}",
        scalable=True,
    )
