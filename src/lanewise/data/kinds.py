"""What a column of a table can be."""

from typing import Literal

ColumnKind = Literal["number", "category", "text", "date"]
COLUMN_KINDS: tuple[ColumnKind, ...] = ("number", "category", "text", "date")
