"""Learning-rate sensitivity: how much room each optimizer leaves for a wrong learning rate."""

from collections.abc import Mapping
from typing import Any

from lanewise.reporting.charts.sensitivity import panels, series_of
from lanewise.reporting.reading import items, measure_of, part
from lanewise.reporting.words import count, number, score

SHOWN = 9


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """A panel for each optimizer and model, the best first."""
    measure = measure_of(document)
    series = series_of([one for one in items(part(document, "race"), "sensitivity") if isinstance(one, Mapping)])
    if not series:
        return None
    sign = 1 if measure.minimise else -1
    series.sort(key=lambda one: sign * one.best(minimise=measure.minimise)[1])
    charts = panels(series, metric=measure.name, metric_label=measure.label, minimise=measure.minimise)
    shown = [
        {
            "optimizer": one.optimizer,
            "model": one.model,
            "rate": number(one.best(minimise=measure.minimise)[0], 2),
            "score": score(measure.name, *one.best(minimise=measure.minimise)[1:]),
            "lost": count(len(one.lost), "rate") + " diverged" if one.lost else "",
            "chart": chart,
        }
        for one, chart in zip(series, charts, strict=True)
    ]
    best = shown[0]
    return {
        "heading": f"Best: {best['optimizer'] or best['model']} at a learning rate of {best['rate']}",
        "panels": shown[:SHOWN],
        "more": shown[SHOWN:],
        "measure": measure,
    }
