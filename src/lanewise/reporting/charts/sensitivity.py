"""Score against learning rate: one small panel of dots for each optimizer, those of the others in grey behind it.

Dots and no line: the candidates of a panel differ in their other settings too, so neighbours are no curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.frame import Axis, plot
from lanewise.reporting.charts.scale import Scale, scale_of, without_outliers
from lanewise.reporting.charts.svg import curve, dots, element, percent, text
from lanewise.reporting.words import axis_words, finite, rate_words

HEIGHT = 132


@dataclass(frozen=True, kw_only=True)
class Series:
    """Scores against learning rate: points are (rate, score, low, high), ``lost`` the rates that diverged.

    ``look`` says after how much of the training they were read; ``rate`` is that of the winner, if it is one of these.
    """

    optimizer: str
    model: str
    points: tuple[tuple[float, float, float, float], ...]
    lost: tuple[float, ...]
    look: str = ""
    rate: float | None = None

    def best(self, *, minimise: bool) -> tuple[float, float, float, float]:
        return min(self.points, key=lambda point: point[1] if minimise else -point[1])

    def of_winner(self, *, minimise: bool) -> tuple[float, float, float, float] | None:
        """The dot at the winner's rate, if it is known and not the best."""
        own = [point for point in self.points if self.rate is not None and isclose(point[0], self.rate, rel_tol=1e-6)]
        return next((point for point in own if point != self.best(minimise=minimise)), None)


def series_of(items: Sequence[Mapping[str, Any]]) -> list[Series]:
    """The series that have at least one score at a positive learning rate."""
    found = []
    for item in items:
        points, lost = [], []
        for point in item.get("points") or ():
            rate, value = finite(point.get("lr")), finite(point.get("score"))
            low, high = finite(point.get("low")), finite(point.get("high"))
            if rate is None or rate <= 0:
                continue
            if value is None:
                lost.append(rate)
            else:
                points.append((rate, value, value if low is None else low, value if high is None else high))
        if points:
            optimizer, model, look = (str(item.get(key) or "") for key in ("optimizer", "model", "look"))
            known, gone = tuple(sorted(points)), tuple(sorted(lost))
            found.append(Series(optimizer=optimizer, model=model, look=look, points=known, lost=gone))
    return found


def panels(series: Sequence[Series], *, metric: str, metric_label: str, minimise: bool) -> list[Markup]:
    """One panel for each series; all share both axes, so that they can be compared at a glance."""
    rates = [rate for one in series for rate in (*(point[0] for point in one.points), *one.lost)]
    x = scale_of(rates, log=True, pad=0.03)
    best = [one.best(minimise=minimise)[1] for one in series]
    values = [value for one in series for point in one.points for value in point[1:]]
    y = scale_of(without_outliers(values, keep=best, worse_is_high=minimise, deciles=7), pad=0.08)
    return [
        _panel(series, place, x, y, metric=metric, metric_label=metric_label, minimise=minimise)
        for place in range(len(series))
    ]


def _panel(
    series: Sequence[Series], here: int, x: Scale, y: Scale, *, metric: str, metric_label: str, minimise: bool
) -> Markup:
    one = series[here]
    best = one.best(minimise=minimise)
    # Scores after another share of the training are no rivals.
    behind = [
        dots(_places(other, x, y), class_="behind dots") for other in series if other is not one and alike(other, one)
    ]
    edge = 0.97 if minimise else 0.03
    written = axis_words(metric)
    chart = [
        *behind[:12],
        *(curve([(x.at(rate), y.at(end)) for end in ends], class_="spread") for rate, _, *ends in one.points),
        dots(_places(one, x, y), class_="front dots"),
    ]
    place = percent(x.at(best[0])), percent(1 - min(1.0, max(0.0, y.at(best[1]))))
    marks = [element("circle", cx=place[0], cy=place[1], r=5, class_="best")]
    own = one.of_winner(minimise=minimise)
    if own is not None:
        ((across, up),) = _placed([own], x, y)
        marks.append(element("circle", cx=percent(across), cy=percent(1 - up), r=5, class_="own"))
    marks += [
        text("\N{MULTIPLICATION SIGN}", x=percent(x.at(rate)), y=percent(1 - edge), dy=".32em", class_="lost")
        for rate in one.lost
    ]
    if one.rate is not None and x.covers(one.rate):
        at = percent(x.at(one.rate))
        marks.insert(0, element("line", x1=at, x2=at, y1=0, y2="100%", class_="chosen"))
    return plot(
        label=f"{one.optimizer}, {one.model}: {metric_label} against learning rate; best {written(best[1])} at "
        f"{rate_words(best[0])}, {len(one.lost)} rates diverged.",
        x=Axis(scale=x, written=rate_words, count=4),
        y=Axis(scale=y, written=written, count=3),
        curves=chart,
        marks=marks,
        height=HEIGHT,
        class_="plot small",
    )


def alike(one: Series, other: Series) -> bool:
    """Whether both were read after the same share of the training, on as many folds."""
    return one.look == other.look


def _places(one: Series, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """Where the dots are; those far worse than the rest stand at the edge."""
    return _placed(one.points, x, y)


def _placed(points: Sequence[tuple[float, float, float, float]], x: Scale, y: Scale) -> list[tuple[float, float]]:
    return [(x.at(point[0]), min(1.0, max(0.0, y.at(point[1])))) for point in points]
