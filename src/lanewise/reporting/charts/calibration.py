"""Calibration: how often it came true against how likely it was said to be."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil, log10
from statistics import NormalDist
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.svg import curve, element, percent
from lanewise.reporting.words import count, finite
from lanewise.reporting.words import percent as share

HEIGHT = 250
_Z = NormalDist().inv_cdf(0.975)
_LARGEST = 7.0  # radius of the fullest bin, in pixels
ALIKE = 1.2
"""Factor between the numbers of rows of two bins up to which their dots look the same."""
_WIDE = 0.5  # bins that span so much are shown between 0 and 1
_AIR = 0.1  # of the span, beyond the outermost bins
_NEAR = 0.005  # of the axis: bins that are nearer to each other are one dot


def calibration(bins: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Dots of the bins with 95% intervals, their area by the number of rows, beside the diagonal; None without any.

    Both axes are the same, so that right is the diagonal; they end where the bins do, so that a rare class has room.
    """
    known = _known(bins)
    if not known:
        return None
    scale = _scale(known)
    known = _merged(known, scale)
    # So many decimals tell any two dots apart.
    written = partial(share, digits=max(1, ceil(-log10(100 * _NEAR * (scale.high - scale.low)))))
    fullest = max(rows for _, _, rows in known)
    marks = []
    for said, seen, rows in known:
        low, high = (min(1.0, max(0.0, scale.at(end))) for end in wilson(seen, rows))
        across = percent(scale.at(said))
        marks.append(element("line", x1=across, x2=across, y1=percent(1 - low), y2=percent(1 - high), class_="spread"))
        marks.append(
            element(
                "circle",
                element("title", f"Said {written(said)}, came true {written(seen)}, {rows:,.0f} rows"),
                cx=across,
                cy=percent(1 - scale.at(seen)),
                r=round(max(2.5, _LARGEST * (rows / fullest) ** 0.5), 1),
                class_="bubble",
            )
        )
    return plot(
        label=f"Calibration in {count(len(known), 'bin')}: observed frequency against predicted probability.",
        x=Axis(scale=scale, label="Predicted probability", written=written),
        y=Axis(scale=scale, label="Came true", written=written),
        curves=[
            curve([(0, 0), (1, 1)], class_="ideal"),
            curve([(scale.at(said), scale.at(seen)) for said, seen, _ in known], class_="front"),
        ],
        marks=marks,
        height=HEIGHT,
    )


def _known(bins: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    """What was said, how often it came true and the rows of each bin in which that is known, by what was said."""
    found = [tuple(finite(one.get(key)) for key in ("predicted", "observed", "count")) for one in bins]
    return sorted((said, seen, rows) for said, seen, rows in found if said is not None and seen is not None and rows)


def _merged(known: list[tuple[float, float, float]], scale: Scale) -> list[tuple[float, float, float]]:
    """The bins, those as one of which the dots would lie upon each other."""
    found: list[tuple[float, float, float]] = []
    for one in known:
        near = bool(found) and one[0] - found[-1][0] < _NEAR * (scale.high - scale.low)
        found.append(_both(found.pop(), one) if near else one)
    return found


def _both(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    rows = one[2] + other[2]
    said, seen = ((one[at] * one[2] + other[at] * other[2]) / rows for at in (0, 1))
    return said, seen, rows


def wilson(seen: float, rows: float) -> tuple[float, float]:
    """The 95% interval of a share of so many rows.

    >>> tuple(round(end, 3) for end in wilson(0.5, 100))
    (0.404, 0.596)

    Source: Wilson (1927), Journal of the American Statistical Association 22.
    """
    seen = min(1.0, max(0.0, seen))
    shrunk = 1 + _Z**2 / rows
    half = _Z * (seen * (1 - seen) / rows + (_Z / (2 * rows)) ** 2) ** 0.5
    middle = seen + _Z**2 / (2 * rows)
    return (middle - half) / shrunk, (middle + half) / shrunk


def bins_words(bins: Sequence[Mapping[str, Any]]) -> str:
    """How many rows a dot stands for; empty where that is unknown.

    >>> bins_words([{"predicted": 0.1, "observed": 0.2, "count": 141}, {"predicted": 0.8, "observed": 0.7, "count": 7}])
    'The area of a dot is its number of rows, from 7 to 141'
    """
    known = _known(bins)
    if not known:
        return ""
    counts = [round(rows) for _, _, rows in _merged(known, _scale(known))]
    if max(counts) <= ALIKE * min(counts):
        return f"Each dot stands for {'' if max(counts) == min(counts) else 'about '}{count(max(counts), 'row')}"
    return f"The area of a dot is its number of rows, from {min(counts):,} to {max(counts):,}"


def _scale(known: list[tuple[float, float, float]]) -> Scale:
    """From 0 to 1 where the shares take half of that, else as far as they go with a little air; 0 stays where near."""
    shares = [end for said, seen, _ in known for end in (said, seen)]
    low, high = max(0.0, min(shares)), min(1.0, max(shares))
    if high - low >= _WIDE or high == low:
        return Scale(low=0.0, high=1.0)
    room = _AIR * (high - low)
    low = low - room if low - room > (high - low) / 2 else 0.0
    return Scale(low=low, high=min(1.0, high + room))
