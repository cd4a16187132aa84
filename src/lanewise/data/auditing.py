"""Which columns and rows of a table can be learnt from, and what else should be known before training.

A column is set aside, unless ``keep`` names it, when it

- has no value at all, or the same value in every row (``keep`` cannot help: there is nothing to learn from);
- counts the rows: whole numbers from 0 or 1 up without gap or repetition, in any order;
- names the query of a row, in svmlight text;
- identifies the rows: at least 95% of its values differ, rows that repeat another in every column left out, and it is
  a category, or text of one word per cell, or whole numbers under a name such as ``id`` or ``key``, or under none (a
  blank header, or pandas' ``Unnamed: 0``): such are the row numbers that programs write along. Text of several words
  is kept, for its words can tell something.

A row is set aside when its target or its weight is missing. At least 10 rows must remain.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl

from lanewise.data.cells.near_misses import NOT_NUMBERS
from lanewise.data.cells.nearly_numbers import number_but_for
from lanewise.data.cells.number_glance import FEWEST_SENTINELS, LARGEST_USABLE, fractional_and_plain
from lanewise.data.class_spellings import class_spellings
from lanewise.data.dataset import Dataset
from lanewise.data.duplicates import duplicate_groups
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.leakage import leakage
from lanewise.data.roles import check_names, role_mistakes
from lanewise.data.target import MINIMUM_ROWS, labelled_rows
from lanewise.data.task_guessing import guess_kind
from lanewise.data.text.svmlight import QUERY_IDS
from lanewise.data.wording import counted
from lanewise.errors import DataError, all_of
from lanewise.task import TaskKind

MINIMUM_ROWS_OF_IDENTIFIER = 20
IDENTIFIER_SHARE = 0.95
FEWEST_DIFFERENT = 0.5  # of all rows: where values repeat more than that, what is left without repeated rows is chance
NEARLY_EMPTY = 0.9
UNEVEN = 0.1  # of the rows: weights of surveys leave more than that

_IDENTIFYING_WORDS = {"id", "ids", "key", "uuid", "guid", "index", "idx", "rowid", "rownames"}
_NO_NAME = re.compile(r"Unnamed: ?\d+(_level_\d+)?")  # what pandas calls a column without a name
_BY_PLACE = re.compile(r"column_\d+")  # what this reader calls it


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """Columns to learn from, columns set aside with the reason, row numbers (int64) to learn from, and findings."""

    features: tuple[str, ...]
    set_aside: Mapping[str, str]
    rows: np.ndarray
    findings: tuple[Finding, ...]


def audit(
    dataset: Dataset,
    *,
    target: str,
    kind: TaskKind | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    weight: str | None = None,
    group: str | None = None,
    time: str | None = None,
    leaks: bool = True,
) -> Audit:
    """Features and rows to learn ``target`` from, by the rules at the top of this module.

    ``kind`` is the task's (default: the one that ``guess_kind`` finds); ``drop`` and ``keep`` name columns; ``weight``
    and ``group`` name columns that are used otherwise and so are no features. Findings warn of columns that tell the
    target (which takes longest; without ``leaks`` that is left to the caller), of nearly empty columns, duplicates,
    rare classes and odd repeated extremes.

    Raises ``UsageError`` for an unknown name or one with two roles, ``DataError`` for unusable weights, and where no
    feature or fewer than 10 rows are left.
    """
    check_names(dataset, target=target, drop=drop, keep=keep, roles={"weight": weight, "group": group, "time": time})
    labelled = labelled_rows(dataset, target)
    mistakes = list(role_mistakes(dataset, labelled, weight=weight, group=group, time=time))
    if mistakes:
        raise all_of(DataError, mistakes, heading=f"{len(mistakes)} columns cannot have their role")
    rows, findings = _usable_rows(dataset, labelled, target=target, weight=weight)
    used = dataset.frame[rows]
    set_aside = {name: "dropped as asked" for name in drop}
    set_aside |= {weight: "weight of the rows"} if weight else {}
    set_aside |= {group: "group of the rows"} if group else {}
    for name in _queries(dataset).difference({target, *keep, *set_aside}):
        set_aside[name] = f"it names the query of a row; --group {name} keeps the rows of a query together"
        message = f"{name!r} is set aside: {set_aside[name]}"
        findings.append(Finding(code=QUERY_IDS, severity="warning", column=name, message=message))
    counts_of = _counts(used)
    fractional, plain = fractional_and_plain(used, [name for name, own in dataset.kinds.items() if own == "number"])
    # Numbers with fractions neither count rows nor name them.
    asked = [
        name
        for name, (_, levels) in counts_of.items()
        if name != target and name not in set_aside and (name not in fractional or levels <= 1)
    ]
    useless = _without_use(dataset, used, {name: counts_of[name] for name in asked}, keep=keep)
    set_aside |= {name: reason for name, (reason, _) in useless.items()}
    findings += [finding for _, finding in useless.values()]
    features = tuple(name for name in dataset.frame.columns if name != target and name not in set_aside)
    if not features:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in list(set_aside.items())[:5])
        message = f"{dataset.source} has no column left to learn {target!r} from ({reasons or 'it is the only column'})"
        raise DataError(message)
    found = kind or guess_kind(used[target], dataset.kinds[target]).kind
    for name in features:
        if name not in plain or counts_of[name][0] >= NEARLY_EMPTY * used.height:
            findings += _column_findings(used[name], dataset.kinds[name], plain=name in plain)
    if found in ("regression", "count"):
        findings += [replace(finding, severity="warning") for finding in _sentinels(used[target])]
    if found in ("binary", "multiclass"):
        findings += [*_imbalance(used[target]), *class_spellings(used[target])]
    findings += _duplicates(dataset, (*features, target), rows)
    findings += leakage(dataset, target=target, kind=found, features=features, rows=rows) if leaks else ()
    return Audit(features=features, set_aside=set_aside, rows=rows, findings=tuple(findings))


def _counts(used: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Missing cells, and different values with missing ones as one more, of all columns at once."""
    missing, levels = used.null_count().row(0), used.select(pl.all().n_unique()).row(0)
    return dict(zip(used.columns, zip(missing, levels, strict=True), strict=True))


