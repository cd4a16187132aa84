"""Whether the rows of a table lie in the order of a date, so that a test on random rows looks into the future."""

import shlex
from collections.abc import Sequence

import numpy as np
import polars as pl

from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding

FEWEST_TIMES = 10
"""Different dates that a column has at the least for its order to say something."""
IN_ORDER = 0.99
"""Spearman's rank correlation of dates and row numbers, of either sign, from which rows are in order."""
MOSTLY = 0.9
"""Share of the rows that have a date, at the least."""


def order_of_time(dataset: Dataset, features: Sequence[str], rows: np.ndarray) -> list[Finding]:
    """That ``rows`` lie in the order of a column of dates among ``features``, the first of those most in order.

    Dates that start anew for every shop or person are not in order.
    """
    dates = [name for name in features if dataset.kinds[name] == "date"]
    found = {name: _in_order(dataset.frame[name][rows]) for name in dates}
    best = max(found, key=lambda name: abs(found[name]), default="")
    if not best or abs(found[best]) < IN_ORDER:
        return []
    message = f"rows are in the order of {best!r}: --time {shlex.quote(best)} would test on the latest ones"
    return [Finding(code="in_time_order", message=message, column=best, figure=found[best])]


def _in_order(dates: pl.Series) -> float:
    """Spearman's rank correlation of dates and row numbers; 0 where dates are too few."""
    known = dates.is_not_null()
    present = dates.filter(known)
    if present.len() < MOSTLY * len(dates) or present.n_unique() < FEWEST_TIMES:
        return 0.0
    places = np.flatnonzero(known.to_numpy())
    return float(np.corrcoef(present.rank("average").to_numpy(), places)[0, 1])
