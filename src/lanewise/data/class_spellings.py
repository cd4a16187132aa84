"""Classes of a target that may be one class, or none: spelled alike but for capitals or blanks, or a dash."""

import polars as pl

from lanewise.data.findings import Finding
from lanewise.data.wording import counted, first_of

DASH = "-"


def class_spellings(target: pl.Series) -> list[Finding]:
    """Warnings of classes in a column of words that differ only in capitals or in blanks around them, and of a dash.

    A dash beside a plus is a class of its own: such are the results of tests.

    >>> [found.message for found in class_spellings(pl.Series("churn", ["yes", "Yes", "yes", "no"]))]
    ["classes of 'churn' differ only in capitals or blanks: 'yes' (2 rows) and 'Yes' (1 row); write them alike"]
    """
    if target.dtype != pl.String:
        return []
    counts = target.drop_nulls().value_counts(name="rows").sort(["rows", target.name], descending=[True, False])
    alike: dict[str, list[tuple[str, int]]] = {}
    for label, rows in counts.iter_rows():
        alike.setdefault(label.strip().lower(), []).append((label, rows))
    several = [own for own in alike.values() if len(own) > 1]
    findings = []
    if several:
        told = [" and ".join(f"{label!r} ({counted(rows, 'row')})" for label, rows in own) for own in several]
        message = f"classes of {target.name!r} differ only in capitals or blanks: {first_of(told)}; write them alike"
        count = sum(map(len, several))
        findings.append(_warning("classes_alike", message, target.name, count))
    dashes = sum(rows for _, rows in alike.get(DASH, []))
    if dashes and "+" not in alike:
        message = (
            f"{DASH!r} is a class of {target.name!r} ({counted(dashes, 'row')}); if it stands for a missing value, say "
            f"so (--missing={DASH})"
        )
        findings.append(_warning("class_of_dashes", message, target.name, dashes))
    return findings


def _warning(code: str, message: str, column: str, count: int) -> Finding:
    return Finding(code=code, message=message, severity="warning", column=column, count=count)
