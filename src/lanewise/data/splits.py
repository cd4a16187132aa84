"""Which rows train and which rows judge: test set and folds, stratified, grouped or ordered in time.

- **Stratified**: every part has its share of each class, or of each tenth of a numeric target.
- **Grouped**: rows of one group are never on both sides. Groups are placed one by one, the largest first, where their
  classes are missing most; this is the greedy rule of scikit-learn's ``StratifiedGroupKFold``.
- **Ordered in time**: the test set is the last rows, and folds are chained forward: train on the past, judge on what
  follows. Rows of equal time are never on both sides.

scikit-learn's splitters are not used. ``train_test_split`` refuses a class with one row, ``StratifiedKFold`` warns of
small classes, ``GroupShuffleSplit`` takes a share of the groups rather than of the rows, and ``StratifiedGroupKFold``
needs equal parts and slows down with tens of thousands of groups, which duplicated rows give.

Exact duplicates on both sides make a score too good: ``lanewise.data.duplicates`` numbers them, so that they can be
given as ``group``.

A split depends on the seed and, with groups, on their order by value, not on the order in which the rows are stored.
Without groups, rows are told apart by nothing but their place, so that it must count.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.placing_groups import place_groups
from lanewise.data.roles import is_ordered
from lanewise.data.wording import counted
from lanewise.errors import DataError, UsageError
from lanewise.task import Task

MINIMUM_FOLDS = {"regression": 2, "count": 2, "binary": 2, "multiclass": 3}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Row numbers, int64 and ascending, that a fold trains on and is judged on."""

    train: np.ndarray
    valid: np.ndarray


def default_fraction(rows: int) -> float:
    """Share of the rows that the test set takes: 25% below 500 rows, then 20%, and never more than 20,000 rows.

    With 20,000 test rows the standard error of an accuracy is at most 0.35 points.

    >>> default_fraction(200), default_fraction(10_000), default_fraction(1_000_000)
    (0.25, 0.2, 0.02)
    """
    return 0.25 if rows < 500 else min(0.2, 20_000 / rows)


def default_folds(rows: int) -> int:
    """Number of folds: 10 below 500 rows, where each row counts, 3 above 50,000, where time does, and 5 between."""
    if rows < 500:
        return 10
    return 3 if rows > 50_000 else 5


def row_groups(dataset: Dataset, column: str) -> np.ndarray:
    """Group of each row as int64 ``[N]``, numbered in the order of the values of ``column``; -1 where it is missing."""
    ranks = dataset.frame[column].rank("dense").cast(pl.Int64) - 1
    return ranks.fill_null(-1).to_numpy().astype(np.int64)


