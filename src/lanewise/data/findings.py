"""What was noticed about the data: nothing is repaired in silence."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing noticed or repaired, in words that stand alone.

    ``code`` is stable (``ragged_rows``, ``duplicate_header``, ``leaks_target``, ...); ``count`` is
    the number of rows or cells concerned, ``figure`` a measured value where there is one. ``column`` names the one
    column that is concerned, ``columns`` the several ones that something must be known of later.
    """

    code: str
    message: str
    severity: Severity = "info"
    column: str | None = None
    count: int | None = None
    figure: float | None = None
    columns: tuple[str, ...] = ()
