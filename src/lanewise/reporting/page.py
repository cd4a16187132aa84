"""What every HTML page of ours has: its templates, its files, and a policy that forbids all but its own script."""

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from lanewise.formatting.plain_text import clean, shorten
from lanewise.reporting.words import typeset

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(template: str, *, styles: tuple[str, ...], scripts: tuple[str, ...], **context: Any) -> str:
    """A template with its styles and scripts inside, and the hash of the scripts for the Content-Security-Policy."""
    script = "\n".join(map(_asset, scripts))
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            style=Markup("\n".join(map(_asset, styles))),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def framed(page: str) -> str:
    """The page in a frame of its own, for a notebook."""
    style = "width:100%;height:80vh;border:1px solid #ccc"
    return f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" title="Lanewise" style="{style}"></iframe>'


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
    environment.filters.update(shorten=shorten, clean=clean, typeset=typeset, prose=prose, unbroken=unbroken)
    return environment


def prose(text: Any) -> Markup:
    """Text of a document, cleaned and escaped; an option such as ``--drop`` never breaks after its hyphens.

    >>> str(prose("a < -1: say --drop a"))
    'a &lt; −1: say <span class="option">--drop</span> a'
    """
    return unbroken(typeset(clean(text)))


def unbroken(text: Any) -> Markup:
    """A command, escaped and sign by sign as it is; its options never break after their hyphens."""
    written = str(escape(clean(text)))
    return Markup(re.sub(r"(?<![\w-])--[a-z][a-z-]*", r'<span class="option">\g<0></span>', written))


def _shown(value: Any) -> Any:
    """What a template prints: plain text is cleaned (and then escaped), markup of our own charts is left alone."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else clean(value)
