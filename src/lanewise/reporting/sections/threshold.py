"""The probability from which the answer is yes."""

from collections.abc import Mapping
from typing import Any

from lanewise.formatting.metric_labels import metric_label
from lanewise.formatting.plain_text import shorten
from lanewise.reporting.charts import threshold as chart
from lanewise.reporting.reading import items, part, positive_class
from lanewise.reporting.words import finite, number


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The threshold with what was weighed to choose it."""
    found = part(document, "threshold")
    value = finite(found.get("value"))
    if value is None:
        return None
    metric = str(found.get("metric") or "")
    pairs = [(finite(one.get("threshold")), finite(one.get("value"))) for one in items(found, "curve")]
    points = [(place, height) for place, height in pairs if place is not None and height is not None]
    if len(points) < 2 and found.get("words") in items(document, "summary"):
        return None  # the head of the report says all there is
    classes = items(document, "classes")
    answer = f"“{shorten(classes[-1], 30)}”" if classes else "yes"
    return {
        "heading": f"The answer is {answer} from a probability of {number(value)}",
        "words": found.get("words"),
        "metric": metric_label(metric, positive_class(document)),
        "chart": chart.threshold(sorted(points), chosen=value, metric=metric) if len(points) > 1 else None,
    }
