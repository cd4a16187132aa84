"""Permutation importance: how much worse the score gets when one column is shuffled."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from lanewise.formatting.plain_text import shorten
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
    looked = _looked_at(document, found)
    rows = [_row(one, measure, scale, looked) for one in found]
    return {
        "heading": _heading(found, looked),
        "looked": looked,
        "shuffled": "test" if finite(part(document, "rows").get("test")) else "training",
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:],
        "axis": ruler(Axis(scale=scale, count=5)),
        "measure": measure,
        "selection": part(document, "selection").get("words"),
        "left_out": document.get("importance_words"),
    }


def _scale(ends: list[Any]) -> Scale:
    known = [value for value in map(finite, ends) if value is not None]
    scale = scale_of(known, whole=(0.0,), pad=0.04)
    return Scale(low=0.0, high=scale.high) if min(known) >= 0 and scale.high > 0 else scale


def _looked_at(document: Mapping[str, Any], found: list[Mapping[str, Any]]) -> int:
    """How many columns could have seemed to matter by chance: those shuffled, and those left out by a first look."""
    shuffled = [one for one in found if finite(one.get("low")) != finite(one.get("high"))]
    features = [one for one in items(document, "columns") if one.get("role") == "feature"]
    return max(1, len(shuffled), len(features) if len(found) < len(features) else 0)


def _is_sure(one: Mapping[str, Any], looked: int) -> bool:
    """Above zero by an interval as wide as it takes for all columns together to err once in twenty (Bonferroni)."""
    low, high = finite(one.get("low")), finite(one.get("high"))
    if low is None or high is None:
        return False
    normal = NormalDist()
    wider = normal.inv_cdf(1 - 0.025 / looked) / normal.inv_cdf(0.975)
    return (low + high) / 2 - wider * (high - low) / 2 > 0


def _heading(found: list[Mapping[str, Any]], looked: int) -> str:
    sure = [one for one in found if _is_sure(one, looked)]
    if not sure:
        return "No column surely matters on its own"
    first = f"“{shorten(sure[0]['column'], 40)}”"
    if sure[0] is found[0]:
        return f"{first} matters most"
    if len(sure) == 1:  # others have longer bars, whose intervals reach zero
        return f"Only {first} surely matters"
    return f"{first} and {count(len(sure) - 1, 'other')} surely matter"


def _row(one: Mapping[str, Any], measure: Measure, scale: Scale, looked: int) -> dict[str, Any]:
    low, high = finite(one.get("low")), finite(one.get("high"))
    shown = measure.estimate(one["value"], low, high)
    small = low is not None and not _is_sure(one, looked)
    digits = decimals(None if low is None or high is None else (high - low) / 2, fallback=one["value"])
    words = rounded(one["value"], digits)
    between = f"{rounded(low, digits)} to {rounded(high, digits)}" if low is not None and high is not None else ""
    if one["value"] == low == high == 0:  # as of a column that the model does not read
        words, between = "0", "no change"
    tone = "unsure" if small else "winner"
    ends = {end: shown[end] for end in ("value", "low", "high")}
    return {
        "name": one.get("column"),
        "words": words,
        "interval": between,
        "unsure": small,
        "chart": bar(scale=scale, **ends, tone=tone, label=f"{words}, {between}"),
    }
