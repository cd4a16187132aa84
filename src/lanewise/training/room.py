"""How much of a table can be prepared: known as soon as its widths are, before anything that takes long."""

import sys
from collections.abc import Callable

from lanewise.data.findings import Finding
from lanewise.data.memory import memory_bytes
from lanewise.data.splits import Fold
from lanewise.data.wording import counted
from lanewise.errors import DataError
from lanewise.features.layout import Layout
from lanewise.features.narrowing import narrowed

MEMORY_SHARE = 0.8
"""Of the memory that the prepared rows alone may take: models, gradients and predictions need some too."""

CELLS_A_SECOND, LEAST_CELLS, MOST_SECONDS = 2**22, 2**26, 300.0
"""Prepared cells of all folds together for each second of a budget, a twentieth of which they take to prepare; how many
there may be whatever the budget, and the seconds of a budget beyond which there are no more."""

FEWER_FOLDS = (5, 3)
"""Folds that are enough where rows of more of them, prepared, would be too many."""


def most_cells(seconds: float | None) -> int:
    """Prepared cells that suit a budget of so many seconds; None: the budget is in steps, or was not stated.

    >>> most_cells(1.0), most_cells(20.0), most_cells(None)
    (67108864, 83886080, 1258291200)
    """
    return max(LEAST_CELLS, round(CELLS_A_SECOND * min(seconds or MOST_SECONDS, MOST_SECONDS)))


def with_room(
    layout: Layout,
    parts: tuple[Fold, ...],
    *,
    rows: int,
    cells: int,
    divided: Callable[[int], tuple[Fold, ...]] | None,
) -> tuple[Layout, tuple[Fold, ...], tuple[Finding, ...]]:
    """Layout and folds of which ``rows``, prepared, are about ``cells`` at most, and what was left out for that.

    First there are fewer folds, which ``divided`` makes (None: there are as many as there must be), three at least;
    then fewer features.
    """
    findings: list[Finding] = []
    count = len(parts)
    whole = narrowed(layout, sys.maxsize)  # a crowd of embedded categories as features, none left out
    for few in FEWER_FOLDS if divided is not None else ():
        if few < len(parts) and rows * len(parts) * whole.dense_width > cells:
            assert divided is not None
            parts = divided(few)
    if len(parts) < count:
        message = f"{len(parts)} folds instead of {count}, because there are {_features(whole)}"
        findings.append(Finding(code="fewer_folds", severity="warning", message=message, count=len(parts)))
    found = narrowed(layout, cells // (rows * len(parts)))
    if found.dense_width < whole.dense_width:
        findings.append(_left_out(whole, found, rows))
    return found, parts, tuple(findings)


def _left_out(layout: Layout, found: Layout, rows: int) -> Finding:
    message = f"{_features(layout)} are too many for {rows:,} rows and the budget: {_width(found):,} are used"
    levels = max((column.told or 0 for column in found.categories), default=0)
    if levels:
        message += f", of each category the {counted(levels, 'level')} seen most, while trees read all of them"
    if found.tokens_width < layout.tokens_width:
        message += f", texts hashed into {counted(max(column.buckets for column in found.texts), 'bucket')} each"
    message += "; allow more time (budget), or leave out columns (drop)"
    return Finding(code="features_left_out", severity="warning", message=message, count=_width(found))


def _features(layout: Layout) -> str:
    return f"{_width(layout):,} features"


def _width(layout: Layout) -> int:
    return layout.dense_width + len(layout.embedded)


def check_room(source: str, layout: Layout, *, rows: int, folds: int) -> None:
    """``DataError`` where ``rows`` of the table ``source``, prepared for each of ``folds``, do not fit into memory."""
    features = _width(layout)
    needed, there = 4 * rows * features * folds, memory_bytes()  # float32
    if needed > MEMORY_SHARE * there:
        message = (
            f"{source} does not fit: {rows:,} rows of {features:,} features, prepared for each of "
            f"{folds} folds, take {needed / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f} GB; "
            "leave out columns (drop) or rows, or ask for fewer folds"
        )
        raise DataError(message)
