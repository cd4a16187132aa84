"""Encoded rows with the cells of one column taken from other rows: encoded once, however many columns are shuffled."""

from typing import TYPE_CHECKING

import numpy as np

from lanewise.features.encoding import Encoded
from lanewise.features.layout import Layout

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def reordered(layout: Layout, encoded: Encoded, column: str, rows: np.ndarray, order: np.ndarray) -> Encoded:
    """The ``rows [n]`` of ``encoded``, with the cells of ``column`` from the rows ``order [n]``.

    The bits are those of encoding the table so reordered, without the work of encoding it.

    >>> from lanewise.features.columns import NumberColumn
    >>> columns = tuple(NumberColumn(name=name, missing=False, heavy_tailed=False) for name in "ab")
    >>> table = Encoded(numbers=np.array([[1.0, 10.0], [2.0, 20.0]]), codes=np.empty((2, 0), np.int64), tokens=None)
    >>> reordered(Layout(columns=columns), table, "b", np.array([0, 1]), np.array([1, 0])).numbers.tolist()
    [[1.0, 20.0], [2.0, 10.0]]
    """
    numbers, codes = encoded.numbers[rows], encoded.codes[rows]
    for place in layout.number_places.get(column, ()):
        numbers[:, place] = encoded.numbers[order, place]
    if column in layout.category_places:
        place = layout.category_places[column]
        codes[:, place] = encoded.codes[order, place]
    return Encoded(numbers=numbers, codes=codes, tokens=_tokens(layout, encoded.tokens, column, rows, order))


def _tokens(
    layout: Layout, tokens: "csr_array | None", column: str, rows: np.ndarray, order: np.ndarray
) -> "csr_array | None":
    if tokens is None:
        return None
    from scipy.sparse import csr_array, hstack

    first = 0
    for text in layout.texts:
        last = first + text.buckets
        if text.name == column:
            parts = [tokens[:, :first][rows], tokens[:, first:last][order], tokens[:, last:][rows]]
            return csr_array(hstack(parts, format="csr"))
        first = last
    return tokens[rows]
