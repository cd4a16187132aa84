"""Test rows of a regression: predicted against actual, and the residuals."""

from collections.abc import Sequence

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import scale_of
from lanewise.reporting.charts.svg import curve, dots

HEIGHT = 280
Pairs = Sequence[tuple[float, float]]


def against_actual(pairs: Pairs) -> Markup:
    """Predicted against actual values; the line is a perfect prediction."""
    scale = scale_of([value for pair in pairs for value in pair], pad=0.03)
    return plot(
        label=f"Predicted against actual values of {len(pairs)} test rows.",
        x=Axis(scale=scale, label="Actual", count=4),
        y=Axis(scale=scale, label="Predicted", count=5),
        curves=[
            curve([(0, 0), (1, 1)], class_="ideal"),
            dots([(scale.at(actual), scale.at(said)) for actual, said in pairs], class_="cloud"),
        ],
        height=HEIGHT,
    )


def residuals(pairs: Pairs) -> Markup:
    """Actual minus predicted against the prediction; a pattern here is something the model did not learn."""
    x = scale_of([said for _, said in pairs], pad=0.03)
    y = scale_of([actual - said for actual, said in pairs], whole=(0.0,))
    return plot(
        label=f"Residuals of {len(pairs)} test rows against their predictions.",
        x=Axis(scale=x, label="Predicted", count=4),
        y=Axis(scale=y, label="Actual minus predicted", count=5),
        curves=[
            curve([(0, y.at(0.0)), (1, y.at(0.0))], class_="ideal"),
            dots([(x.at(said), y.at(actual - said)) for actual, said in pairs], class_="cloud"),
        ],
        height=HEIGHT,
    )
