"""Loss against learning rate, one panel for each optimizer, with the stable edge and the suggested rate marked."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.svg import band, curve, dots, element, percent, text
from lanewise.reporting.words import finite, number, rate_words

HEIGHT = 250
_LOG_FROM = 15.0
"""Ratio of the start to the least loss from which a logarithmic axis shows more."""


def panels(curves: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """A panel for each curve of a rate document; all share both axes."""
    x = scale_of([rate for one in curves for rate in one["rates"]], log=True, pad=0.01)
    y = _losses(curves)
    return [_panel(one, x, y) for one in curves]


def _losses(curves: Sequence[Mapping[str, Any]]) -> Scale:
    """From the least loss to a little above the start: what ends above that stands at the top."""
    start = max(float(one["start"]) for one in curves)
    below = [loss for one in curves for _, loss, _ in _points(one) if loss <= start]
    least = min(below, default=start)
    log = least > 0 and start / least > _LOG_FROM
    return scale_of([least, start, start * 2 if log else start + 0.25 * (start - least)], log=log, pad=0.05)


def _points(one: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Rate, loss and error of the trainings that did not diverge."""
    known = zip(one["rates"], map(finite, one["losses"]), map(finite, one["errors"]), strict=True)
    return [(rate, loss, error or 0.0) for rate, loss, error in known if loss is not None and isfinite(loss)]


def _panel(one: Mapping[str, Any], x: Scale, y: Scale) -> Markup:
    points = _points(one)
    line = [(x.at(rate), y.at(loss)) for rate, loss, _ in points]
    area = [(x.at(rate), y.at(loss - error), y.at(loss + error)) for rate, loss, error in points]
    reached = {rate for rate, _, _ in points}
    start = y.at(float(one["start"]))
    marks = [
        text("\N{MULTIPLICATION SIGN}", x=percent(x.at(rate)), y="3%", dy=".32em", text_anchor="middle", class_="lost")
        for rate in one["rates"]
        if rate not in reached
    ]
    marks += [text("no training", x=4, y=percent(1 - start), dy=-6, class_="tick")]
    marks += _line(one.get("edge"), x, words="stable edge", class_="brink", down=30)
    marks += _line(one.get("suggested"), x, words="suggested", class_="chosen", down=14)
    best = finite(one.get("best"))
    if best is not None:
        at = percent(x.at(best)), percent(1 - min(1.0, max(0.0, y.at(one["losses"][one["rates"].index(best)]))))
        marks.append(element("circle", cx=at[0], cy=at[1], r=5, class_="best"))
    return plot(
        label=f"{one['optimizer']}: loss against learning rate; suggested {number(one.get('suggested'), 2)}, "
        f"stable edge {number(one.get('edge'), 2)}, least loss at {number(best, 2)}.",
        x=Axis(scale=x, label="Learning rate, log scale", written=rate_words, count=5),
        y=Axis(scale=y, label=f"Loss{', log scale' if y.log else ''}", count=4),
        curves=[
            curve([(0.0, start), (1.0, start)], class_="ideal"),
            band(area, class_="band"),
            curve(line, class_="front"),
            dots(line, class_="front dots"),
        ],
        marks=marks,
        height=HEIGHT,
    )


def _line(rate: Any, x: Scale, *, words: str, class_: str, down: int) -> list[Markup]:
    """An upright line at a rate with its name at the top, left of it where there is room: curves rise on the right."""
    known = finite(rate)
    if known is None:
        return []
    place = x.at(known)
    left = place > 0.35
    return [
        element("line", x1=percent(place), x2=percent(place), y1=0, y2="100%", class_=class_),
        text(
            f"{words} {number(known, 2)}",
            x=percent(place),
            y=down,
            dx=-7 if left else 7,
            text_anchor="end" if left else "start",
            class_="name winner" if class_ == "chosen" else "name",
        ),
    ]
