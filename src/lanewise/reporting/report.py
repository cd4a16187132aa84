"""The HTML report: one file that works offline, made from the run document."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lanewise.errors import Interrupted
from lanewise.formatting.plain_text import clean
from lanewise.reporting.page import fill
from lanewise.reporting.sections import (
    cost,
    data,
    decisions,
    diagnosis,
    headline,
    importance,
    leaderboard,
    race,
    repeat,
    results,
    sensitivity,
    threshold,
    tradeoff,
)
from lanewise.storage.durable import write_atomically

Builder = Callable[[Mapping[str, Any]], dict[str, Any] | None]

# Name of the section (and of its template), its short title, what makes its content; in the order of reading.
SECTIONS: tuple[tuple[str, str, Builder], ...] = (
    ("decisions", "What was chosen over what", decisions.build),
    ("race", "The race", race.build),
    ("leaderboard", "Leaderboard", leaderboard.build),
    ("tradeoff", "Quality against cost", tradeoff.build),
    ("sensitivity", "Learning rate", sensitivity.build),
    ("diagnosis", "Fit", diagnosis.build),
    ("results", "Test results", results.build),
    ("threshold", "Threshold", threshold.build),
    ("importance", "What it looks at", importance.build),
    ("data", "Data", data.build),
    ("cost", "Cost", cost.build),
    ("repeat", "Repeat", repeat.build),
)


def render(document: Mapping[str, Any], *, title: str | None = None) -> str:
    """The report as one HTML page that needs no network: styles, script and charts are inside.

    Everything in the document is treated as untrusted. Sections without data are left out. The page forbids every
    request by its Content-Security-Policy, and any script but its own.
    """
    sections = [
        {"name": name, "title": short, **context} for name, short, build in SECTIONS if (context := build(document))
    ]
    return fill(
        "report.html",
        styles=("style.css",),
        scripts=("script.js",),
        title=clean(title or f"{document.get('target', 'Model')}: Lanewise report"),
        document=document,
        head=headline.build(document),
        sections=sections,
    )


def reported(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The document, its report drawn at ``path``; with a warning where that failed: the model is sound all the same."""
    try:
        page = render(document)
    except Interrupted:
        raise
    except Exception as error:
        said = f"the report could not be drawn ({type(error).__name__}: {error}); lanewise report tries again"
        return {**document, "warnings": [*document["warnings"], said]}
    write_atomically(path, page.encode())
    return document
