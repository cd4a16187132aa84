"""How to repeat the run: the exact command, the seed, the version, the model's hash."""

from collections.abc import Mapping
from typing import Any

from lanewise.reporting.reading import part
from lanewise.reporting.sections.headline import written_date
from lanewise.reporting.words import finite


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The command and the facts that identify the run."""
    rows = part(document, "rows")
    known = [
        (words, finite(rows.get(key)))
        for key, words in (("train", "train"), ("test", "test"), ("set_aside", "set aside"))
    ]
    facts = [
        ("Run", document.get("run")),
        ("Lanewise", document.get("version")),
        ("Seed", document.get("seed")),
        ("Made", written_date(str(document.get("created") or ""))),
        ("Source", document.get("source")),
        ("Target", document.get("target")),
        ("Rows", ", ".join(f"{value:,.0f} {words}" for words, value in known if value)),
        ("Model, SHA-256", document.get("model_sha256")),
    ]
    shown = [(name, str(value)) for name, value in facts if value not in (None, "")]
    command = document.get("command")
    if not (command or shown):
        return None
    return {"heading": "Repeat this run", "command": command, "exactly": _exactly(document), "facts": shown}


def _exactly(document: Mapping[str, Any]) -> str | None:
    """The command that repeats the run by its own plan; None for a tune of objects that no file holds."""
    run = document.get("run")
    in_memory = document.get("kind") == "tune" and not document.get("source")
    return None if in_memory or not run else f"lanewise repeat {run}"
