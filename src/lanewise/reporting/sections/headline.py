"""What won, and how its score on the test rows compares with the default's and a guess."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isclose
from typing import Any

from lanewise.formatting.metric_labels import LOWER, metric_label
from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import scale_of
from lanewise.reporting.charts.whisker import ruler, whisker
from lanewise.reporting.reading import (
    Measure,
    commands_of,
    contest,
    default_won,
    ensemble_won,
    estimate_of,
    items,
    measure_of,
    part,
    positive_class,
    told_warnings,
    verdict_of,
    winner_settings,
)
from lanewise.reporting.words import as_sentence, axis_words, count, duration, finite, listing, number

CONTENDERS = (("winner", "Winner"), ("default", "Default"), ("dummy", "Guessing"))
ADVICE = {"To try:": "Try", "To check:": "Check"}
"""How advice begins, in the section on the fit and at the head."""
UNSOUND = {
    "overfit": "It knows its training rows too well",
    "underfit": "It learned too little",
}
"""Verdicts of the diagnosis that ask for more to be done, in words."""
MOST_ADVICE = 2
"""Lines of advice at the head of the report; the section on the fit has all."""
SAME = {"recall_macro": "balanced_accuracy"}
"""Metrics that are another unless a class is predicted of which there is no row; a table needs them but once."""
GIVEN_TO_A_GUESS = frozenset({"ece", "recall"})
"""Metrics that one answer for all rows may have best without knowing anything: the share of a class is calibrated, and
who always says yes misses none. A guess takes no part in them."""


def build(document: Mapping[str, Any]) -> dict[str, Any]:
    """The head of the report; the only section that every document has."""
    measure = measure_of(document)
    summary = [str(line) for line in items(document, "summary")]
    leaks, warnings = told_warnings(document)
    return {
        "heading": verdict_of(document),
        "standfirst": summary[1:],
        "made": written_date(str(document.get("created") or "")),
        "facts": _facts(document),
        "measure": measure,
        "test_rows": number(part(document, "rows").get("test"), 12) if part(document, "rows").get("test") else "",
        "contest": _contest(document, measure),
        "other": _other_metrics(document, measure),
        "winner": part(document, "winner"),
        "settings": [] if ensemble_won(document) else winner_settings(document),
        "members": winner_settings(document) if ensemble_won(document) else [],
        "default": part(document, "default"),
        "default_won": default_won(document),
        "next": _next(document),
        "leaks": [as_sentence(line) for line in leaks],
        "warnings": [as_sentence(line) for line in warnings],
    }


def _next(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why more should be done, what the diagnosis advises to try or to check, and how to use the model."""
    found = part(document, "diagnosis")
    todo = []
    for line in map(str, items(found, "advice")):
        for prefix, verb in ADVICE.items():
            if line.startswith(prefix):
                todo.append(f"{verb}{line.removeprefix(prefix)}")
    commands = commands_of(document)
    why = UNSOUND.get(str(found.get("verdict")), "") if todo else ""
    return {"why": why, "advice": todo[:MOST_ADVICE], "commands": commands} if todo or commands else None


def written_date(stamp: str) -> str:
    """An ISO time as people write it, or the stamp itself where it is not one.

    >>> written_date("2026-11-21T14:03:09Z")
    '21 November 2026, 14:03 UTC'
    """
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M}{'' if moment.tzinfo is None else ' UTC'}"


