"""What it costs to tell others: a start for each message and the time of its bytes, fitted to measured exchanges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from lanewise.errors import UsageError


@final
@dataclass(frozen=True, kw_only=True)
class Link:
    """Seconds ``alpha`` that each message takes to start, and bytes a second ``beta`` that one rank sends.

    Collectives are counted as rings, which move the least bytes that is possible (Thakur, Rabenseifner and Gropp,
    "Optimization of Collective Communication Operations in MPICH", 2005).

    Raises ``UsageError`` where alpha is negative or beta not positive.

    >>> link = Link(alpha=1e-5, beta=1e9)
    >>> round(1e3 * link.all_reduce(4_000_000, 4), 3)  # milliseconds: 2 * 3 * 0.01 + 2 * 3/4 * 4
    6.06
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (self.alpha >= 0 and self.beta > 0):
            message = f"alpha must be at least 0 and beta positive, got alpha {self.alpha} and beta {self.beta}"
            raise UsageError(message)

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds until each of ``ranks`` has the sum of ``size`` bytes: ``2(n-1) alpha + 2(n-1)/n * size / beta``."""
        return 2 * self.all_gather(size, ranks)

    def all_gather(self, size: float, ranks: int) -> float:
        """Seconds until each rank has all parts of ``size`` bytes: ``(n-1) alpha + (n-1)/n * size / beta``.

        To sum and scatter takes as long.
        """
        return (ranks - 1) * self.alpha + (ranks - 1) / ranks * size / self.beta

    def send(self, size: float) -> float:
        """Seconds until another rank has ``size`` bytes."""
        return self.alpha + size / self.beta


@final
@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A measured all-reduce of ``size`` bytes over ``ranks``, in seconds."""

    ranks: int
    size: int
    seconds: float


def fit_link(measured: Sequence[Exchange]) -> Link:
    """The link whose all-reduces come nearest to ``measured``, by least squares of the relative errors.

    ``minimize sum_i ((a_i alpha + b_i / beta) / t_i - 1)^2`` with ``a = 2(n-1)`` and ``b = 2(n-1)/n * size``, alpha at
    least 0. Relative errors, for else the longest exchange alone would decide.

    Raises ``UsageError`` where fewer than two sizes were measured.

    >>> true = Link(alpha=2e-5, beta=5e9)
    >>> sizes = (4_096, 65_536, 1_048_576)
    >>> fitted = fit_link([Exchange(ranks=2, size=size, seconds=true.all_reduce(size, 2)) for size in sizes])
    >>> f"{fitted.alpha:.1e} {fitted.beta:.1e}"
    '2.0e-05 5.0e+09'
    """
    if len({one.size for one in measured}) < 2:
        message = f"two sizes or more must be measured to tell start from speed, got {len(measured)} exchanges"
        raise UsageError(message)
    rows = [
        (2 * (one.ranks - 1) / one.seconds, 2 * (one.ranks - 1) / one.ranks * one.size / one.seconds)
        for one in measured
    ]
    aa, ab, bb = (sum(left * right for left, right in pairs) for pairs in _products(rows))
    a, b = sum(one for one, _ in rows), sum(one for _, one in rows)
    determinant = aa * bb - ab * ab
    alpha, inverse = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    if alpha < 0:
        alpha, inverse = 0.0, b / bb
    elif inverse <= 0:
        message = "larger exchanges took no longer than small ones, so no bandwidth can be told; measure larger sizes"
        raise UsageError(message)
    return Link(alpha=alpha, beta=1 / inverse)


def _products(rows: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    return [[(one[left], one[right]) for one in rows] for left, right in ((0, 0), (0, 1), (1, 1))]
