"""Dot and whisker: an estimate with its interval, as one cell of a table whose rows share a scale."""

from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.svg import element, join, percent, picture, text
from lanewise.reporting.words import finite

HEIGHT = 24
_MIDDLE = HEIGHT // 2


def whisker(
    *,
    scale: Scale,
    value: Any,
    low: Any = None,
    high: Any = None,
    tone: str = "",
    label: str,
    zone: tuple[float, float] | None = None,
) -> Markup:
    """A dot at the value on a line from low to high; ``zone`` is shaded behind, its low end marked."""
    known, bottom, top = finite(value), finite(low), finite(high)
    parts = [element("line", x1=0, x2="100%", y1=_MIDDLE, y2=_MIDDLE, class_="rail")]
    if zone is not None:
        start, end = (_inside(scale, edge) for edge in zone)
        box = {"x": percent(start), "width": percent(end - start)}
        parts.insert(0, element("rect", **box, y=0, height=HEIGHT, class_="zone"))
        parts.append(_upright(start, "zero"))
    if bottom is not None and top is not None:
        ends = {"x1": percent(_inside(scale, bottom)), "x2": percent(_inside(scale, top))}
        parts.append(element("line", **ends, y1=_MIDDLE, y2=_MIDDLE, class_="range"))
    if known is not None:
        parts.append(element("circle", cx=percent(_inside(scale, known)), cy=_MIDDLE, r=5, class_="dot"))
    return picture(*parts, label=label, height=HEIGHT, class_=f"cell {tone}".strip())


def bar(*, scale: Scale, value: Any, low: Any = None, high: Any = None, tone: str = "", label: str) -> Markup:
    """A bar from zero to the value, with a whisker from low to high where they are known."""
    known, bottom, top = finite(value), finite(low), finite(high)
    origin = _inside(scale, 0.0)
    parts = []
    if known is not None:
        ends = sorted((origin, _inside(scale, known)))
        box = {"x": percent(ends[0]), "width": percent(ends[1] - ends[0])}
        parts.append(element("rect", **box, y=_MIDDLE - 6, height=12, class_="bar"))
    if bottom is not None and top is not None:
        ends = {"x1": percent(_inside(scale, bottom)), "x2": percent(_inside(scale, top))}
        parts.append(element("line", **ends, y1=_MIDDLE, y2=_MIDDLE, class_="range"))
    parts.append(_upright(origin, "zero"))
    return picture(*parts, label=label, height=HEIGHT, class_=f"cell {tone}".strip())


def ruler(axis: Axis, *, note: str = "", room: int = 56) -> Markup:
    """The ticks below a column of cells; as many as fit ``room`` letters side by side."""
    ticks = axis.ticks()
    while len(ticks) > 2 and sum(len(words) + 2 for _, words in ticks) > room:
        ticks = ticks[::2]
    marks = [element("line", x1=percent(at), x2=percent(at), y1=0, y2=4, class_="base") for at, _ in ticks]
    words = [text(word, x=percent(at), y=18, class_="tick", text_anchor="middle") for at, word in ticks]
    base = element("line", x1=0, x2="100%", y1=0, y2=0, class_="base")
    label = f"Axis from {axis.written(axis.scale.low)} to {axis.written(axis.scale.high)}. {note}".strip()
    return picture(base, join(marks), join(words), label=label, height=HEIGHT, class_="cell ruler")


def _inside(scale: Scale, value: float) -> float:
    return min(1.0, max(0.0, scale.at(value)))


def _upright(at: float, class_: str) -> Markup:
    return element("line", x1=percent(at), x2=percent(at), y1=0, y2=HEIGHT, class_=class_)
