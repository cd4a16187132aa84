"""Decimals of text that have more digits than the numbers of 64 bits that they are read as."""

import polars as pl

from lanewise.data.common_types import MOST_EXACT
from lanewise.data.findings import Finding
from lanewise.data.wording import counted

MOST_DIGITS = 17
"""Digits that two numbers of 64 bits which differ need at the most to be told apart: more are rounded away."""

_NO_DIGITS = r"[eE].*$|[^0-9]"
_ZEROS_AROUND = r"^0+|0+$"


def with_long_cells(frame: pl.DataFrame) -> set[str]:
    """The columns of text with a cell that may have too many digits, all at once: a table may have ten thousands.

    >>> with_long_cells(pl.DataFrame({"a": ["0.5", None], "b": ["0.5", "0.1234567890123456789"]}))
    {'b'}
    """
    if not frame.width:
        return set()
    longest = frame.select(pl.all().str.len_bytes().max().fill_null(0)).row(0)
    return {name for name, length in zip(frame.columns, longest, strict=True) if length > MOST_DIGITS + 1}


def long_decimals(texts: pl.Series, numbers: pl.Series) -> tuple[Finding, ...]:
    """That some of the ``texts``, written with a decimal point, have more digits than the ``numbers`` that they became.

    Nothing is said of numbers so large that 64 bits hold no fraction; the whole ones are looked at where they are read.

    >>> texts = pl.Series("share", ["0.12345678901234567891", "0.5000000000000000000000"])
    >>> [found.message for found in long_decimals(texts, texts.cast(pl.Float64))]
    ["column 'share' has 1 decimal with more than 17 digits, all that 64 bits hold: it was rounded, as \
0.12345678901234567891 to 0.12345678901234568"]
    """
    digits = pl.col("text").str.replace_all(_NO_DIGITS, "").str.replace_all(_ZEROS_AROUND, "")
    long = (
        pl.DataFrame({"text": texts, "number": numbers})
        .filter(pl.col("text").str.len_bytes() > MOST_DIGITS + 1)  # few cells are, which is quickly seen
        .filter(digits.str.len_bytes() > MOST_DIGITS, pl.col("number").abs() < MOST_EXACT)
    )
    if long.is_empty():
        return ()
    text, number = long.row(0)
    message = (
        f"column {texts.name!r} has {counted(long.height, 'decimal')} with more than {MOST_DIGITS} digits, all that 64 "
        f"bits hold: {'it was' if long.height == 1 else 'they were'} rounded, as {text} to {number!r}"
    )
    return (Finding(code="rounded_decimals", column=texts.name, count=long.height, message=message),)
