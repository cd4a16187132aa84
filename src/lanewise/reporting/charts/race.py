"""The race: the validation curve of every lane; those that were dropped fade, the winner stands out."""

from collections.abc import Mapping, Sequence
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
    lanes: Sequence[Lane], *, metric: str, metric_label: str, minimise: bool, stops: Mapping[str, float] | None = None
) -> Markup:
    """Metric against fraction of the full length; what won and the default stand out by the mean of their lanes.

    ``stops`` are the shares of the full length at which candidates were stopped, by id: a ring marks where they were
    judged, for their curves go on.
    """
    means = means_of(lanes)
    y = _metric_scale(lanes, means, minimise=minimise)
    x = Scale(low=0.0, high=1.0)
    ends = [_place(lane.points[-1], x, y) for lane in lanes if lane.status == "pruned"]
    dropped = [dots(ends, class_="drops")] if ends else []
    return plot(
        label=f"Validation {metric_label} of {len(lanes)} lanes against the fraction of their full length.",
        x=Axis(scale=x, label="Fraction of the full training length", written=percent),
        y=Axis(scale=y, label=f"Validation {metric_label}{', log scale' if y.log else ''}", written=axis_words(metric)),
        curves=[
            *dropped,
            *(_drawn(lane, x, y, faint=lane.candidate in {mean.candidate for mean in means}) for lane in lanes),
            *(_drawn(mean, x, y) for mean in means),
        ],
        marks=[*_rings(means, stops or {}, x, y), beside(_names(means or lanes, y), height=HEIGHT)],
        height=HEIGHT,
        right=78,
        class_="plot race",
    )


def _rings(means: Sequence[Lane], stops: Mapping[str, float], x: Scale, y: Scale) -> list[Markup]:
    """A ring on each strong line where its candidate was stopped and judged."""
    found = []
    for mean in means:
        stop = stops.get(mean.candidate)
        if stop is not None and mean.points[0][0] <= stop + 1e-9:
            across, up = _place((stop, height_at(mean.points, stop)), x, y)
            at = {"cx": percent_of(across), "cy": percent_of(1 - min(1.0, max(0.0, up)))}
            found.append(element("circle", **at, r=6, class_=f"ring {mean.status}"))
    return found


def _lane(one: Mapping[str, Any], allowed: int) -> Lane:
    pairs = zip(one.get("x") or (), one.get("valid") or (), strict=False)
    known = [(finite(x), finite(y)) for x, y in pairs]
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


def _metric_scale(lanes: Sequence[Lane], means: Sequence[Lane], *, minimise: bool) -> Scale:
    ends = [lane.points[-1][1] for lane in means or lanes if lane.status in NAMED]
    points = [point for lane in lanes for point in lane.points]
    settled = [y for x, y in points if x >= _STEEP] or [y for _, y in points]
    values = without_outliers(settled, keep=ends, worse_is_high=minimise)
    log = minimise and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    if log and means:  # a fold without a single doubtful row has a loss of next to nothing, and would take most decades
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


def _names(lanes: Sequence[Lane], y: Scale) -> list[tuple[float, str, str]]:
    found = []
    for status, words in NAMED.items():
        ends = [y.at(lane.points[-1][1]) for lane in lanes if lane.status == status]
        if ends:
            found.append((sum(ends) / len(ends), words, status))
    return found
