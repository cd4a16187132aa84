"""Which kind of task a target column sets, where the user does not state it.

The first rule that fits:

1. two distinct values, text or number: **binary**;
2. text with more values: **multiclass**;
3. a number with a fraction somewhere: **regression**;
4. whole numbers whose name says that they count (``cnt``, ``n_visits``), none negative: **count**;
5. whole numbers that look like class codes: 3 to 10 values without a gap that start at 0 or 1 (or are -1, 0, 1), at
   least 10 rows per value on average: **multiclass**;
6. whole numbers from zero up with a long right tail (skewness of at least 1): **count**;
7. other whole numbers (ages, prices, grades 3 to 8): **regression**.

Rules 4 to 7 can be wrong, so the finding that announces the choice then is a warning, except for rule 7 with more than
20 distinct values.
"""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.task import TaskKind

MAXIMUM_CODES = 10
MAXIMUM_GRADES = 20
ROWS_PER_CODE = 10
COUNT_SKEWNESS = 1.0

_COUNTING_WORDS = {"count", "counts", "cnt"}
_COUNTING_PREFIXES = {"n", "num", "number"}


@dataclass(frozen=True, kw_only=True)
class KindGuess:
    """What kind of task a target column sets, why, whether that is sure, and which other kinds it could be."""

    kind: TaskKind
    why: str
    sure: bool
    others: tuple[TaskKind, ...] = ()


def guess_kind(values: pl.Series, kind: ColumnKind) -> KindGuess:
    """Kind of task that a target sets, by the rules at the top of this module.

    ``values`` are the target's cells, ``kind`` the kind of their column.

    >>> guess_kind(pl.Series("grade", [3.0, 4.5, 5.0]), "number").kind
    'regression'
    """
    present = values.drop_nulls()
    levels = present.n_unique()
    if kind != "number":
        found: TaskKind = "binary" if levels == 2 else "multiclass"
        return KindGuess(kind=found, why=f"has {levels} classes", sure=True)
    numbers = present.cast(pl.Float64).to_numpy()
    if levels == 2:
        return KindGuess(kind="binary", why="has two values", sure=True, others=("regression",))
    if np.any(numbers != np.floor(numbers)):
        return KindGuess(kind="regression", why="holds numbers with fractions", sure=True)
    return _guess_whole(values.name, numbers, levels)


def announcement(target: str, guess: KindGuess) -> Finding:
    """The finding that tells the user which kind of task was found, and what to say where it is another."""
    message = f"{target!r} {guess.why}, so the task is {guess.kind}"
    if guess.others:
        message += f"; if that is wrong, say {' or '.join(f'--task {other}' for other in guess.others)}"
    return Finding(
        code="task_found" if guess.sure else "task_guessed",
        message=message,
        severity="info" if guess.sure else "warning",
        column=target,
    )


def _guess_whole(name: str, numbers: np.ndarray, levels: int) -> KindGuess:
    """Rules 4 to 7 for whole numbers."""
    low, high = float(numbers.min()), float(numbers.max())
    holds = f"holds whole numbers from {low:.0f} to {high:.0f}"

    def guess(kind: TaskKind, why: str) -> KindGuess:
        possible: dict[TaskKind, bool] = {
            "regression": True,
            "count": low >= 0,
            "multiclass": levels <= MAXIMUM_GRADES,
        }
        others: list[TaskKind] = [other for other, fits in possible.items() if fits and other != kind]
        sure = kind == "regression" and levels > MAXIMUM_GRADES
        return KindGuess(kind=kind, why=f"{holds}{why}", sure=sure, others=tuple(others))

    if low >= 0 and _names_a_count(name):
        return guess("count", ", and its name says that they count")
    gapless = high - low + 1 == levels
    coded = low in (0, 1) or (low, high) == (-1, 1)
    if gapless and coded and levels <= MAXIMUM_CODES and len(numbers) >= ROWS_PER_CODE * levels:
        return guess("multiclass", " without a gap, as class codes do")
    if low == 0 and _skewness(numbers) >= COUNT_SKEWNESS:
        return guess("count", " with a long right tail, as counts do")
    return guess("regression", "")


def _skewness(numbers: np.ndarray) -> float:
    """That of numbers from 0 up which are not all 0."""
    centred = (numbers - numbers.mean()) / numbers.max()
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def _names_a_count(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    return bool(_COUNTING_WORDS & set(words)) or (len(words) > 1 and words[0] in _COUNTING_PREFIXES)
