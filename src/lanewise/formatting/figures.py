"""How a score is written: one way for sentences, tables and charts, with the digits that its interval justifies."""

from collections.abc import Sequence
from math import floor, isfinite, log10

from lanewise.formatting.metric_labels import EXACT, LOWER, SHARES, UNIT, short_of_the_end
from lanewise.formatting.rounding import decimals, fixed, telling

SCALED = SHARES | UNIT | {"log_loss", "brier", "ece"}
"""Metrics of no unit: what is smaller than ``EXACT`` in them is the rounding of sums, and reads as 0."""
UNKNOWN_DIGITS = 3
"""Significant digits of a score without an interval."""
NOISE = 0.01
"""A calibration error below this share of half its interval is none."""
NO_SHARE = 5e-4
"""An R squared nearer to 0 than this explains nothing, and its sign is chance: it reads as 0."""
MOST_MORE = 2
"""Digits beyond those that the interval justifies that are shown at most, to tell scores apart."""


def without_noise(metric: str, value: float, half: float | None = None) -> float:
    """The value, or 0 where it is nothing but the rounding of a sum; a calibration error, too, far below half its
    interval: it is the size of a gap, which chance alone makes larger; and an R squared of less than 0.0005.

    >>> without_noise("ece", 8e-18), without_noise("rmse", 8e-18), without_noise("ece", 5e-6, 0.003)
    (0.0, 8e-18, 0.0)
    >>> without_noise("r2", -0.00002), without_noise("r2", -0.0006)
    (0.0, -0.0006)
    """
    chance = metric == "ece" and half is not None and isfinite(half) and value < NOISE * half
    return 0.0 if chance or (metric == "r2" and abs(value) < NO_SHARE) else _summed(metric, value)


def _summed(metric: str, value: float) -> float:
    return 0.0 if metric in SCALED and abs(value) < EXACT else value


def places(metric: str, value: float, half: float | None = None) -> int:
    """Decimals of a score that half its interval justifies, counted in percent for shares; negative: tens, hundreds.

    Without an interval those of three significant digits; shares have one.

    >>> places("rmse", 48231.4, 730.0), places("accuracy", 0.873, 0.0061), places("log_loss", 0.31237)
    (-2, 1, 3)
    """
    known = half is not None and isfinite(half) and half > 0
    if metric == "r2" and abs(value) < NO_SHARE:
        # However narrow its interval: none of it is a share of anything.
        return min(UNKNOWN_DIGITS, decimals(half)) if known and half is not None else UNKNOWN_DIGITS
    if metric in SHARES:
        least = 0 if metric == "mape" else 1  # it may be far above 100%
        return max(least, min(3, decimals(100 * half))) if known and half is not None else 1
    return decimals(half) if known and half is not None else _significant(value, UNKNOWN_DIGITS)


def places_beside(metric: str, values: Sequence[float], half: float | None) -> int:
    """Decimals of the first score, or up to two more where rivals would look the same though they are not.

    >>> places_beside("rmse", [0.3121, 0.45], 0.06), places_beside("rmse", [0.3121, 0.3149], 0.06)
    (2, 3)
    """
    usual = places(metric, values[0], half)
    if half is None or not (isfinite(half) and half > 0) or not all(isfinite(value) for value in values):
        return usual
    for more in range(MOST_MORE + 1):
        kept = places(metric, values[0], half / 10**more)
        if len({written(metric, value, kept) for value in values}) == len(set(values)):
            return kept
    return usual


def places_in_column(metric: str, value: float, half: float | None, column: int) -> int:
    """Decimals of a score in a column of so many: these, unless they would leave nothing of it.

    Its own are kept where its own interval justifies more by two at the least.

    >>> places_in_column("rmse", 8.9, None, -3), places_in_column("rmse", 80.0, 1.0, 0)
    (2, 0)
    """
    value = without_noise(metric, value)
    own = min(places(metric, value, half), places(metric, value))
    known = half is not None and isfinite(half)
    lost = (
        metric not in SHARES
        and metric != "ece"
        and bool(value)
        and isfinite(value)
        and column + floor(log10(abs(value))) < 0
    )
    finer = known and own >= column + 2 and metric != "ece"  # one that is far smaller than the others reads as such
    return own if own > column and (lost or finer) else column


def written(metric: str, value: float, kept: int) -> str:
    """A score with so many decimals, counted in percent for shares; none is rounded to a perfect one.

    >>> written("rmse", 48231.4, -2), written("accuracy", 0.87312, 1), written("roc_auc", 0.99996, 3)
    ('48,200', '87.3%', '>0.999')
    """
    if not isfinite(value):
        return "unknown"
    value = without_noise(metric, value)
    short = short_of_the_end(metric, value, kept)
    if short:
        return short
    return f"{fixed(100 * value, kept)}%" if metric in SHARES else fixed(value, telling(value, kept))


def score(metric: str, value: float, half: float | None = None) -> str:
    """A score to the digits that half its interval justifies, else to three significant ones; shares in percent.

    None is rounded to a perfect one.

    >>> score("rmse", 48231.4, 730.0), score("accuracy", 0.87312, 0.0061), score("roc_auc", 0.99996)
    ('48,200', '87.3%', '>0.999')
    """
    return written(metric, value, places(metric, without_noise(metric, value), half))


def four_digits(value: float) -> str:
    """A loss of the user's own, of any unit, to four digits, zeros among them: what is compared looks alike.

    >>> four_digits(0.0199), four_digits(0.019943), four_digits(1234.4), four_digits(0.0), four_digits(3e-9)
    ('0.01990', '0.01994', '1234', '0', '3.000e-09')
    """
    return f"{value:#.4g}".removesuffix(".") if value else "0"


def gap(metric: str, value: float, error: float | None = None) -> str:
    """The size of a difference of two scores, to two significant digits; shares in percentage points.

    With its standard error ``error``, to the digits that this justifies.

    >>> gap("rmse", -812.3), gap("accuracy", 0.01234), gap("accuracy", 0.00034), gap("rmse", -0.51234, 0.004)
    ('810', '1.2 points', '0.034 points', '0.512')
    """
    size = abs(_summed(metric, value))
    if metric in SHARES:
        return f"{fixed(100 * size, max(1, _significant(100 * size, 2)))} points"
    return fixed(size, decimals(error) if error else _significant(size, 2))


def between(metric: str, low: float, high: float, *, kept: int | None = None) -> str:
    """The bounds of an interval, with so many decimals or those that it justifies.

    An error that may be next to 0 has no digit more for that.

    >>> between("log_loss", 0.29811, 0.32702), between("log_loss", 0.000003, 0.002)
    ('0.298 to 0.327', '0.0000 to 0.0020')
    """
    kept = places(metric, low, high / 2 - low / 2) if kept is None else kept
    half_a_step = 0.5 * 10.0**-kept / (100 if metric in SHARES else 1)
    if metric in LOWER and 0 < low < half_a_step <= high and not short_of_the_end(metric, low, kept):
        low = 0.0
    return f"{_bound(metric, low, kept)} to {_bound(metric, high, kept)}"


def _bound(metric: str, value: float, kept: int) -> str:
    """A bound has no digit more than its score, whatever it begins with."""
    value = without_noise(metric, value)
    short = short_of_the_end(metric, value, kept)
    return short or (f"{fixed(100 * value, kept)}%" if metric in SHARES else fixed(value, kept))


def _significant(value: float, digits: int) -> int:
    """Decimals that leave so many significant digits."""
    return 0 if value == 0 or not isfinite(value) else digits - 1 - floor(log10(abs(value)))
