"""The page of ``lanewise find-batch``: throughput against batch size, and what the sizes learned."""

from collections.abc import Mapping
from typing import Any

from lanewise._version import __version__
from lanewise.reporting.charts.throughput import throughput
from lanewise.reporting.page import fill
from lanewise.reporting.words import number, percent


def batch_page(document: Mapping[str, Any]) -> str:
    """One HTML page that needs no network, of the document of a batch finding."""
    sizes, speeds, chosen = document["sizes"], document["rows_per_second"], document["chosen"]
    most = max(speeds)
    return fill(
        "finding.html",
        styles=("style.css", "finding.css"),
        scripts=("script.js",),
        title="Batch size found by Lanewise",
        version=__version__,
        kicker=f"Batch size for {document['optimizer']}",
        heading=f"Train with batches of {chosen['batch_size']:,} at a rate of {number(chosen['lr'], 2)}",
        words=document["words"],
        figures=[{"title": "Throughput", "chart": throughput(sizes, speeds, knee=document["knee"]), "note": ""}],
        note="One model trained alone; the sizes took turns, and each dot is the fastest of its turns. Measured on one "
        "machine: another has another knee.",
        heads=("Batch", "Milliseconds per step", "Rows per second", "Of the most"),
        rows=[
            (f"{size:,}", number(1e3 * seconds), number(speed), percent(speed / most, 0))
            for size, seconds, speed in zip(sizes, document["step_seconds"], speeds, strict=True)
        ],
    )
