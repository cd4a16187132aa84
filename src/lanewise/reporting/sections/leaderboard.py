"""The leaderboard: every candidate with its interval, and which of them the evidence cannot tell apart."""

from collections.abc import Mapping
from math import inf
from typing import Any

from lanewise.formatting.labels import told_apart
from lanewise.formatting.plain_text import shorten
from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale, scale_of, without_outliers
from lanewise.reporting.charts.whisker import ruler, whisker
from lanewise.reporting.reading import Measure, ensemble_won, items, measure_of, part, settings_of
from lanewise.reporting.sections.race import SHOWN, STATUS_WORDS
from lanewise.reporting.words import axis_words, count, difference, duration, finite


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The candidates in order; those after the first dozen wait behind a click."""
    found = [one for one in items(part(document, "race"), "leaderboard") if isinstance(one, Mapping)]
    if not found:
        return None
    measure = measure_of(document)
    mixed = ensemble_won(document)
    scale = _scale(found, measure)
    digits = measure.digits(found[:SHOWN], key="score")
    labels = told_apart((str(one.get("label") or one.get("id")), part(one, "hyperparameters")) for one in found)
    best, first = _best(found), min(found, key=lambda one: finite(one.get("rank")) or inf)
    rows = [
        {
            **_row(one, measure, scale, digits, apart=one is not best),
            "label": label,
            "default": one.get("id") is not None and one.get("id") == part(document, "default").get("id"),
        }
        for one, label in zip(found, labels, strict=True)
    ]
    return {
        "heading": _heading(found, labels[found.index(best)], mixed=mixed),
        "rival": "single choice" if mixed else "winner",
        "best": "single one that would have won" if mixed else "winner",
        "other": "" if first is best else labels[found.index(first)],
        "mixed": mixed,
        "sure": any(row["shown"]["interval"] for row in rows),
        "judged": document.get("judged") or "Cross-validated",
        "rows": rows[:SHOWN],
        "more": rows[SHOWN:],
        "axis": ruler(Axis(scale=scale, written=axis_words(measure.name), count=4), room=28)
        if _scored(found)
        else None,
        "measure": measure,
    }


def _scored(found: list[Mapping[str, Any]]) -> bool:
    return any(finite(one.get("score")) is not None for one in found[:SHOWN])


def _best(found: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The candidate that the others are compared with: the winner, or the best single one where an ensemble won."""
    winners = [one for one in found if one.get("status") == "winner"]
    level = [one for one in found if finite(one.get("difference")) == 0 and one.get("tie")]
    return next(iter([*winners, *level]), min(found, key=lambda one: finite(one.get("rank")) or inf))


def _heading(found: list[Mapping[str, Any]], best: str, *, mixed: bool) -> str:
    ties = sum(1 for one in found if one.get("tie") and one.get("status") != "winner")
    if len(found) == 1:
        return "One candidate"
    if mixed:  # the evidence is about single candidates, none of which won
        return f"The ensemble won; without it, {shorten(best, 48)} would have"
    if not ties:
        return f"The winner stands clear of {count(len(found) - 1, 'other')}"
    verb = "does" if ties == 1 else "do"
    return f"{count(ties, 'candidate')} {verb} as well as the winner, as far as the evidence tells"


def _scale(found: list[Mapping[str, Any]], measure: Measure) -> Scale:
    """The scale of the rows in sight; a very bad candidate sits at its end rather than squeezing the others."""
    first = found[:SHOWN]
    ends = [one.get(end) for one in first for end in ("low", "high")]
    scores = [one.get("score") for one in first]
    return scale_of(without_outliers(ends + scores, keep=scores[:3], worse_is_high=measure.minimise), pad=0.05)


def _row(one: Mapping[str, Any], measure: Measure, scale: Scale, digits: int | None, *, apart: bool) -> dict[str, Any]:
    shown = measure.estimate(one.get("score"), one.get("low"), one.get("high"), digits=digits)
    status = str(one.get("status") or "")
    gap = finite(one.get("difference"))
    ends = {end: shown[end] for end in ("value", "low", "high")}
    tone = status if status in ("winner", "default") else "tie" if one.get("tie") else ""
    return {
        "rank": one.get("rank"),
        "settings": settings_of(one),
        "status": status,
        "status_words": STATUS_WORDS.get(status, status),
        "tie": bool(one.get("tie")) and apart,
        "shown": shown,
        "gap": difference(measure.name, gap, one.get("standard_error")) if gap else "",
        "error": difference(measure.name, one.get("standard_error"), one.get("standard_error")),
        "worse": gap is not None and (gap > 0) == measure.minimise,
        "seconds": duration(one.get("seconds")),
        "chart": whisker(scale=scale, **ends, tone=tone, label=f"{shown['words']}, {shown['interval']}"),
    }
