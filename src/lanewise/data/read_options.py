"""What a caller may fix about the reading of a table; everything left out is found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lanewise.data.conventions import Convention
from lanewise.data.kinds import COLUMN_KINDS, ColumnKind
from lanewise.data.memory import memory_bytes
from lanewise.errors import UsageError
from lanewise.settings.text_form import checked_delimiter, checked_encoding

if TYPE_CHECKING:
    from lanewise.settings.fit import FitSettings

_MEMORY_SHARE = 8


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a table; ``None`` (or empty) means: find out.

    ``missing`` adds markers to the recognised ones; they hold in every column. ``kinds`` fixes the kind of columns by
    name, ``conventions`` say how columns of numbers and dates were written where they were read before, ``beside``
    names the columns of the table that this one goes with: svmlight text leaves out what is zero, and so perhaps whole
    columns. ``keep_empty`` keeps a row of nothing but empty cells (``,,,``), which is no row otherwise; a line without
    any character never is one. ``max_bytes`` bounds the bytes of the unpacked table (default: an eighth of the memory
    of this machine or container).

    Raises ``UsageError`` for a value that can't be used.

    >>> ReadOptions(delimiter=";", decimal=",").decimal
    ','
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    header: bool | None = None
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict[str, ColumnKind])
    conventions: Mapping[str, Convention] = field(default_factory=dict[str, Convention])
    beside: tuple[str, ...] = ()
    keep_empty: bool = False
    max_bytes: int | None = None
    max_line_bytes: int = 16 * 2**20
    max_columns: int = 100_000

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", checked_delimiter(self.delimiter))
        if self.decimal not in (None, ".", ","):
            message = f"decimal must be '.' or ',', got {self.decimal!r}"
            raise UsageError(message)
        if self.encoding is not None:
            checked_encoding(self.encoding)
        for column, kind in self.kinds.items():
            if kind not in COLUMN_KINDS:
                message = f"kind of column {column!r} must be one of {', '.join(COLUMN_KINDS)}, got {kind!r}"
                raise UsageError(message)
        for name in ("max_bytes", "max_line_bytes", "max_columns"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"{name} must be at least 1, got {value}"
                raise UsageError(message)

    @property
    def byte_limit(self) -> int:
        """Most bytes that the unpacked table may have."""
        return self.max_bytes if self.max_bytes is not None else memory_bytes() // _MEMORY_SHARE


def read_options(settings: "FitSettings") -> ReadOptions:
    """How the settings of a fit say that tables are read."""
    return ReadOptions(
        missing=settings.missing,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        max_bytes=settings.max_bytes,
    )
