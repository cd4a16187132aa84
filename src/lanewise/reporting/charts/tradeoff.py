"""Trade-off curves of a classifier: ROC, and precision against recall."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.race import thin
from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.svg import curve
from lanewise.reporting.words import finite, percent

HEIGHT = 250
_AXES = {
    "roc": ("False alarms among the negatives", "Found among the positives"),
    "pr": ("Recall", "Precision"),
}


def tradeoff(points: Sequence[Mapping[str, Any]], kind: Literal["roc", "pr"]) -> Markup | None:
    """The curve in the unit square, for ROC beside the diagonal of guessing; None with fewer than two points."""
    pairs = [(finite(point.get("x")), finite(point.get("y"))) for point in points]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len(known) < 2:
        return None
    whole = Scale(low=0.0, high=1.0)
    across, up = _AXES[kind]
    guess = [curve([(0, 0), (1, 1)], class_="ideal")] if kind == "roc" else []
    return plot(
        label=f"{'ROC curve' if kind == 'roc' else 'Precision-recall curve'}: {up} against {across}.",
        x=Axis(scale=whole, label=across, written=percent),
        y=Axis(scale=whole, label=up, written=percent),
        curves=[*guess, curve(thin(known, 250), class_="front")],
        height=HEIGHT,
    )
