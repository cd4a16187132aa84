"""Category or text: which kind a column of words has.

Text is language to be read word by word: at least 20 distinct values, at least half of the cells distinct, three
words or more on average. Sentences repeat more where they come from a template: of four words or more on average, more
than a fifth of the cells distinct is enough, with at least 50 distinct values, for fewer are told apart well as
levels. Everything else is a category, identifiers too; whether a category is of use is audited elsewhere.
"""

import polars as pl

from lanewise.data.dataset import ColumnKind

_MIN_DISTINCT = 20
_DISTINCT_SHARE = 0.5
_MIN_WORDS = 3.0
_MIN_SENTENCES = 50
_SENTENCE_SHARE = 0.2
_SENTENCE_WORDS = 4.0


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
    differs = distinct >= _MIN_DISTINCT and distinct >= _DISTINCT_SHARE * present.len() and words >= _MIN_WORDS
    repeats = distinct >= _MIN_SENTENCES and distinct > _SENTENCE_SHARE * present.len() and words >= _SENTENCE_WORDS
    return "text" if differs or repeats else "category"