def _without_use(
    dataset: Dataset, used: pl.DataFrame, counts_of: Mapping[str, tuple[int, int]], *, keep: Sequence[str]
) -> dict[str, tuple[str, Finding]]:
    """Of the columns with those counts on the rows that are ``used`` those set aside: the reason, and what is told."""
    unnamed = any(finding.code in ("blank_header", "row_names") for finding in dataset.findings)
    warned = {found.column for found in dataset.findings if found.code in NOT_NUMBERS and found.severity == "warning"}
    once = cache(used.unique)
    found: dict[str, tuple[str, Finding]] = {}
    for name, counts in counts_of.items():
        unusable = _unusable(
            used[name],
            dataset.kinds[name],
            counts,
            asked=name in keep,
            whole=dataset.frame[name],
            unnamed=unnamed,
            once=once,
        )
        if unusable:
            code, reason = unusable
            # A number that one word spoils is worth mending, of which reading may have warned; else nothing is lost.
            severity = "warning" if code == "nearly_number" and name not in warned else "info"
            message = f"{name!r} is set aside: {reason}"
            found[name] = reason, Finding(code=code, severity=severity, message=message, column=name)
    return found


def _queries(dataset: Dataset) -> set[str]:
    """The column that names the query of a row, if there is one; new rows belong to queries of their own."""
    return {finding.column for finding in dataset.findings if finding.code == QUERY_IDS and finding.column is not None}


def _usable_rows(
    dataset: Dataset, labelled: np.ndarray, *, target: str, weight: str | None
) -> tuple[np.ndarray, list[Finding]]:
    """Rows with a target and a weight, and how many lack them."""
    findings = []
    lacking = dataset.rows - len(labelled)
    if lacking:
        endless = sum(
            finding.count or 0
            for finding in dataset.findings
            if finding.code == "infinite_values" and finding.column == target
        )
        without = f"no {target!r}" if not endless else f"no finite {target!r} ({endless:,} infinite)"
        message = f"{lacking:,} of {dataset.rows:,} rows have {without} and are set aside"
        findings.append(
            Finding(code="target_missing", message=message, severity="warning", column=target, count=lacking)
        )
    rows = labelled
    if weight is not None:
        present = dataset.frame[weight].is_not_null().to_numpy()[labelled]
        rows = labelled[present]
        lacking = int(np.sum(~present))
        if lacking:
            are = "has no weight in {!r} and is" if lacking == 1 else "have no weight in {!r} and are"
            message = f"{counted(lacking, 'row')} {are.format(weight)} set aside"
            findings.append(
                Finding(code="weight_missing", message=message, severity="warning", column=weight, count=lacking)
            )
        if dataset.frame[weight][rows].sum() == 0:
            message = f"the weights in {weight!r} add up to zero; at least one row needs a weight above zero"
            raise DataError(message)
        _check_weighed(dataset.frame[target][rows].filter(dataset.frame[weight][rows] > 0), weight)
        findings += _uneven(dataset.frame[weight][rows])
    if len(rows) < MINIMUM_ROWS:
        known = counted(len(rows), "row")
        message = f"{dataset.source} has {known} with a known {target!r}; at least {MINIMUM_ROWS} are needed"
        raise DataError(message)
    return rows, findings


