"""The race: every lane's curve, who was dropped when, and how the time was spent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lanewise.reporting.charts.race import Lane, Verdict, lanes_of, means_of, race, wholes_of
from lanewise.reporting.reading import Measure, ensemble_won, items, measure_of, part
from lanewise.reporting.words import count, duration, finite, listing, percent

STATUS_WORDS = {
    "winner": "winner",
    "member": "in the ensemble",
    "default": "default",
    "confirmed": "trained in full",
    "pruned": "dropped on the way",
    "diverged": "diverged",
}

JUDGED_WORDS = {"member": "the ensemble's members"}
"""How those are called that were judged, where it is not by their status."""

SHOWN = 12
"""Candidates that the leaderboard shows at once; their scores are written with the digits that suit most of them."""


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
    wholes = wholes_of([one for one in items(found, "judged") if isinstance(one, Mapping)], lanes)
    strong, chart = wholes or means_of(lanes), None
    verdicts, ensemble = _verdicts(document, measure) if wholes else ({}, None)
    if any(len(lane.points) > 1 for lane in lanes):
        chart = race(
            lanes,
            metric=measure.name,
            metric_label=measure.label,
            minimise=measure.minimise,
            wholes=wholes,
            verdicts=verdicts,
            ensemble=ensemble,
        )
    return {
        "heading": _heading(len(lanes), tally),
        "chart": chart,
        "note": _note(strong, wholes=bool(wholes), dropped=bool(tally["pruned"])),
        "legend": [(status, words, tally[status]) for status, words in STATUS_WORDS.items() if tally[status]],
        "judged": _judged(strong, verdicts),
        "optimizers": _optimizers([lane.optimizer for lane in lanes]),
        "phases": phases,
        "events": events,
        "order": found.get("order"),
        "rungs": [str(line) for line in items(found, "rungs")],
        "plan": [str(line) for line in items(found, "plan")],
        "measure": measure,
    }


def _note(strong: Sequence[Lane], *, wholes: bool, dropped: bool) -> str:
    """What lines and dots of the chart are."""
    lines = []
    if wholes:
        lines.append(
            "A strong line is a whole candidate, as the leaderboard scores it: the mean prediction of its seeds, on "
            "all rows that judge. Thin lines are single lanes."
        )
    elif strong:
        lines.append("Strong lines are means over the lanes of a candidate.")
    if dropped:
        lines.append("Dots mark where a lane was dropped.")
    return " ".join(lines)


def _verdicts(document: Mapping[str, Any], measure: Measure) -> tuple[dict[str, Verdict], Verdict | None]:
    """Where candidates were judged and by which score, by id, as the leaderboard has it; the ensemble if it won."""
    board = items(part(document, "race"), "leaderboard")
    digits = measure.digits(board[:SHOWN], key="score")
    found = {}
    for one in board:
        stop, shown = (
            finite(one.get("stop")),
            measure.estimate(one.get("score"), one.get("low"), one.get("high"), digits=digits),
        )
        if stop is not None and shown["value"] is not None and 0 < stop <= 1:
            found[str(one.get("id"))] = Verdict(stop=stop, score=shown["value"], words=shown["words"])
    mixed = measure.estimate(part(document, "ensemble").get("score"), digits=digits)
    if not ensemble_won(document) or mixed["value"] is None:
        return found, None
    return found, Verdict(stop=1.0, score=mixed["value"], words=mixed["words"])


def _judged(strong: Sequence[Lane], verdicts: Mapping[str, Verdict]) -> str:
    """Where those that stand out were judged, in words: ``winner at 40%``."""
    stops: dict[str, list[float]] = {}
    for line in strong:
        if line.candidate in verdicts:
            who = JUDGED_WORDS.get(line.status, line.status)
            stops.setdefault(who, []).append(verdicts[line.candidate].stop)
    found = [f"{who} at {_between(own)}" for who, own in stops.items()]
    return listing(sorted(found, key=lambda words: not words.startswith("winner")))


def _between(shares: Sequence[float]) -> str:
    first, last = (percent(share, 0) for share in (min(shares), max(shares)))
    return first if first == last else f"{first} to {last}"


def _heading(lanes: int, tally: Counter[str]) -> str:
    if not lanes:
        return "How the time was spent"
    started = f"{count(lanes, 'lane')} started"
    if not (tally["pruned"] or tally["diverged"]):
        return f"{started}, and all were trained in full" if lanes > 1 else "One lane, trained in full"
    parts = [f"{tally['pruned']:,} dropped on the way"] if tally["pruned"] else []
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
