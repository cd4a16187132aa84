"""Columns that are words beyond doubt, told of all columns at once: a table may have tens of thousands.

One pattern passes every cell that some grammar of numbers or form of dates may read, and those that come near; the
grammars and forms themselves then look only at columns that have such cells.
"""

import polars as pl

from lanewise.data.cells.date_cells import MONTH_NAME
from lanewise.data.cells.number_signs import SIGN
from lanewise.data.cells.text_columns import shares_of_cells

_PROBE = 100
_MAY_BE_MORE = (
    r"^(?:"
    rf"(?:{SIGN}\s*)?[(+\u2212-]?(?:{SIGN}\s*)?[+-]?[\d.,][\d.,_'\u2019 \u00a0\u202f\u2009]*"  # -1 234,5 €, ($12.50)
    rf"(?:[eE][+-]?\d+)?-?(?:\s*{SIGN})?\)?\s*(?:{SIGN})?"
    r"|[+-]?(?i:inf(?:inity|inite)?)"
    r"|[+-]?0[xXoObB][0-9a-fA-F]+"
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ](?s:.*))?"  # 2024-01-31T08:15
    rf"|\d{{1,2}}[ -]{MONTH_NAME}\.?[ -]\d{{2,4}}(?:[T ](?s:.*))?|{MONTH_NAME}\.? \d{{1,2}},? \d{{4}}(?:[T ](?s:.*))?"
    r")$"
)


def holding_words(frame: pl.DataFrame) -> set[str]:
    """The columns of text with some cell that is a word, so that not all of them can be numbers or dates.

    >>> sorted(holding_words(pl.DataFrame({"a": ["1", "v2"], "b": ["1", "2 %"], "c": [None, "31.1.2024"]})))
    ['a']
    """
    found: set[str] = set()
    for rows in (frame.head(_PROBE), frame):
        rest = [name for name in frame.columns if name not in found]
        found |= {name for name, share in shares_of_words(rows.select(rest)).items() if share}
    return found


def shares_of_words(frame: pl.DataFrame) -> dict[str, float]:
    """By column of text, the share of its cells, missing ones left out, that no number and no date can be read from.

    >>> shares_of_words(pl.DataFrame({"a": ["1", "v2", None], "b": [None, None, "inf"]}))
    {'a': 0.5, 'b': 0.0}
    """
    shares = shares_of_cells(frame.cast(pl.String), lambda cells: ~cells.str.contains(_MAY_BE_MORE))
    return dict(zip(frame.columns, shares, strict=True))
