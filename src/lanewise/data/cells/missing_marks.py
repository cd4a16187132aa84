"""Which marks of a text were taken for missing cells, and in which columns."""

from collections.abc import Mapping

import polars as pl

from lanewise.data.cells.missing import MARKERS
from lanewise.data.findings import Finding
from lanewise.data.wording import counted

MOST_NAMED = 3
"""Columns, and marks, beyond these are counted, not named."""


def missing_marks(raw: pl.DataFrame, columns: Mapping[str, pl.Series]) -> list[Finding]:
    """The usual marks in cells of ``raw`` that are missing in ``columns``.

    Empty and blank cells are no marks, and those that the user has named need not be told.

    >>> raw = pl.DataFrame({"age": ["31", "NA", " NA", ""], "height": ["1.8", "?", "1.7", "1.6"]})
    >>> read = {"age": pl.Series([31, None, None, None]), "height": pl.Series([1.8, None, 1.7, 1.6])}
    >>> missing_marks(raw, read)[0].message
    "missing cells are written as 'NA' in 'age' (2 cells); as '?' in 'height' (1 cell)"
    """
    found: dict[str, dict[str, int]] = {}
    for name, cells in columns.items():
        if cells.null_count() == raw[name].null_count():
            continue
        written = raw[name].filter(cells.is_null()).str.strip_chars()
        for mark, count in written.filter(written.is_in(list(MARKERS))).value_counts().iter_rows():
            found.setdefault(mark, {})[name] = count
    if not found:
        return []
    cells_of = {mark: sum(own.values()) for mark, own in found.items()}
    ranked = sorted(found, key=lambda mark: -cells_of[mark])
    told = [f"as {mark!r} in {_columns(found[mark])}" for mark in ranked[:MOST_NAMED]]
    rest = [f"and in {len(ranked) - MOST_NAMED} other ways"] if len(ranked) > MOST_NAMED else []
    message = f"missing cells are written {'; '.join([*told, *rest])}"
    names = tuple(dict.fromkeys(name for own in found.values() for name in own))
    return [Finding(code="missing_marks", message=message, columns=names, count=sum(cells_of.values()))]


def _columns(counts: Mapping[str, int]) -> str:
    """The columns of most cells by name, the others as a number."""
    ranked = sorted(counts, key=lambda name: -counts[name])
    first, *more = ranked[:MOST_NAMED]
    named = [f"{first!r} ({counted(counts[first], 'cell')})", *(f"{name!r} ({counts[name]:,})" for name in more)]
    rest = len(ranked) - MOST_NAMED
    return f"{', '.join(named)}{f' and {rest} more' if rest > 0 else ''}"
