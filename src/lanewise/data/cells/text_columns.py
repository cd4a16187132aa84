"""Looks at the cells of many columns of text in one call, as one long column.

A call costs some 50 microseconds for each column, whatever its number of rows, and a table of some hundred rows may
have tens of thousands of columns. Columns of many rows are left side by side, where threads share them out.
"""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

FEWEST_COLUMNS = 64
MOST_ROWS = 1_000
CELLS_AT_ONCE = 2**21
_CELLS = "cells"

Look = Callable[[pl.Expr], pl.Expr]
"""What is asked of every cell by itself."""


def changed(frame: pl.DataFrame, change: Look) -> pl.DataFrame:
    """The frame with ``change`` made to every cell; all columns are of one type.

    >>> changed(pl.DataFrame({"a": [" x"], "b": ["y "]}), lambda cells: cells.str.strip_chars()).row(0)
    ('x', 'y')
    """
    if not _stacks(frame):
        return frame.select(change(pl.all())) if frame.width else frame
    columns = [
        cells.slice(place * frame.height, frame.height).alias(name)
        for names, cells in _looked_at(frame, change)
        for place, name in enumerate(names)
    ]
    return pl.DataFrame(columns)


def in_all_cells(frame: pl.DataFrame, test: Look) -> tuple[bool, ...]:
    """Whether ``test`` holds in every cell of each column, those left out in which it is null.

    >>> in_all_cells(pl.DataFrame({"a": ["x", None], "b": ["y", "x"]}), lambda cells: cells == "x")
    (True, False)
    """
    if not _stacks(frame):
        return frame.select(test(pl.all()).all()).row(0) if frame.width else ()
    return tuple(one for mask in _masks(frame, test, null=True) for one in np.all(mask, axis=1).tolist())


def in_some_cell(frame: pl.DataFrame, test: Look) -> tuple[bool, ...]:
    """Whether ``test`` holds in some cell of each column.

    >>> in_some_cell(pl.DataFrame({"a": ["x", None], "b": ["y", "z"]}), lambda cells: cells == "x")
    (True, False)
    """
    if not _stacks(frame):
        return frame.select(test(pl.all()).any()).row(0) if frame.width else ()
    return tuple(one for mask in _masks(frame, test, null=False) for one in np.any(mask, axis=1).tolist())


def shares_of_cells(frame: pl.DataFrame, test: Look) -> tuple[float, ...]:
    """In which share of the cells of each column ``test`` holds, those left out in which it is null; 0 of none.

    >>> shares_of_cells(pl.DataFrame({"a": ["x", None], "b": ["y", "x"]}), lambda cells: cells == "x")
    (1.0, 0.5)
    """
    if not _stacks(frame):
        return tuple(share or 0.0 for share in frame.select(test(pl.all()).mean()).row(0)) if frame.width else ()
    found: list[float] = []
    for names, cells in _looked_at(frame, test):
        known = cells.is_not_null().to_numpy().reshape(len(names), -1).sum(axis=1)
        held = cells.fill_null(value=False).to_numpy().reshape(len(names), -1).sum(axis=1)
        found += (held / np.maximum(known, 1)).tolist()
    return tuple(found)


def _stacks(frame: pl.DataFrame) -> bool:
    return frame.width >= FEWEST_COLUMNS and 0 < frame.height <= MOST_ROWS


def _masks(frame: pl.DataFrame, test: Look, *, null: bool) -> Iterator[np.ndarray]:
    for names, cells in _looked_at(frame, test):
        yield cells.fill_null(value=null).to_numpy().reshape(len(names), frame.height)


def _looked_at(frame: pl.DataFrame, look: Look) -> Iterator[tuple[list[str], pl.Series]]:
    """Names of some columns, and what is found of their cells, one column below the other."""
    most = max(1, CELLS_AT_ONCE // frame.height)
    for start in range(0, frame.width, most):
        names = frame.columns[start : start + most]
        cells = (frame if len(names) == frame.width else frame.select(names)).unpivot(value_name=_CELLS)
        yield names, cells.select(look(pl.col(_CELLS))).to_series()
