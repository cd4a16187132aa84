"""Training against validation of the winner, as a whole or averaged over its lanes: the gap in between is shaded."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, beside, plot
from lanewise.reporting.charts.scale import Scale, scale_of, without_outliers
from lanewise.reporting.charts.svg import band, curve, element, percent, text
from lanewise.reporting.words import axis_words, capitalized, finite
from lanewise.reporting.words import percent as share

HEIGHT = 260
_GRID = 80
_LOG_FROM = 4.0  # ratio of worst to best from which a logarithmic axis shows more
_LEAST_SPAN = 0.1  # of the larger end
Points = list[tuple[float, float]]


def mean_curves(curves: Sequence[Mapping[str, Any]]) -> tuple[Points, Points]:
    """Mean training and validation curves of lanes, each interpolated to the same grid; empty where unknown."""
    return mean_curve([_known(one, "train") for one in curves]), mean_curve([_known(one, "valid") for one in curves])


def fit(
    *, train: Points, valid: Points, metric: str, metric_label: str, minimise: bool, stop: float | None = None
) -> Markup:
    """Both curves against the fraction of the full length, with a line where the training was stopped early."""
    x = Scale(low=0.0, high=1.0)
    values = [value for points in (train, valid) for _, value in points]
    keep = (train[-1][1], valid[-1][1])
    y = _score_scale(without_outliers(values, keep=keep, worse_is_high=minimise), keep, minimise=minimise)
    there, back = _placed(train, x, y), _placed(valid, x, y)
    gap = [(at, *sorted((one, other))) for (at, one), (_, other) in zip(there, back, strict=False)]
    return plot(
        label=f"Training and validation {metric_label} of the winner, ending at {keep[0]:.4g} and {keep[1]:.4g}.",
        x=Axis(scale=x, label="Fraction of the full training length", written=share),
        y=Axis(
            scale=y,
            label=f"{capitalized(metric_label)}{', log scale' if y.log else ''}",
            written=axis_words(metric),
        ),
        curves=[
            band([(at, low, high) for at, low, high in gap], class_="band"),
            curve(there, class_="lane training"),
            curve(back, class_="lane winner"),
        ],
        marks=[
            *_stopped(stop, x),
            beside([(there[-1][1], "Training", "training"), (back[-1][1], "Validation", "winner")], height=HEIGHT),
        ],
        height=HEIGHT,
        right=88,
    )


def _score_scale(values: Sequence[float], ends: tuple[float, float], *, minimise: bool) -> Scale:
    """A log scale where errors fall by so much that a linear one would press their ends together.

    A linear one spans a share of the scores at the least: a gap of next to nothing is to look like that.
    """
    if minimise and min(values) > 0 and max(values) > _LOG_FROM * min(values):
        return scale_of(values, log=True, pad=0.04)
    room = _LEAST_SPAN * max(map(abs, ends)) - (max(values) - min(values))
    around = [min(values) - room / 2, max(values) + room / 2] if room > 0 else []
    return scale_of(values, pad=0.06, whole=around)


def _stopped(stop: float | None, x: Scale) -> list[Markup]:
    if stop is None:
        return []
    at, left = percent(x.at(stop)), stop > 0.7
    words = text(
        "stopped here", x=at, y=12, dx=-8 if left else 8, class_="tick", text_anchor="end" if left else "start"
    )
    return [element("line", x1=at, x2=at, y1=0, y2="100%", class_="chosen"), words]


def _known(one: Mapping[str, Any], key: str) -> Points:
    pairs = [(finite(x), finite(y)) for x, y in zip(one.get("x") or (), one.get(key) or (), strict=False)]
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def mean_curve(lines: Sequence[Points]) -> Points:
    """The mean of lines, each interpolated to the same grid over the stretch that all of them cover; empty without one.

    >>> mean_curve([[(0.0, 1.0), (1.0, 3.0)], [(0.0, 3.0), (1.0, 5.0)]])[-1]
    (1.0, 4.0)
    """
    known = [line for line in lines if len(line) > 1]
    if not known:
        return []
    start, end = max(line[0][0] for line in known), min(line[-1][0] for line in known)
    grid = [start + (end - start) * place / (_GRID - 1) for place in range(_GRID)]
    return [(x, sum(height_at(line, x) / len(known) for line in known)) for x in grid] if end > start else []


def height_at(line: Sequence[tuple[float, float]], x: float) -> float:
    """The height of a line of at least two points at ``x``."""
    place = min(max(1, bisect_right(line, x, key=lambda point: point[0])), len(line) - 1)
    (x0, y0), (x1, y1) = line[place - 1], line[place]
    part = 0.0 if x1 == x0 else (x - x0) / (x1 - x0)
    return y0 * (1 - part) + y1 * part


def _placed(points: Points, x: Scale, y: Scale) -> Points:
    return [(x.at(at), y.at(value)) for at, value in points]
