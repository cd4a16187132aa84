"""The target column: the task that it sets, its classes, and its values as numbers.

A class with one row stays a class, because a new row may belong to it, but it can only be learnt from: splits keep its
row for training and a finding says so.
"""

import math
import re
import shlex
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from lanewise.data.cells.nearly_numbers import beyond_64_bits, number_but_for
from lanewise.data.cells.two_decimal_marks import two_decimal_marks
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.task_guessing import MAXIMUM_GRADES, announcement, guess_kind
from lanewise.data.text.delimited import NO_HEADER
from lanewise.data.text.sniffing import SINGLE_QUOTES
from lanewise.data.wording import counted, named
from lanewise.errors import DataError, UsageError, closest, suggestion
from lanewise.task import DEFAULT_METRIC, TASK_KINDS, Task, TaskKind

MAXIMUM_CLASSES = 1000

MINIMUM_ROWS = 10
"""Rows with a target that a table needs."""

LARGEST_TARGET = 1e30
"""Size up to which targets and sums of their squares are far from overflow, in single precision as trees keep them."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

FEWEST_TESTED = 5
"""Test rows of a class below which its scores are mostly luck."""

FEWEST_ROWS = 50
"""Rows of a table below which no score says much: of some ten test rows each is a tenth of an accuracy."""


def name_hint(name: str, names: Iterable[str], *, noun: str = "the columns are") -> str:
    """Help for a mistyped name: the names that are close, or else the first few that exist.

    >>> name_hint("Survive", ["Age", "Survived"])
    "did you mean 'Survived'?"
    """
    known = list(names)
    near = closest(name, known)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return suggestion(name, map(repr, known), noun=noun)


def labelled_rows(dataset: Dataset, target: str) -> np.ndarray:
    """Row numbers, int64 and ascending, of the rows whose target is present.

    Raises ``DataError`` where the column does not exist.
    """
    return np.flatnonzero(target_column(dataset, target).is_not_null().to_numpy()).astype(np.int64)


def resolve_task(
    dataset: Dataset, target: str, *, kind: TaskKind | None = None, metric: str | None = None, folds: int = 5
) -> tuple[Task, tuple[Finding, ...]]:
    """Task that a target column sets, and what was noticed about it.

    ``kind`` is checked where it is stated and found by the rules of ``task_guessing`` where not; ``metric`` defaults to
    the one of the kind. Classes with fewer rows than ``folds`` are warned of.

    Raises ``DataError`` where the column is absent, holds dates, has no value or only one, does not fit the stated
    kind, or has more than 1,000 classes; ``UsageError`` for a kind that does not exist.

    >>> frame = pl.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "churn": ["yes", "no", "no", "yes"]})
    >>> dataset = Dataset(frame=frame, kinds={"size": "number", "churn": "category"}, source="example")
    >>> task, findings = resolve_task(dataset, "churn")
    >>> task.kind, task.classes, task.metric
    ('binary', ('no', 'yes'), 'log_loss')
    """
    if kind is not None and kind not in TASK_KINDS:
        message = f"task must be one of {', '.join(TASK_KINDS)}, got {kind!r}"
        raise UsageError(message)
    column = target_column(dataset, target)
    _check_target(column, dataset.kinds[target])
    if kind is None and (mixed := two_decimal_marks(column)) is not None:
        message = f"target {target!r} {mixed}"
        raise DataError(message)
    if kind is None and (spoilt := _spoilt_number(column)) is not None:
        message = f"target {target!r} {spoilt}; or say task='multiclass', if its values are classes"
        raise DataError(message)
    guess = guess_kind(column, dataset.kinds[target])
    chosen = kind or guess.kind
    classes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    if chosen in ("binary", "multiclass"):
        labels = _labels(column.drop_nulls())
        classes = _classes(labels, whole=column, kind=chosen)
        findings = _rare_classes(labels, target=target, folds=folds)
    else:
        _check_numbers(column, dataset.kinds[target], task_kind=chosen)
    task = Task(target=target, kind=chosen, metric=metric or DEFAULT_METRIC[chosen], classes=classes)
    announced = () if kind is not None else (announcement(target, guess),)
    return task, announced + findings


def encode_target(dataset: Dataset, task: Task) -> np.ndarray:
    """Target as numbers ``[N]``: float64 for regression and count, the class index as int64 for classes.

    A missing target is NaN for numbers and -1 for classes. Labels that match a class but for blanks around them or a
    trailing dot are taken as that class; ``label_findings`` counts them.

    Raises ``DataError`` where the column is absent, is not a number, or has a label that is no class of the task.
    """
    column = target_column(dataset, task.target)
    if not task.is_classification:
        _check_numbers(column, dataset.kinds[task.target], task_kind=task.kind)
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    labels = _labels(column)
    mapping, _ = _match(labels, task, source=dataset.source)
    codes = labels.replace_strict(mapping, default=None, return_dtype=pl.Int64)
    return codes.fill_null(-1).to_numpy().astype(np.int64)


def label_findings(dataset: Dataset, task: Task) -> tuple[Finding, ...]:
    """What ``encode_target`` repairs: labels that match a class but for blanks or a trailing dot, counted.

    So are labels that the file has in single quotes, which predictions have not.

    Raises ``DataError`` where a label is no class of the task.
    """
    if not task.is_classification:
        return ()
    labels = _labels(target_column(dataset, task.target))
    _, repaired = _match(labels, task, source=dataset.source)
    noticed = _unquoted(dataset, task)
    if not repaired:
        return noticed
    count = int(labels.is_in(list(repaired)).sum())
    pairs = ", ".join(f"{given!r} as {label!r}" for given, label in list(repaired.items())[:3])
    message = f"{count:,} labels of {task.target!r} were read without their blanks or trailing dot: {pairs}"
    finding = Finding(code="labels_repaired", message=message, severity="warning", column=task.target, count=count)
    return (*noticed, finding)


def _unquoted(dataset: Dataset, task: Task) -> tuple[Finding, ...]:
    """That the labels stand in single quotes in the file, which as data are not theirs."""
    if not any(task.target in one.columns for one in dataset.findings if one.code == SINGLE_QUOTES):
        return ()
    shown = ", ".join(task.classes[:3])
    message = (
        f"the labels of {task.target!r} stand in single quotes in {dataset.source}, which were taken for quote marks: "
        f"they are read, and will be predicted, without ({shown}{', ...' if len(task.classes) > 3 else ''})"
    )
    return (Finding(code="labels_unquoted", message=message, severity="warning", column=task.target),)


def few_rows(train: int, held: int) -> tuple[Finding, ...]:
    """That a table has too few rows to trust what comes of it: ``train`` to learn from, ``held`` for the test.

    >>> few_rows(8, 3)[0].message
    'only 11 rows, 3 of them for the test: every score has a wide interval, so take the result as a first look'
    """
    rows = train + held
    if rows >= FEWEST_ROWS:
        return ()
    tested = f", {held} of them for the test" if held else ""
    message = f"only {rows} rows{tested}: every score has a wide interval, so take the result as a first look"
    return (Finding(code="few_rows", message=message, severity="warning", count=rows),)


def rare_in_test(held: np.ndarray, task: Task) -> tuple[Finding, ...]:
    """The rarest class of the test rows ``held [n]``, as encoded, if fewer than five of them are of it.

    >>> task = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
    >>> rare_in_test(np.array([0] * 30 + [1] * 2), task)[0].message
    "only 2 of 32 test rows are 'yes': the test says little of that class"
    """
    if not task.is_classification or not len(held):
        return ()
    counts = np.bincount(held.astype(np.int64), minlength=len(task.classes))
    rarest = int(counts.argmin())
    if counts[rarest] >= FEWEST_TESTED:
        return ()
    count, label = int(counts[rarest]), task.classes[rarest]
    many = f"only {count} of" if count else "none of the"
    message = (
        f"{many} {len(held):,} test rows {'is' if count == 1 else 'are'} {label!r}: the test says little of that class"
    )
    return (Finding(code="rare_in_test", message=message, severity="warning", column=task.target, count=count),)


def target_column(dataset: Dataset, target: str) -> pl.Series:
    """The cells of the target; ``DataError`` where there is no such column."""
    if target not in dataset.frame.columns:
        hint = _delimiter_hint(target, dataset.frame.columns) or name_hint(target, dataset.frame.columns)
        nameless = any(finding.code == NO_HEADER for finding in dataset.findings)
        where = f"{dataset.source}{', where no header was found' if nameless else ''}"
        message = f"no column {target!r} in {where}: {hint}"
        raise DataError(message)
    return dataset.frame[target]


def _delimiter_hint(target: str, columns: Sequence[str]) -> str | None:
    """What to do where the one column there is holds the name of the target between signs that are all alike."""
    only = columns[0] if len(columns) == 1 else ""
    sign = next((sign for sign in dict.fromkeys(re.findall(r"[^\w\s]", only)) if target in only.split(sign)), None)
    if sign is None:
        return None
    return f"the one column is {only!r}; if {sign!r} separates the cells, say --delimiter {shlex.quote(sign)}"


def _check_target(column: pl.Series, kind: ColumnKind) -> None:
    if kind == "date":
        message = f"target {column.name!r} holds dates; a target must be a number or a class"
        raise DataError(message)
    present = column.drop_nulls()
    if present.is_empty():
        message = f"target {column.name!r} has no value in {counted(len(column), 'row')}; give another target"
        raise DataError(message)
    if present.n_unique() == 1:
        where = "in the one row that has it"
        if len(present) > 1:
            where = "in every row" if len(present) >= MINIMUM_ROWS else f"in all {len(present)} rows that have it"
        few = f", and a table at least {MINIMUM_ROWS} rows with one" if len(present) < MINIMUM_ROWS else ""
        message = f"target {column.name!r} is {present[0]!r} {where}; a target needs at least two different values{few}"
        raise DataError(message)
    if kind == "number":
        _check_finite(column)


def _check_finite(column: pl.Series) -> None:
    infinite = int((~column.drop_nulls().is_finite()).sum())
    if infinite:
        message = f"target {column.name!r} has {counted(infinite, 'value')} of infinity; leave such rows out"
        raise DataError(message)
    largest = float(column.drop_nulls().cast(pl.Float64).abs().max() or 0.0)  # pyright: ignore[reportArgumentType]  # of numbers
    if largest > LARGEST_TARGET:
        message = (
            f"target {column.name!r} holds values of up to {largest:.3g} in size, and at most {LARGEST_TARGET:g} is "
            "allowed, for errors are squared and trees compute in single precision; divide it by a constant"
        )
        raise DataError(message)


def _spoilt_number(column: pl.Series) -> str | None:
    """What keeps a column of words from being the numbers of a regression or of counts, which it is but for that."""
    if column.dtype != pl.String or column.n_unique() <= MAXIMUM_GRADES:
        return None
    numbers = column.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if 2 * len(numbers) < len(column) or guess_kind(numbers, "number").kind not in ("regression", "count"):
        return None
    return number_but_for(column)


def _check_numbers(column: pl.Series, kind: ColumnKind, *, task_kind: TaskKind) -> None:
    if kind != "number":
        why = number_but_for(column) or beyond_64_bits(column) or f"is {kind}; say task='multiclass' or 'binary'"
        message = f"{task_kind} needs a target of numbers, and {column.name!r} {why}"
        raise DataError(message)
    _check_finite(column)
    present = column.drop_nulls()
    if task_kind == "count":
        wrong = int(((present < 0) | (present != present.floor())).sum())
        if wrong:
            message = (
                f"count needs whole numbers from zero up, and {column.name!r} has {counted(wrong, 'other value')}; "
                "say task='regression'"
            )
            raise DataError(message)


def _labels(values: pl.Series) -> pl.Series:
    """Cells of the target as class labels: text as it is, numbers as they are written (``1``, not ``1.0``)."""
    if not values.dtype.is_numeric():
        return values.cast(pl.String)
    distinct = values.drop_nulls().unique().to_list()
    return values.replace_strict(
        {value: number_label(value) for value in distinct}, default=None, return_dtype=pl.String
    )


def number_label(value: float) -> str:
    """The class that a number is.

    >>> number_label(1.0), number_label(2.5)
    ('1', '2.5')
    """
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sorted labels: by value where all of them are numbers, as text otherwise."""
    distinct = sorted(set(labels))
    if all(NUMBER.fullmatch(label) for label in distinct):
        distinct.sort(key=float)
    return tuple(distinct)


