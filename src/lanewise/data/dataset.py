"""A table whose columns are typed, and what was noticed on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from lanewise.data.conventions import Convention
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind

if TYPE_CHECKING:
    from lanewise.data.streaming import Rest


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows of typed columns.

    ``frame`` holds per kind: number ``Float64`` or ``Int64``, category and text ``String``,
    date ``Datetime("us")`` without time zone. A missing cell is null, never NaN and never a
    marker. ``kinds`` names the kind of every column of the frame, in order. ``source`` says
    where the rows came from, in words fit for a message. Of a table that is streamed from disk ``frame`` is a
    sample, and ``rest`` are its other rows. ``conventions`` say how columns of text wrote numbers and dates.
    """

    frame: pl.DataFrame
    kinds: Mapping[str, ColumnKind]
    source: str
    findings: tuple[Finding, ...] = ()
    rest: "Rest | None" = None
    conventions: Mapping[str, Convention] = field(default_factory=dict[str, Convention])

    @property
    def rows(self) -> int:
        return self.frame.height
