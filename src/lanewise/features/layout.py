"""Which features a table has: widths and vocabularies, fixed once and before any fold."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from lanewise.errors import DataError, StoreError, UsageError
from lanewise.features.column_blocks import CELLS_AT_ONCE
from lanewise.features.columns import (
    CYCLES,
    DATE_PARTS,
    CategoryColumn,
    Column,
    DateColumn,
    NumberColumn,
    TextColumn,
    column_from_dict,
    column_to_dict,
)
from lanewise.features.encoding import Encoded, date_parts, encode, require_columns
from lanewise.features.table import Beyond, Table
from lanewise.features.tails import are_heavy_tailed, is_heavy_tailed
from lanewise.settings.names import Scaling

FORMAT = 1
Tail = Literal["light", "heavy", "rank", "cycle"]


@dataclass(frozen=True, kw_only=True)
class LayoutSettings:
    """How columns become features.

    A category of at most ``one_hot_levels`` levels becomes one feature per level, any other a code for an embedding
    table; its ``max_levels`` most frequent levels are kept and the others share one code. Text is hashed into
    ``text_buckets`` (a power of two) buckets, by words and by n-grams of the sizes ``character_ngrams``. ``scaling``
    says which numbers give their rank: those with heavy tails beside their value (auto, robust), all of them in its
    place (quantile), or none (standard).
    """

    one_hot_levels: int = 32
    max_levels: int = 255
    text_buckets: int = 1024
    character_ngrams: tuple[int, ...] = (3,)
    scaling: Scaling = "auto"

    def __post_init__(self) -> None:
        if self.one_hot_levels < 0:
            message = f"one_hot_levels must be 0 or more, got {self.one_hot_levels}"
            raise UsageError(message)
        if self.max_levels < 1:
            message = f"max_levels must be 1 or more, got {self.max_levels}"
            raise UsageError(message)
        if self.text_buckets < 1 or self.text_buckets.bit_count() != 1:
            message = f"text_buckets must be a power of two, such as 1024, got {self.text_buckets}"
            raise UsageError(message)
        if any(size < 1 for size in self.character_ngrams):
            message = f"character_ngrams must be sizes of 1 or more, got {self.character_ngrams}"
            raise UsageError(message)


@dataclass(frozen=True, kw_only=True)
class Number:
    """One raw number of an encoded row; ``tail`` is ``cycle`` for the sine and cosine of a date.

    A ``heavy`` one becomes two dense features: itself, and its rank (as a normal score); ``rank`` says that this
    alone is one.
    """

    name: str
    column: str
    tail: Tail


@dataclass(frozen=True, kw_only=True)
class OneHot:
    """One dense feature that is 1 where ``category`` (its place among the codes) has ``code``."""

    name: str
    column: str
    category: int
    code: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns that a model reads, in order, and the features they become.

    Fitted without looking at any target, on rows outside the test set, so that all folds share the same widths.
    The dense features stand in this order: numbers (with the parts of dates), each heavy-tailed one followed by its
    rank; missing indicators; levels of one-hot categories; buckets of texts.

    >>> from types import SimpleNamespace
    >>> frame = pl.DataFrame({"age": [30.0, None, 50.0], "colour": ["red", "blue", "red"]})
    >>> table = SimpleNamespace(frame=frame, kinds={"age": "number", "colour": "category"}, source="a table")
    >>> layout = Layout.fit(table, ["age", "colour"], np.arange(3), settings=LayoutSettings())
    >>> layout.feature_names
    ('age', 'age missing', 'colour=red', 'colour=blue')
    >>> Layout.from_json(layout.to_json()) == layout
    True
    """

    columns: tuple[Column, ...]

    @classmethod
    def fit(
        cls,
        dataset: Table,
        columns: Sequence[str],
        rows: np.ndarray,
        *,
        settings: LayoutSettings,
        beyond: Mapping[str, Beyond] | None = None,
        counted: Mapping[str, Beyond] | None = None,
    ) -> Self:
        """The layout of ``columns`` from the cells of ``rows`` (row numbers ``[n]``, none of them test rows).

        ``beyond`` tells of the training rows of a streamed table that are not in ``dataset``: their missing cells,
        ranges and levels count as well. ``counted`` tells of ``rows`` themselves, where that is known: levels are
        counted once.

        `DataError` where a column is absent, `UsageError` where nothing is to be read.
        """
        _check_selection(columns, rows, dataset.frame.height)
        require_columns(dataset, columns)
        frame = dataset.frame.select(columns)[rows]
        more, own = beyond or {}, counted or {}
        heavy = {} if beyond else _heavy_tails(frame.select(n for n in columns if dataset.kinds[n] == "number"))
        return cls(
            columns=tuple(
                NumberColumn(
                    name=name,
                    missing=False,
                    heavy_tailed=heavy[name] and settings.scaling in ("auto", "robust"),
                    only_rank=settings.scaling == "quantile",
                )
                if name in heavy
                else _fit_column(cells, dataset.kinds[name], settings, more.get(name), own.get(name))
                for name, cells in zip(columns, frame.get_columns(), strict=True)
            )
        )

    def encode(self, dataset: Table) -> Encoded:
        """All rows of ``dataset`` as arrays, in order; its columns may stand in any order, among others."""
        return encode(self.columns, dataset)

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The raw numbers of a row (axis ``Dn``)."""
        return tuple(number for column in self.columns for number in _numbers(column))

    @cached_property
    def number_places(self) -> Mapping[str, tuple[int, ...]]:
        """The places among `numbers` of each column that has some: one of a number, several of a date."""
        found: dict[str, tuple[int, ...]] = {}
        for place, number in enumerate(self.numbers):
            found[number.column] = (*found.get(number.column, ()), place)
        return found

    @cached_property
    def ranked(self) -> tuple[int, ...]:
        """Places among `numbers` of those whose rank is a feature (axis ``Dq``)."""
        return tuple(place for place, number in enumerate(self.numbers) if number.tail in ("heavy", "rank"))

    @cached_property
    def valued(self) -> tuple[int, ...]:
        """Places among `numbers` of those that are a feature themselves: all whose rank does not stand for them."""
        return tuple(place for place, number in enumerate(self.numbers) if number.tail != "rank")

    @cached_property
    def indicators(self) -> tuple[int, ...]:
        """Places among `numbers` whose absence becomes a feature of its own; one per column."""
        wanted = {c.name for c in self.columns if isinstance(c, NumberColumn | DateColumn) and c.missing}
        first = {number.column: place for place, number in reversed(list(enumerate(self.numbers)))}
        return tuple(first[column.name] for column in self.columns if column.name in wanted)

    @cached_property
    def categories(self) -> tuple[CategoryColumn, ...]:
        """The columns of codes (axis ``Kc``)."""
        return tuple(column for column in self.columns if isinstance(column, CategoryColumn))

    @cached_property
    def texts(self) -> tuple[TextColumn, ...]:
        """The columns of text, whose buckets stand side by side in the tokens."""
        return tuple(column for column in self.columns if isinstance(column, TextColumn))

    @cached_property
    def one_hots(self) -> tuple[OneHot, ...]:
        """The dense features of the categories with few levels."""
        return tuple(
            OneHot(name=name, column=column.name, category=place, code=code)
            for place, column in enumerate(self.categories)
            for code, name in column.one_hot_features()
        )

    @cached_property
    def embedded(self) -> tuple[int, ...]:
        """Places among `categories` of those with many levels (axis ``Ke``): they stay codes."""
        return tuple(place for place, column in enumerate(self.categories) if not column.one_hot)

    @cached_property
    def embedded_codes(self) -> tuple[int, ...]:
        """Height of the embedding table of each embedded category. Row 0, for unseen levels, should start at zero."""
        return tuple(self.categories[place].codes for place in self.embedded)

    @cached_property
    def number_names(self) -> tuple[str, ...]:
        return tuple(number.name for number in self.numbers)

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.categories)

    @cached_property
    def category_places(self) -> Mapping[str, int]:
        """The place among `categories` of each column of codes."""
        return {column.name: place for place, column in enumerate(self.categories)}

    @cached_property
    def embedded_names(self) -> tuple[str, ...]:
        return tuple(self.categories[place].name for place in self.embedded)

    @cached_property
    def tokens_width(self) -> int:
        return sum(column.buckets for column in self.texts)

    @cached_property
    def dense_width(self) -> int:
        """Width D of the dense features after preparation."""
        numbers = len(self.valued) + len(self.ranked)
        levels = sum(column.one_hot_width for column in self.categories)
        return numbers + len(self.indicators) + levels + self.tokens_width

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each dense feature, as a person would say it: ``[D]``."""
        return tuple(name for name, _ in self._dense_features())

    @cached_property
    def feature_columns(self) -> tuple[str, ...]:
        """The source column of each dense feature: ``[D]``."""
        return tuple(column for _, column in self._dense_features())

    def _dense_features(self) -> Iterable[tuple[str, str]]:
        for number in self.numbers:
            if number.tail != "rank":
                yield number.name, number.column
            if number.tail in ("heavy", "rank"):
                yield f"{number.name} rank", number.column
        yield from ((f"{self.numbers[i].column} missing", self.numbers[i].column) for i in self.indicators)
        yield from ((feature.name, feature.column) for feature in self.one_hots)
        for column in self.texts:
            yield from ((f"text:{column.name}#{bucket}", column.name) for bucket in range(column.buckets))

    def to_json(self) -> str:
        """The layout as JSON, for the model file; the same layout always gives the same bytes."""
        content = {"format": FORMAT, "columns": [column_to_dict(column) for column in self.columns]}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The layout that `to_json` wrote; `StoreError` where ``text`` is not one."""
        try:
            content: dict[str, Any] = json.loads(text)
            found = content["format"]
            columns = tuple(column_from_dict(fields) for fields in content["columns"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"the layout of the features is damaged ({type(error).__name__}: {error}); save the model again"
            raise StoreError(message) from error
        if found != FORMAT:
            message = f"the layout of the features has format {found}, this version reads {FORMAT}; update lanewise"
            raise StoreError(message)
        return cls(columns=columns)


def _check_selection(columns: Sequence[str], rows: np.ndarray, height: int) -> None:
    if not columns:
        message = "no feature column was given; name at least one column besides the target"
        raise UsageError(message)
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        message = f"feature columns must be named once, got {', '.join(repeated)} twice"
        raise UsageError(message)
    if not np.issubdtype(rows.dtype, np.integer) or rows.ndim != 1 or rows.size == 0:
        message = f"rows must be a list of at least one row number, got {rows.dtype} of shape {rows.shape}"
        raise UsageError(message)
    if rows.min() < 0 or rows.max() >= height:
        message = f"rows must lie in 0 to {height - 1}, got {rows.min()} to {rows.max()}"
        raise UsageError(message)


def _numbers(column: Column) -> Iterable[Number]:
    if isinstance(column, NumberColumn):
        tail: Tail = "rank" if column.only_rank else "heavy" if column.heavy_tailed else "light"
        yield Number(name=column.name, column=column.name, tail=tail)
    elif isinstance(column, DateColumn):
        for part in column.parts:
            if part in CYCLES:
                yield Number(name=f"{column.name} {part} sin", column=column.name, tail="cycle")
                yield Number(name=f"{column.name} {part} cos", column=column.name, tail="cycle")
            else:
                yield Number(name=f"{column.name} {part}", column=column.name, tail="light")


def _heavy_tails(frame: pl.DataFrame) -> dict[str, bool]:
    """Whether each column of numbers has heavy tails, of those that lack no cell."""
    found: dict[str, bool] = {}
    at_once = max(1, CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, frame.width, at_once):
        names = frame.columns[start : start + at_once]
        cells = np.ascontiguousarray(frame.select(pl.col(names).cast(pl.Float64)).to_numpy().T)
        whole = np.flatnonzero(np.all(np.isfinite(cells), axis=1))
        found |= zip((names[place] for place in whole.tolist()), are_heavy_tailed(cells[whole]).tolist(), strict=True)
    return found


def _fit_column(
    cells: pl.Series, kind: str, settings: LayoutSettings, beyond: Beyond | None, counted: Beyond | None
) -> Column:
    name = cells.name
    missing = cells.null_count() > 0 or (beyond is not None and beyond.missing > 0)
    bounds = [bound for bound in (beyond.low, beyond.high) if bound is not None] if beyond is not None else []
    if kind == "number":
        values = cells.cast(pl.Float64).to_numpy()
        present = values[~np.isnan(values)]
        heavy = settings.scaling in ("auto", "robust") and is_heavy_tailed(np.append(present, bounds))
        return NumberColumn(
            name=name,
            missing=missing or len(present) < len(values),
            heavy_tailed=heavy,
            only_rank=settings.scaling == "quantile",
        )
    if kind == "date":
        if bounds:
            cells = pl.concat([cells, pl.Series(name, bounds).cast(pl.Int64).cast(cells.dtype)])
        varying = date_parts(cells).select(pl.all().drop_nulls().n_unique() > 1).row(0, named=True)
        return DateColumn(name=name, missing=missing, parts=tuple(p for p in DATE_PARTS if p == "days" or varying[p]))
    if kind == "category":
        return _fit_category(cells, settings, beyond, counted)
    if kind == "text":
        return TextColumn(name=name, buckets=settings.text_buckets, character_ngrams=settings.character_ngrams)
    message = f"column {name!r} has kind {kind!r}; a feature must be a number, a category, text or a date"
    raise DataError(message)


def _fit_category(
    cells: pl.Series, settings: LayoutSettings, beyond: Beyond | None, counted: Beyond | None
) -> CategoryColumn:
    if counted is None:
        counts = cells.cast(pl.String).drop_nulls().rename("level").value_counts(name="rows")
    else:
        counts = counted.levels
    if beyond is not None:
        both = [counts.cast({"rows": pl.Int64}), beyond.levels.select("level", "rows").cast({"rows": pl.Int64})]
        counts = pl.concat(both).group_by("level").agg(pl.col("rows").sum())
    if beyond is not None or counted is None:
        counts = counts.sort(["rows", "level"], descending=[True, False])
    kept = counts.head(settings.max_levels)
    forgotten = 0 if beyond is None else beyond.forgotten
    return CategoryColumn(
        name=cells.name,
        levels=tuple(kept.get_column("level").to_list()),
        missing=cells.null_count() > 0 or (beyond is not None and beyond.missing > 0),
        other_rows=int(counts.get_column("rows").sum()) - int(kept.get_column("rows").sum()) + forgotten,
        one_hot=counts.height <= settings.one_hot_levels and not forgotten,
    )
