"""The paths of methods on the map of a function, and their values against what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from lanewise.reporting.charts.contour import Grid, contour
from lanewise.reporting.charts.frame import CHARACTER, Axis, plot
from lanewise.reporting.charts.race import thin
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.svg import UNITS, curve, element, percent, stretched, text
from lanewise.reporting.words import number

HEIGHT = 300
RING, CROSS = "M-10 0A10 10 0 1 0 10 0A10 10 0 1 0-10 0", "M-5-5L5 5M-5 5L5-5"
POINTS = 600
"""Points of one path at most."""
LEAST = 1e-16
"""What is left at an optimum is shown as no less: rounding hides more."""
_FAR = 3.0  # places beyond so many widths of the map are drawn at its border


@dataclass(frozen=True, kw_only=True)
class Path:
    """One method: ``points`` are where it stood, ``values`` its best, each after ``evaluations`` and ``seconds``."""

    name: str
    color: int
    points: Sequence[tuple[float, ...]]
    values: Sequence[float]
    evaluations: Sequence[int]
    seconds: Sequence[float]


def ground(
    paths: Sequence[Path],
    *,
    heights: Grid,
    low: Sequence[float],
    high: Sequence[float],
    start: Sequence[float],
    optima: Sequence[Sequence[float]],
    label: str,
) -> Markup:
    """The map in a square frame. A path carries in ``data-at`` after how many evaluations it stood at each place."""
    x, y = Scale(low=low[0], high=high[0]), Scale(low=low[1], high=high[1])
    across, up = Axis(scale=x, label="x1"), Axis(scale=y, label="x2")
    left = max((len(words) for _, words in up.ticks()), default=1) * CHARACTER + 14
    ticks = [
        text(words, x=-8, y=percent(1 - at), dy=".32em", class_="tick", text_anchor="end") for at, words in up.ticks()
    ] + [
        text(words, x=percent(at), y="100%", dy=18, class_="tick", text_anchor="middle") for at, words in across.ticks()
    ]
    names = [
        text("x2", x=-left, y=-10, class_="axis"),
        text("x1", x="100%", y="100%", dy=36, class_="axis", text_anchor="end"),
    ]
    marks = [
        _at(x, y, point, "M-10 0A10 10 0 1 0 10 0A10 10 0 1 0-10 0", class_="optimum", words="Optimum")
        for point in optima
    ]
    marks.append(_at(x, y, start, "M-5-5L5 5M-5 5L5-5", class_="start", words="Start"))
    heads = [_head(path, x, y) for path in paths]
    drawing = element(
        "svg",
        stretched(*contour(heights), *(layer for path in paths for layer in _drawn(path, x, y))),
        element("rect", width="100%", height="100%", class_="rim"),
        *marks,
        *heads,
        *ticks,
        *names,
        role="img",
        aria_label=label,
        width="100%",
        height="100%",
        class_="plot map",
    )
    return element(
        "div", element("div", drawing, class_="square"), class_="frame", style=f"padding:26px 10px 42px {left}px"
    )


def against(paths: Sequence[Path], *, seconds: bool, least: float, label: str, whole: str) -> Markup:
    """How far the best value lies above ``least``, against evaluations or seconds; both logarithmic."""
    lines = {path.color: list(_steps(path, seconds=seconds, least=least)) for path in paths}
    lines = {color: line for color, line in lines.items() if line}
    x = scale_of([at for line in lines.values() for at, _ in line], log=True, pad=0.02)
    y = scale_of([gap for line in lines.values() for _, gap in line], log=True, pad=0.04)
    drawn = [
        curve([(x.at(at), y.at(gap)) for at, gap in line], class_=f"track m{color}", data_method=str(color))
        for color, line in lines.items()
    ]
    ends = [
        element(
            "circle", cx=percent(x.at(at)), cy=percent(1 - y.at(gap)), r=4, class_=f"end m{color}", data_method=color
        )
        for color, (at, gap) in ((color, line[-1]) for color, line in lines.items())
    ]
    return plot(
        label=whole,
        x=Axis(scale=x, label="Seconds, log scale" if seconds else "Evaluations, log scale", written=number),
        y=Axis(scale=y, label=label, written=_power),
        curves=drawn,
        marks=ends,
        height=HEIGHT,
    )


def _power(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") if not 0.001 <= value < 10_000 else number(value)


def _steps(path: Path, *, seconds: bool, least: float) -> list[tuple[float, float]]:
    costs = path.seconds if seconds else path.evaluations
    known = [
        (max(1e-6, float(cost)), max(LEAST, value - least))
        for cost, value in zip(costs, path.values, strict=True)
        if isfinite(value)
    ]
    return thin(known, POINTS)


def _drawn(path: Path, x: Scale, y: Scale) -> tuple[Markup, Markup]:
    """The halo and the line, in absolute places, so that the script can draw a part of it."""
    kept = _kept(path)
    data = "M" + "L".join(f"{across} {up}" for across, up in (_unit(point, x, y) for point, _, _ in kept))
    at = " ".join(str(count) for _, count, _ in kept)
    values = " ".join(number(value, 3) for _, _, value in kept)
    same = {"d": data, "vector_effect": "non-scaling-stroke", "data_method": str(path.color)}
    return (
        element("path", **same, class_="halo"),
        element("path", **same, data_at=at, data_values=values, class_=f"way m{path.color}"),
    )


def _kept(path: Path) -> list[tuple[tuple[float, ...], int, float]]:
    """Finite places, thinned, each with the evaluations spent and the best value by then."""
    both = zip(path.points, path.evaluations, path.values, strict=True)
    known = [one for one in both if all(map(isfinite, one[0]))]
    if len(known) <= POINTS:
        return known
    last = len(known) - 1
    return [known[round(place * last / (POINTS - 1))] for place in range(POINTS)]


def _unit(point: Sequence[float], x: Scale, y: Scale) -> tuple[int, int]:
    places = [(value - scale.low) / (scale.high - scale.low) for value, scale in zip(point, (x, y), strict=True)]
    across, up = (min(1 + _FAR, max(-_FAR, place)) for place in places)
    return round(across * UNITS), round((1 - up) * UNITS)


def _head(path: Path, x: Scale, y: Scale) -> Markup:
    kept = _kept(path)
    if not kept:
        return Markup("")
    across, up = _unit(kept[-1][0], x, y)
    return element(
        "circle",
        element("title", path.name),
        cx=percent(across / UNITS),
        cy=percent(up / UNITS),
        r=5.5,
        class_=f"head m{path.color}",
        data_method=str(path.color),
    )


def _at(x: Scale, y: Scale, point: Sequence[float], data: str, *, class_: str, words: str) -> Markup:
    """A mark of fixed size at a place of the map."""
    across, up = percent(x.at(point[0])), percent(1 - y.at(point[1]))
    sign = element("path", d=data, class_=class_)
    return element("svg", element("title", words), sign, x=across, y=up, width=1, height=1, class_="mark")
