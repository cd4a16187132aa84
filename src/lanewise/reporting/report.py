"""The HTML report: one file that works offline, made from the run document."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lanewise.reporting.clean import clean, shorten
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
)
from lanewise.reporting.words import typeset

if TYPE_CHECKING:
    from jinja2 import Environment

Builder = Callable[[Mapping[str, Any]], dict[str, Any] | None]

# Name of the section (and of its template), its short title, what makes its content; in the order of reading.
SECTIONS: tuple[tuple[str, str, Builder], ...] = (
    ("decisions", "What made the difference", decisions.build),
    ("race", "The race", race.build),
    ("leaderboard", "Leaderboard", leaderboard.build),
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
    script = _asset("script.js")
    sections = [
        {"name": name, "title": short, **context} for name, short, build in SECTIONS if (context := build(document))
    ]
    page = _environment().get_template("report.html")
    return page.render(
        title=clean(title or f"{document.get('target', 'Model')}: Lanewise report"),
        document=document,
        head=headline.build(document),
        sections=sections,
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _asset(name: str) -> str:
    return files("lanewise.reporting").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lanewise.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shorten=shorten, clean=clean, typeset=typeset)
    return environment


def _shown(value: Any) -> Any:
    """What a template prints: plain text is cleaned (and then escaped), markup of our own charts is left alone."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else clean(value)