def _classes(labels: pl.Series, *, whole: pl.Series, kind: TaskKind) -> tuple[str, ...]:
    """Classes of the present ``labels`` of the column ``whole``, checked against the stated or found kind."""
    target = whole.name
    classes = _in_order(labels.unique().to_list())
    repeated = int(labels.is_duplicated().sum())
    if len(classes) > MAXIMUM_CLASSES or 2 * repeated < len(labels):
        spoilt = number_but_for(whole) or beyond_64_bits(whole)
        if spoilt is not None:
            message = f"target {target!r} {spoilt}"
            raise DataError(message)
    if kind == "binary" and len(classes) != 2:
        raise DataError(_other_classes(whole, f"exactly two classes, and {target!r} has {len(classes):,}", kind))
    if kind == "multiclass" and len(classes) == 2:
        raise DataError(_other_classes(whole, f"three or more classes, and {target!r} has two", kind))
    if len(classes) > MAXIMUM_CLASSES:
        message = (
            f"target {target!r} has {len(classes):,} classes, and at most {MAXIMUM_CLASSES:,} are allowed; "
            f"give another target, or group its rare classes{_or_numbers(whole)}"
        )
        raise DataError(message)
    if 2 * repeated < len(labels):
        message = (
            f"target {target!r} has {len(classes):,} classes in {len(labels):,} rows, most of them in a single row; "
            f"give a target whose classes repeat{_or_numbers(whole)}"
        )
        raise DataError(message)
    return classes


