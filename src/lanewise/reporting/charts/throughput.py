"""Rows per second against batch size, with the knee marked."""

from collections.abc import Sequence

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import scale_of
from lanewise.reporting.charts.svg import curve, dots, element, percent, text
from lanewise.reporting.words import number

HEIGHT = 250


def throughput(sizes: Sequence[int], speeds: Sequence[float], *, knee: int) -> Markup:
    """``speeds [S]`` rows per second at ``sizes [S]``; ``knee`` is one of them."""
    x = scale_of(sizes, log=True, pad=0.02)
    y = scale_of([0.0, *speeds], pad=0.05)
    line = [(x.at(size), y.at(speed)) for size, speed in zip(sizes, speeds, strict=True)]
    place = x.at(knee)
    left = place > 0.6
    return plot(
        label=f"Rows per second against batch size, which stop growing at batches of {knee}.",
        x=Axis(scale=x, label="Rows of a batch, log scale", count=6),
        y=Axis(scale=y, label="Rows per second", written=number, count=4),
        curves=[curve(line, class_="front"), dots(line, class_="front dots")],
        marks=[
            element("line", x1=percent(place), x2=percent(place), y1=0, y2="100%", class_="chosen"),
            text(
                f"knee {number(knee)}",
                x=percent(place),
                y="100%",
                dx=-7 if left else 7,
                dy=-12,
                text_anchor="end" if left else "start",
                class_="name winner",
            ),
        ],
        height=HEIGHT,
    )
