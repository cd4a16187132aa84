"""What a layout remembers of one source column, per kind of column."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

DatePart = Literal["days", "year", "month", "weekday", "day", "hour"]

LINEAR_PARTS: tuple[DatePart, ...] = ("days", "year")
# Length of each cycle and the value at which it begins.
CYCLES: dict[DatePart, tuple[float, float]] = {
    "month": (12.0, 1.0),
    "weekday": (7.0, 1.0),
    "day": (31.0, 1.0),
    "hour": (24.0, 0.0),
}
DATE_PARTS: tuple[DatePart, ...] = (*LINEAR_PARTS, *CYCLES)

OTHER_CODE = 0
MISSING_CODE = 1
FIRST_LEVEL_CODE = 2


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """A number: ``missing`` asks for an indicator, ``heavy_tailed`` for its rank as a second feature.

    With ``only_rank`` the rank is all there is of it.
    """

    kind: ClassVar = "number"
    name: str
    missing: bool
    heavy_tailed: bool
    only_rank: bool = False


@dataclass(frozen=True, kw_only=True)
class DateColumn:
    """A point in time, as the days since 1970 and those of its other parts that vary."""

    kind: ClassVar = "date"
    name: str
    missing: bool
    parts: tuple[DatePart, ...]


@dataclass(frozen=True, kw_only=True)
class CategoryColumn:
    """A column of levels. Code 0 is any other level, code 1 a missing cell, 2 and up are ``levels``.

    ``other_rows`` counts the rows whose level was too rare to keep; ``missing`` says whether cells were missing;
    ``one_hot`` whether it becomes one feature per level, or a code for an embedding table; ``told`` that only so many
    of its levels, the most frequent ones, are features (None: all), so that the others are all zeros.
    """

    kind: ClassVar = "category"
    name: str
    levels: tuple[str, ...]
    missing: bool
    other_rows: int
    one_hot: bool
    told: int | None = None

    @property
    def codes(self) -> int:
        """How many codes there are: the height of its embedding table."""
        return FIRST_LEVEL_CODE + len(self.levels)

    def one_hot_features(self) -> list[tuple[int, str]]:
        """Code and name of each of its dense features."""
        if not self.one_hot:
            return []
        features = [(OTHER_CODE, f"{self.name} other")] if self.other_rows else []
        features += [(MISSING_CODE, f"{self.name} missing")] if self.missing else []
        told = self.levels[: self.told]
        return features + [(FIRST_LEVEL_CODE + i, f"{self.name}={level}") for i, level in enumerate(told)]

    @property
    def one_hot_width(self) -> int:
        """How many dense features it has: as many as `one_hot_features` names."""
        if not self.one_hot:
            return 0
        return bool(self.other_rows) + self.missing + len(self.levels[: self.told])


@dataclass(frozen=True, kw_only=True)
class TextColumn:
    """Free text, as counts of its words and of their character n-grams, hashed into ``buckets``."""

    kind: ClassVar = "text"
    name: str
    buckets: int
    character_ngrams: tuple[int, ...]


Column = NumberColumn | DateColumn | CategoryColumn | TextColumn
_TYPES: tuple[type[Column], ...] = (NumberColumn, DateColumn, CategoryColumn, TextColumn)
_BY_KIND: dict[str, type[Column]] = {column.kind: column for column in _TYPES}


def column_to_dict(column: Column) -> dict[str, Any]:
    """A column as plain JSON types, its kind first; what is None is left out."""
    values = {field.name: getattr(column, field.name) for field in fields(column)}  # asdict copies every level
    return {"kind": column.kind} | {name: value for name, value in values.items() if value is not None}


def column_from_dict(content: Mapping[str, Any]) -> Column:
    """The inverse of `column_to_dict`; ``KeyError`` or ``TypeError`` where the fields do not fit."""
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in content.items()}
    return _BY_KIND[values.pop("kind")](**values)
