"""How a score is written: with the digits that its interval justifies, and never more."""

from math import floor, isfinite, log10

from lanewise.metric_labels import SHARES, short_of_the_end
from lanewise.rounding import decimals, fixed, telling


def score(metric: str, value: float, half: float | None = None) -> str:
    """A score to the digits that half its interval justifies, else to three significant ones; shares in percent.

    None is rounded to a perfect one.

    >>> score("rmse", 48231.4, 730.0), score("accuracy", 0.87312, 0.0061), score("roc_auc", 0.99996)
    ('48,200', '87.3%', '>0.999')
    """
    if not isfinite(value):
        return "unknown"
    if metric in SHARES:
        return _written(metric, value, max(1, decimals(100 * half)) if half else 1)
    return _written(metric, value, telling(value, decimals(half)) if half else _significant(value, 3))


def _written(metric: str, value: float, places: int) -> str:
    if metric in SHARES:
        return short_of_the_end(metric, value, places) or f"{fixed(100 * value, places)}%"
    return short_of_the_end(metric, value, places) or fixed(value, places)


def gap(metric: str, value: float) -> str:
    """The size of a difference of two scores, to two significant digits; shares in percentage points.

    >>> gap("rmse", -812.3), gap("accuracy", 0.01234)
    ('810', '1.2 points')
    """
    if metric in SHARES:
        return f"{fixed(100 * abs(value), max(1, _significant(100 * value, 2)))} points"
    return fixed(abs(value), _significant(value, 2))


def between(metric: str, low: float, high: float) -> str:
    """The bounds of an interval.

    >>> between("log_loss", 0.29811, 0.32702)
    '0.298 to 0.327'
    """
    half = (high - low) / 2
    places = max(1, decimals(100 * half)) if metric in SHARES else decimals(half)
    return f"{_written(metric, low, places)} to {_written(metric, high, places)}"


def _significant(value: float, digits: int) -> int:
    """Decimals that leave so many significant digits."""
    return 0 if value == 0 or not isfinite(value) else digits - 1 - floor(log10(abs(value)))
