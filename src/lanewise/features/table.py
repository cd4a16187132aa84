"""What this package reads of a table of typed columns."""

from collections.abc import Mapping
from typing import Protocol

import polars as pl


class Table(Protocol):
    """The part of ``lanewise.data.dataset.Dataset`` that is read here.

    ``data`` is a sibling layer, so it is named by shape and not imported. ``frame`` holds per kind: number
    ``Float64`` or ``Int64``, category and text ``String``, date ``Datetime``; a missing cell is null.
    """

    @property
    def frame(self) -> pl.DataFrame: ...

    @property
    def kinds(self) -> Mapping[str, str]: ...

    @property
    def source(self) -> str: ...


class Beyond(Protocol):
    """What the layout of a streamed table reads of one column beyond its sample, as `ColumnFacts` tells it.

    ``low`` and ``high`` bound numbers, and dates in microseconds since 1970; ``levels`` counts words, ``forgotten`` the
    rows of those that are not counted.
    """

    @property
    def missing(self) -> int: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...

    @property
    def levels(self) -> pl.DataFrame: ...

    @property
    def forgotten(self) -> int: ...
