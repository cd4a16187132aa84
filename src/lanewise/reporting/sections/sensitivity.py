"""Learning rates: which were tried with each optimizer, and how far they got."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lanewise.reporting.charts.sensitivity import Series, panels, series_of
from lanewise.reporting.reading import Measure, ensemble_won, items, measure_of, part
from lanewise.reporting.words import count, finite, rate_words, score

SHOWN = 9
ENOUGH = 3
"""Rates from which a panel shows more than its note says; panels with fewer wait behind a click."""
RATES = ("lr", "learning_rate")


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """A panel for each optimizer and model: the winner's first, then by their best score."""
    measure = measure_of(document)
    found = series_of([one for one in items(part(document, "race"), "sensitivity") if isinstance(one, Mapping)])
    if not any(_tried(one) >= ENOUGH for one in found):
        return None  # two dots are no picture
    sign = 1 if measure.minimise else -1
    series = [replace(one, rate=_winning_rate(document, one)) for one in found]
    series.sort(key=lambda one: (one.rate is None, sign * one.best(minimise=measure.minimise)[1]))
    charts = panels(series, metric=measure.name, metric_label=measure.label, minimise=measure.minimise)
    shown = [
        {
            "name": _names(one)[0],
            "of": _names(one)[1],
            "rate": rate_words(one.best(minimise=measure.minimise)[0], 2),
            "score": _score(measure.name, one.best(minimise=measure.minimise)),
            "own": _own(measure, one),
            "won": "" if one.rate is None else rate_words(one.rate, 2),
            "lost": count(len(one.lost), "rate") + " diverged" if one.lost else "",
            "look": one.look,
            "rates": _tried(one),
            "chart": chart,
        }
        for one, chart in zip(series, charts, strict=True)
    ]
    telling = [one for one in shown if one["won"] or one["rates"] >= ENOUGH][:SHOWN]
    rest = [one for one in shown if one not in telling]
    same = len({one.look for one in series}) == 1
    return {
        "heading": _heading(document, series),
        "edge": str((_edge(document) or {}).get("words") or ""),
        "panels": telling,
        "more": rest,
        "measure": measure,
        "lost": any(one.lost for one in series),
        "won": any(one["won"] for one in shown),
        "look": series[0].look if same else "",
        "looks": "" if same else "yes",
        "spread": any(low < high for one in series for _, _, low, high in one.points),
    }


def _winning_rate(document: Mapping[str, Any], one: Series) -> float | None:
    """The winner's learning rate, if this is its family; None for an ensemble, which has several or none."""
    winner = part(document, "winner")
    if ensemble_won(document) or (winner.get("model"), winner.get("optimizer")) != (one.model, one.optimizer):
        return None
    rates = (finite(part(winner, "hyperparameters").get(name)) for name in RATES)
    return next((rate for rate in rates if rate is not None), None)


def _own(measure: Measure, one: Series) -> str:
    """The score at the winner's rate, where another rate did better here, in words."""
    point = one.of_winner(minimise=measure.minimise)
    return "" if point is None else f"{_score(measure.name, point)} at the winner's {rate_words(point[0], 2)}"


def _tried(one: Series) -> int:
    return len(one.points) + len(one.lost)


def _edge(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is known of the winner's rate being the largest or smallest of those tried."""
    found = (one for one in items(part(document, "race"), "edges") if isinstance(one, Mapping))
    return next((one for one in found if one.get("setting") in RATES), None)


def _names(one: Series) -> tuple[str, str]:
    """What a panel is called, and what is said beside: boosting is no optimizer that anybody would choose."""
    if one.optimizer in ("", "boosting"):
        return one.model, ""
    return one.optimizer, one.model


def _heading(document: Mapping[str, Any], series: list[Series]) -> str:
    first = series[0]
    if first.rate is not None:
        won = f"{_names(first)[0]} won with a learning rate of {rate_words(first.rate, 2)}"
        edge = _edge(document)
        if edge is not None:
            return f"{won}, the {edge.get('side')} of {edge.get('tried')} tried"
        return f"{won}, of {count(_tried(first), 'rate')} tried"
    if part(document, "winner") and not ensemble_won(document):
        rates = [part(document, "winner", "hyperparameters").get(name) for name in RATES]
        if any(finite(rate) is not None for rate in rates):
            return "The winner's optimizer was tried at one rate only; these at more"
        return "The winner has no learning rate; these have"
    return "The learning rates that were tried"


def _score(metric: str, best: tuple[float, float, float, float]) -> str:
    """The best score of a panel: to the digits of its interval, or to three where it has none."""
    _, value, low, high = best
    return score(metric, value, low, high) if low < high else score(metric, value, value * 0.98, value * 1.02)
