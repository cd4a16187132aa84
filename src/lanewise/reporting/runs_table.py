"""The list of runs for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from lanewise.formatting.plain_text import clean, columns_of, shorten
from lanewise.reporting.reading import estimate_of, measure_of, part

WIDEST_WINNER = 36
"""Columns that the list of runs makes room for to name a winner; a longer name is cut."""
FEW_WINNER = 16
"""Columns that a narrow list makes room for to name a winner."""


def runs_table(rows: Sequence[Mapping[str, Any]], *, width: int = 100) -> str:
    """The list of runs as aligned plain text; rows are run documents, or as much of them as is at hand.

    Where winners would be cut for want of room the times are left out, for ids begin with them, and other names are cut
    as far as it takes. Imports nothing of weight, so that ``lanewise runs`` starts at once.
    """
    if not rows:
        return "No runs yet.\n"
    lines: list[tuple[str, ...]] = []
    for wanted, times, longest in ((WIDEST_WINNER, True, 20), *((FEW_WINNER, False, cut) for cut in range(20, 6, -2))):
        lines = [("run", "made", "kind", "data", "target", "score", "winner"), *(_run(row, longest) for row in rows)]
        lines = lines if times else [(line[0], *line[2:]) for line in lines]
        if _room(lines, width) >= min(_widths(lines)[-1], wanted):
            break
    widths, room = _widths(lines), _room(lines, width)
    text = ("  ".join(_fill(cell, wide) for cell, wide in zip(line[:-1], widths, strict=False)) for line in lines)
    return "".join(f"{head}  {shorten(line[-1], room)}".rstrip() + "\n" for head, line in zip(text, lines, strict=True))


def _widths(lines: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(columns_of, column)) for column in zip(*lines, strict=True)]


def _room(lines: Sequence[tuple[str, ...]], width: int) -> int:
    """Columns of the terminal that are left for the last column of the table."""
    widths = _widths(lines)
    return max(8, width - sum(widths[:-1]) - 2 * (len(widths) - 1))


def _fill(text: str, wide: int) -> str:
    return text + " " * (wide - columns_of(text))


def _run(row: Mapping[str, Any], longest: int) -> tuple[str, ...]:
    """The cells of a run, names cut to so many signs at the longest."""
    measure = measure_of(row)
    metric = measure.named if columns_of(measure.named) <= longest else measure.label
    shown = estimate_of(measure, part(row, "test") or part(row, "validation"))
    made = clean(row.get("created") or "")[:16].replace("T", " ")
    winner, target = part(row, "winner"), clean(row.get("target") or "")
    label = clean(winner.get("label") or winner.get("id") or "")
    return (
        shorten(row.get("run") or "", 24),
        made,
        clean(row.get("kind") or ""),
        shorten(row.get("data") or "", longest),
        shorten(target, longest),
        f"{shorten(metric, longest)} {shown['words']}" if shown else "",
        label.removeprefix(f"{target}, "),  # a module that is tuned is the target
    )
