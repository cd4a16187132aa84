"""Columns that tell a class of few rows by a missing cell or by one value: too few to learn on one half of the rows.

Every value of a column, and its missing cells, divide the rows in two. A division leaks where it is an area under the
ROC curve of 0.98 by itself, has at least 8 rows of the smaller class on its side, and had a probability below 1e-6 if
column and class were independent: ``P(X >= a)``, ``X`` hypergeometric (Fisher 1935), for ``a`` of the ``k`` rows of the
class among the ``n`` rows of that side, of ``N`` in all. Columns of ordered values that never repeat say nothing here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lanewise.data.wording import counted

FEWEST_OF_A_CLASS = 8
LEAKS_FROM_AREA = 0.98
MOST_PROBABLE = 1e-6
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Division:
    """Rows of one side: ``caught`` of the ``rare`` rows of the smaller class, ``others_caught`` of the ``others``."""

    column: str
    where: str
    area: float
    caught: int
    rare: int
    others_caught: int
    others: int
    of: str = "the smaller class"

    @property
    def words(self) -> str:
        return (
            f"{self.where} in {self.caught} of {counted(self.rare, 'row')} of {self.of} and in "
            f"{self.others_caught} of the {self.others} others"
        )


def telling_division(values: pl.Series, rare: np.ndarray) -> Division | None:
    """The division of ``values [N]`` that tells the rows ``rare [N]`` (bool) best, if it leaks.

    >>> account_closed = pl.Series("closed", [1.0] * 9 + [None] * 91)
    >>> division = telling_division(account_closed, np.arange(100) < 9)
    >>> division.words if division else ""
    'it is filled in 9 of 9 rows of the smaller class and in 0 of the 91 others'
    """
    cells = values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    inside, rows = np.bincount(cells, weights=rare), np.bincount(cells)
    total, all_rows = int(rare.sum()), len(rare)
    recall = inside / total
    area = (1 + recall - (rows - inside) / (all_rows - total)) / 2
    best = int(np.argmax(np.abs(area - 0.5)))
    within = area[best] >= 0.5
    caught = int(inside[best]) if within else total - int(inside[best])
    side = int(rows[best]) if within else all_rows - int(rows[best])
    strength = float(max(area[best], 1 - area[best]))
    if (
        strength < LEAKS_FROM_AREA
        or caught < FEWEST_OF_A_CLASS
        or _chance(caught, side, total, all_rows) > MOST_PROBABLE
    ):
        return None
    return Division(
        column=values.name,
        where=_where(values, cells, best, within=bool(within)),
        area=strength,
        caught=caught,
        rare=total,
        others_caught=side - caught,
        others=all_rows - total,
    )


def may_divide(cells: np.ndarray, classes: Sequence[np.ndarray]) -> np.ndarray:
    """Whether some level of each column of ``cells [C, N]`` divides one of the ``classes [N]`` from the rest: ``[C]``.

    It does so by the area alone; whether chance could do it is left to `telling_division`.
    """
    columns, rows = cells.shape
    flat = cells + (np.arange(columns) * (cells.max(initial=0) + 1))[:, None]
    every = np.bincount(flat.ravel())
    found = np.zeros(columns, dtype=np.bool_)
    for own in classes:
        inside = np.bincount(flat[:, own].ravel(), minlength=len(every))
        area = (1 + inside / own.sum() - (every - inside) / (rows - own.sum())) / 2
        telling = (every > 0) & (np.abs(area - 0.5) >= LEAKS_FROM_AREA - 0.5 - _ROUNDING)
        found[np.flatnonzero(telling) // (cells.max(initial=0) + 1)] = True
    return found


def _chance(caught: int, side: int, total: int, rows: int) -> float:
    """Probability that chance alone puts so many of the class, or more, on a side of that size."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(caught - 1, rows, total, side))


def _where(values: pl.Series, cells: np.ndarray, cell: int, *, within: bool) -> str:
    if cell == 0:
        return "it is missing" if within else "it is filled"
    level = values[int(np.flatnonzero(cells == cell)[0])]
    return f"it is {str(level)[:40]!r}" if within else f"it is not {str(level)[:40]!r}"
