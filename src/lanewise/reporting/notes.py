"""What was noticed of the data and is no warning, each in one short line, for the end of a run."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lanewise.formatting.plain_text import clean
from lanewise.reporting.reading import items
from lanewise.reporting.words import count, finite

MOST_NAMED = 3
"""Columns beyond these are counted, not named."""
MOST_NOTES = 8
"""Lines beyond these are counted; the report has all."""
EXAMPLES = re.compile(r": (?:'.*?'|\".*?\") in row \d.*$")
"""The first cells that a finding is about, with their rows: they go into the report alone."""
UNTOLD = frozenset({"task_found", "task_guessed", "strongest_column", "leaks_unchecked", "streamed_rows"})
"""Codes that other lines of a run tell, or that nobody can act upon."""
SAID = {
    "unit_sign": "numbers are read without their signs of units",
    "decimal_comma": "numbers are written with decimal commas",
    "thousands_mark": "numbers have marks of thousands",
    "minus_sign": "numbers have a typographic minus sign",
    "leading_zeros": "kept as words, because of leading zeros",
    "non_number_cells": "kept as words, though most cells are numbers",
    "non_date_cells": "kept as words, though most cells are dates",
    "time_zone": "times were turned into UTC",
    "short_years": "years of two digits are read as 1969 to 2068",
    "duration_seconds": "spans of time were turned into seconds",
    "sentinel_value": "an extreme value that repeats may stand for a missing one (--missing says so)",
}
"""By code, what several columns have in common."""


def notes_of(document: Mapping[str, Any]) -> list[str]:
    """Missing cells, then what was repaired or noticed, a line for each kind, however many columns it concerns."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for one in items(document, "findings"):
        code = str(one.get("code") or "")
        set_aside = " is set aside: " in str(one.get("message"))  # named by the line on columns
        if one.get("severity") == "info" and code not in UNTOLD and not set_aside:
            kinds.setdefault(code, []).append(one)
    order = sorted(kinds, key=lambda code: code != "in_time_order")  # it is about what the scores mean
    marks = [str(one.get("message")) for one in kinds.pop("missing_marks", ())]
    lines = [_line(code, kinds[code]) for code in order if code in kinds]
    told = [line for line in (_missing(document, marks), *lines) if line]
    rest = len(told) - MOST_NOTES
    return told if rest <= 0 else [*told[:MOST_NOTES], f"{count(rest, 'more note')} in the report"]


def _missing(document: Mapping[str, Any], marks: Sequence[str]) -> str:
    """How many cells are missing in which columns, and by which ``marks``."""
    lacking = [(str(one.get("name")), int(finite(one.get("missing")) or 0)) for one in items(document, "columns")]
    lacking = sorted((one for one in lacking if one[1]), key=lambda one: -one[1])
    if not lacking:
        return "; ".join(map(clean, marks))
    cells = count(sum(number for _, number in lacking), "missing cell")
    where = f"{count(len(lacking), 'column')}: {_named(lacking)}" if len(lacking) > 1 else clean(lacking[0][0])
    written = [clean(mark).removeprefix("missing cells are ") for mark in marks]
    return "; ".join([f"{cells} in {where}", *written])


def _line(code: str, found: Sequence[Mapping[str, Any]]) -> str:
    if len(found) == 1 or code not in SAID:
        more = f" ({count(len(found) - 1, 'more note')} of this kind in the report)" if len(found) > 1 else ""
        return f"{EXAMPLES.sub('', clean(found[0].get('message')))}{more}"
    counts = [(str(one.get("column")), int(finite(one.get("count")) or 0)) for one in found]
    return f"{SAID[code]}: {_named(sorted(counts, key=lambda one: -one[1]))}"


def _named(counts: Sequence[tuple[str, int]]) -> str:
    named = [f"{clean(name)} {number:,}" if number else clean(name) for name, number in counts[:MOST_NAMED]]
    rest = len(counts) - MOST_NAMED
    return f"{', '.join(named)}{f' and {rest} more' if rest > 0 else ''}"
