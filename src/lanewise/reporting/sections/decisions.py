"""What was chosen over what, and by how many standard errors."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lanewise.formatting.certainty import TIE, errors_shown
from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale, scale_of
from lanewise.reporting.charts.whisker import ruler, whisker
from lanewise.reporting.reading import (
    SCREEN_ONLY,
    Measure,
    evidence,
    items,
    marked,
    measure_of,
    part,
    question_of,
    setting,
)
from lanewise.reporting.words import axis_words, count, difference, finite, listing, whole_percents


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Decisions, the effect of each hyper-parameter, and the ensemble that was tried."""
    measure = measure_of(document)
    decisions = [one for one in items(part(document, "race"), "decisions") if one]
    effects = _effects(items(document, "effects"), measure)
    ensemble = _ensemble(document, measure)
    if not (decisions or effects or ensemble):
        return None
    trace = _trace(decisions, measure)
    return {
        "heading": _heading(decisions, effects),
        "rest": _rest(decisions),
        "cheaper": "cheaper" if document.get("kind") == "tune" else "simpler",  # steps are counted there
        "trace": trace,
        "effects": effects,
        "ensemble": ensemble,
        "measure": measure,
    }


def _heading(decisions: list[Mapping[str, Any]], effects: list[dict[str, Any]]) -> str:
    if not decisions:
        return f"{effects[0]['name']} moved the score most" if effects else "An ensemble was tried"
    clear, close, _ = _sorted(decisions)
    if len(clear) == len(decisions):
        return "The evidence decided every choice" if len(clear) > 1 else "The evidence decided the choice"
    if not clear:
        return "Too close to call" if close else "No choice was judged on enough folds"
    verb = "was" if len(clear) == 1 else "were"
    return f"{len(clear)} of {count(len(decisions), 'choice')} {verb} decided by the evidence"


def _sorted(decisions: list[Mapping[str, Any]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Choices with clear or likely evidence, those too close, and those that no standard error judges."""
    steps = [(one, finite(one.get("standard_errors"))) for one in decisions]
    return (
        [one for one, step in steps if step is not None and step > TIE],
        [one for one, step in steps if step is not None and -TIE <= step <= TIE],
        [one for one, step in steps if step is None],
    )


def _rest(decisions: list[Mapping[str, Any]]) -> str:
    """What became of the choices that the evidence did not decide."""
    clear, close, unknown = _sorted(decisions)
    once = [one for one in unknown if str(one.get("verdict") or "").startswith(SCREEN_ONLY)]
    parts = []
    if close:
        parts.append(f"{len(close)} {'was' if len(close) == 1 else 'were'} too close to call")
    if once:
        verb = "was" if len(once) == 1 else "were"
        parts.append(f"{len(once)} {verb} seen on one fold of the screen only, which decides nothing")
    if not parts:
        return ""
    if clear and len(parts) == 1 and len(decisions) == len(clear) + len(close) + len(once):
        return f"The other {parts[0].removeprefix('1 ')}."
    return f"{'Of the others ' if clear else ''}{listing(parts)}."


def _trace(decisions: list[Mapping[str, Any]], measure: Measure) -> dict[str, Any] | None:
    if not decisions:
        return None
    steps = [finite(one.get("standard_errors")) for one in decisions]
    scale = scale_of([step for step in steps if step is not None], whole=(0.0, TIE * 2), pad=0.05)
    rows: list[dict[str, Any]] = []
    among = ""
    for one, step in zip(decisions, steps, strict=True):
        tie = step is None or -TIE <= step <= TIE
        group = str(one.get("among") or "")
        rows.append(
            {
                "group": f"Among {group}" if group and group != among else "",
                "question": question_of(one),
                "chosen": one.get("chosen"),
                "over": one.get("over"),
                "verdict": one.get("verdict") or "",
                "gain": difference(measure.name, one["difference"])
                if finite(one.get("difference")) is not None
                else "",
                "better": (finite(one.get("difference")) or 0) >= 0,
                "evidence": evidence(one),
                "tie": tie,
                "chart": None if step is None else _chart(scale, step),
            }
        )
        among = group
    return {"rows": rows, "axis": ruler(Axis(scale=scale, count=6), note="Standard errors.")}


def _chart(scale: Scale, step: float) -> Markup:
    tone = "tie" if step <= TIE else "winner"
    label = f"{errors_shown(step)} standard errors"
    return whisker(scale=scale, value=step, low=0.0, high=step, tone=tone, zone=(0.0, TIE), label=label)


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
        "axis": ruler(Axis(scale=scale, written=axis_words(measure.name), count=3), room=16),
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


def _ensemble(document: Mapping[str, Any], measure: Measure) -> dict[str, Any] | None:
    found = part(document, "ensemble")
    members = [one for one in items(found, "members") if one]
    if not members:
        return None
    weights = whole_percents([one.get("weight") for one in members])
    score, error, gain = (finite(found.get(name)) for name in ("score", "standard_error", "difference"))
    single = None if score is None or gain is None else score + gain if measure.minimise else score - gain
    low, high = (score - error, score + error) if score is not None and error else (None, None)
    digits = measure.digits_beside([{"value": score, "low": low, "high": high}, {"value": single}])
    return {
        "members": [
            {"label": marked(document, one), "weight": weight} for one, weight in zip(members, weights, strict=True)
        ],
        "size": count(len(members), "candidate"),
        "taken": bool(found.get("taken")),
        "shown": measure.estimate(score, low, high, digits=digits),
        "single": measure.estimate(single, digits=digits)["words"],
        "gain": difference(measure.name, gain, error),
        "error": difference(measure.name, error, error),
        "better": (gain or 0) >= 0,
    }
