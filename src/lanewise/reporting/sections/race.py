"""The race: every lane's curve, who was dropped when, and how the time was spent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lanewise.reporting.charts.race import Lane, lanes_of, means_of, race
from lanewise.reporting.reading import items, measure_of, part
from lanewise.reporting.words import count, duration, finite, listing, percent

STATUS_WORDS = {
    "winner": "winner",
    "member": "in the ensemble",
    "default": "default",
    "confirmed": "trained in full",
    "pruned": "dropped early",
    "diverged": "diverged",
}


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Curves of all lanes, phases and events."""
    measure = measure_of(document)
    found = part(document, "race")
    lanes = lanes_of([one for one in items(found, "curves") if isinstance(one, Mapping)])
    phases = _phases(items(found, "phases"))
    events = [dict(one) for one in items(document, "events") if one]
    if not (lanes or phases or events):
        return None
    tally = Counter(lane.status for lane in lanes)
    chart = None
    stops = _stops(document)
    if any(len(lane.points) > 1 for lane in lanes):
        chart = race(lanes, metric=measure.name, metric_label=measure.label, minimise=measure.minimise, stops=stops)
    return {
        "heading": _heading(len(lanes), tally),
        "chart": chart,
        "note": "Strong lines are means over the lanes of a candidate. " * bool(means_of(lanes))
        + "Dots mark where a lane was dropped." * bool(tally["pruned"]),
        "legend": [(status, words, tally[status]) for status, words in STATUS_WORDS.items() if tally[status]],
        "judged": _judged(lanes, stops) if "ring" in (chart or "") else "",
        "optimizers": _optimizers([lane.optimizer for lane in lanes]),
        "phases": phases,
        "events": events,
        "order": found.get("order"),
        "rungs": [str(line) for line in items(found, "rungs")],
        "plan": [str(line) for line in items(found, "plan")],
        "measure": measure,
    }


def _stops(document: Mapping[str, Any]) -> dict[str, float]:
    """Where candidates were stopped, by id; nothing where all of them were judged at the end of their lines."""
    known = {str(one.get("id")): finite(one.get("stop")) for one in items(part(document, "race"), "leaderboard")}
    winner = part(document, "winner").get("id")  # of a run whose leaderboard does not tell
    known.setdefault(str(winner), None)
    if known[str(winner)] is None:
        known[str(winner)] = finite(part(document, "diagnosis").get("stop"))
    stops = {id: stop for id, stop in known.items() if stop is not None and 0 < stop <= 1}
    return stops if any(stop < 1 for stop in stops.values()) else {}


def _judged(lanes: Sequence[Lane], stops: Mapping[str, float]) -> str:
    """Where the strong lines were stopped and judged, in words."""
    found = {
        f"{STATUS_WORDS[mean.status]} at {percent(stops[mean.candidate], 0)}"
        for mean in means_of(lanes)
        if mean.candidate in stops
    }
    return listing(sorted(found, key=lambda words: not words.startswith("winner")))


def _heading(lanes: int, tally: Counter[str]) -> str:
    if not lanes:
        return "How the time was spent"
    started = f"{count(lanes, 'lane')} started"
    if not (tally["pruned"] or tally["diverged"]):
        return f"{started}, and all were trained in full" if lanes > 1 else "One lane, trained in full"
    parts = [f"{tally['pruned']:,} dropped early"] if tally["pruned"] else []
    parts += [f"{tally['diverged']:,} diverged"] if tally["diverged"] else []
    return f"{started}; {' and '.join(parts)}"


def _optimizers(names: Sequence[str]) -> list[str]:
    found = [name for name, _ in Counter(name for name in names if name).most_common()]
    return found if len(found) > 1 else []


def _phases(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = [(one, finite(one.get("seconds"))) for one in found]
    total = sum(seconds for _, seconds in known if seconds) or 1.0
    return [
        {
            "name": one.get("name"),
            "words": ", ".join(
                count(one[key], noun) for key, noun in (("candidates", "candidate"), ("lanes", "lane")) if one.get(key)
            ),
            "seconds": duration(seconds),
            "share": max(0.0, (seconds or 0.0) / total),
        }
        for one, seconds in known
    ]
