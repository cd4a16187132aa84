"""What a run that was stopped, or is at work, has shown so far, for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from lanewise.formatting.labels import told_apart
from lanewise.formatting.metric_labels import metric_label
from lanewise.formatting.plain_text import clean, shorten
from lanewise.reporting.reading import items, part
from lanewise.reporting.words import capitalized, count, percent, score

MOST_SHOWN = 12
"""Candidates that are listed; the others are counted."""

PHASES = {"screen": "the screen", "confirm": "the confirmation", "refit": "the training on all rows"}


def unfinished_table(document: Mapping[str, Any], *, width: int) -> str:
    """The candidates so far as aligned plain text, the best first, and the command that goes on.

    Those of one phase stand under its name: scores of a screen, on one fold, are not those of a confirmation.
    """
    run, where = clean(document["run"]), PHASES[document["phase"]]
    stopped = document["status"] == "interrupted"
    lines = [f"Run {run} {'was stopped' if stopped else 'is at work'}, in {where}; it has no result yet."]
    cards = items(document, "candidates")
    lines += [_standing(document, cards)] if cards else []
    metric = part(document, "metric")
    name = metric.get("name") or ""
    if cards:
        better = {"min": ", less is better", "max": ", more is better"}.get(str(metric.get("direction")), "")
        what = capitalized(metric_label(name)) if name else "Score"
        lines += ["", f"{what} on validation rows so far, the mean over lanes{better}:"]
        lines += _rows(cards[:MOST_SHOWN], name, width)
        if len(cards) > MOST_SHOWN:
            lines.append(f"  and {count(len(cards) - MOST_SHOWN, 'other')}; --json has all")
    waiting = int(document["planned"]) - len(cards)
    if waiting > 0:
        lines += ["", f"Of {count(waiting, 'planned candidate')} no look is saved yet."]
    if document.get("resume"):
        lines += ["", f"  go on  {clean(document['resume'])}"]
    return "\n".join(lines) + "\n"


def _standing(document: Mapping[str, Any], cards: Sequence[Mapping[str, Any]]) -> str:
    """How many candidates are left, as far as the screen has told, and which is the best."""
    planned = max(int(document["planned"]), len(cards))
    left = document.get("left")
    confirming = sum(one["phase"] == "confirm" for one in cards)
    if left == planned:
        many = f"{count(planned, 'candidate')}, none dropped"
    elif left:
        many = f"{left} left of {count(planned, 'candidate')}"
    elif 0 < confirming < len(cards):
        many = f"{confirming} of {count(planned, 'candidate')} in the confirmation so far"
    elif len(cards) == planned:
        many = f"all {planned} candidates were looked at" if planned > 1 else "the one candidate was looked at"
    else:
        many = f"{len(cards)} of {count(planned, 'candidate')} looked at in what is saved"
    best = next((one for one in cards if one["score"] is not None), None)
    if best is None:
        return f"{capitalized(many)}; none has a score yet."
    metric = str(part(document, "metric").get("name") or "")
    return f"{capitalized(many)}; best so far: {shorten(str(best['label']), 60)}, {score(metric, best['score'])}."


def _trained(card: Mapping[str, Any]) -> str:
    """How long a candidate was trained; as a share alone where its whole length is one unit."""
    share = percent(card["trained"], 0)
    return f"{card['steps']:,} {card['unit']} ({share})" if card["steps"] else share


def _rows(cards: Sequence[Mapping[str, Any]], metric: str, width: int) -> list[str]:
    labels = told_apart((str(one["label"]), part(one, "hyperparameters")) for one in cards)
    cells = [
        (
            score(metric, one["score"]),
            _trained(one),
            f"{one['lanes']} of {one['of_lanes']}",
            f"{label}{' (the default)' if one.get('default') else ''}",
        )
        for label, one in zip(labels, cards, strict=True)
    ]
    heading = ("score", "trained", "lanes", "candidate")
    widths = [max(len(row[place]) for row in (heading, *cells)) for place in range(3)]
    room = max(12, width - sum(widths) - 8)

    def line(row: Sequence[str]) -> str:
        return f"  {row[0]:>{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {shorten(row[3], room)}"

    found, phase = [line(heading)], ""
    for one, row in zip(cards, cells, strict=True):
        if one["phase"] != phase:
            phase = str(one["phase"])
            found.append(f"{PHASES[phase].removeprefix('the ')}:")
        found.append(line(row))
    return found
