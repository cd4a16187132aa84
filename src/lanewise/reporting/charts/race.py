"""The race: the validation curve of every lane; those that were dropped fade, the winner stands out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.fit import height_at, mean_curve
from lanewise.reporting.charts.frame import Axis, beside, plot
from lanewise.reporting.charts.scale import Scale, scale_of, without_outliers
from lanewise.reporting.charts.svg import curve, dots, element
from lanewise.reporting.charts.svg import percent as percent_of
from lanewise.reporting.words import axis_words, finite, percent

DRAWN_FIRST = ("pruned", "diverged", "confirmed", "default", "member", "winner")
NAMED = {"winner": "Winner", "member": "Ensemble", "default": "Default"}
HEIGHT = 360
_POINTS = 12_000  # of all curves together; more does not show and makes the file heavy
_STEEP = 0.08  # the first part of the length, whose steep fall would press the rest flat
_BELOW = 30.0  # on a logarithmic axis lanes dive below the plot that are better than the best mean by this factor
_LOG_FROM = 15.0  # ratio of worst to best from which a logarithmic axis shows more


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a candidate was judged: ``stop``, a share of the full length, and the ``score``, also in ``words``."""

    stop: float
    score: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A lane's curve as points (fraction of the full length, metric)."""

    status: str
    words: str
    optimizer: str
    points: tuple[tuple[float, float], ...]
    candidate: str = ""
    label: str = ""
    phase: str = ""


