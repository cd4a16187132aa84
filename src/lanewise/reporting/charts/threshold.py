"""The metric against the threshold, with the one that was chosen."""

from markupsafe import Markup

from lanewise.formatting.metric_labels import metric_label
from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.svg import curve, element, percent, text
from lanewise.reporting.words import axis_words, number

HEIGHT = 190


def threshold(points: list[tuple[float, float]], *, chosen: float, metric: str) -> Markup:
    """Points are (threshold, metric), at least two of them."""
    x = Scale(low=0.0, high=1.0)
    y = scale_of([value for _, value in points])
    at = percent(x.at(chosen))
    left = chosen > 0.6
    return plot(
        label=f"{metric_label(metric)} against the threshold; {number(chosen)} was chosen.",
        x=Axis(scale=x, label="Threshold"),
        y=Axis(scale=y, label=metric_label(metric), written=axis_words(metric), count=4),
        curves=[curve([(x.at(place), y.at(value)) for place, value in points], class_="front")],
        marks=[
            element("line", x1=at, x2=at, y1=0, y2="100%", class_="chosen"),
            text(
                f"chosen: {number(chosen)}",
                x=at,
                y="100%",
                dx=-8 if left else 8,
                dy=-8,
                class_="name winner",
                text_anchor="end" if left else "start",
            ),
        ],
        height=HEIGHT,
    )
