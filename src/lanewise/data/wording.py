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


def named(names: Sequence[str]) -> str:
    """Names in quotes: the first few, and how many more there are.

    >>> named(["a", "b"]), named(list("abcdefg"))
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    shown = ", ".join(map(repr, names[:MOST_NAMED]))
    return f"{shown} and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else shown


def first_of(told: Sequence[str]) -> str:
    """Of things that were told the first few, and how many more there are.

    >>> first_of(["'a' is wrong", "'b' too"]), first_of(list("abcdefg"))
    ("'a' is wrong; 'b' too", 'a; b; c; d; e; and 2 more')
    """
    more = [f"and {len(told) - MOST_NAMED:,} more"] if len(told) > MOST_NAMED else []
    return "; ".join([*told[:MOST_NAMED], *more])


def distinct_numbers(*numbers: float) -> list[str]:
    """Numbers in so many digits, six at the least, that no two different ones look the same.

    >>> distinct_numbers(0.5, 1234567, 1234567.25)
    ['0.5', '1234567', '1234567.2']
    """
    shown = [f"{number:g}" for number in numbers]
    for digits in range(6, 18):
        shown = [f"{number:.{digits}g}" for number in numbers]
        if len(set(shown)) >= len(set(numbers)):  # 0 and -0 are one number
            break
    return shown
