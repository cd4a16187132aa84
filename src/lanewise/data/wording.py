"""Counts in words, for findings and errors."""


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "blank row"), counted(1200, "blank row")
    ('1 blank row', '1,200 blank rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
