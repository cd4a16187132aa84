"""Warnings about new rows as few lines: one for each kind, however many columns it concerns."""

from collections.abc import Iterable

from lanewise.data.findings import Finding
from lanewise.data.wording import counted

MOST_NAMED = 3
"""Columns beyond these are counted, not named."""

SAID = {
    "out_of_range": ("value", "{columns} have {cells} outside the range of the training rows"),
    "unseen_levels": ("cell", "{columns} have {cells} with values that no training row has"),
    "missing_more": ("cell", "{columns} lack more cells than in the training rows, {cells}"),
}
"""What the rows of each kind are called, and the line for several columns of that kind."""


def warning_lines(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The warnings among ``findings``, one line for each kind, in the order in which the kinds come first.

    A kind that concerns one column is told in full. Of several columns those with the most cells are named, with
    their number of cells.

    >>> def beyond(name, count):
    ...     words = f"{name!r} has {count} values outside the range of the training rows (0 to 9)"
    ...     return Finding(code="out_of_range", message=words, severity="warning", column=name, count=count)
    >>> warning_lines([beyond("a", 2)])
    ("'a' has 2 values outside the range of the training rows (0 to 9)",)
    >>> warning_lines([beyond(name, count) for name, count in zip("abcde", (2, 9, 1, 5, 1))])
    ("5 columns have 18 values outside the range of the training rows: 'b' (9), 'd' (5), 'a' (2) and 2 more",)
    """
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity == "warning":
            kinds.setdefault(finding.code, []).append(finding)
    return tuple(line for code, own in kinds.items() for line in _lines(code, own))


def _lines(code: str, own: list[Finding]) -> list[str]:
    if len(own) == 1 or code not in SAID:
        return [finding.message for finding in own]
    noun, words = SAID[code]
    ranked = sorted(own, key=lambda finding: -(finding.count or 0))
    cells = counted(sum(finding.count or 0 for finding in own), noun)
    named = ", ".join(f"{finding.column!r} ({finding.count or 0:,})" for finding in ranked[:MOST_NAMED])
    rest = len(own) - MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return [f"{words.format(columns=counted(len(own), 'column'), cells=cells)}: {named}{more}"]
