"""Quantiles and tails of Student's t and Fisher's F.

They are SciPy's to some thirteen digits. ``scipy.special`` takes as long to load as a small race takes to train.
"""

import math
from statistics import NormalDist

from lanewise.errors import UsageError

MANY = 1000
"""Degrees of freedom from which Student's quantile is that of the normal distribution and a few terms."""

CLOSE = 4e-16
"""Share of a number by which two that are next to each other differ."""

TINY = 1e-300

LIMIT = 10_000
"""Terms that are ever added up; the continued fraction takes as many as the root of the degrees of freedom."""


def student_quantile(freedom: float, p: float) -> float:
    """``t`` with ``P(T <= t) = p`` for Student's T of ``freedom`` degrees, ``p`` within [0.5, 1).

    Newton's method on the finite sums of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4, for whole degrees, else on
    the incomplete beta function, 26.7.1; from the expansion 26.7.5 of which the last term is below the last digit where
    there are :data:`MANY` degrees.

    Raises ``UsageError`` for anything else.

    >>> round(student_quantile(19, 0.975), 6), round(student_quantile(1, 0.75), 6)
    (2.093024, 1.0)
    """
    if freedom < 1 or not 0.5 <= p < 1:
        message = f"freedom must be at least 1 and p within [0.5, 1), got {freedom} and {p}"
        raise UsageError(message)
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    t = _expanded(freedom, NormalDist().inv_cdf(p))
    if freedom >= MANY or p == 0.5:
        return t
    log_height = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi * freedom) / 2
    rising = False
    for _ in range(100):
        height = math.exp(log_height - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        # Below zero it would run away; halved, it comes back.
        moved = max(t - (_within(freedom, t) - (2 * p - 1)) / 2 / height, t / 2)
        # A concave function is met from below, rising; what falls again is rounding, and would go on for ever.
        if abs(moved - t) <= CLOSE * t or (rising and moved < t):
            break
        rising, t = moved > t, moved
    return t


def expanded_normal(level: float, units: float) -> float:
    """How many standard errors to each side an interval from U units needs: ``t_(U - 1) sqrt(U / (U - 1))``.

    A bootstrap draw varies ``(U - 1) / U`` times as much as a sample does, and its spread is itself
    estimated; quantiles at ``Φ(± this)`` allow for both.

    Source: Hesterberg (2015), What teachers should know about the bootstrap, The American Statistician 69, section 4.

    >>> round(expanded_normal(0.95, 20), 3), round(expanded_normal(0.95, 50_000), 3)
    (2.147, 1.96)
    """
    return student_quantile(units - 1, (1 + level) / 2) * (units / (units - 1)) ** 0.5


def _expanded(freedom: float, x: float) -> float:
    """The quantile from ``x``, that of the normal distribution: Abramowitz and Stegun 26.7.5."""
    square = x * x
    terms = (
        (square + 1) / 4,
        ((5 * square + 16) * square + 3) / 96,
        (((3 * square + 19) * square + 17) * square - 15) / 384,
        ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) / 92160,
    )
    return x * (1 + sum(term / freedom**power for power, term in enumerate(terms, start=1)))


def _within(freedom: float, t: float) -> float:
    """``P(|T| <= t)``: Abramowitz and Stegun 26.7.3 for an odd number of degrees above 1, 26.7.4 for an even one."""
    if freedom != int(freedom):
        return _beta_share(0.5, freedom / 2, t * t / (freedom + t * t))
    freedom, angle = int(freedom), math.atan(t / math.sqrt(freedom))
    square, odd = math.cos(angle) ** 2, freedom % 2
    term = math.cos(angle) if odd else 1.0
    terms = [term]
    for place in range(1 + odd, freedom - 2, 2):
        term *= place / (place + 1) * square
        terms.append(term)
    total = math.sin(angle) * math.fsum(terms)
    return 2 / math.pi * (angle + total) if odd else total


def fisher_tail(above: float, below: float, ratio: float) -> float:
    """``P(F > ratio)`` for Fisher's F of ``above`` and ``below`` degrees of freedom.

    ``I_x(below / 2, above / 2)`` at ``x = below / (below + above ratio)``, the incomplete beta function, by its
    continued fraction (DLMF 8.17.22) in the order of Lentz.

    >>> round(fisher_tail(2, 10, 4.102821), 6)
    0.05
    """
    if math.isnan(ratio):
        return math.nan
    x = 0.0 if math.isinf(ratio) else below / (below + above * ratio)
    return _beta_share(below / 2, above / 2, x)


def _beta_share(a: float, b: float, x: float) -> float:
    """The incomplete beta function ``I_x(a, b)``, 0 to 1."""
    if not 0 < x < 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):  # on the other side the fraction converges slowly
        return 1.0 - _beta_share(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    above = 1.0
    below = 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    result = below
    for m in range(1, LIMIT):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for share in (even, odd):
            below = 1.0 / _not_zero(1.0 + share * below)
            above = _not_zero(1.0 + share / above)
            result *= above * below
        if abs(above * below - 1.0) <= CLOSE:
            break
    return math.exp(log_front) * result / a


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
