"""Quality against size and time: candidates that cost less than any better one."""

from collections.abc import Mapping
from typing import Any

from lanewise.formatting.labels import told_apart
from lanewise.reporting.reading import Measure, items, measure_of, part, settings_of
from lanewise.reporting.words import count, difference, duration, finite, number
from lanewise.statistics import pareto_front

COSTS = ("weights", "seconds")


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Candidates on the front of score against weights or time; nothing where the best is also the cheapest."""
    measure = measure_of(document)
    found = [one for one in items(part(document, "race"), "tradeoffs") if isinstance(one, Mapping)]
    known = [one for one in found if all(finite(one.get(key)) is not None for key in ("score", *COSTS))]
    if len({finite(one.get("weights")) for one in known}) < 2:
        return None  # all of one size: their time differs by what else the machine did
    sign = 1.0 if measure.minimise else -1.0
    losses = [sign * float(one["score"]) for one in known]
    fronts = [pareto_front(losses, [float(one[key]) for one in known]) for key in COSTS]
    places = [place for place in range(len(known)) if any(front[place] for front in fronts)]
    if len(places) < 2:
        return None
    digits = measure.digits(known, key="score")
    labels = told_apart((str(one.get("label") or one.get("id")), part(one, "hyperparameters")) for one in known)
    rows = [_row(known[place], labels[place], measure, digits) for place in places]
    rows.sort(key=lambda row: row["order"])
    others = sum(row["status"] != "winner" for row in rows)
    return {"heading": f"{count(others, 'candidate')} beside the winner for less", "rows": rows, "measure": measure}


def _row(one: Mapping[str, Any], label: str, measure: Measure, digits: int | None) -> dict[str, Any]:
    gap = finite(one.get("difference"))
    return {
        "order": finite(one.get("weights")) or 0.0,
        "label": label,
        "settings": settings_of(one),
        "status": str(one.get("status") or ""),
        "shown": measure.estimate(one.get("score"), one.get("low"), one.get("high"), digits=digits),
        "gap": difference(measure.name, gap, one.get("standard_error")) if gap else "",
        "error": difference(measure.name, one.get("standard_error"), one.get("standard_error")),
        "worse": gap is not None and (gap > 0) == measure.minimise,
        "tie": bool(one.get("tie")) and one.get("status") != "winner",
        "weights": number(one.get("weights"), 12),
        "seconds": duration(one.get("seconds")),
    }
