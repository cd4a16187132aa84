"""Rows that are to be predicted: each is a line of the result, or it is said why there is none."""

from collections.abc import Iterable

from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.errors import DataError


def checked_rows(findings: Iterable[Finding], *, source: str, rows: int) -> tuple[Finding, ...]:
    """What reading found, with a warning about blank lines; ``rows`` were kept.

    Raises ``DataError`` where rows were set aside: all later predictions would belong to other rows.
    """
    found = tuple(findings)
    for finding in found:
        if finding.code == "ragged_rows":
            message = f"{source} cannot be predicted row by row: {finding.message}; mend these rows"
            raise DataError(message)
    blank = sum(finding.count or 0 for finding in found if finding.code == "blank_lines")
    if not blank:
        return found
    message = (
        f"{counted(blank, 'blank line')} of {source} {'has' if blank == 1 else 'have'} no prediction: "
        f"the predictions are those of the other {rows:,} rows, in order"
    )
    skipped = Finding(code="blank_lines", severity="warning", count=blank, message=message)
    return (*(finding for finding in found if finding.code != "blank_lines"), skipped)
