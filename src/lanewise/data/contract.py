"""What the training table promised about its columns, to hold new rows against before predicting.

No row is kept: per column its kind, its share of missing cells, the range of its numbers and dates, and the levels of
its categories (the 1,000 most frequent; text keeps none).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl

from lanewise.data.cells.typed_columns import NESTED
from lanewise.data.column_facts import ColumnFacts, facts_of, levels_kept
from lanewise.data.conventions import UNREADABLE, Convention
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.wording import counted, distinct_numbers, first_of, named
from lanewise.errors import FEW, DataError, StoreError, closest
from lanewise.task import Task, TaskKind

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAXIMUM_LEVELS = 1000
FEWEST_UNREADABLE = 10
"""So many cells that all cannot be read make a column of another kind; fewer may each be a slip."""
MOST_COMPARED = 1000
"""Columns beside those of the model among which names that are nearly right are looked for."""
MOST_UNSEEN = 1_000
"""Levels that training never saw and that are kept, each once, while rows are read in batches."""
_STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
_DTYPES: dict[ColumnKind, pl.DataType] = {
    "number": pl.Float64(),
    "category": pl.String(),
    "text": pl.String(),
    "date": pl.Datetime("us"),
}


@dataclass(frozen=True, kw_only=True)
class ColumnContract:
    """One feature column as training saw it.

    ``low`` and ``high`` bound a number, or a date in microseconds since 1970; they are ``None`` for other kinds and for
    columns without a value. ``convention`` says how its numbers or dates were written, where they were text. ``levels``
    are a category's levels in sorted order, ``more_levels`` counts those beyond the 1,000 most frequent ones.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    name: str
    kind: ColumnKind
    missing_rate: float
    low: float | None = None
    high: float | None = None
    convention: Convention | None = None
    levels: tuple[str, ...] = ()
    more_levels: int = 0


