"""Columns that tell the target: values that are known only once the target is known make any score worthless.

Each feature alone predicts the target, by a rule learnt on one half of the rows and judged on the other:

- a class: the shares of the classes in each level, or in each of up to 64 quantile bins of a number; judged by the area
  under the ROC curve for two classes and by accuracy for more;
- a number: the mean in each level or bin, or a straight line, whichever does better; judged by R². Where a feature
  puts the rows in nearly the target's order, its squared rank correlation counts as well, for a long tail spoils R².

A class of fewer than 20 rows is too small for halves: see `lanewise.data.rare_class_leaks`. In that way each of several
classes with less than a tenth of the rows is looked at too, for accuracy says little of it.

A warning is due from an area of 0.98, from an R² of 0.9, and from an accuracy that takes away 97% of the errors that
the most frequent class makes. A strong feature can be honest: the finding gives the figure and drops nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.leakage_screen import ROUNDING, blocks, quantile_bins, rough_lines, rough_strengths
from lanewise.data.rare_class_leaks import FEWEST_OF_A_CLASS, Division, may_divide, telling_division
from lanewise.data.wording import counted
from lanewise.task import TaskKind

MAXIMUM_ROWS = 20_000
MINIMUM_ROWS = 40
MINIMUM_OF_A_CLASS = 20
KEPT_OF_A_CLASS = 500
"""Rows of a class that a sample keeps, if there are so many, for columns that tell a rare class."""
RARE_SHARE = 0.1
TOO_LARGE = 1e150
"""Numbers whose squares may overflow."""
SMALLEST_PART = 1e-6  # what a sum adds beside its columns must be seen in them


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """How well a column alone tells the target: the measure's value, and its distance from useless (0) to exact (1)."""

    column: str
    measure: str
    value: float
    strength: float


_RANKS = "squared rank correlation"
_LEAKS_FROM = {"AUC": 0.96, "R²": 0.9, _RANKS: 0.9, "accuracy": 0.97}
_ORDERED_FROM = 0.99
_STRONG_FROM = {"AUC": 0.6, "R²": 0.5, _RANKS: 0.5, "accuracy": 0.7}


