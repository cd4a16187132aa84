"""The data: what was noticed, and what became of each column."""

from collections.abc import Mapping
from typing import Any

from lanewise.reporting.reading import items, part
from lanewise.reporting.words import as_sentence, count, finite, number, percent

SHOWN = 12


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Findings, warnings first, then the columns."""
    findings = [_finding(one) for one in items(document, "findings") if one]
    findings.sort(key=lambda one: not one["warning"])
    rows = part(document, "rows")
    total = sum(int(finite(rows.get(key)) or 0) for key in ("train", "test"))
    columns = [_column(one, total) for one in items(document, "columns") if one]
    if not (findings or columns):
        return None
    return {
        "heading": _heading(findings, columns),
        "findings": findings,
        "columns": columns[:SHOWN],
        "more_columns": columns[SHOWN:],
        "reasons": any(one["reason"] for one in columns),
        "gaps": any(one["missing"] for one in columns),
    }


def _heading(findings: list[dict[str, Any]], columns: list[dict[str, Any]]) -> str:
    aside = sum(1 for one in columns if one["role"] == "set aside")
    learned = sum(1 for one in columns if one["role"] != "target") - aside
    parts = [f"{count(learned, 'column')} to learn from"] if columns else []
    if aside:
        parts.append(f"{aside} set aside")
    alarming = sum(1 for one in findings if one["warning"])
    if alarming:
        parts.append(count(alarming, "warning"))
    rest = len(findings) - alarming
    if rest:
        parts.append(f"{count(rest, 'note')}")
    return ", ".join(parts) if findings else f"{', '.join(parts)}, nothing unusual"


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    facts = []
    if one.get("count") is not None:
        facts.append(f"{int(finite(one['count']) or 0):,}")
    if finite(one.get("figure")) is not None:
        facts.append(number(one["figure"]))
    return {
        "warning": one.get("severity") == "warning",
        "message": as_sentence(one.get("message")),
        "column": one.get("column"),
        "code": one.get("code"),
        "facts": facts,
    }


def _column(one: Mapping[str, Any], total: int) -> dict[str, Any]:
    missing = finite(one.get("missing"))
    share = f" ({percent(missing / total)})" if missing and total >= missing else ""
    return {
        "name": one.get("name"),
        "kind": one.get("kind"),
        "role": one.get("role"),
        "reason": one.get("reason"),
        "missing": f"{missing:,.0f}{share}" if missing else "",
    }
