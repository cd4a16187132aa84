"""A test set of the user's own, below the rows of training."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lanewise.data.cells.nearly_numbers import number_but_for
from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.data.wording import MOST_NAMED, first_of, named
from lanewise.errors import DataError
from lanewise.task import Task


def joined_below(
    dataset: Dataset, test: Dataset, features: Sequence[str], *, task: Task, weight: str | None
) -> tuple[Dataset, np.ndarray]:
    """The training table with the user's ``test`` rows below it, and where those are; ``weight`` names a column.

    Raises ``DataError`` where ``test`` lacks columns, has others of another kind, or has no target.
    """
    needed = [task.target, *([weight] if weight else [])]
    columns = [*needed[:1], *features, *needed[1:]]
    missing = [name for name in columns if name not in test.frame.columns]
    if len(missing) == len(columns):
        message = (
            f"the test set {test.source} has none of the columns that training reads ({named(columns)}): give one "
            f"with the columns of {dataset.source}"
        )
        raise DataError(message)
    if missing:
        them = "them" if len(missing) > 1 else "it"
        what = f"{'columns' if len(missing) > 1 else 'column'} {named(missing)}"
        message = f"the test set {test.source} lacks the {what}; add {them}{_or_drop(missing, needed)}"
        raise DataError(message)
    _check_kinds(dataset, test, needed, columns if not task.is_classification else columns[1:])
    below = test.frame.select(
        pl.col(name).cast(dataset.frame[name].dtype) if test.frame[name].null_count() == test.rows else pl.col(name)
        for name in columns
    )
    frame = pl.concat([dataset.frame.select(columns), below], how="vertical_relaxed")
    labelled = test.frame[task.target].is_not_null().to_numpy()
    held = dataset.rows + np.flatnonzero(labelled)
    if not len(held):
        message = f"the test set {test.source} has no row with a value of {task.target!r}"
        raise DataError(message)
    kinds: dict[str, ColumnKind] = {name: dataset.kinds[name] for name in columns}
    return (
        Dataset(frame=frame, kinds=kinds, source=dataset.source, rest=dataset.rest, conventions=dataset.conventions),
        held,
    )


def _or_drop(columns: Sequence[str], needed: Sequence[str]) -> str:
    """That the columns can be left out of both tables, where the race does without them."""
    if set(needed) & set(columns):
        return ""
    them, names = "it" if len(columns) == 1 else "them", ",".join(columns)
    return f", or leave {them} out of both (drop{f'={names!r}' if len(columns) <= MOST_NAMED else ''})"


def _check_kinds(dataset: Dataset, test: Dataset, needed: Sequence[str], columns: Sequence[str]) -> None:
    """`DataError` where numbers or dates of training are something else in the test set, with the cells in the way.

    Labels of classes are compared as they are written.
    """
    wrong: dict[str, str] = {}
    for name in columns:
        was, found = dataset.kinds[name], test.kinds[name]
        if was == found or ("number" not in (was, found) and "date" not in (was, found)):
            continue
        if test.frame[name].null_count() == test.rows or (was == "category" and found == "number"):
            continue
        spoilt = number_but_for(test.frame[name]) if was == "number" else None
        wrong[name] = f"{name!r} must be {was} and {spoilt or f'is {found}'}"
    if wrong:
        message = (
            f"the test set {test.source} has columns of another kind than in training: "
            f"{first_of([*wrong.values()])}: mend them{_or_drop(list(wrong), needed)}"
        )
        raise DataError(message)
