"""Rounding for people: the decimals that an interval justifies, and no number that is rounded away."""

from math import floor, isfinite, log10

MOST_PLACES = 6
"""With more decimals than these nobody counts the zeros: small numbers are written with an exponent."""
NOTHING = 0.01
"""What is smaller than this share of the last place that an interval justifies is 0 as far as anybody can tell."""


def decimals(half: float) -> int:
    """Decimals that half an interval justifies: two significant digits of it up to 3.5, one above (as the PDG rounds).

    Negative ones round to tens, hundreds, ...

    >>> decimals(0.0145), decimals(0.06), decimals(730.0), decimals(2e-30)
    (3, 2, -2, 31)
    """
    if not half > 0 or not isfinite(half):
        return 3
    power = floor(log10(half))
    return (1 if half / 10.0**power < 3.55 else 0) - power


def fixed(value: float, places: int) -> str:
    """A finite number with so many decimals, or with its first digit where these would leave nothing of it.

    >>> fixed(48231.4, -2), fixed(0.3, 3), fixed(-6.69, -1), fixed(-0.0283, 1), fixed(2.2e-11, 11)
    ('48,200', '0.300', '-7', '-0.03', '2e-11')
    """
    size = floor(log10(abs(value))) if value else 0
    if abs(value) <= NOTHING * 10.0**-places:
        return f"{0:.{min(MOST_PLACES, max(0, places))}f}"
    digits = places + size + 1
    if size >= 15 or size < -9 or (size < -4 and max(places, -size) > MOST_PLACES):
        mantissa, exponent = f"{value:.{min(2, max(0, digits - 1))}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if digits < 1:
        places = -size
    elif places > MOST_PLACES:
        places = min(places, max(0, 3 - size))
    return f"{round(value, places):,.{max(0, places)}f}"


def telling(value: float, places: int) -> int:
    """The decimals, or one more where they would leave a single 1, which rounds by as much as a third.

    >>> telling(0.0149, 2), telling(0.0149, 3), telling(0.84, 1)
    (3, 3, 1)
    """
    if not value or not isfinite(value):
        return places
    size = floor(log10(abs(value)))
    return places + 1 if places == -size and abs(value) < 2 * 10.0**size else places
