"""Columns that have a role: the target, the weight, group and time of rows, and those that are dropped or kept."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from lanewise.data.cells.typed_columns import NESTED
from lanewise.data.dataset import Dataset
from lanewise.data.target import name_hint, target_column
from lanewise.data.text.headers import REPEATED, twins_of
from lanewise.data.wording import counted
from lanewise.errors import DataError, UsageError, all_of, closest, suggestion
from lanewise.settings.conflicts import roles_twice
from lanewise.settings.text_form import as_names


def check_names(
    dataset: Dataset, *, target: str, drop: Sequence[str], keep: Sequence[str], roles: Mapping[str, str | None]
) -> None:
    """Every name exists, and none has two roles that contradict each other; all mistakes of a kind are told at once.

    Raises ``DataError`` where the target alone does not exist, else ``UsageError``; also where another column of the
    same name would be a feature, and so perhaps tell the target.
    """
    given = [("drop", name) for name in drop] + [("keep", name) for name in keep]
    given += [(role, name) for role, name in roles.items() if name is not None]
    columns = dataset.frame.schema
    given = _without_nested(dataset, [("target", target), *given])[1:]
    absent = [(role, name) for role, name in (("target", target), *given) if name not in columns]
    if absent == [("target", target)]:
        target_column(dataset, target)
    if absent:
        hints = [line for role in ("drop", "keep") for line in cut_names(role, _of(role, given), columns)]
        raise all_of(UsageError, [*_absent(absent, dataset), *hints], heading=f"{dataset.source} has no such columns")
    twice = list(roles_twice((("target", target), *given)))
    if twice:
        raise all_of(UsageError, twice, heading=f"{len(twice)} columns have two roles")
    _check_twins(dataset, target, drop)


def _without_nested(dataset: Dataset, given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The roles of columns but for those that are dropped and were set aside already.

    Raises ``DataError`` for other roles of columns that no kind can hold.
    """
    nested = {one.column: one for one in dataset.findings if one.code == NESTED}
    wrong = [
        f"{role} names {name!r}, and {nested[name].message}"
        for role, name in given
        if name in nested and role != "drop"
    ]
    if wrong:
        raise all_of(DataError, wrong, heading=f"{len(wrong)} columns of {dataset.source} cannot be used")
    return [(role, name) for role, name in given if name not in nested]


def _check_twins(dataset: Dataset, target: str, drop: Sequence[str]) -> None:
    """``UsageError`` where another column of the target's name would be a feature."""
    repeated = {name for one in dataset.findings if one.code == REPEATED for name in one.columns}
    twins = sorted(set(twins_of(target, repeated)) - {*drop})
    if not twins:
        return
    names = sorted({target, *twins}, key=lambda name: (len(name), name))
    message = (
        f"{len(names)} columns of {dataset.source} are called {names[0]!r}, read as {', '.join(map(repr, names))}, and "
        f"one may give the other away: leave out what is not the target with drop={as_names(twins)!r}, or name them "
        "apart in the file"
    )
    raise UsageError(message)


def role_mistakes(
    dataset: Dataset, rows: np.ndarray, *, weight: str | None, group: str | None, time: str | None
) -> Iterator[str]:
    """A line, beginning with the role, for each column that cannot have its role for the ``rows`` with a target."""
    if weight is not None:
        yield from _weight_mistakes(dataset, weight)
        rows = rows[dataset.frame[weight][rows].is_not_null().to_numpy()]
    if time is not None and not is_ordered(dataset, time):
        yield f"time must name a column of numbers or dates, and {time!r} is {dataset.kinds[time]}"
    for role, name in (("group", group), ("time", time)):
        missing = dataset.frame[name][rows].null_count() if name is not None else 0
        if missing:  # a split needs the group or the time of every row
            yield (
                f"{role} must name a column without missing cells, and {name!r} is missing in "
                f"{counted(missing, 'row')}; fill it in or leave those rows out"
            )


def is_ordered(dataset: Dataset, column: str) -> bool:
    """Whether rows can be put in order by a column: it holds numbers or dates."""
    return dataset.kinds[column] in ("number", "date")


def _weight_mistakes(dataset: Dataset, weight: str) -> Iterator[str]:
    if dataset.kinds[weight] != "number":
        yield f"weight must name a column of numbers, and {weight!r} is {dataset.kinds[weight]}"
        return
    values = dataset.frame[weight].cast(pl.Float64)
    wrong = int((~values.is_finite() | (values < 0)).sum())
    if wrong:
        yield f"weight must name a column of numbers from zero up, and {weight!r} has {counted(wrong, 'other value')}"


def cut_names(listing: str, given: Collection[str], columns: Collection[str]) -> Iterator[str]:
    """How to write each of the ``columns`` at whose comma the list of names that was ``given`` as ``listing`` was cut.

    >>> print(*cut_names("drop", ["Income", "net"], ["Income, net", "y"]))
    'Income, net' is one column: a name with a comma stands in double quotes, drop='"Income, net"'
    """
    for name in columns:
        parts = {part.strip() for part in name.split(",")} - {""}
        if "," in name and name not in given and parts <= {*given} and not parts <= {*columns}:
            quoted = as_names([name])
            yield f"{name!r} is one column: a name with a comma stands in double quotes, {listing}={quoted!r}"


def _of(role: str, given: Sequence[tuple[str, str]]) -> list[str]:
    return [name for own, name in given if own == role]


def _absent(absent: Sequence[tuple[str, str]], dataset: Dataset) -> list[str]:
    """A line for each role whose column is not there; which columns there are, is said once."""
    columns = dataset.frame.columns
    if len(absent) == 1:
        role, name = absent[0]
        return [f"{role} names {name!r}, no column of {dataset.source}: {name_hint(name, columns)}"]
    near = [" or ".join(map(repr, closest(name, columns))) for _, name in absent]
    lines = [
        f"{role} names {name!r}{f'; did you mean {meant}?' if meant else ''}"
        for (role, name), meant in zip(absent, near, strict=True)
    ]
    return lines if all(near) else [*lines, suggestion("", map(repr, columns), noun="the columns are")]