def _other_classes(values: pl.Series, found: str, kind: TaskKind) -> str:
    """That a target has too few or too many classes for ``kind``, and which kind suits it."""
    suits = _or_numbers(values) or f"say task={('multiclass' if kind == 'binary' else 'binary')!r}"
    return f"{kind} needs {found}; {suits.removeprefix(', or ')}"


def _or_numbers(values: pl.Series) -> str:
    """That the values of a target are better learnt as numbers, where they are."""
    guess = guess_kind(values, "number") if values.dtype.is_numeric() else None
    if guess is None or guess.kind not in ("regression", "count"):
        return ""
    return f", or say task={guess.kind!r}, for it {guess.why}"


def _rare_classes(labels: pl.Series, *, target: str, folds: int) -> tuple[Finding, ...]:
    """Warn of classes with one row, and of classes with fewer rows than folds."""
    counts = dict(labels.value_counts().iter_rows())
    single = _in_order(label for label, count in counts.items() if count == 1)
    rare = _in_order(label for label, count in counts.items() if 1 < count < folds)
    findings = []
    if single:
        message = (
            f"{_some(single)} of {target!r} {'has a single row' if len(single) == 1 else 'have a single row each'}, "
            f"kept for training: how well {'it is' if len(single) == 1 else 'they are'} predicted cannot be measured"
        )
        findings.append(
            Finding(code="single_row_class", message=message, severity="warning", column=target, count=len(single))
        )
    if rare:
        has, its = ("has", "its") if len(rare) == 1 else ("each have", "their")
        message = f"{_some(rare)} of {target!r} {has} fewer than {folds} rows, so {its} scores are hardly reliable"
        findings.append(Finding(code="rare_class", message=message, severity="warning", column=target, count=len(rare)))
    return tuple(findings)


def _some(labels: tuple[str, ...]) -> str:
    return f"class{'es' if len(labels) > 1 else ''} {named(labels)}"


def _match(labels: pl.Series, task: Task, *, source: str) -> tuple[dict[str, int], dict[str, str]]:
    """Class index of each label met, and the labels that had to be repaired with the class they stand for."""
    index = {label: position for position, label in enumerate(task.classes)}
    bare = {_bare(label): label for label in task.classes}
    mapping, repaired, unknown = {}, {}, []
    for label in labels.drop_nulls().unique().sort().to_list():
        meant = label if label in index else bare.get(_bare(label))
        if meant is None:
            unknown.append(label)
            continue
        mapping[label] = index[meant]
        if meant != label:
            repaired[label] = meant
    if unknown:
        allowed = ", ".join(repr(label) for label in task.classes[:8]) + (" ..." if len(task.classes) > 8 else "")
        message = (
            f"target {task.target!r} in {source} has {_some(tuple(unknown))}, unknown to the task; "
            f"its classes are {allowed}"
        )
        raise DataError(message)
    return mapping, repaired


def _bare(label: str) -> str:
    return label.strip().removesuffix(".").rstrip()
