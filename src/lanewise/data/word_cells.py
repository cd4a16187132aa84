"""Category or text: which kind a column of words has.

Text is language to be read word by word: at least 20 distinct values, at least half of the cells distinct, three
words or more on average. Everything else is a category, identifiers too; whether a category is of use is
audited elsewhere.
"""

import polars as pl

from lanewise.data.dataset import ColumnKind

_MIN_DISTINCT = 20
_DISTINCT_SHARE = 0.5
_MIN_WORDS = 3.0


def kind_of_words(cells: pl.Series) -> ColumnKind:
    """``text`` or ``category`` for cells whose missing ones are null.

    >>> kind_of_words(pl.Series(["red", "green", None]))
    'category'
    """
    present = cells.drop_nulls()
    if present.len() < _MIN_DISTINCT:
        return "category"
    distinct = present.n_unique()
    words = present.str.count_matches(r"\S+").sum() / present.len()
    is_text = distinct >= _MIN_DISTINCT and distinct >= _DISTINCT_SHARE * present.len() and words >= _MIN_WORDS
    return "text" if is_text else "category"
