"""Which cells count as missing.

An empty or blank cell, and every marker that the user names, is missing in every column; in a column of numbers every
cell of the value of such a marker is, however it is written (``-200`` and ``-200.0``). So are the usual
markers where the other cells are numbers or dates. Among words three of them may be real levels:

- ``None`` and ``-`` stay levels where at most 20 other levels exist (``None, Partial, Full``; ``+, -``) that are
  not all numbers;
- ``NA`` stays a level where every other level is a code of two capitals (``AF, EU, NA``).
"""

from collections.abc import Sequence

import polars as pl

from lanewise.data.cells.text_columns import changed, in_some_cell

CERTAIN_MARKERS = ("N/A", "n/a", "#N/A", "null", "NULL", "NaN", "nan", "?")
DOUBTFUL_MARKERS = ("NA", "None", "-")
MARKERS = (*CERTAIN_MARKERS, *DOUBTFUL_MARKERS)
_FEW_LEVELS = 20
_CODE = r"^[A-Z]{2}$"
_NUMBER = r"^[+-]?[0-9][0-9.,]*$"


def strip_frame(frame: pl.DataFrame, named: Sequence[str]) -> pl.DataFrame:
    """Columns of text without outer blanks; blank cells and the markers named by the user are null."""
    bare = changed(frame, lambda cells: cells.str.strip_chars())
    return blank_out_frame(bare, ("", *(marker.strip() for marker in named)))


def blank_out_frame(frame: pl.DataFrame, markers: Sequence[str]) -> pl.DataFrame:
    """Columns of text with cells equal to a marker as null."""
    return frame.with_columns(
        pl.when(pl.col(name).is_in(list(markers))).then(None).otherwise(pl.col(name)).alias(name)
        for name in _holding(frame, markers)
    )


def _holding(frame: pl.DataFrame, markers: Sequence[str]) -> list[str]:
    """The columns with a cell that equals a marker."""
    hit = in_some_cell(frame, lambda cells: cells.is_in(list(markers)))
    return [name for name, some in zip(frame.columns, hit, strict=True) if some]


def strip_cells(cells: pl.Series, named: Sequence[str]) -> pl.Series:
    """One column as ``strip_frame`` gives it."""
    return strip_frame(cells.to_frame(), named).to_series()


def blank_out(cells: pl.Series, markers: Sequence[str]) -> pl.Series:
    """Cells with those equal to a marker as null."""
    hit = cells.is_in(list(markers)).fill_null(value=False)
    return cells.set(hit, None) if hit.any() else cells


def without_word_markers(cells: pl.Series) -> pl.Series:
    """Cells of a column of words, with the markers that are missing among words as null."""
    return without_word_markers_frame(cells.to_frame()).to_series()


def without_word_markers_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of words as ``without_word_markers`` gives each of them."""
    found = _holding(frame, DOUBTFUL_MARKERS)
    frame = blank_out_frame(frame, CERTAIN_MARKERS)
    return frame.with_columns(blank_out(frame[name], word_markers(frame[name])) for name in found)


def word_markers(cells: pl.Series) -> tuple[str, ...]:
    """The markers that stand for a missing cell in a column of words.

    >>> "NA" in word_markers(pl.Series(["red", "NA"])), "NA" in word_markers(pl.Series(["EU", "AF", "NA"]))
    (True, False)
    """
    levels = cells.drop_nulls().unique()
    levels = levels.filter(~levels.is_in(list(CERTAIN_MARKERS)))
    others = levels.filter(~levels.is_in(list(DOUBTFUL_MARKERS)))
    doubtful = set(DOUBTFUL_MARKERS)
    if 1 <= others.len() <= _FEW_LEVELS and not others.str.contains(_NUMBER).all():
        doubtful -= {"None", "-"}
    if others.len() and others.str.contains(_CODE).all():
        doubtful -= {"NA"}
    return (*CERTAIN_MARKERS, *sorted(doubtful))


def share_matching(cells: pl.Series, pattern: str) -> float:
    """Share of the cells that are not missing in which a pattern is found; 0 if all are missing."""
    present = cells.len() - cells.null_count()
    hits = cells.str.contains(pattern).fill_null(value=False)
    return hits.filter(hits).len() / present if present else 0.0
