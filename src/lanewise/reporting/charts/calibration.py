"""Calibration: how often it came true against how likely it was said to be."""

from collections.abc import Mapping, Sequence
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


def calibration(bins: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Dots of the bins with 95% intervals, their area by the number of rows, beside the diagonal; None without any.

    Both axes are the same, so that right is the diagonal; they end where the bins do, so that a rare class has room.
    """
    known = []
    for one in bins:
        said, seen, rows = finite(one.get("predicted")), finite(one.get("observed")), finite(one.get("count"))
        if said is not None and seen is not None and rows:
            known.append((said, seen, rows))
    if not known:
        return None
    known.sort()
    scale = _scale([end for said, seen, _ in known for end in (said, seen)])
    fullest = max(rows for _, _, rows in known)
    marks = []
    for said, seen, rows in known:
        low, high = (min(1.0, max(0.0, scale.at(end))) for end in wilson(seen, rows))
        across = percent(scale.at(said))
        marks.append(element("line", x1=across, x2=across, y1=percent(1 - low), y2=percent(1 - high), class_="spread"))
        marks.append(
            element(
                "circle",
                element("title", f"Said {share(said)}, came true {share(seen)}, {rows:,.0f} rows"),
                cx=across,
                cy=percent(1 - scale.at(seen)),
                r=round(max(2.5, _LARGEST * (rows / fullest) ** 0.5), 1),
                class_="bubble",
            )
        )
    return plot(
        label=f"Calibration in {count(len(known), 'bin')}: observed frequency against predicted probability.",
        x=Axis(scale=scale, label="Predicted probability", written=share),
        y=Axis(scale=scale, label="Came true", written=share),
        curves=[
            curve([(0, 0), (1, 1)], class_="ideal"),
            curve([(scale.at(said), scale.at(seen)) for said, seen, _ in known], class_="front"),
        ],
        marks=marks,
        height=HEIGHT,
    )


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

    >>> bins_words([{"count": 141}, {"count": 140}]), bins_words([{"count": 141}, {"count": 7}])
    ('Each dot stands for about 141 rows', 'The area of a dot is its number of rows, from 7 to 141')
    """
    counts = [round(rows) for one in bins if (rows := finite(one.get("count")))]
    if not counts:
        return ""
    if max(counts) <= ALIKE * min(counts):
        return f"Each dot stands for {'' if max(counts) == min(counts) else 'about '}{count(max(counts), 'row')}"
    return f"The area of a dot is its number of rows, from {min(counts):,} to {max(counts):,}"


def _scale(shares: Sequence[float]) -> Scale:
    """From 0 to 1 where the shares take half of that, else as far as they go with a little air; 0 stays where near."""
    low, high = max(0.0, min(shares)), min(1.0, max(shares))
    if high - low >= _WIDE or high == low:
        return Scale(low=0.0, high=1.0)
    room = _AIR * (high - low)
    low = low - room if low - room > (high - low) / 2 else 0.0
    return Scale(low=low, high=min(1.0, high + room))
