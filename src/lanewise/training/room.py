"""Whether the prepared rows of a table fit into memory: known as soon as its widths are."""

from lanewise.data.memory import memory_bytes
from lanewise.errors import DataError
from lanewise.features.layout import Layout

MEMORY_SHARE = 0.8
"""Of the memory that the prepared rows alone may take: models, gradients and predictions need some too."""


def check_room(source: str, layout: Layout, *, rows: int, folds: int) -> None:
    """``DataError`` where ``rows`` of the table ``source``, prepared for each of ``folds``, do not fit into memory."""
    features = layout.dense_width + len(layout.embedded)
    needed, there = 4 * rows * features * folds, memory_bytes()  # float32
    if needed > MEMORY_SHARE * there:
        message = (
            f"{source} does not fit: {rows:,} rows of {features:,} features, prepared for each of "
            f"{folds} folds, take {needed / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f} GB; "
            "leave out columns (drop) or rows, or ask for fewer folds"
        )
        raise DataError(message)
