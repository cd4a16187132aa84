"""Permutation importance: how much worse the score gets when one column is shuffled."""

from collections.abc import Mapping
from typing import Any

from lanewise.plain_text import shorten
from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.whisker import bar, ruler
from lanewise.reporting.reading import Measure, items, measure_of, part
from lanewise.reporting.words import count, decimals, finite, rounded

SHOWN = 15


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bars with whiskers, the most important column first."""
    found = [one for one in items(document, "importance") if finite(one.get("value")) is not None]
    if not found:
        return None
    measure = measure_of(document)
    found.sort(key=lambda one: -one["value"])
    ends = [one.get(end) for one in found for end in ("value", "low", "high")]
    scale = _scale(ends)
    rows = [_row(one, measure, scale) for one in found]
    return {
        "heading": _heading(found),
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:],
        "axis": ruler(Axis(scale=scale, count=5)),
        "measure": measure,
        "selection": part(document, "selection").get("words"),
    }


def _scale(ends: list[Any]) -> Scale:
    known = [value for value in map(finite, ends) if value is not None]
    scale = scale_of(known, whole=(0.0,), pad=0.04)
    return Scale(low=0.0, high=scale.high) if min(known) >= 0 and scale.high > 0 else scale


def _heading(found: list[Mapping[str, Any]]) -> str:
    sure = [one for one in found if (finite(one.get("low")) or 0.0) > 0]
    if not sure:
        return "No column surely matters on its own"
    first = f"“{shorten(sure[0]['column'], 40)}”"
    if sure[0] is found[0]:
        return f"{first} matters most"
    if len(sure) == 1:  # others have longer bars, whose intervals reach zero
        return f"Only {first} surely matters"
    return f"{first} and {count(len(sure) - 1, 'other')} surely matter"


def _row(one: Mapping[str, Any], measure: Measure, scale: Scale) -> dict[str, Any]:
    low, high = finite(one.get("low")), finite(one.get("high"))
    shown = measure.estimate(one["value"], low, high)
    small = low is not None and low <= 0
    digits = decimals(None if low is None or high is None else (high - low) / 2, fallback=one["value"])
    words = rounded(one["value"], digits)
    between = f"{rounded(low, digits)} to {rounded(high, digits)}" if low is not None and high is not None else ""
    tone = "unsure" if small else "winner"
    ends = {end: shown[end] for end in ("value", "low", "high")}
    return {
        "name": one.get("column"),
        "words": words,
        "interval": between,
        "unsure": small,
        "chart": bar(scale=scale, **ends, tone=tone, label=f"{words}, {between}"),
    }
