"""Tables in plain text, for what Python prints of an object."""

from collections.abc import Iterable, Sequence

from lanewise.formatting.plain_text import clean, columns_of

GAP = "  "
"""Between two columns."""


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows under their heads, each column as wide as its widest cell.

    >>> print(text_table(["optimizer", "lr"], [["adamw", 0.001], ["sgd", 0.1]]))
    optimizer  lr
    adamw      0.001
    sgd        0.1
    """
    lines = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        GAP.join(cell + " " * (width - columns_of(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
