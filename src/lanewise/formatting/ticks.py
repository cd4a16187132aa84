"""Round values for the axes of charts."""

from math import ceil, floor, log10


def round_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About ``count`` multiples of a round step from ``low`` to ``high``, in order.

    >>> round_ticks(0.1, 2.3, 5)
    (0.5, 1.0, 1.5, 2.0)
    """
    step = _round_step((high - low) / count)
    first = ceil(low / step - 1e-9)
    found = [round(place * step, 12 - floor(log10(step))) for place in range(first, first + 3 * count)]
    return tuple(dict.fromkeys(tick for tick in found if low <= tick <= high)) or (low,)


def _round_step(raw: float) -> float:
    power = 10.0 ** floor(log10(raw))
    return next((factor * power for factor in (1, 2, 2.5, 5) if raw <= factor * power * 1.0001), 10 * power)


def log_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About ``count`` powers of ten from ``low`` to ``high``, or round factors of them; empty where there are too few.

    >>> log_ticks(0.002, 40, 4), log_ticks(0.5, 4.0, 4)
    ((0.01, 0.1, 1.0, 10.0), (0.5, 1.0, 2.0))
    """
    first, last = ceil(log10(low) - 1e-9), floor(log10(high) + 1e-9)
    powers = list(range(first, last + 1))
    if len(powers) >= 3:
        return tuple(10.0**power for power in powers[:: max(1, ceil(len(powers) / count))])
    for factors in ((1, 3), (1, 2, 5)):
        candidates = (factor * 10.0**power for power in range(first - 1, last + 1) for factor in factors)
        found = tuple(tick for tick in candidates if low <= tick <= high)
        if 3 <= len(found) <= count + 2:
            return found
    return ()
