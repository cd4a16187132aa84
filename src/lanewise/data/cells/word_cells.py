"""Category or text: which kind a column of words has.

Text is language to be read word by word: at least 20 distinct values, at least half of the cells distinct, three
words or more on average. Sentences repeat more where they come from a template: of four words or more on average, more
than a fifth of the cells distinct is enough, with at least 50 distinct values, for fewer are told apart well as
levels. Everything else is a category, identifiers too; whether a category is of use is audited elsewhere.
"""

import polars as pl

from lanewise.data.kinds import ColumnKind

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
    return kinds_of_words(cells.to_frame())[cells.name]


def kinds_of_words(frame: pl.DataFrame) -> dict[str, ColumnKind]:
    """The kind of each column of words, as ``kind_of_words`` gives it; of all at once, for they may be many."""
    if not frame.width:
        return {}
    present = dict(zip(frame.columns, frame.select(pl.all().count()).row(0), strict=True))
    levels = frame.select(pl.all().n_unique()).row(0)
    distinct = {name: count - (present[name] < frame.height) for name, count in zip(frame.columns, levels, strict=True)}
    varied = [
        name
        for name, count in distinct.items()
        if count >= _MIN_DISTINCT and count > min(_SENTENCE_SHARE, _DISTINCT_SHARE) * present[name]
    ]
    words = frame.select(pl.col(varied).str.count_matches(r"\S+").sum()).row(0) if varied else ()
    texts = {
        name
        for name, count in zip(varied, words, strict=True)
        if _is_text(rows=present[name], distinct=distinct[name], words=count / present[name])
    }
    return {name: "text" if name in texts else "category" for name in frame.columns}


def _is_text(*, rows: int, distinct: int, words: float) -> bool:
    """Whether so many different values of so many ``words`` on average are language."""
    differs = distinct >= _MIN_DISTINCT and distinct >= _DISTINCT_SHARE * rows and words >= _MIN_WORDS
    repeats = distinct >= _MIN_SENTENCES and distinct > _SENTENCE_SHARE * rows and words >= _SENTENCE_WORDS
    return differs or repeats