def leakage(
    dataset: Dataset, *, target: str, kind: TaskKind, features: tuple[str, ...], rows: np.ndarray
) -> tuple[Finding, ...]:
    """Warnings of columns that nearly tell the target alone and of pairs that add up to it; else the strongest column.

    ``rows`` have a target; at most 20,000 of them are looked at, always the same ones. Fewer than 40 rows, or than 8
    of the smaller of two classes, tell nothing, and from fewer than 20 of it only missing cells and single values do:
    a finding says so.
    """
    is_class = kind in ("binary", "multiclass")
    chosen = _chosen(rows, _classes(dataset.frame[target][rows]) if is_class else None)
    if len(chosen) < MINIMUM_ROWS:
        return (_unchecked(target, f"not checked: {counted(len(chosen), 'row')}, and {MINIMUM_ROWS} are needed"),)
    frame = dataset.frame[chosen]
    y = _classes(frame[target]) if is_class else _numbers(frame[target])
    if kind == "binary":
        sizes = np.bincount(y, minlength=2)
        if sizes.min() < MINIMUM_OF_A_CLASS:
            return _of_a_rare_class(frame, y == np.argmin(sizes), target, features)
    near = _worth_a_look(frame, features, dataset.kinds, y, kind)
    figures = [
        _alone(frame[name], cells, dataset.kinds[name], y, kind)
        for name, cells in _cells_of(frame, near, dataset.kinds, half=len(y) // 2)
    ]
    leaks = [figure for figure in figures if figure.strength >= _LEAKS_FROM[figure.measure]]
    findings = [_leak(figure, target) for figure in leaks]
    if kind == "multiclass":
        told = {figure.column for figure in leaks}
        findings += _of_rare_classes(frame, y, target, [name for name in features if name not in told])
    if not is_class:
        findings += _sums(frame, y, target, [name for name in features if dataset.kinds[name] == "number"])
    strongest = max(figures, key=lambda figure: figure.strength, default=None)
    if not findings and strongest is not None and strongest.strength >= _STRONG_FROM[strongest.measure]:
        message = (
            f"{strongest.column!r} is the strongest column alone ({_words(strongest)}); "
            f"make sure that it is known before {target!r} is"
        )
        findings.append(
            Finding(code="strongest_column", message=message, column=strongest.column, figure=strongest.value)
        )
    return tuple(findings)


def _classes(values: pl.Series) -> np.ndarray:
    """The class of each row, numbered in the order of the labels."""
    return values.rank("dense").to_numpy().astype(np.int64) - 1


def _chosen(rows: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """At most 20,000 of ``rows``, in a drawn order; classes ``y`` of few rows keep up to 500 of theirs."""
    draw = np.random.default_rng(0)
    order = draw.permutation(len(rows))
    if y is None or len(rows) <= MAXIMUM_ROWS:
        return rows[order[:MAXIMUM_ROWS]]
    classes = y[order]
    sizes = np.bincount(classes)
    most = min(KEPT_OF_A_CLASS, MAXIMUM_ROWS // (2 * len(sizes)))
    few = np.flatnonzero((sizes * MAXIMUM_ROWS < most * len(rows)) & (sizes > 0))
    if not len(few):
        return rows[order[:MAXIMUM_ROWS]]
    kept = np.concatenate([np.flatnonzero(classes == label)[:most] for label in few])
    others = np.setdiff1d(np.arange(len(order)), kept)[: MAXIMUM_ROWS - len(kept)]  # in the drawn order still
    return rows[order[draw.permutation(np.concatenate([kept, others]))]]


def _of_rare_classes(frame: pl.DataFrame, y: np.ndarray, target: str, features: list[str]) -> list[Finding]:
    """Columns of which a missing cell or one value tells one class of few rows among several."""
    sizes = np.bincount(y)
    rare = [label for label in np.flatnonzero(sizes < RARE_SHARE * len(y)) if sizes[label] >= FEWEST_OF_A_CLASS]
    names = {label: frame[target][int(np.argmax(y == label))] for label in rare}
    found = []
    for name in _worth_dividing(frame, features, [y == label for label in rare]):
        divisions = [(label, telling_division(frame[name], y == label)) for label in rare]
        telling = [(label, division) for label, division in divisions if division is not None]
        if telling:
            label, division = max(telling, key=lambda one: one[1].area)
            found.append(_division_leak(replace(division, of=f"class {names[label]!r}"), target))
    return found


def _of_a_rare_class(
    frame: pl.DataFrame, rare: np.ndarray, target: str, features: tuple[str, ...]
) -> tuple[Finding, ...]:
    """What missing cells and single values tell of a class of few rows, and that no more was looked at."""
    found = f"the smaller class has {counted(int(rare.sum()), 'row')}"
    if rare.sum() < FEWEST_OF_A_CLASS:
        return (_unchecked(target, f"not checked: {found}, and {FEWEST_OF_A_CLASS} are needed"),)
    near = _worth_dividing(frame, features, [rare])
    divisions = [division for name in near if (division := telling_division(frame[name], rare)) is not None]
    words = f"checked by missing cells and single values only: {found}, and {MINIMUM_OF_A_CLASS} are needed for more"
    return (*(_division_leak(division, target) for division in divisions), _unchecked(target, words))


def _worth_dividing(frame: pl.DataFrame, features: Sequence[str], classes: Sequence[np.ndarray]) -> list[str]:
    """The columns of which a missing cell or one value may tell one of the ``classes``, each ``[N]`` bool."""
    return [
        name
        for some in (blocks(frame, features) if classes else ())
        for name, look in zip(some, may_divide(_levels_of(frame, some), classes).tolist(), strict=True)
        if look
    ]


def _unchecked(target: str, words: str) -> Finding:
    return Finding(code="leaks_unchecked", message=f"whether a column alone nearly tells {target!r} is {words}")


def _division_leak(division: Division, target: str) -> Finding:
    name = division.column
    message = (
        f"{name!r} alone nearly tells {target!r} ({division.words}, of the rows looked at); "
        f"if it is known only after {target!r}, say --drop {name!r}"
    )
    return Finding(code="leaks_target", message=message, severity="warning", column=name, figure=division.area)


def _leak(figure: _Figure, target: str) -> Finding:
    message = (
        f"{figure.column!r} alone nearly tells {target!r} ({_words(figure)} on rows held out); "
        f"if it is known only after {target!r}, say --drop {figure.column!r}"
    )
    return Finding(code="leaks_target", message=message, severity="warning", column=figure.column, figure=figure.value)


def _words(figure: _Figure) -> str:
    return f"{figure.measure} {figure.value:.3f}"


def _alone(values: pl.Series, cells: np.ndarray, kind: ColumnKind, y: np.ndarray, task_kind: TaskKind) -> _Figure:
    """Figure of one column, by the level or bin ``cells [N]`` of each row: learnt on the first half of the rows and
    judged on the second.
    """
    half, name = len(y) // 2, values.name
    if task_kind == "binary":
        rates = _means(cells[:half], y[:half].astype(np.float64), cells.max() + 1)
        area = _auc(rates[cells[half:]], y[half:])
        return _Figure(column=name, measure="AUC", value=area, strength=2 * area - 1)
    if task_kind == "multiclass":
        table = np.zeros((cells.max() + 1, y.max() + 1))
        np.add.at(table, (cells[:half], y[:half]), 1)
        most = int(np.argmax(table.sum(axis=0)))
        told = np.where(table.any(axis=1), table.argmax(axis=1), most)
        accuracy, plain = float(np.mean(told[cells[half:]] == y[half:])), float(np.mean(y[half:] == most))
        strength = (accuracy - plain) / (1 - plain) if plain < 1 else 0.0
        return _Figure(column=name, measure="accuracy", value=accuracy, strength=strength)
    fit = _r_squared(_means(cells[:half], y[:half], cells.max() + 1)[cells[half:]], y[half:])
    if kind == "number":
        line, order = _by_line(_numbers(values), y, half)
        fit = max(fit, line)
        if order >= _ORDERED_FROM and fit < _LEAKS_FROM["R²"]:
            return _Figure(column=name, measure=_RANKS, value=order, strength=order)
    return _Figure(column=name, measure="R²", value=fit, strength=fit)


def _worth_a_look(
    frame: pl.DataFrame, features: Sequence[str], kinds: Mapping[str, ColumnKind], y: np.ndarray, task_kind: TaskKind
) -> list[str]:
    """The columns that may leak, and those that may be the strongest one: no finding is about any other."""
    least, most = np.empty(len(features)), np.empty(len(features))  # between which the strength of each column lies
    place = {name: index for index, name in enumerate(features)}
    for some in blocks(frame, features):
        words = [name for name in some if kinds[name] in ("category", "text")]
        numbers = [name for name in some if kinds[name] == "number"]
        found = _numbers_of(frame, numbers)
        whole = np.asarray((np.abs(found) <= TOO_LARGE).all(axis=1))
        plain = [name for name, is_whole in zip(numbers, whole, strict=True) if is_whole]
        apart = {*words, *plain}
        others = [name for name in some if name not in apart]
        for names, cells in (
            (words, _levels_of(frame, words)),
            (plain, quantile_bins(found[whole], len(y) // 2)),
            (others, np.array([_bins(frame[name], kinds[name], len(y) // 2) for name in others])),
        ):
            if not names:
                continue
            own = [place[name] for name in names]
            least[own] = most[own] = rough_strengths(cells, y, task_kind)
            if task_kind not in ("binary", "multiclass"):
                # What lines say of columns with missing cells is left to the exact figure.
                most[own] = np.inf if names is others else most[own]
                if names is plain:
                    line, order = rough_lines(found[whole], y)
                    least[own] = np.maximum(least[own], line)
                    most[own] = np.where(order >= _ORDERED_FROM - ROUNDING, np.maximum(least[own], order), least[own])
    leaks = min(_LEAKS_FROM[measure] for measure in _measures(task_kind))
    strong = min(_STRONG_FROM[measure] for measure in _measures(task_kind))
    wanted = (most >= leaks - ROUNDING) | (most >= max(strong, least.max(initial=0.0)) - ROUNDING)
    return [name for name, look in zip(features, wanted, strict=True) if look]


def _measures(task_kind: TaskKind) -> tuple[str, ...]:
    return {"binary": ("AUC",), "multiclass": ("accuracy",)}.get(task_kind, ("R²", _RANKS))


def _cells_of(
    frame: pl.DataFrame, names: Sequence[str], kinds: Mapping[str, ColumnKind], *, half: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Level or quantile bin of each row, from 0, by column; missing cells have their own."""
    for some in blocks(frame, names):
        words = [name for name in some if kinds[name] in ("category", "text")]
        levels = dict(zip(words, _levels_of(frame, words), strict=True))
        for name in some:
            yield name, levels[name] if name in levels else _bins(frame[name], kinds[name], half)


def _levels_of(frame: pl.DataFrame, words: Sequence[str]) -> np.ndarray:
    """The rank of the level of each cell ``[C, N]``, of many columns at once; 0 where it is missing."""
    ranks = frame.select(pl.col(words).rank("dense").fill_null(0).cast(pl.Int64))
    return np.ascontiguousarray(ranks.to_numpy().T).reshape(len(words), frame.height)


def _numbers_of(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """The cells of columns of numbers ``[C, N]``; NaN where one is missing."""
    numbers = frame.select(pl.col(names).cast(pl.Float64)).to_numpy()
    return np.ascontiguousarray(numbers.T).reshape(len(names), frame.height)


def _bins(values: pl.Series, kind: ColumnKind, half: int) -> np.ndarray:
    numbers = _numbers(values.to_physical() if kind == "date" else values)
    missing = np.isnan(numbers)
    present = numbers[:half][~missing[:half]]
    if not len(present):
        return missing.astype(np.int64)
    bins = int(np.clip(np.sqrt(len(present)), 2, 64))
    edges = np.unique(np.quantile(present, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.where(missing, 0, 1 + np.searchsorted(edges, numbers, side="left"))


def _means(cells: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Mean of ``y`` in each of ``count`` cells; of all of it in a cell without rows."""
    rows = np.bincount(cells, minlength=count)
    sums = np.bincount(cells, weights=y, minlength=count)
    return np.where(rows > 0, sums / np.maximum(rows, 1), y.mean())


def _auc(scores: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC curve, ties counting one half (Mann and Whitney 1947)."""
    levels, place = np.unique(scores, return_inverse=True)
    positive = np.bincount(place, weights=y, minlength=len(levels))
    negative = np.bincount(place, weights=1 - y, minlength=len(levels))
    if not positive.sum() or not negative.sum():
        return 0.5
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (positive.sum() * negative.sum()))


def _r_squared(told: np.ndarray, y: np.ndarray) -> float:
    spread = np.sum((y - y.mean()) ** 2)
    return float(1 - np.sum((y - told) ** 2) / spread) if spread > 0 else 0.0


def _by_line(x: np.ndarray, y: np.ndarray, half: int) -> tuple[float, float]:
    """R² of a straight line on the second half, and the squared rank correlation there."""
    present = np.isfinite(x)
    first, second = np.flatnonzero(present[:half]), half + np.flatnonzero(present[half:])
    # A line through few rows says little about the whole column.
    if len(first) < 0.9 * half or len(second) < 0.9 * (len(x) - half) or np.ptp(x[first]) == 0:
        return 0.0, 0.0
    centre, scale = x[first].mean(), np.abs(x[first]).max()
    near = (x - centre) / scale
    slope = near[first] @ (y[first] - y[first].mean()) / (near[first] @ near[first])
    line = _r_squared(y[first].mean() + slope * near[second], y[second])
    return line, _rank_correlation(x[second], y[second]) ** 2


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation."""
    first, second = pl.Series(x).rank().to_numpy(), pl.Series(y).rank().to_numpy()
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _sums(frame: pl.DataFrame, y: np.ndarray, target: str, names: list[str]) -> list[Finding]:
    """Pairs of columns whose sum or difference is the target in every row looked at."""
    columns = {name: _numbers(frame[name]) for name in names}
    columns = {name: values for name, values in columns.items() if not np.isnan(values).any()}
    by_values = {_key(values): name for name, values in columns.items()}
    findings = []
    for name, values in columns.items():
        for rest, sign in ((y - values, "+"), (y + values, "-")):
            other = by_values.get(_key(rest))
            if other is None or np.ptp(values) == 0 or (sign == "+" and other <= name):
                continue
            # A target that rounding hides beside the column says nothing of it.
            if other == name or np.abs(y).max() < SMALLEST_PART * np.abs(values).max():
                continue
            pair = f"{name!r} + {other!r}" if sign == "+" else f"{other!r} - {name!r}"
            message = f"{pair} is {target!r} in every row; say --drop for what is known only after {target!r}"
            findings.append(Finding(code="sums_to_target", message=message, severity="warning", column=name))
    return findings


def _numbers(values: pl.Series) -> np.ndarray:
    """Cells as numbers; NaN where one is missing or infinite."""
    numbers = values.cast(pl.Float64).to_numpy()
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    largest = np.nanmax(np.abs(finite), initial=0.0)
    return finite / largest if largest > TOO_LARGE else finite  # no measure here depends on the unit


def _key(values: np.ndarray) -> bytes:
    scale = max(float(np.abs(values).max()), 1e-300)
    return (np.round(values / scale, 9) + 0.0).tobytes() + np.float64(f"{scale:.9g}").tobytes()
