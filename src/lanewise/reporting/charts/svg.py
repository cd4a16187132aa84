"""The only place that writes SVG: every attribute and every text is cleaned and escaped here.

A chart is drawn so that it stays sharp and legible at any width without a script. The outer ``<svg>`` has no
``viewBox``: texts and dots sit at percentages, so they keep their size while the chart gets wider. Curves lie in a
nested ``<svg>`` of 1000 x 1000 units that is stretched over it, with strokes that do not stretch.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from lanewise.formatting.plain_text import clean
from lanewise.reporting.words import typeset

UNITS = 1000


def element(name: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """An element; an underscore in an attribute's name stands for a hyphen, a last one is dropped.

    >>> str(element("text", "a < b", x="5%", text_anchor="end", class_="tick"))
    '<text x="5%" text-anchor="end" class="tick">a &lt; b</text>'
    """
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inner = "".join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)
    return Markup(f"<{name}{''.join(parts)}>{inner}</{name}>")


def join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def percent(fraction: float) -> str:
    """A fraction as SVG writes it.

    >>> percent(0.5)
    '50%'
    """
    return f"{round(100 * fraction, 2):g}%"


def picture(*children: Markup, label: str, height: int, class_: str = "") -> Markup:
    """A chart as one image with a description that a screen reader speaks."""
    return element("svg", *children, role="img", aria_label=label, width="100%", height=height, class_=class_ or None)


def stretched(*children: Markup) -> Markup:
    """The layer of curves: 1000 x 1000 units over the whole plot, cut off at its border."""
    return element(
        "svg", *children, width="100%", height="100%", viewBox=f"0 0 {UNITS} {UNITS}", preserveAspectRatio="none"
    )


def unit(fraction: float) -> int:
    return round(fraction * UNITS)


def curve(points: Sequence[tuple[float, float]], **attributes: str | float | None) -> Markup:
    """A curve through points given as fractions (x from the left, y from the bottom)."""
    return element("path", d=line_data(points), vector_effect="non-scaling-stroke", **attributes)


def line_data(points: Sequence[tuple[float, float]]) -> str:
    """The path data of a curve in relative steps, the shortest way to write it; equal neighbours are merged."""
    places = [(unit(x), unit(1 - y)) for x, y in points]
    if not places:
        return ""
    steps = [f"{x1 - x0} {y1 - y0}" for (x0, y0), (x1, y1) in pairwise(places) if (x0, y0) != (x1, y1)]
    return f"M{places[0][0]} {places[0][1]}l{' '.join(steps) or '0 0'}"


def band(points: Sequence[tuple[float, float, float]], **attributes: str | float | None) -> Markup:
    """The area between two curves; points are (x, low, high) as fractions."""
    there = [f"{unit(x)} {unit(1 - high)}" for x, _, high in points]
    back = [f"{unit(x)} {unit(1 - low)}" for x, low, _ in reversed(points)]
    return element("path", d=f"M{'L'.join([*there, *back])}Z", **attributes)


def dots(points: Iterable[tuple[float, float]], **attributes: str | float | None) -> Markup:
    """Round dots in one path: strokes of no length with round ends, which do not stretch."""
    data = "".join(f"M{unit(x)} {unit(1 - y)}h0" for x, y in points)
    return element("path", d=data, vector_effect="non-scaling-stroke", stroke_linecap="round", **attributes)


def text(words: str, **attributes: str | float | None) -> Markup:
    return named(typeset(clean(words)), **attributes)


def named(name: str, **attributes: str | float | None) -> Markup:
    """A text that is a name of the data: sign by sign as it is, a class of name -1 too."""
    return element("text", name, **attributes)
