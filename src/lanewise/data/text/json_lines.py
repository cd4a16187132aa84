"""JSON lines: one object of plain values on each line."""

import json
from typing import Any

from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.errors import DataError
from lanewise.storage.strict_json import without_doubles

_MAX_BAD_SHARE = 0.05
_WHAT = "no JSON object, or one with a key twice"
JSON_SUFFIXES = (".jsonl", ".ndjson")


def is_json_lines(text: bytes, suffix: str) -> bool:
    """Whether the first line is a JSON object, or the file's name says JSON lines."""
    if suffix in JSON_SUFFIXES:
        return True
    head = text.lstrip()
    return head.startswith(b"{") and isinstance(_object(head[: 2**20].splitlines()[0]), dict)


def parse_json_lines(text: bytes, *, name: str) -> tuple[dict[str, list[Any]], list[Finding]]:
    """Columns of values; a key that an object lacks is missing there, and one that it has twice makes it malformed.

    Raises ``DataError`` if there are no objects, or more than one line in twenty is none.
    """
    columns: dict[str, list[Any]] = {}
    rows = 0
    bad: list[int] = []
    for line, content in enumerate(text.split(b"\n"), 1):
        if not content.strip():
            continue
        found = _object(content)
        if not isinstance(found, dict):
            bad.append(line)
            continue
        for key, value in found.items():
            column = columns.setdefault(key, [])
            column.extend([None] * (rows - len(column)))
            column.append(value)
        rows += 1
    total = rows + len(bad)
    if rows == 0 or len(bad) > _MAX_BAD_SHARE * total:
        first = f", first line {bad[0]}" if bad else ""
        message = f"{name} has {len(bad)} of {total} lines that are {_WHAT}{first}: mend them"
        raise DataError(message)
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    findings: list[Finding] = []
    if bad:
        shown = ", ".join(map(str, bad[:3]))
        message = f"{counted(len(bad), 'line')} of {total:,} set aside, being {_WHAT}: line {shown}"
        findings.append(Finding(code="ragged_rows", severity="warning", count=len(bad), message=message))
    return columns, findings


def _object(line: bytes) -> Any:
    try:
        return _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return None


_DECODER = json.JSONDecoder(object_pairs_hook=without_doubles)
