"""What a column holds, found a batch of rows at a time: the facts of two batches add up to those of both."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import polars as pl

from lanewise.data.kinds import ColumnKind

MOST_LEVELS = 50_000
"""Different words of a column that are counted; beyond it those seen least are forgotten, and counts are from below."""

MOST_LEVELS_KEPT = 1_000_000
"""Levels of all columns together that a model keeps, so that its files can be read back."""

MOST_ROWS_TOGETHER, CELLS_AT_ONCE = 10_000, 2**21
"""Columns of at most so many rows are looked at together, so many cells at once; one of more takes long by itself."""

_NOTHING = {"level": pl.String, "rows": pl.Int64}


@cache
def _no_levels() -> pl.DataFrame:
    return pl.DataFrame(schema=_NOTHING)


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """Cells of one column: ``rows`` in all, ``missing`` of them, and what the others hold.

    ``low`` and ``high`` bound numbers, and dates in microseconds since 1970 (None: no cell); ``levels`` (``level``,
    ``rows``) counts the words of categories, most frequent first, and ``forgotten`` the rows of those that were too
    many to count.
    """

    rows: int = 0
    missing: int = 0
    low: float | None = None
    high: float | None = None
    levels: pl.DataFrame = field(default_factory=_no_levels)
    forgotten: int = 0

    @classmethod
    def of(cls, cells: pl.Series, kind: ColumnKind) -> "ColumnFacts":
        """Facts of typed cells.

        >>> facts = ColumnFacts.of(pl.Series([3.0, None, 5.0]), "number")
        >>> facts.missing, facts.low, facts.high
        (1, 3.0, 5.0)
        """
        rows, missing = cells.len(), cells.null_count()
        if kind in ("number", "date"):
            numbers = (cells.to_physical() if kind == "date" else cells).cast(pl.Float64).to_numpy()
            numbers = numbers[np.isfinite(numbers)]
            low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)
            return cls(rows=rows, missing=missing, low=low, high=high)
        if kind == "text":
            return cls(rows=rows, missing=missing)
        present = cells.drop_nulls() if missing else cells
        counts = present.alias("level").value_counts(name="rows")
        return cls(rows=rows, missing=missing, levels=_most_frequent_first(counts).cast({"rows": pl.Int64}))

    def plus(self, other: "ColumnFacts") -> "ColumnFacts":
        """Facts of the cells of both."""
        levels = self.levels
        if other.levels.height:
            levels = pl.concat([levels, other.levels]).group_by("level").agg(pl.col("rows").sum())
        return ColumnFacts(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            low=_least(self.low, other.low),
            high=None if (least := _least(_minus(self.high), _minus(other.high))) is None else -least,
            levels=levels,
            forgotten=self.forgotten + other.forgotten,
        )._bounded()

    def without(self, markers: tuple[str, ...]) -> "ColumnFacts":
        """The same with the levels ``markers`` as missing cells."""
        marks = pl.col("level").is_in(list(markers))
        gone = int(self.levels.filter(marks)["rows"].sum())
        return ColumnFacts(
            rows=self.rows,
            missing=self.missing + gone,
            low=self.low,
            high=self.high,
            levels=self.levels.filter(~marks),
            forgotten=self.forgotten,
        )

    def _bounded(self) -> "ColumnFacts":
        levels = _most_frequent_first(self.levels)
        lost = int(levels["rows"].slice(MOST_LEVELS).sum())
        return ColumnFacts(
            rows=self.rows,
            missing=self.missing,
            low=self.low,
            high=self.high,
            levels=levels.head(MOST_LEVELS),
            forgotten=self.forgotten + lost,
        )


def facts_of(frame: pl.DataFrame, kinds: Mapping[str, ColumnKind]) -> dict[str, ColumnFacts]:
    """The facts of each column, as ``ColumnFacts.of`` gives them."""
    found: dict[str, ColumnFacts] = {}
    if frame.height <= MOST_ROWS_TOGETHER:
        found |= _of_numbers(frame.select(name for name in frame.columns if kinds[name] == "number"))
        words = (name for name, dtype in frame.schema.items() if kinds[name] == "category" and dtype == pl.String)
        found |= _of_categories(frame.select(words))
    return {
        column.name: found[column.name] if column.name in found else ColumnFacts.of(column, kinds[column.name])
        for column in frame.get_columns()
    }


def _of_numbers(frame: pl.DataFrame) -> dict[str, ColumnFacts]:
    """Those columns of numbers that lack no cell, at once."""
    found: dict[str, ColumnFacts] = {}
    most = max(1, CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, frame.width if frame.height else 0, most):
        names = frame.columns[start : start + most]
        cells = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
        for name, low, high in zip(names, cells.min(axis=0).tolist(), cells.max(axis=0).tolist(), strict=True):
            if math.isfinite(low) and math.isfinite(high):
                found[name] = ColumnFacts(rows=frame.height, low=low, high=high)
    return found


def _of_categories(frame: pl.DataFrame) -> dict[str, ColumnFacts]:
    """Columns of words, many at once: their levels are counted and sorted in one table."""
    found: dict[str, ColumnFacts] = {}
    most = max(1, CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, frame.width, most):
        columns = frame.get_columns()[start : start + most]
        cells = pl.DataFrame(
            {
                "column": np.repeat(np.arange(len(columns)), frame.height),
                "level": pl.concat([column.alias("level") for column in columns]),
            }
        ).drop_nulls()
        counts = cells.group_by("column", "level").agg(pl.len().cast(pl.Int64).alias("rows"))
        counts = counts.sort(["column", "rows", "level"], descending=[False, True, False])
        heights = np.bincount(counts["column"].to_numpy(), minlength=len(columns)).tolist()
        levels, first = counts.select("level", "rows"), 0
        for column, height in zip(columns, heights, strict=True):
            missing = column.null_count()
            own = levels.slice(first, height)
            found[column.name] = ColumnFacts(rows=frame.height, missing=missing, levels=own)
            first += height
    return found


def levels_kept(most: int, facts: Iterable[ColumnFacts]) -> int:
    """How many levels are kept of each column: ``most``, or fewer where all columns together have too many.

    >>> levels_kept(255, [ColumnFacts(levels=pl.DataFrame({"level": ["a", "b"], "rows": [2, 1]}))])
    255
    """
    heights = [min(own.levels.height, most) for own in facts if own.levels.height]
    return most if sum(heights) <= MOST_LEVELS_KEPT else max(1, MOST_LEVELS_KEPT // len(heights))


def _most_frequent_first(levels: pl.DataFrame) -> pl.DataFrame:
    return levels.sort(["rows", "level"], descending=[True, False])


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _least(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)
