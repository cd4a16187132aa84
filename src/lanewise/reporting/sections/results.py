"""The test rows in detail: where the winner errs."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from markupsafe import Markup

from lanewise.formatting.plain_text import clean, shorten
from lanewise.reporting.charts.calibration import bins_words, calibration
from lanewise.reporting.charts.heat import heat
from lanewise.reporting.charts.scatter import against_actual, residuals
from lanewise.reporting.charts.tradeoff import tradeoff
from lanewise.reporting.reading import Measure, estimate_of, items, part, positive_class
from lanewise.reporting.words import MISSING, decimals, finite, percent, rounded, score

TABLE_CLASSES = 12  # more classes do not fit a table of counts
PAIRS = 12
DEEPEST = 45  # percent of colour in a cell: up to it dark ink on light paper, and light on dark, has a contrast of 4.5
SHOWN_CLASSES = 12


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Confusion, scores per class, calibration and trade-offs; for numbers the scatter and the residuals."""
    confusion = _confusion(part(document, "confusion"))
    classes = _per_class(items(document, "per_class"))
    plots = {
        "calibration": calibration(items(document, "calibration")),
        "roc": tradeoff(items(document, "roc"), "roc"),
        "pr": tradeoff(items(document, "pr"), "pr"),
    }
    pairs = _pairs(part(document, "residuals"))
    if not (confusion or classes or pairs or any(plots.values())):
        return None
    return {
        "heading": _heading(confusion, _typical_error(document, pairs)),
        "counted": _counted(document) if confusion or classes else "",
        "confusion": confusion,
        "classes": classes[:SHOWN_CLASSES],
        "more_classes": classes[SHOWN_CLASSES:],
        "plots": plots,
        "calibrated": _calibrated(document),
        "positive": positive_class(document),
        "clouds": _clouds(pairs, part(document, "rows").get("test")),
    }


def _heading(confusion: dict[str, Any] | None, typical: str) -> str:
    if confusion and confusion["pairs"]:
        worst, *others = confusion["pairs"]
        share = percent(confusion["right"])
        if others and others[0]["count"] == worst["count"]:
            return f"{share} right; no mistake is more frequent than all others"
        actual, said = (shorten(worst[key], 30) for key in ("actual", "said"))
        return f"{share} right; most often {quoted(actual)} is taken for {quoted(said)}"
    if confusion:
        return "Every test row is right"
    if typical:
        return f"Half of its predictions are within {typical} of the truth"
    return "The test rows in detail"


def _counted(document: Mapping[str, Any]) -> str:
    """That the tables are of rows where the scores are of weights; empty where all rows count alike."""
    by = document.get("weighed_by")
    curves = " and the two curves" if items(document, "roc") else ""
    return f"Tables and calibration count every row once. The scores{curves} weigh rows by {by}." if by else ""


def _calibrated(document: Mapping[str, Any]) -> str:
    """What the dots of the calibration mean."""
    positive = positive_class(document)
    of = "" if positive is None else f" It is that of the class {quoted(shorten(positive, 30))}."
    if document.get("task") == "multiclass":
        of = " It is that of the likeliest class of each row."
    bins = bins_words(items(document, "calibration"))
    dots = f" {bins}; lines are 95% intervals." if bins else ""
    return f"On the dotted line things come true as often as was said.{of}{dots}"


def quoted(name: str) -> str:
    return f"“{name}”"


def _typical_error(document: Mapping[str, Any], pairs: Sequence[tuple[float, float]]) -> str:
    """The median absolute error as the table of scores has it; of the pairs, which are thinned, where that has none."""
    if not pairs:
        return ""
    shown = estimate_of(Measure(name="median_ae", minimise=True), part(document, "test"))
    if shown is not None:
        return str(shown["words"])
    error = median(abs(actual - said) for actual, said in pairs)
    return rounded(error, decimals(error / 30))


def _clouds(pairs: Sequence[tuple[float, float]], test: Any) -> list[tuple[Markup, str, str]]:
    """Both charts of the test rows with their titles and notes."""
    if not pairs:
        return []
    rows = int(finite(test) or 0)
    some = rows > len(pairs)
    thinned = f" Shown are {len(pairs):,} of {rows:,} test rows, evenly taken by their error." if some else ""
    kinds = (
        (against_actual, "Predicted against actual", "On the line the prediction is exact."),
        (residuals, "Residuals", "A pattern here is something that the model did not learn."),
    )
    return [
        (chart, title, f"{words}{_outside(outside, len(pairs))}{thinned}")
        for (chart, outside), title, words in ((draw(pairs), title, words) for draw, title, words in kinds)
    ]


def _outside(outside: int, of: int) -> str:
    if not outside:
        return ""
    verb = "lies" if outside == 1 else "lie"
    return f" {outside} of {of:,} {verb} outside of the axes, hollow on the border."


def _pairs(found: Mapping[str, Any]) -> list[tuple[float, float]]:
    both = zip(map(finite, items(found, "actual")), map(finite, items(found, "predicted")), strict=False)
    return [(actual, said) for actual, said in both if actual is not None and said is not None]


def _confusion(found: Mapping[str, Any]) -> dict[str, Any] | None:
    classes = [clean(name) for name in items(found, "classes")]
    n = len(classes)
    matrix = [[finite(cell) or 0.0 for cell in row] for row in items(found, "matrix")]
    total = sum(map(sum, matrix))
    if not n or len(matrix) != n or any(len(row) != n for row in matrix) or not total:
        return None
    pairs = [
        {
            "actual": classes[true],
            "said": classes[said],
            "count": int(matrix[true][said]),
            "share": _share(matrix[true][said] / sum(matrix[true])),
        }
        for true in range(n)
        for said in range(n)
        if true != said and matrix[true][said] > 0
    ]
    pairs.sort(key=lambda pair: -pair["count"])
    small = n <= TABLE_CLASSES
    return {
        "classes": classes,
        "pairs": pairs[:PAIRS],
        "right": sum(matrix[place][place] for place in range(n)) / total,
        "cells": [_cells(row, place) for place, row in enumerate(matrix)] if small else None,
        "heat": None if small else heat(matrix, [shorten(name, 16) for name in classes]),
    }


def _cells(row: Sequence[float], here: int) -> list[dict[str, Any]]:
    total = sum(row) or 1.0
    return [
        {
            "count": f"{int(amount):,}",
            "share": percent(amount / total, 0) if amount else "",
            "shade": round(DEEPEST * (amount / total) ** (1.0 if place == here else 0.6)) if amount else 0,
            "right": place == here,
        }
        for place, amount in enumerate(row)
    ]


def _share(value: Any) -> str:
    known = finite(value)
    return MISSING if known is None else f"{rounded(100 * known, 1)}%"


def _per_class(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = [
        {
            "name": one.get("class"),
            "scores": [score(key, one.get(key), digits=3) for key in ("precision", "recall", "f1")],
            "f1": finite(one.get("f1")),
            "support": one.get("support"),
        }
        for one in found
    ]
    if len(rows) > SHOWN_CLASSES:  # the weakest classes are the ones to look at
        rows.sort(key=lambda row: math.inf if row["f1"] is None else row["f1"])
    return rows
