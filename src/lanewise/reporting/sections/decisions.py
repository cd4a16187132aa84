"""What made the difference: what was chosen over what, and by how many standard errors."""

from collections.abc import Mapping
from typing import Any

from lanewise.certainty import TIE, errors_shown
from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.whisker import ruler, whisker
from lanewise.reporting.reading import Measure, items, measure_of, part, setting
from lanewise.reporting.words import axis_words, count, difference, finite, number, percent


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Decisions, the effect of each hyper-parameter, and the ensemble that was tried."""
    measure = measure_of(document)
    decisions = [one for one in items(part(document, "race"), "decisions") if one]
    effects = _effects(items(document, "effects"), measure)
    ensemble = _ensemble(part(document, "ensemble"), measure)
    if not (decisions or effects or ensemble):
        return None
    trace = _trace(decisions, measure)
    return {
        "heading": _heading(decisions, effects),
        "trace": trace,
        "effects": effects,
        "ensemble": ensemble,
        "measure": measure,
    }


def _heading(decisions: list[Mapping[str, Any]], effects: list[dict[str, Any]]) -> str:
    if not decisions:
        return f"{effects[0]['name']} moved the score most" if effects else "An ensemble was tried"
    clear = [one for one in decisions if (finite(one.get("standard_errors")) or 0) > TIE]
    if len(clear) == len(decisions):
        return "The evidence decided every choice" if len(clear) > 1 else "The evidence decided the choice"
    if not clear:
        return "Too close to call: the simpler choice was kept"
    verb = "was" if len(clear) == 1 else "were"
    return f"{len(clear)} of {count(len(decisions), 'choice')} {verb} decided by the evidence, the rest too close"


def _trace(decisions: list[Mapping[str, Any]], measure: Measure) -> dict[str, Any] | None:
    if not decisions:
        return None
    steps = [finite(one.get("standard_errors")) for one in decisions]
    scale = scale_of([step for step in steps if step is not None], whole=(0.0, TIE * 2), pad=0.05)
    rows = []
    for one, step in zip(decisions, steps, strict=True):
        tie = step is not None and step <= TIE
        rows.append(
            {
                "question": one.get("question"),
                "chosen": one.get("chosen"),
                "over": one.get("over"),
                "verdict": one.get("verdict"),
                "gain": difference(measure.name, one.get("difference")),
                "better": (finite(one.get("difference")) or 0) >= 0,
                "steps": number(step) if step is None else errors_shown(step),
                "tie": tie,
                "chart": whisker(
                    scale=scale,
                    value=step,
                    low=0.0 if step is not None else None,
                    high=step,
                    tone="tie" if tie else "winner",
                    zone=(0.0, TIE),
                    label="unknown" if step is None else f"{errors_shown(step)} standard errors",
                ),
            }
        )
    return {"rows": rows, "axis": ruler(Axis(scale=scale, count=6), note="Standard errors.")}


def _effects(found: Any, measure: Measure) -> list[dict[str, Any]]:
    shown = [effect for effect in (_effect(one, measure) for one in found) if effect]
    return sorted(shown, key=lambda effect: -abs(effect["size"]))


def _effect(one: Mapping[str, Any], measure: Measure) -> dict[str, Any] | None:
    values = [value for value in items(one, "values") if finite(value.get("score")) is not None]
    if len(values) < 2:
        return None
    scale = scale_of([value.get(end) for value in values for end in ("score", "low", "high")], pad=0.08)
    pick = min if measure.minimise else max
    best = pick(values, key=lambda value: value["score"])
    digits = measure.digits(values, key="score")
    return {
        "name": str(one.get("hyperparameter") or ""),
        "gain": difference(measure.name, one["gain"]) if finite(one.get("gain")) is not None else "",
        "size": finite(one.get("gain")) or 0.0,
        "rows": [_value(value, measure, scale, digits, best=value is best) for value in values],
        "axis": ruler(Axis(scale=scale, written=axis_words(measure.name), count=3)),
    }


def _value(
    value: Mapping[str, Any], measure: Measure, scale: Scale, digits: int | None, *, best: bool
) -> dict[str, Any]:
    shown = measure.estimate(value["score"], value.get("low"), value.get("high"), digits=digits)
    words = setting(value.get("value"))
    ends = {end: shown[end] for end in ("value", "low", "high")}
    tone = "winner" if best else ""
    return {
        "words": words,
        "shown": shown,
        "best": best,
        "chart": whisker(scale=scale, **ends, tone=tone, label=f"{words}: {shown['words']}"),
    }


def _ensemble(found: Mapping[str, Any], measure: Measure) -> dict[str, Any] | None:
    members = [one for one in items(found, "members") if one]
    if not members:
        return None
    score, error = finite(found.get("score")), finite(found.get("standard_error"))
    ends = (score - error, score + error) if score is not None and error else (None, None)
    return {
        "members": [{"label": one.get("label"), "weight": percent(one.get("weight"), 0)} for one in members],
        "size": count(len(members), "candidate"),
        "taken": bool(found.get("taken")),
        "shown": measure.estimate(score, *ends),
        "gain": difference(measure.name, found.get("difference"), error),
        "error": difference(measure.name, error, error),
        "better": (finite(found.get("difference")) or 0) >= 0,
    }
