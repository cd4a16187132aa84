"""Arrays and tables as scikit-learn's users have them: checked, read, and posed as a problem.

Nothing is set aside as an audit would: every column is a feature and every row of weight above zero trains.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_consistent_length,
    validate_data,
)

from lanewise.data.column_facts import facts_of, levels_kept
from lanewise.data.contract import DataContract
from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import duplicate_groups, kept_together
from lanewise.data.in_memory import from_memory
from lanewise.data.reading import read, read_like
from lanewise.data.splits import Fold, default_folds, fold_count, folds
from lanewise.errors import DataError, UsageError
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.fitting.planned import prepared_cells
from lanewise.metrics import resolve_metric
from lanewise.settings.fit import FitSettings
from lanewise.task import DEFAULT_METRIC, Task, TaskKind
from lanewise.training.problem import Problem
from lanewise.training.room import check_room, with_room


def _is_table(X: Any) -> bool:
    """Whether this is a pandas or polars table, told without importing either."""
    return type(X).__module__.partition(".")[0] in ("pandas", "polars") and hasattr(X, "columns")


def checked_table(estimator: BaseEstimator, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
    """A table as it is, anything else as an array ``[N, D]``; names and number of columns as scikit-learn has them."""
    if _is_table(X):
        name, times = Counter(X.columns).most_common(1)[0] if len(X.columns) else ("", 0)
        if times > 1:
            message = f"X has {times} columns named {name!r}; give each column a name of its own"
            raise DataError(message)
        validate_data(estimator, X, y, reset=reset, skip_check_array=True)
        return X
    if isinstance(y, str):
        return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
    checks = {"dtype": None, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2}
    separately: Any = (checks, {"ensure_2d": False, "dtype": None})  # scikit-learn leaves its type open
    return validate_data(estimator, X, y, reset=reset, validate_separately=separately)[0]


def checked_target(X: Any, y: Any) -> np.ndarray:
    """The target ``[N]``, without missing values."""
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_consistent_length(X, y)
    return y


def as_numbers(y: np.ndarray) -> np.ndarray:
    """The target as float64; ``DataError`` where it cannot be that."""
    try:
        return y.astype(np.float64)
    except (TypeError, ValueError):
        message = f"y holds values of type {y.dtype} that are no numbers; a regressor needs numbers"
        raise DataError(message) from None


def checked_weight(sample_weight: Any, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Row numbers of weight above zero, and their weights."""
    rows = np.arange(len(X))
    if sample_weight is None:
        return rows, None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    used = rows[weight > 0]
    return used, weight[used]


def read_rows(X: Any, used: np.ndarray) -> Dataset:
    """The rows ``used`` of a table or an array, every column typed on them; ``DataError`` for unusable cells."""
    frame, source, _ = from_memory(X)
    dataset = replace(read(frame[used]), source=source)
    if len(dataset.kinds) < frame.width:
        aside = next(name for name in frame.columns if name not in dataset.kinds)
        message = f"column {aside!r} is of type {frame[aside].dtype}, and a cell must be a single value"
        raise DataError(message)
    _refuse_infinite(dataset)
    return dataset


def _refuse_infinite(dataset: Dataset) -> None:
    for finding in dataset.findings:
        if finding.code == "infinite_values":
            message = f"column {finding.column!r} contains infinity; replace it by a number or by a missing value"
            raise DataError(message)


def positive_last(classes: Sequence[Any], codes: np.ndarray, pos_label: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels as text and the ``codes [N]`` among them, with ``pos_label`` as the last of two; as they are if None.

    Raises ``UsageError`` where it is none of two classes.
    """
    labels = tuple(map(str, classes))
    if pos_label is None:
        return labels, codes
    if len(classes) != 2:
        message = f"pos_label is for two classes, got {pos_label!r}, and y has {len(classes)}; leave it out"
        raise UsageError(message)
    # An array compares elementwise, and one of a single element would pass as that.
    same = [isinstance(equal := one == pos_label, bool | np.bool_) and bool(equal) for one in classes]
    if not any(same):
        message = f"pos_label must be {classes[0]!r} or {classes[1]!r}, the classes of y, got {pos_label!r}"
        raise UsageError(message)
    return (labels, codes) if same[1] else (labels[::-1], 1 - codes)


def task_of(dataset: Dataset, kind: TaskKind, metric: str | None, *, classes: tuple[str, ...] = ()) -> Task:
    """The task of a target that has no name of its own; ``UsageError`` for a metric that does not suit it."""
    target = "y"
    while target in dataset.kinds:
        target += "_"
    metric = resolve_metric(metric or DEFAULT_METRIC[kind], kind).name
    return Task(target=target, kind=kind, metric=metric, classes=classes)


def pose_rows(dataset: Dataset, y: np.ndarray, weight: np.ndarray | None, task: Task, settings: FitSettings) -> Problem:
    """The problem of rows that are all for training; equal rows stay in one fold where that is fair."""
    rows, features = np.arange(len(y)), tuple(dataset.kinds)
    group = kept_together(duplicate_groups(dataset, features), rows)
    wanted = settings.folds or default_folds(len(rows))
    count, fewer = fold_count(y, rows, task=task, count=wanted, group=group)
    divided = partial(_folds_of, y, task, settings.seed, group)
    parts = divided(count)
    facts = facts_of(dataset.frame, dataset.kinds)
    most = levels_kept(LayoutSettings.max_levels, facts.values())
    kept = LayoutSettings(scaling=settings.scaling, max_levels=most)
    layout = Layout.fit(dataset, features, rows, settings=kept, counted=facts)
    layout, parts, crowded = with_room(
        layout,
        parts,
        rows=len(y),
        cells=prepared_cells(settings),
        divided=None if settings.folds else divided,
    )
    check_room(dataset.source, layout, rows=len(y), folds=len(parts))
    return Problem(
        dataset=dataset,
        task=task,
        metric=resolve_metric(task.metric, task.kind),
        contract=DataContract.of(dataset, task=task, features=features, rows=rows, facts=facts),
        features=features,
        set_aside={},
        findings=(*dataset.findings, *fewer, *crowded),
        y=y,
        weight=None if weight is None else weight / weight.mean(),
        train=rows,
        test=rows[:0],
        folds=parts,
        layout=layout,
        encoded=layout.encode(dataset),
        clusters=group,
        scaling=settings.scaling,
    )


def _folds_of(y: np.ndarray, task: Task, seed: int, group: np.ndarray | None, count: int) -> tuple[Fold, ...]:
    return folds(y, np.arange(len(y)), task=task, count=count, seed=seed, group=group)


def read_like_training(X: Any, contract: DataContract) -> Dataset:
    """The rows of a checked table with the columns of training: scikit-learn has compared the names, or has none."""
    frame, source, _ = from_memory(X)
    frame.columns = [column.name for column in contract.columns]
    dataset = replace(read_like(frame, {column.name: column.kind for column in contract.columns}), source=source)
    _refuse_infinite(dataset)
    return dataset
