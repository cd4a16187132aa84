"""Counts and names in words, for findings and errors."""

from collections.abc import Sequence

MOST_NAMED = 5
"""Names beyond these are counted."""


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "blank row"), counted(1200, "blank row")
    ('1 blank row', '1,200 blank rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def named(names: Sequence[str], *, most: int = MOST_NAMED) -> str:
    """Names in quotes: the first few, and how many more there are.

    >>> named(["a", "b"]), named(["a", "b", "c", "d"], most=2)
    ("'a', 'b'", "'a', 'b' and 2 more")
    """
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