@dataclass(frozen=True, kw_only=True)
class DataContract:
    """The target, and the feature columns in the order that a model expects them.

    ``missing`` are the marks of missing cells that were declared, beside those that every reader knows; ``delimiter``
    and ``encoding`` those of text that were stated, for which new rows are read by them too.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    target: str
    kind: TaskKind
    classes: tuple[str, ...]
    rows: int
    columns: tuple[ColumnContract, ...]
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    format: Literal[1] = 1

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        task: Task,
        features: tuple[str, ...],
        rows: np.ndarray,
        beyond: Mapping[str, ColumnFacts] | None = None,
        missing: tuple[str, ...] = (),
        delimiter: str | None = None,
        encoding: str | None = None,
        facts: Mapping[str, ColumnFacts] | None = None,
    ) -> "DataContract":
        """Contract of the ``features`` as they are in ``rows``, the numbers of the rows trained on.

        ``facts`` are those of these rows by feature, where they are known; ``beyond`` those of the rows of a streamed
        table that train and are not in ``dataset``.
        """
        if facts is None:
            facts = facts_of(dataset.frame.select(features)[rows], dataset.kinds)
        if beyond is not None:
            facts = {name: own.plus(beyond[name]) for name, own in facts.items()}
        most = levels_kept(MAXIMUM_LEVELS, facts.values())
        columns = tuple(
            _column_contract(name, dataset.kinds[name], facts[name], most, dataset.conventions.get(name))
            for name in features
        )
        return cls(
            target=task.target,
            kind=task.kind,
            classes=task.classes,
            rows=max(own.rows for own in facts.values()),
            columns=columns,
            missing=missing,
            delimiter=delimiter,
            encoding=encoding,
        )

    @property
    def conventions(self) -> dict[str, Convention]:
        """How the columns that were text wrote their numbers and dates."""
        return {column.name: column.convention for column in self.columns if column.convention is not None}

    def to_json(self) -> str:
        """The contract as JSON text, which ``from_json`` reads back."""
        return json.dumps(self, default=_fields, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DataContract":
        """Contract from the text of ``to_json``.

        Raises ``StoreError`` for anything else: unknown, double or missing fields, wrong types, NaN.
        """
        from pydantic import ValidationError

        try:
            json.loads(text, object_pairs_hook=_without_doubles)
            return contract_reader().validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"the data contract is damaged: {place or 'text'}: {first['msg']}"
        except ValueError as error:
            message = f"the data contract is damaged: {error}"
        raise StoreError(message)

    def conform(self, dataset: Dataset) -> Dataset:
        """The feature columns alone, in the contract's order and kinds.

        Category and text stand for each other, and a column without any value for every kind. One in which none of ten
        cells or more could be read is of another kind.

        Raises ``DataError`` that names all absent columns, or all columns of another kind.
        """
        names = [column.name for column in self.columns]
        there = set(dataset.frame.columns)  # asked of the frame once: it lists all of them every time
        absent = [name for name in names if name not in there]
        nested = {found.column: found.message for found in dataset.findings if found.code == NESTED}
        if unusable := [nested[name] for name in absent if name in nested]:
            message = f"{dataset.source} has columns of another kind than in training: {first_of(unusable)}"
            raise DataError(message)
        if absent:
            meant = _meant(absent, there.difference(names))
            message = f"{dataset.source} lacks {named(absent)}{meant}; the model needs {len(names)} columns"
            if len(absent) == len(names) > 1 and not meant:
                message += f". Is its header missing? Its columns are {named(dataset.frame.columns)}"
            raise DataError(message)
        missing = dict(zip(dataset.frame.columns, dataset.frame.null_count().row(0), strict=True))
        empty = {name for name, count in missing.items() if count == dataset.rows}
        wrong = [
            f"{column.name!r} must be {column.kind} and is {dataset.kinds[column.name]}"
            for column in self.columns
            if column.name not in empty and not _alike(dataset.kinds[column.name], column.kind)
        ]
        check_readable(dataset.source, self.columns, dataset.findings, missing, dataset.rows, beside=wrong)
        frame = dataset.frame.select(names).with_columns(
            pl.col(column.name).cast(_DTYPES[column.kind], strict=False)
            for column in self.columns
            if column.name in empty
        )
        kinds: dict[str, ColumnKind] = {column.name: column.kind for column in self.columns}
        return Dataset(frame=frame, kinds=kinds, source=dataset.source, findings=dataset.findings)

    def check(self, dataset: Dataset) -> tuple[Finding, ...]:
        """What is different in new rows: values out of range, unseen levels, more missing cells, columns not needed.

        Raises ``DataError`` as ``conform`` does.
        """
        conformed = self.conform(dataset)
        findings = [
            finding
            for column in self.columns
            for finding in Differences.of(column, conformed.frame[column.name]).findings(column)
        ]
        extra = [name for name in dataset.frame.columns if name not in conformed.kinds and name != self.target]
        if extra:
            message = f"columns that the model does not use are left out: {named(extra)}"
            findings.append(Finding(code="extra_columns", message=message, count=len(extra)))
        return tuple(findings)


@cache
def contract_reader() -> "TypeAdapter[DataContract]":
    """What reads contracts: to make it takes longer than to read many."""
    from pydantic import TypeAdapter

    return TypeAdapter(DataContract)


def _meant(absent: list[str], others: set[str]) -> str:
    """Columns that are there and nearly called as absent ones: another case, a slip."""
    if len(others) > MOST_COMPARED:
        return ""
    alike = [found for name in absent[:FEW] for found in closest(name, sorted(others), most=1)]
    return f" (it has {named(list(dict.fromkeys(alike)))})" if alike else ""


def _fields(part: Any) -> dict[str, Any]:
    """What a dataclass holds, but for a convention that there is not; ``asdict`` would copy every level of a column."""
    content = {field.name: getattr(part, field.name) for field in fields(part)}
    if content.get("convention", part) is None:  # so contracts were written before there were any
        del content["convention"]
    if content.get("minus", part) == "":  # nor where minus signs stand
        del content["minus"]
    return content


def _column_contract(
    name: str, kind: ColumnKind, facts: ColumnFacts, most: int, convention: Convention | None
) -> ColumnContract:
    missing_rate = facts.missing / max(facts.rows, 1)
    if kind in ("number", "date"):
        return ColumnContract(
            name=name,
            kind=kind,
            missing_rate=missing_rate,
            low=facts.low,
            high=facts.high,
            convention=convention,
        )
    if kind == "text":
        return ColumnContract(name=name, kind=kind, missing_rate=missing_rate)
    levels = facts.levels["level"].head(most).sort().to_list()
    return ColumnContract(
        name=name,
        kind=kind,
        missing_rate=missing_rate,
        levels=tuple(levels),
        more_levels=facts.levels.height - len(levels) + facts.forgotten,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Differences:
    """What is unlike training in the new cells of a column; those of rows that follow are added by `plus`.

    ``outside`` numbers and dates are out of range; ``unseen`` cells are of levels, each once in ``levels``, that
    training never saw; ``missing`` of ``rows`` cells are. ``forgotten`` says that there are more such levels than are
    kept. ``lowest`` and ``highest`` are the ends of those outside.
    """

    rows: int
    missing: int
    outside: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    unseen: int = 0
    levels: pl.Series
    forgotten: bool = False

    @classmethod
    def of(cls, column: ColumnContract, values: pl.Series) -> "Differences":
        """The differences of the cells ``values`` of a column."""
        outside, ends, unseen = 0, (math.inf, -math.inf), pl.Series([], dtype=pl.String)
        if column.low is not None and column.high is not None:
            numbers = _as_numbers(values)
            beyond = numbers.filter((numbers < column.low) | (numbers > column.high))
            outside = len(beyond)
            ends = (beyond.to_numpy().min(), beyond.to_numpy().max()) if outside else ends
        if column.kind == "category" and not column.more_levels:
            unseen = values.drop_nulls().filter(~values.drop_nulls().is_in(list(column.levels)))
        return cls(
            rows=len(values),
            missing=values.null_count(),
            outside=outside,
            lowest=float(ends[0]),
            highest=float(ends[1]),
            unseen=len(unseen),
            levels=unseen.unique().alias("level"),
        )._bounded()

    def plus(self, other: "Differences", *, most: int | None = None) -> "Differences":
        """Those of both; of more than ``most`` unseen levels the first by name are kept."""
        return Differences(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            outside=self.outside + other.outside,
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
            unseen=self.unseen + other.unseen,
            levels=pl.concat([self.levels, other.levels.cast(self.levels.dtype)]).unique(),
            forgotten=self.forgotten or other.forgotten,
        )._bounded(most)

    def _bounded(self, most: int | None = None) -> "Differences":
        """The same with no more than ``most`` levels: so it says the same of cells at once and in batches."""
        most = MOST_UNSEEN if most is None else most
        if len(self.levels) <= most:
            return self
        return replace(self, levels=_alone(self.levels.sort().head(most)), forgotten=True)

    def findings(self, column: ColumnContract) -> list[Finding]:
        """The warnings about them."""
        findings = []
        if self.outside:
            message = f"{column.name!r} has {counted(self.outside, 'value')} outside the range of the training rows"
            if column.kind == "number":
                assert column.low is not None
                assert column.high is not None
                low, high, *_ = distinct_numbers(column.low, column.high, self.lowest, self.highest)
                message += f" ({low} to {high})"
            findings.append(_warning("out_of_range", message, column, self.outside))
        if self.unseen:
            names = named(self.levels.sort().to_list()) + (" at the least" if self.forgotten else "")
            message = (
                f"{column.name!r} has {counted(self.unseen, 'cell')} with values that no training row has: {names}"
            )
            findings.append(_warning("unseen_levels", message, column, self.unseen))
        missing, rows = self.missing, self.rows
        spread = 3 * math.sqrt(rows * column.missing_rate * (1 - column.missing_rate))
        if missing > rows * (column.missing_rate + 0.05) and missing > rows * column.missing_rate + spread:
            usual = f"in the training rows it lacked {column.missing_rate:.1%} of them"
            message = f"{column.name!r} lacks {missing:,} of {rows:,} cells; {usual}"
            findings.append(_warning("missing_more", message, column, missing))
        return findings


def _alone(words: pl.Series) -> pl.Series:
    """The same words without the memory of the table that they come from, which views of them would hold."""
    return pl.Series(words.name, words.to_list(), dtype=pl.String)


def _warning(code: str, message: str, column: ColumnContract, count: int) -> Finding:
    return Finding(code=code, message=message, severity="warning", column=column.name, count=count)


def _as_numbers(values: pl.Series) -> pl.Series:
    return (values.to_physical() if values.dtype == pl.Datetime else values).cast(pl.Float64)


def _alike(given: ColumnKind, wanted: ColumnKind) -> bool:
    words = ("category", "text")
    return given == wanted or (given in words and wanted in words)


def check_readable(
    source: str,
    columns: Sequence[ColumnContract],
    findings: Iterable[Finding],
    missing: Mapping[str, int],
    rows: int,
    *,
    beside: Sequence[str] = (),
) -> None:
    """``DataError`` for columns of which no cell of ``rows`` could be read as their kind, if that is no chance.

    ``findings`` count the cells that could not be read, ``missing`` those without a value; ``beside`` are columns that
    are wrong for another reason.
    """
    odd = {found.column: found.count or 0 for found in findings if found.code == UNREADABLE}
    wrong = [*beside]
    for column in columns:
        count = odd.get(column.name, 0)
        if count >= FEWEST_UNREADABLE and missing[column.name] == rows:
            wrong.append(f"{column.name!r} must be {column.kind}, which none of its {count:,} cells is")
    if wrong:
        message = f"{source} has columns of another kind than in training: {first_of(wrong)}"
        raise DataError(message)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        message = f"field {next(name for name in names if names.count(name) > 1)!r} is there twice"
        raise ValueError(message)
    return content