def _uneven(weights: pl.Series) -> list[Finding]:
    """That a few rows have most of the weight, as Kish's number of rows tells it: ``(sum w)^2 / sum w^2``."""
    numbers = weights.cast(pl.Float64).to_numpy()
    shares = numbers / numbers.max()  # so that no square overflows
    worth = float(shares.sum() ** 2 / np.square(shares).sum())
    if worth >= UNEVEN * len(weights):
        return []
    message = (
        f"the weights in {weights.name!r} are so unequal that {len(weights):,} rows count as {worth:,.0f}: scores are "
        "as uncertain as those of so few rows"
    )
    return [Finding(code="uneven_weights", message=message, severity="warning", column=weights.name, figure=worth)]


def _check_weighed(weighed: pl.Series, weight: str) -> None:
    """`DataError` where the rows that count, with ``weighed`` targets, are too few or all alike."""
    above = f"with a weight above zero in {weight!r}"
    if len(weighed) < MINIMUM_ROWS:
        known = counted(len(weighed), "row")
        message = f"{weighed.name!r} is known in {known} {above}; at least {MINIMUM_ROWS} are needed"
        raise DataError(message)
    if weighed.n_unique() == 1:
        message = f"{weighed.name!r} is {weighed[0]!r} in every row {above}; at least two different values are needed"
        raise DataError(message)


def _unusable(
    values: pl.Series,
    kind: ColumnKind,
    counts: tuple[int, int],
    *,
    asked: bool,
    whole: pl.Series,
    unnamed: bool,
    once: Callable[[], pl.DataFrame],
) -> tuple[str, str] | None:
    """Code and reason for setting a column aside, if there is one.

    ``counts`` are its missing cells, and its different values with missing ones as one more; ``whole`` is the column on
    all rows, those without a target too; ``unnamed``: some columns had a blank header; ``once`` gives the table without
    rows that repeat another.
    """
    missing, levels = counts
    if missing == len(values):
        return "empty_column", "it has no value in any row"
    if levels == 1:
        return "constant_column", f"it is {values[0]!r} in every row"
    filled, distinct = len(values) - missing, levels - (missing > 0)
    few = filled < MINIMUM_ROWS_OF_IDENTIFIER or distinct < FEWEST_DIFFERENT * filled
    if asked or few or kind == "date":
        return None
    present = values.drop_nulls() if missing else values
    if kind == "number" and distinct == len(present) and (_counts_rows(values) or _counts_rows(whole)):
        return "row_counter", f"it numbers the rows from {whole.min():.0f} to {whole.max():.0f}"
    if not _may_identify(present, kind, unnamed=unnamed):
        return None
    return _identifying(present, distinct, whole=whole, once=once)


def _identifying(
    present: pl.Series, distinct: int, *, whole: pl.Series, once: Callable[[], pl.DataFrame]
) -> tuple[str, str] | None:
    """Code and reason where the values of a column differ in nearly all rows that do not repeat another."""
    single = len(present)
    if distinct < IDENTIFIER_SHARE * single:
        single = len(once()[present.name].drop_nulls())
    if single < MINIMUM_ROWS_OF_IDENTIFIER or distinct < IDENTIFIER_SHARE * single:
        return None
    if (spoilt := number_but_for(whole)) is not None:
        return "nearly_number", f"as words its {distinct:,} different values tell nothing, and it {spoilt}"
    repeated = len(present) - single
    rows = f"{len(present):,} rows" + (f", {repeated:,} of which repeat another," if repeated else "")
    return "identifier_column", f"its {distinct:,} different values in {rows} identify a row rather than describe it"


def _may_identify(present: pl.Series, kind: ColumnKind, *, unnamed: bool) -> bool:
    """Whether cells that all differ would name rows: words, or whole numbers under such a name or none."""
    if kind == "number":
        nameless = _NO_NAME.fullmatch(present.name) or (unnamed and _BY_PLACE.fullmatch(present.name))
        return bool(nameless or _named_identifier(present.name)) and _whole(present)
    return kind == "category" or present.str.strip_chars().str.contains(r"\s").sum() < 0.1 * len(present)


def _whole(numbers: pl.Series) -> bool:
    cells = numbers.to_numpy()
    return numbers.dtype.is_integer() or bool(((cells == np.floor(cells)) | np.isnan(cells)).all())


def _counts_rows(values: pl.Series) -> bool:
    """Whether the cells are 0 to N - 1 or 1 to N, each once."""
    if values.null_count() or not _whole(values):
        return False
    ordered = values.sort().to_numpy()
    return bool(ordered[0] in (0, 1) and np.all(np.diff(ordered) == 1))


