"""How much room each optimizer leaves for a wrong learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.explain.looks import Look, fair_look
from lanewise.formatting.figures import four_digits
from lanewise.formatting.text_table import text_table
from lanewise.metrics import METRICS, Metric
from lanewise.statistics import student_quantile
from lanewise.training.watching.trace import Trace

RATES = ("lr", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class SensitivityPoint:
    """The ``score`` of the best candidate with this rate and its 95% interval over folds and seeds.

    ``score`` is None where every candidate with this rate diverged; the bounds are None for a single training, and
    never beyond what the metric can be.
    """

    lr: float
    score: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Score against learning rate for one optimizer on one model, by rising rate, and where it was read."""

    optimizer: str
    model: str
    points: tuple[SensitivityPoint, ...]
    look: str


class Sensitivities(tuple[Sensitivity, ...]):
    """One for each model and optimizer, shown as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [
            [
                series.model,
                series.optimizer,
                f"{point.lr:.3g}",
                "diverged" if point.score is None else four_digits(point.score),
                _interval(point),
            ]
            for series in self
            for point in series.points
        ]
        looks = "; ".join(dict.fromkeys(series.look for series in self))
        table = text_table(["model", "optimizer", "lr", "best score", "95% interval"], rows)
        return f"{table}\n{looks}" if rows else "no optimizer tried two learning rates"


def _interval(point: SensitivityPoint) -> str:
    if point.low is None or point.high is None:
        return ""
    return f"{four_digits(point.low)} to {four_digits(point.high)}"


def sensitivity(traces: Sequence[Trace], metric: Metric) -> Sensitivities:
    """Score against learning rate for each model and optimizer that tried at least two rates, the best first.

    Within a series all candidates are compared after the same share of their training, the latest that four
    fifths of them reached. Points differ in their other settings too. A candidate that was repaired by lowering
    its rate counts as diverged at the rate that it began with.
    """
    series: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        candidate = trace.lane.candidate
        if not candidate.events and any(name in candidate.settings for name in RATES):
            series.setdefault((candidate.model, candidate.optimizer), []).append(trace)
    found = []
    for (model, optimizer), own in series.items():
        look = fair_look(own, metric)
        points = () if look is None else _points(look, metric)
        if look is not None and len(points) > 1:
            found.append(Sensitivity(optimizer=optimizer, model=model, points=points, look=look.words))
    return Sensitivities(sorted(found, key=lambda one: min((_loss(p, metric) for p in one.points), default=math.inf)))


def _points(look: Look, metric: Metric) -> tuple[SensitivityPoint, ...]:
    """A point per rate, that of its best candidate."""
    best: dict[float, SensitivityPoint] = {}
    least, most = _limits(metric)
    reach = student_quantile(look.lanes - 1, 0.975) if look.lanes > 1 else math.nan
    for candidate, loss, error in zip(look.candidates, look.losses.tolist(), look.errors.tolist(), strict=True):
        rate = next(float(candidate.settings[name]) for name in RATES if name in candidate.settings)
        ends = metric.sign * (loss - reach * error), metric.sign * (loss + reach * error)
        low, high = sorted(min(max(end, least), most) if math.isfinite(end) else end for end in ends)
        point = SensitivityPoint(lr=rate, score=_known(metric.sign * loss), low=_known(low), high=_known(high))
        if rate not in best or _loss(point, metric) < _loss(best[rate], metric):
            best[rate] = point
    return tuple(best[rate] for rate in sorted(best))


def _limits(metric: Metric) -> tuple[float, float]:
    """The least and the highest value that a metric of ours can have; nobody knows that of a user's function."""
    if metric not in METRICS.values():
        return -math.inf, math.inf
    if metric.direction == "min":
        return 0.0, math.inf
    return (-math.inf if metric.name == "r2" else 0.0), 1.0


def _loss(point: SensitivityPoint, metric: Metric) -> float:
    return math.inf if point.score is None else metric.sign * point.score


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
