"""Test rows of a regression: predicted against actual, and the residuals.

Axes are drawn for the bulk of the rows, so that a few far out do not squeeze them into a corner; those few stand on the
border as hollow dots.
"""

from collections.abc import Sequence

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale, bulk, scale_of
from lanewise.reporting.charts.svg import curve, dots, element, percent

HEIGHT = 280
Pairs = Sequence[tuple[float, float]]


def against_actual(pairs: Pairs) -> tuple[Markup, int]:
    """Predicted against actual values, where the line is a perfect prediction, and how many lie outside."""
    scale = scale_of([value for pair in bulk(pairs) for value in pair], pad=0.03)
    return _cloud(
        pairs,
        label=f"Predicted against actual values of {len(pairs)} test rows",
        x=Axis(scale=scale, label="Actual", count=4),
        y=Axis(scale=scale, label="Predicted", count=5),
        ideal=[(0, 0), (1, 1)],
    )


def residuals(pairs: Pairs) -> tuple[Markup, int]:
    """Actual minus predicted against the prediction, where a pattern was not learned, and how many lie outside."""
    points = [(said, actual - said) for actual, said in pairs]
    x = scale_of([one[0] for one in bulk([(said,) for said, _ in points])], pad=0.03)
    y = scale_of([one[0] for one in bulk([(error,) for _, error in points])], whole=(0.0,))
    return _cloud(
        points,
        label=f"Residuals of {len(pairs)} test rows against their predictions",
        x=Axis(scale=x, label="Predicted", count=4),
        y=Axis(scale=y, label="Actual minus predicted", count=5),
        ideal=[(0, y.at(0.0)), (1, y.at(0.0))],
    )


def _cloud(points: Pairs, *, label: str, x: Axis, y: Axis, ideal: list[tuple[float, float]]) -> tuple[Markup, int]:
    inside = [(across, up) for across, up in points if x.scale.covers(across) and y.scale.covers(up)]
    outside = [(across, up) for across, up in points if not (x.scale.covers(across) and y.scale.covers(up))]
    marks = [
        element(
            "circle",
            element("title", f"{x.label} {x.written(across)}, {y.label.lower()} {y.written(up)}"),
            cx=percent(_pinned(x.scale, across)),
            cy=percent(1 - _pinned(y.scale, up)),
            r=3.5,
            class_="beyond",
        )
        for across, up in outside
    ]
    chart = plot(
        label=f"{label}{f', {len(outside)} of them outside of the axes' if outside else ''}.",
        x=x,
        y=y,
        curves=[
            curve(ideal, class_="ideal"),
            dots([(x.scale.at(across), y.scale.at(up)) for across, up in inside], class_="cloud"),
        ],
        marks=marks,
        height=HEIGHT,
    )
    return chart, len(outside)


def _pinned(scale: Scale, value: float) -> float:
    return min(1.0, max(0.0, scale.at(value)))