def lanes_of(curves: Sequence[Mapping[str, Any]]) -> list[Lane]:
    """The curves that have at least one finite point, in the order in which they are drawn."""
    allowed = max(8, _POINTS // max(1, len(curves)))
    found = [lane for lane in (_lane(each, allowed) for each in curves) if lane.points]
    return sorted(found, key=lambda lane: DRAWN_FIRST.index(lane.status))


def race(
    lanes: Sequence[Lane],
    *,
    metric: str,
    metric_label: str,
    minimise: bool,
    wholes: Sequence[Lane] = (),
    verdicts: Mapping[str, Verdict] | None = None,
    ensemble: Verdict | None = None,
) -> Markup:
    """Metric against fraction of the full length; what won and the default stand out by a strong line.

    ``wholes`` are those lines; the means of lanes without them. ``verdicts`` says by id where candidates were judged: a
    ring marks it, the line beyond is thin, and the name stands at the height of the ring with its score. An ensemble
    that won is a level of its own.
    """
    strong, known = wholes or means_of(lanes), verdicts or {}
    y = _metric_scale(lanes, strong, known, ensemble, minimise=minimise)
    x = Scale(low=0.0, high=1.0)
    ends = [_place(lane.points[-1], x, y) for lane in lanes if lane.status == "pruned"]
    dropped = [dots(ends, class_="drops")] if ends else []
    behind = {one.candidate for one in strong}
    names, scores = _names(strong or lanes, y, known, ensemble)
    return plot(
        label=f"Validation {metric_label} of {len(lanes)} lanes against the fraction of their full length.",
        x=Axis(scale=x, label="Fraction of the full training length", written=percent),
        y=Axis(scale=y, label=f"Validation {metric_label}{', log scale' if y.log else ''}", written=axis_words(metric)),
        curves=[
            *dropped,
            *(_drawn(lane, x, y, faint=lane.candidate in behind) for lane in lanes),
            *(part for one in strong for part in _strong(one, x, y, known.get(one.candidate))),
        ],
        marks=[
            *_levels(strong, x, y, known, ensemble),
            *_rings(strong, x, y, known),
            beside(names, height=HEIGHT, below=scores),
        ],
        height=HEIGHT,
        right=82,
        class_="plot race",
    )


def _strong(line: Lane, x: Scale, y: Scale, judged: Verdict | None) -> list[Markup]:
    """A strong line up to where its candidate was judged, and a thin one beyond."""
    if judged is None or judged.stop >= line.points[-1][0] - 1e-9:
        return [_drawn(line, x, y)]
    turn = (judged.stop, height_at(line.points, judged.stop))
    until = [*(point for point in line.points if point[0] < judged.stop), turn]
    after = [turn, *(point for point in line.points if point[0] > judged.stop)]
    beyond = replace(line, points=tuple(after), words=f"{line.words}, beyond where it was stopped")
    before = [_drawn(replace(line, points=tuple(until)), x, y)] if len(until) > 1 else []
    return [_drawn(beyond, x, y, faint=True), *before]


def _rings(strong: Sequence[Lane], x: Scale, y: Scale, known: Mapping[str, Verdict]) -> list[Markup]:
    """A ring at the score of each candidate that stands out, where it was stopped and judged."""
    found = []
    for line in strong:
        judged = known.get(line.candidate)
        if judged is not None:
            at = {"cx": percent_of(x.at(judged.stop)), "cy": _height(y.at(judged.score))}
            found.append(element("circle", **at, r=6, class_=f"ring {line.status}"))
    return found


def _levels(
    strong: Sequence[Lane], x: Scale, y: Scale, known: Mapping[str, Verdict], ensemble: Verdict | None
) -> list[Markup]:
    """Dotted lines to the names on the right: from the rings of those that are named, and all across of an ensemble."""
    ends = [(known[one.candidate], one.status) for one in strong if one.candidate in known and one.status != "member"]
    lines = [(x.at(own.stop), own.score, status) for own, status in ends if own.stop < 1]
    if ensemble is not None:
        lines.append((0.0, ensemble.score, "member"))
    found = []
    for start, score, status in lines:
        up = _height(y.at(score))
        found.append(element("line", x1=percent_of(start), x2="100%", y1=up, y2=up, class_=f"level {status}"))
    return found


def _height(up: float) -> str:
    return percent_of(1 - min(1.0, max(0.0, up)))


def _lane(one: Mapping[str, Any], allowed: int) -> Lane:
    known = [(finite(x), finite(y)) for x, y in _pairs(one)]
    points = [(x, y) for x, y in known if x is not None and y is not None]
    status = one.get("status")
    facts = [str(one.get("label") or one.get("candidate") or "")]
    facts += [f"{key} {one[key]}" for key in ("lane", "fold", "seed") if one.get(key) is not None]
    return Lane(
        status=status if status in DRAWN_FIRST else "confirmed",
        words=", ".join([*facts, str(status)]),
        optimizer=str(one.get("optimizer") or ""),
        points=tuple(thin(points, allowed)),
        candidate=str(one.get("candidate") or ""),
        label=facts[0],
        phase=str(one.get("phase") or ""),
    )


def thin(points: list[tuple[float, float]], allowed: int) -> list[tuple[float, float]]:
    """At most ``allowed`` of the points, evenly picked, the first and the last among them."""
    if len(points) <= allowed:
        return points
    last = len(points) - 1
    return [points[round(place * last / (allowed - 1))] for place in range(allowed)]


def means_of(lanes: Sequence[Lane]) -> list[Lane]:
    """The mean curve of each candidate that stands out and has several lanes that ran as far as its longest."""
    own: dict[str, list[Lane]] = {}
    for lane in lanes:
        if lane.status in NAMED and lane.candidate:
            own.setdefault(lane.candidate, []).append(lane)
    found = []
    for group in own.values():
        # The screen trains on a fold that the confirmation trains on again: it would count twice.
        own_phase = [lane for lane in group if lane.phase != "screen"] or group
        end = max(lane.points[-1][0] for lane in own_phase)
        full = [lane for lane in own_phase if lane.points[-1][0] >= end - 1e-9 and len(lane.points) > 1]
        points = mean_curve([list(lane.points) for lane in full]) if len(full) > 1 else []
        if points:
            words = f"{group[0].label}, mean of its {len(full)} lanes"
            found.append(replace(full[0], points=tuple(points), words=words))
    return sorted(found, key=lambda lane: DRAWN_FIRST.index(lane.status))


def wholes_of(judged: Sequence[Mapping[str, Any]], lanes: Sequence[Lane]) -> list[Lane]:
    """The curves of whole candidates, of those that stand out and have one."""
    known = {str(one.get("candidate")): one for one in judged}
    found = []
    for lane in {lane.candidate: lane for lane in lanes if lane.status in NAMED}.values():
        pairs = [(finite(x), finite(y)) for x, y in _pairs(known.get(lane.candidate, {}))]
        points = tuple((x, y) for x, y in pairs if x is not None and y is not None)
        if len(points) > 1:
            words = f"{lane.label}, all its lanes together"
            found.append(replace(lane, points=points, words=words))
    return sorted(found, key=lambda lane: DRAWN_FIRST.index(lane.status))


def _pairs(one: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
    return zip(one.get("x") or (), one.get("valid") or (), strict=False)


def _metric_scale(
    lanes: Sequence[Lane],
    strong: Sequence[Lane],
    known: Mapping[str, Verdict],
    ensemble: Verdict | None,
    *,
    minimise: bool,
) -> Scale:
    own = [lane for lane in strong or lanes if lane.status in NAMED]
    ends = [known[one.candidate].score if one.candidate in known else one.points[-1][1] for one in own]
    ends += [] if ensemble is None else [ensemble.score]
    points = [point for lane in (*lanes, *strong) for point in lane.points]
    settled = [y for x, y in points if x >= _STEEP] or [y for _, y in points]
    values = without_outliers(settled, keep=ends, worse_is_high=minimise)
    log = minimise and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    if log and strong:
        # A fold without a single doubtful row has a loss of next to nothing, and would take most decades.
        least = min(ends) / _BELOW
        values = [value for value in values if value >= least]
    return scale_of(values, log=log, pad=0.04)


def _drawn(lane: Lane, x: Scale, y: Scale, *, faint: bool = False) -> Markup:
    kind = f"{lane.status} faint" if faint else lane.status
    if kind == "pruned":  # the earlier it was dropped, the fainter
        kind += f" p{min(3, int(lane.points[-1][0] * 4))}"
    points = [_place(point, x, y) for point in lane.points]
    if len(points) == 1:
        return dots(points, class_=f"lane {kind} single", data_words=lane.words, data_optimizer=lane.optimizer)
    return curve(points, class_=f"lane {kind}", data_words=lane.words, data_optimizer=lane.optimizer)


def _place(point: tuple[float, float], x: Scale, y: Scale) -> tuple[float, float]:
    return x.at(point[0]), y.at(point[1])


def _names(
    lanes: Sequence[Lane], y: Scale, known: Mapping[str, Verdict], ensemble: Verdict | None
) -> tuple[list[tuple[float, str, str]], dict[str, str]]:
    """Names at the ends of lines, or at the heights of their scores, and those scores in words by class."""
    found, scores = [], {}
    for status, words in NAMED.items():
        own = [lane for lane in lanes if lane.status == status]
        judged = [known[lane.candidate] for lane in own if lane.candidate in known]
        if status == "member" and ensemble is not None:
            judged = [ensemble]
        if len({verdict.words for verdict in judged}) == 1:
            scores[status] = judged[0].words
        ends = [verdict.score for verdict in judged] or [lane.points[-1][1] for lane in own]
        if ends:
            found.append((sum(map(y.at, ends)) / len(ends), words, status))
    return found, scores