def _named_identifier(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    return bool(words) and bool({words[0], words[-1]} & _IDENTIFYING_WORDS)


def _column_findings(values: pl.Series, kind: ColumnKind, *, plain: bool) -> list[Finding]:
    findings = []
    missing = values.null_count()
    if missing >= NEARLY_EMPTY * len(values):
        message = f"{values.name!r} is missing in {missing:,} of {len(values):,} rows ({missing / len(values):.1%})"
        findings.append(
            Finding(code="nearly_empty", message=message, severity="warning", column=values.name, count=missing)
        )
    if kind == "number" and not plain:
        infinite = values.is_infinite()
        if infinite.any():
            count = int(infinite.sum())
            message = f"{values.name!r} is infinite in {counted(count, 'row')}; they are best declared as missing"
            findings.append(
                Finding(code="infinite_values", message=message, severity="warning", column=values.name, count=count)
            )
        findings += [*_beyond_use(values.filter(~infinite)), *_sentinels(values.filter(~infinite))]
    return findings


def _beyond_use(values: pl.Series) -> list[Finding]:
    """Numbers so large that their squares overflow: every statistic leaves them out, so that they tell nothing."""
    large = values.cast(pl.Float64).fill_nan(None).abs() > LARGEST_USABLE
    count = int(large.sum())
    if not count:
        return []
    message = (
        f"{values.name!r} has {counted(count, 'number')} beyond {LARGEST_USABLE:g} in size, too large for a mean or a "
        "spread, so that networks and linear models learn nothing from them; divide the column, or take its logarithm"
    )
    return [Finding(code="beyond_use", message=message, severity="warning", column=values.name, count=count)]


def _sentinels(values: pl.Series) -> list[Finding]:
    """An extreme value that repeats far away from all others, as markers of missing cells do (``-200``, ``999``).

    It is a whole number and fills 0.2% of the rows, 10 at the least; its distance from the nearest other value is at
    least half of the range of the others, of which there are ten or more different ones. A negative one that fills 1%
    of the rows where no other value is below zero needs no such distance.
    """
    usable = values.drop_nulls()
    usable = usable.filter(usable.cast(pl.Float64).abs() <= LARGEST_USABLE)
    counts = usable.value_counts(name="rows").sort(values.name)
    if counts.height < 11:
        return []
    levels, rows = counts[values.name].cast(pl.Float64).to_numpy(), counts["rows"].to_numpy()
    findings = []
    for extreme, gap, spread in (
        (0, levels[1] - levels[0], levels[-1] - levels[1]),
        (-1, levels[-1] - levels[-2], levels[-2] - levels[0]),
    ):
        count = int(rows[extreme])
        whole = levels[extreme] == np.floor(levels[extreme])
        odd = extreme == 0 and levels[0] < 0 <= levels[1] and count >= 0.01 * len(values)
        if whole and count >= max(FEWEST_SENTINELS, 0.002 * len(values)) and (odd or gap >= 0.5 * spread):
            others = (levels[1], levels[-1]) if extreme == 0 else (levels[0], levels[-2])
            mark = repr(float(levels[extreme])).removesuffix(".0")  # all its digits: 9999999 is no 1e+07
            message = (
                f"{values.name!r} is {mark} in {count:,} rows and otherwise {others[0]:g} to {others[1]:g}; "
                f"if that stands for a missing value, say so (--missing={mark})"
            )
            findings.append(Finding(code="sentinel_value", message=message, column=values.name, count=count))
    return findings


def _imbalance(target: pl.Series) -> list[Finding]:
    """Rarest class with less than a fifth of an equal share (10% of two classes)."""
    counts = target.value_counts(name="rows").sort(["rows", target.name])
    label, count = counts.row(0)
    share = count / len(target)
    if share * counts.height >= 0.2:
        return []
    message = (
        f"classes of {target.name!r} are unequal: {label!r} has {count:,} of {len(target):,} rows ({share:.1%}); "
        "accuracy says little here"
    )
    return [Finding(code="class_imbalance", message=message, column=target.name, count=count, figure=share)]


def _duplicates(dataset: Dataset, columns: tuple[str, ...], rows: np.ndarray) -> list[Finding]:
    groups = duplicate_groups(dataset, columns)[rows]
    count = len(rows) - len(np.unique(groups))
    if not count:
        return []
    share = count / len(rows)
    told = f" ({share:.1%})" if round(share, 3) else ""
    verb = "repeats" if count == 1 else "repeat"
    message = f"{count:,} of {len(rows):,} rows{told} {verb} an earlier row in every column that is used"
    severity = "warning" if share >= 0.1 else "info"
    return [Finding(code="duplicate_rows", message=message, severity=severity, count=count, figure=share)]