def contenders(document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Who was judged on the test rows: key, name and scores."""
    baselines = part(document, "baselines")
    scores = {
        "winner": part(document, "test"),
        "default": {} if default_won(document) else part(baselines, "default"),
        "dummy": part(baselines, "dummy"),
    }
    return [(key, name, scores[key]) for key, name in CONTENDERS if scores[key]]


def _contest(document: Mapping[str, Any], measure: Measure) -> dict[str, Any] | None:
    names = dict(CONTENDERS)
    judged = [(key, scores) for key, _, scores in contenders(document)]
    found = [(key, names[key], shown) for key, shown in contest(measure, judged)]
    if not found:
        return None
    scale = scale_of([shown[end] for _, _, shown in found for end in ("value", "low", "high")], pad=0.08)
    default = part(document, "default")
    details = {
        "winner": part(document, "winner").get("label"),
        "default": default.get("label"),
        "dummy": "one answer for every row",
    }
    rows = [
        {
            "tone": key,
            "name": name,
            "detail": details[key],
            "note": f"since {default['why']}" if key == "default" and default.get("why") else "",
            "shown": shown,
            "chart": whisker(
                scale=scale,
                value=shown["value"],
                low=shown["low"],
                high=shown["high"],
                tone=key,
                label=f"{name}: {shown['words']}, {shown['interval']}",
            ),
        }
        for key, name, shown in found
    ]
    sure = any(shown["interval"] for _, _, shown in found)
    return {"rows": rows, "sure": sure, "axis": ruler(Axis(scale=scale, written=axis_words(measure.name)))}


def _other_metrics(document: Mapping[str, Any], measure: Measure) -> dict[str, Any] | None:
    judged = contenders(document)
    tested = part(document, "test")
    twins = {same for same, first in SAME.items() if all(_equal(scores, same, first) for _, _, scores in judged)}
    names = [name for name in tested if name != measure.name and name not in twins]
    if not names:
        return None
    rows = []
    for name in names:
        other = Measure(name=name, minimise=False)
        digits = other.digits([part(judged[0][2], name)])
        shown = [estimate_of(other, scores, digits=digits) for _, _, scores in judged]
        rivals = [key != "dummy" or name not in GIVEN_TO_A_GUESS for key, _, _ in judged]
        rows.append({"label": metric_label(name), "cells": list(zip(shown, _best(name, shown, rivals), strict=True))})
    columns = [(key, name) for key, name, _ in judged]
    unjudged = [metric_label(name) for name in names if name in GIVEN_TO_A_GUESS and part(judged[-1][2], name)]
    return {
        "columns": columns,
        "rows": rows,
        "positive": positive_class(document),
        "bold": any(best for row in rows for _, best in row["cells"]),
        "unjudged": listing(unjudged) if columns[-1][0] == "dummy" else "",
    }


def _equal(scores: Mapping[str, Any], one: str, other: str) -> bool:
    """Whether two metrics have the same value among the scores; unknown ones have."""
    first, second = (finite(part(scores, name).get("value")) for name in (one, other))
    return first == second if first is None or second is None else isclose(first, second, rel_tol=1e-9)


def _best(metric: str, shown: Sequence[dict[str, Any] | None], rivals: Sequence[bool]) -> list[bool]:
    """Which scores of ``rivals`` are the best of their row, to the digits shown; none where all are alike or one is."""
    known = [one for one, takes_part in zip(shown, rivals, strict=True) if one and takes_part]
    better = min if metric in LOWER else max
    words = better(known, key=lambda one: one["value"])["words"] if known else ""
    alike = [
        takes_part and one is not None and one["words"] == words for one, takes_part in zip(shown, rivals, strict=True)
    ]
    return alike if sum(alike) < len(known) else [False] * len(shown)


def _facts(document: Mapping[str, Any]) -> list[str]:
    facts = [count(document["candidates"], "candidate")] if document.get("candidates") else []
    lanes, raced = int(finite(document.get("lanes")) or 0), len(items(part(document, "race"), "curves"))
    if lanes:
        facts.append(count(raced or lanes, "lane"))
    if 0 < raced < lanes:
        facts.append(f"{count(lanes - raced, 'training')} on all rows")
    rows = part(document, "rows")
    uses = (("train", "to train"), ("test", "to test"), ("set_aside", "set aside"))
    known = [f"{int(rows[key]):,} {words}" for key, words in uses if rows.get(key)]
    if known:
        facts.append(f"rows: {listing(known)}")
    if document.get("seconds") is not None:
        facts.append(duration(document["seconds"]))
    return facts