def row_times(dataset: Dataset, column: str) -> np.ndarray:
    """Time of each row as float64 ``[N]``: the number, or microseconds since 1970 of a date; NaN where it is missing.

    The column holds numbers or dates, as `lanewise.data.roles.role_mistakes` sees to.
    """
    assert is_ordered(dataset, column), "the roles of columns were checked"
    values = dataset.frame[column]
    numbers = values.cast(pl.Datetime("us")).to_physical() if dataset.kinds[column] == "date" else values
    return numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def holdout(
    y: np.ndarray,
    *,
    task: Task,
    seed: int,
    fraction: float | None = None,
    rows: np.ndarray | None = None,
    group: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and the test set, int64 and ascending, which share no row.

    ``y [N]`` is the encoded target, ``rows`` the rows to split (default: those with a target), ``fraction`` the share
    of the test set (default: ``default_fraction``). ``group [N]`` (int64, from ``row_groups`` or ``duplicate_groups``)
    keeps groups on one side; ``time [N]`` (float64, from ``row_times``) puts the last rows into the test set. A class
    with one row goes to the training set, unless the row belongs to a larger group.

    Raises ``UsageError`` for a fraction outside (0, 1) or group with time, ``DataError`` where rows, groups or times
    are too few or missing.
    """
    if rows is None:
        rows = np.flatnonzero(y >= 0 if task.is_classification else ~np.isnan(y))
    fraction = default_fraction(len(rows)) if fraction is None else fraction
    if not 0 < fraction < 1:
        message = f"the test fraction must lie between 0 and 1, got {fraction}"
        raise UsageError(message)
    _check(rows, group, time)
    rows = np.sort(rows).astype(np.int64)
    if time is not None:
        test = time[rows] >= _cuts(time[rows], [1 - fraction])[0]
    else:
        units = None if group is None else group[rows]
        shares = np.array([1 - fraction, fraction])
        test = _assign(_strata(y[rows], task), units, shares, np.random.default_rng([seed, 0])) == 1
    return rows[~test], rows[test]


def fold_count(
    y: np.ndarray,
    rows: np.ndarray,
    *,
    task: Task,
    count: int,
    group: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> tuple[int, tuple[Finding, ...]]:
    """Number of folds, at most ``count``, that the rows allow, and the finding that says why there are fewer.

    A fold needs rows of its own, groups of its own or times of its own, and a row of each class. Only two classes can
    bring the number down to 2; more classes bring it to 3 at the least, because one rare class should not take half of
    the rows from the training of the others. In time, the first block is the training of the first fold: fewer folds
    make it longer, until it holds every class, or of several classes two at least.

    Raises ``DataError`` where not even two folds are possible.
    """
    _check(rows, group, time)
    limits = [(len(rows), f"there are {len(rows)} rows")]
    if time is not None:
        times = len(np.unique(time[rows]))
        limits.append((times - 1, f"there are {times} different times"))
        if task.is_classification and times > 2:
            most = min(count, times - 1)
            limits += _first_block_limit(y[rows].astype(np.int64), time[rows], task=task, most=most)
    elif group is not None:
        groups = len(np.unique(group[rows]))
        limits.append((groups, f"there are {groups} groups"))
    if task.is_classification and time is None:
        units = rows if group is None else group[rows]
        what = "rows" if group is None else "groups"
        limits.append(_class_limit(y[rows].astype(np.int64), units, task=task, what=what))
    limit, why = min(limits)
    if limit < 2:
        message = f"at least two folds are needed, and {why}"
        raise DataError(message)
    if limit >= count:
        return count, ()
    message = f"{limit} folds instead of {count}, because {why}"
    return limit, (Finding(code="fewer_folds", message=message, severity="warning", count=limit),)


def folds(
    y: np.ndarray,
    rows: np.ndarray,
    *,
    task: Task,
    count: int,
    seed: int,
    group: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> tuple[Fold, ...]:
    """Folds of ``rows`` for cross-validation, ``count`` of them.

    Without ``time`` every row is judged in exactly one fold and trains in all others. With ``time`` fold *i* trains on
    the first *i* of ``count + 1`` blocks of about equal size and is judged on the next one, so that the first block is
    never judged. Arguments as in ``holdout``.

    Raises ``UsageError`` for fewer than two folds, ``DataError`` for more than ``fold_count`` allows.
    """
    if count < 2:
        message = f"at least two folds are needed, got {count}"
        raise UsageError(message)
    possible, findings = fold_count(y, rows, task=task, count=count, group=group, time=time)
    if possible < count:
        raise DataError(findings[0].message)
    rows = np.sort(rows).astype(np.int64)
    if time is not None:
        return _chained(rows, time[rows], count)
    units = None if group is None else group[rows]
    shares = np.full(count, 1 / count)
    part = _assign(_strata(y[rows], task), units, shares, np.random.default_rng([seed, 1]))
    return tuple(Fold(train=rows[part != fold], valid=rows[part == fold]) for fold in range(count))


def _check(rows: np.ndarray, group: np.ndarray | None, time: np.ndarray | None) -> None:
    if group is not None and time is not None:
        message = "rows are split either by group or by time; name one of them"
        raise UsageError(message)
    distinct = {"rows": len(rows)}
    for what, values in (("group", group), ("time", time)):
        if values is None:
            continue
        mine = values[rows]
        missing = int(np.sum(mine < 0 if what == "group" else np.isnan(mine)))
        if missing:
            message = f"the {what} column is missing in {counted(missing, 'row')}; fill it in or leave those rows out"
            raise DataError(message)
        distinct[f"different {what}s"] = len(np.unique(mine))
    for what, found in distinct.items():
        if found < 2:
            message = f"a split needs at least two {what}, and there are {found}"
            raise DataError(message)


def _class_limit(labels: np.ndarray, units: np.ndarray, *, task: Task, what: str) -> tuple[int, str]:
    """Number of folds that the rarest class allows, and why; a class in a single place sets no limit."""
    assert labels.min() >= 0, "rows to split have a target"
    width = int(units.max()) + 1
    classes, places = np.unique(np.unique(labels * width + units) // width, return_counts=True)
    if task.kind == "binary" and (len(places) < 2 or places.min() < 2):
        raise DataError(_too_rare(labels, task))
    repeated = places >= 2
    if not repeated.any():
        return len(labels), "no class repeats"
    rarest = np.argmin(np.where(repeated, places, len(labels)))
    label = task.classes[classes[rarest]]
    return max(int(places[rarest]), MINIMUM_FOLDS[task.kind]), f"class {label!r} has {places[rarest]} {what}"


def _too_rare(labels: np.ndarray, task: Task) -> str:
    """What is the matter with the rarer of two classes that cannot be learned and judged."""
    counts = np.bincount(labels, minlength=2)
    rarest = int(counts.argmin())
    name = repr(task.classes[rarest])
    if counts[rarest] > 1:
        return (
            f"the {counts[rarest]} training rows of class {name} repeat each other or are of one group, so that none "
            "can be left to judge what the others teach: add other rows of that class, or rows of another group"
        )
    there = "no training row" if not counts[rarest] else "only 1 training row"
    return (
        f"class {name} has {there}, and needs at least 2: one to learn from and one to judge by; "
        "add rows of that class, or merge it with another"
    )


def _first_block_limit(labels: np.ndarray, times: np.ndarray, *, task: Task, most: int) -> list[tuple[int, str]]:
    """The most folds whose first block holds the classes it should, and why; nothing where ``most`` does."""
    every = np.unique(labels)
    held = {count: np.unique(labels[times < _block_starts(times, count)[0]]) for count in range(most, 1, -1)}
    full = [count for count in held if len(held[count]) == len(every) and count >= MINIMUM_FOLDS[task.kind]]
    some = [count for count in held if len(held[count]) > 1]
    if not some and len(every) > 1:
        message = (
            f"the first third of the rows in time holds no class but {task.classes[held[min(held)][0]]!r}, so that no "
            "fold can learn from it: leave out the earliest rows, or do not split by time"
        )
        raise DataError(message)
    chosen = (full or some or [most])[0]
    if chosen == most:
        return []
    absent = np.setdiff1d(every, held[most])[0]
    return [(chosen, f"class {task.classes[absent]!r} comes late in time")]


def _block_starts(times: np.ndarray, count: int) -> np.ndarray:
    """Times at which the blocks start that ``count`` folds are judged on."""
    return _cuts(times, [block / (count + 1) for block in range(1, count + 1)])


def _cuts(times: np.ndarray, fractions: list[float]) -> np.ndarray:
    """Times, ascending and different, at which blocks start: near the ``fractions`` of the rows, never between ties.

    There must be more different times than fractions.
    """
    starts, before = np.unique(np.sort(times), return_index=True)
    starts, before = starts[1:], before[1:]
    chosen, first = [], 0
    for later, fraction in zip(reversed(range(len(fractions))), fractions, strict=True):
        place = first + int(np.abs(before[first : len(before) - later] - fraction * len(times)).argmin())
        chosen.append(place)
        first = place + 1
    return starts[chosen]


def _chained(rows: np.ndarray, times: np.ndarray, count: int) -> tuple[Fold, ...]:
    cuts = _block_starts(times, count)
    ends = np.append(cuts[1:], np.inf)
    return tuple(
        Fold(train=rows[times < cut], valid=rows[(times >= cut) & (times < end)])
        for cut, end in zip(cuts, ends, strict=True)
    )


def _strata(y: np.ndarray, task: Task) -> np.ndarray:
    """Class of each row, or the part of the target's range, at most ten of equal size, that it falls in."""
    if task.is_classification:
        assert y.min() >= 0, "rows to split have a target"
        return y.astype(np.int64)
    parts = int(np.clip(len(y) // 20, 1, 10))
    edges = np.quantile(y, np.arange(1, parts) / parts)
    return np.searchsorted(edges, y, side="right")


def _assign(strata: np.ndarray, units: np.ndarray | None, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Part of each row, so that part *k* gets about ``shares[k]`` of every stratum and no unit is in two parts."""
    _, strata = np.unique(strata, return_inverse=True)
    if units is None:
        unit_of = np.arange(len(strata))
    else:
        _, unit_of = np.unique(units, return_inverse=True)
    sizes = np.bincount(unit_of)
    loads = np.zeros((len(shares), strata.max() + 1))
    part_of_unit = np.full(len(sizes), -1)
    place_groups(part_of_unit, loads, unit_of=unit_of, strata=strata, sizes=sizes, shares=shares, rng=rng)
    stratum_of_unit = np.empty(len(sizes), dtype=np.int64)
    stratum_of_unit[unit_of] = strata
    _deal_rows(part_of_unit, loads, singles=np.flatnonzero(sizes == 1), strata=stratum_of_unit, shares=shares, rng=rng)
    _fill_empty(part_of_unit, sizes, parts=len(shares))
    return part_of_unit[unit_of]


def _deal_rows(
    part_of_unit: np.ndarray,
    loads: np.ndarray,
    *,
    singles: np.ndarray,
    strata: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Deal out the units of one row, stratum by stratum, in proportion to what each part lacks of it."""
    shuffled = singles[rng.permutation(len(singles))]
    ordered = shuffled[np.argsort(strata[shuffled], kind="stable")]
    bounds = np.searchsorted(strata[ordered], np.arange(loads.shape[1] + 1))
    error = np.zeros(len(shares))
    for stratum in range(loads.shape[1]):
        members = ordered[bounds[stratum] : bounds[stratum + 1]]
        size = loads[:, stratum].sum() + len(members)
        if size == 1 and np.ptp(shares) > 0:
            part_of_unit[members] = np.argmax(shares)
            continue
        if not len(members):
            continue
        lack = np.maximum(shares * size - loads[:, stratum], 0)
        exact = len(members) * lack / lack.sum()
        dealt = np.floor(exact)
        spare = len(members) - int(dealt.sum())
        # Rounding errors are carried from stratum to stratum: else many small ones would all round the same way.
        dealt[np.argsort(-(exact - dealt + error), kind="stable")[:spare]] += 1
        error += exact - dealt
        part_of_unit[members] = np.repeat(np.arange(len(shares)), dealt.astype(np.int64))


def _fill_empty(part_of_unit: np.ndarray, sizes: np.ndarray, *, parts: int) -> None:
    """Give every part that got nothing the smallest unit of the part with the most units."""
    for part in range(parts):
        units = np.bincount(part_of_unit, minlength=parts)
        if units[part] == 0:
            donors = np.flatnonzero(part_of_unit == np.argmax(units))
            part_of_unit[donors[np.argmin(sizes[donors])]] = part
