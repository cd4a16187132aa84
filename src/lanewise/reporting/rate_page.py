"""The page of ``lanewise find-rate``: a curve of loss against learning rate for each optimizer."""

from collections.abc import Mapping
from typing import Any

from lanewise._version import __version__
from lanewise.reporting.charts.rates import panels
from lanewise.reporting.page import fill
from lanewise.reporting.words import count, number


def rate_page(document: Mapping[str, Any]) -> str:
    """One HTML page that needs no network, of the document of a rate finding."""
    curves = document["curves"]
    figures = [
        {
            "title": one["optimizer"],
            "chart": chart,
            "note": _lost(one),
        }
        for one, chart in zip(curves, panels(curves), strict=True)
    ]
    return fill(
        "finding.html",
        styles=("style.css", "finding.css"),
        scripts=("script.js",),
        title="Learning rates found by Lanewise",
        version=__version__,
        kicker=f"Learning rate, {count(sum(len(one['rates']) for one in curves), 'training')}",
        heading=_heading(curves[0]),
        words=document["words"],
        figures=figures,
        note="Each dot is a training of its own at that rate, all from the same start on the same batches. Shaded: the "
        "standard error of the difference to the best. A cross: a training that diverged; what ends far above its "
        "start stands at the top.",
        heads=("Optimizer", "Suggested", "Least loss at", "As good from", "to", "Stable edge", "Least loss"),
        rows=[_row(one) for one in curves],
    )


def _heading(first: Mapping[str, Any]) -> str:
    return f"Train with {first['optimizer']} at a rate of {number(first['suggested'], 2)}"


def _lost(one: Mapping[str, Any]) -> str:
    lost = sum(loss is None for loss in one["losses"])
    return f"{count(lost, 'rate')} of {len(one['rates'])} diverged" if lost else ""


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    tied = one["tied"] or (None, None)
    known = [one["suggested"], one["best"], *tied, one["edge"]]
    least = None if one["best"] is None else one["losses"][one["rates"].index(one["best"])]
    return (one["optimizer"], *(number(value, 2) for value in known), number(least))
