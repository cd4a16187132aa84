"""Scales: from values to a fraction of an axis, and the ticks that a person can read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import copysign, log10
from statistics import quantiles
from typing import Any

from lanewise.formatting.ticks import log_ticks, round_ticks
from lanewise.reporting.words import finite

# Beyond these a span overflows, or loses its digits: such values stand at the end of the axis.
_LARGE, _SMALL = 1e300, 1e-280


def _within(value: float) -> float:
    """The value, less far from zero than ``_LARGE`` and, unless it is zero, farther than ``_SMALL``."""
    return copysign(min(_LARGE, max(_SMALL, abs(value))), value) if value else 0.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis from ``low`` to ``high``; ``at`` gives 0 at the low end and 1 at the high end."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value as a fraction of the axis, pinned to just outside it where it lies beyond."""
        if self.log:
            if value <= 0:
                return -0.1
            low, high, here = log10(self.low), log10(self.high), log10(_within(value))
        else:
            low, high, here = self.low, self.high, _within(value)
        return min(1.1, max(-0.1, (here - low) / (high - low)))

    def covers(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, count: int = 5) -> tuple[float, ...]:
        """About ``count`` round values inside the axis, in order."""
        return (log_ticks(self.low, self.high, count) if self.log else ()) or round_ticks(self.low, self.high, count)


def scale_of(values: Iterable[Any], *, pad: float = 0.06, log: bool = False, whole: Sequence[float] = ()) -> Scale:
    """The scale that holds all finite values (and those of ``whole``) with a little air at both ends.

    Equal values get room on both sides, no values at all give 0 to 1.
    """
    known = [_within(value) for value in map(finite, [*values, *whole]) if value is not None and (not log or value > 0)]
    if not known:
        return Scale(low=0.1 if log else 0.0, high=1.0, log=log)
    low, high = min(known), max(known)
    if log:
        ratio = max(10 ** min(3.0, pad * (log10(high) - log10(low))), 1.2 if high > low else 2.0)
        return Scale(low=low / ratio, high=high * ratio, log=True)
    if high - low < max(_SMALL, abs(high) * 1e-9):
        room = max(abs(high) * 0.05, _SMALL) if high else 1.0
        return Scale(low=low - room, high=high + room)
    room = (high - low) * pad
    return Scale(low=low - room, high=high + room)


def without_outliers(
    values: Iterable[Any], *, keep: Iterable[Any], worse_is_high: bool, deciles: int = 9
) -> list[float]:
    """The finite values, less those so bad that they would flatten the rest of a chart.

    Values of ``keep`` (the winner, the default) always stay. A value goes when it is worse than so many deciles of
    all by more than a quarter of the spread up to there.
    """
    known = sorted(value for value in map(finite, values) if value is not None)
    kept = [value for value in map(finite, keep) if value is not None]
    if len(known) < 5:
        return [*known, *kept]
    edges = quantiles(known, n=10)
    if worse_is_high:
        edge = edges[deciles - 1]
        return [value for value in known if value <= edge + (edge - known[0]) * 0.25] + kept
    edge = edges[9 - deciles]
    limit = edge - (known[-1] - edge) * 0.25
    return [value for value in known if value >= limit] + kept


MOST_OUTSIDE = 0.02
"""Share of the points that may lie outside of axes that are drawn for the bulk of them."""
FEWEST_FOR_ONE = 20
"""Points of which at the least one may lie outside."""
WORTH_CUTTING = 2 / 3
"""Share of the whole span below which that of the bulk must fall, or all points stay inside."""
AS_GOOD = 1.1
"""Factor by which the span of the bulk may be longer than the shortest for the sake of fewer points outside."""


def bulk(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The points without the few that would squeeze all others into a corner; all of them where little is gained.

    Up to one in 50 goes: some of those with the lowest numbers and some with the highest, in the parts that leave the
    shortest span, so that several of the same number far out go together.

    >>> even = [(0.01 * n,) for n in range(100)]
    >>> len(bulk([*even, (9.0,)])), len(bulk([*even, (9.0,), (9.0,)])), len(bulk(even))
    (100, 100, 100)
    """
    most = max(len(points) >= FEWEST_FOR_ONE, int(MOST_OUTSIDE * len(points)))
    places = range(len(points))
    lowest = sorted(places, key=lambda at: min(points[at]))[:most]
    highest = sorted(places, key=lambda at: -max(points[at]))[:most]

    def without(low: int, high: int) -> list[tuple[float, ...]]:
        gone = {*lowest[:low], *highest[:high]}
        return [point for at, point in enumerate(points) if at not in gone]

    shorter = [min((without(low, out - low) for low in range(out + 1)), key=_span) for out in range(most + 1)]
    spans = [_span(kept) for kept in shorter]
    if not spans[-1] < WORTH_CUTTING * spans[0]:
        return shorter[0]
    return next(kept for kept, span in zip(shorter, spans, strict=True) if span <= AS_GOOD * spans[-1])


def _span(points: Sequence[tuple[float, ...]]) -> float:
    numbers = [number for point in points for number in point]
    return max(numbers) - min(numbers) if numbers else 0.0
