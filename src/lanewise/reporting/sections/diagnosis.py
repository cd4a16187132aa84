"""Training against validation: does the winner fit too little, well, or too much."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lanewise.reporting.charts.fit import fit, mean_curves
from lanewise.reporting.reading import items, measure_of, part
from lanewise.reporting.sections.headline import UNSOUND
from lanewise.reporting.words import difference, finite, percent, score

ENDS = ("training", "validation")


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The winner's two curves with the verdict and the advice."""
    measure = measure_of(document)
    found = part(document, "diagnosis")
    curves = [one for one in items(part(document, "race"), "curves") if one.get("status") == "winner"]
    # Both curves are of the same lanes, and those of the screen end before the others, or have no training scores.
    curves = [one for one in curves if one.get("phase") != "screen"] or curves
    winner = {one.get("candidate") for one in curves}
    whole = [one for one in items(part(document, "race"), "judged") if one.get("candidate") in winner]
    curves = whole or [one for one in curves if any(finite(x) is not None for x in items(one, "train"))]
    train, valid = mean_curves(curves)
    if not found and not (train and valid):
        return None
    chart = None
    if train and valid:
        names = {"metric": measure.name, "metric_label": measure.label, "minimise": measure.minimise}
        chart = fit(train=train, valid=valid, stop=_stop(found), **names)
    ends = finite(found.get("train")), finite(found.get("valid"))
    if not found and train and valid:
        ends = train[-1][1], valid[-1][1]
    gap = None if ends[0] is None or ends[1] is None else ends[1] - ends[0]
    heading, words = _heading_and_words(found)
    return {
        "heading": heading,
        "verdict": found.get("verdict"),
        "words": words,
        "advice": [str(line) for line in items(found, "advice")],
        "chart": chart,
        "shown": "validation as on the leaderboard" if whole else "mean of its lanes",
        "ends": _ends(measure.name, ends, gap) if chart is not None or not found.get("words") else [],
        "where": _where(found, chart),
        "corrected": bool(found) and chart is not None and len(items(part(document, "race"), "leaderboard")) > 1,
        "gap": _gap(measure.name, ends[0], ends[1]),
        "measure": measure,
    }


def _heading_and_words(found: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict in a sentence, and what else there is to say; that of a sound fit is the first sentence itself."""
    verdict, words = str(found.get("verdict")), str(found.get("words") or "")
    if verdict == "good" and words:
        heading, _, rest = words.partition(". ")
        return heading.removesuffix("."), rest
    return UNSOUND.get(verdict, "Training and validation of the winner"), words


def _stop(found: Mapping[str, Any]) -> float | None:
    """The share of the full length at which the training was stopped early; None where it ran to its end."""
    stop = finite(found.get("stop"))
    return stop if stop is not None and 0 < stop < 1 else None


def _where(found: Mapping[str, Any], chart: Markup | None) -> str:
    """What the scores below the chart belong to."""
    stop = _stop(found)
    if stop is not None:
        return f"Where it was stopped, at {percent(stop, 0)} of the full length"
    return "At the end" if chart is not None and ("stop" in found or not found) else "Its scores"


def _gap(metric: str, train: float | None, valid: float | None) -> str:
    """The gap between both scores, to the digits of their difference."""
    return "" if train is None or valid is None else difference(metric, valid - train, (valid - train) / 10)


def _ends(metric: str, ends: tuple[float | None, float | None], gap: float | None) -> list[tuple[str, str]]:
    """Where both curves end, to the digits in which the gap shows; nothing without a gap."""
    if gap is None:
        return []
    room = abs(gap) / 10
    known = [(name, end) for name, end in zip(ENDS, ends, strict=True) if end is not None]
    return [(name, score(metric, end, end - room, end + room)) for name, end in known]
