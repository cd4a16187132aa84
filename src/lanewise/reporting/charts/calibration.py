"""Calibration: how often it came true against how likely it was said to be."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.svg import curve, element, percent
from lanewise.reporting.words import finite
from lanewise.reporting.words import percent as share

HEIGHT = 250
_LARGEST = 9.0  # radius of the fullest bin, in pixels


def calibration(bins: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Dots of the bins, their area by the number of rows, beside the diagonal; None without any bin."""
    known = []
    for one in bins:
        said, seen, rows = finite(one.get("predicted")), finite(one.get("observed")), finite(one.get("count"))
        if said is not None and seen is not None and rows:
            known.append((said, seen, rows))
    if not known:
        return None
    known.sort()
    whole = Scale(low=0.0, high=1.0)
    fullest = max(rows for _, _, rows in known)
    marks = [
        element(
            "circle",
            element("title", f"Said {share(said)}, came true {share(seen)}, {rows:,.0f} rows"),
            cx=percent(said),
            cy=percent(1 - seen),
            r=round(max(2.5, _LARGEST * (rows / fullest) ** 0.5), 1),
            class_="bubble",
        )
        for said, seen, rows in known
    ]
    return plot(
        label=f"Calibration in {len(known)} bins: observed frequency against predicted probability.",
        x=Axis(scale=whole, label="Predicted probability", written=share),
        y=Axis(scale=whole, label="Came true", written=share),
        curves=[
            curve([(0, 0), (1, 1)], class_="ideal"),
            curve([(said, seen) for said, seen, _ in known], class_="front"),
        ],
        marks=marks,
        height=HEIGHT,
    )
