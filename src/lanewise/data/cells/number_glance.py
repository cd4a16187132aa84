"""Two plain facts of many columns of numbers at once, which spare most of them from being looked at one by one."""

from collections.abc import Sequence

import numpy as np
import polars as pl

LARGEST_USABLE = 1e200  # as `lanewise.features.fold_statistics` has it: beyond it no mean and no spread is finite
FEWEST_SENTINELS = 10
_CELLS_AT_ONCE = 2**18


def fractional_and_plain(frame: pl.DataFrame, names: Sequence[str]) -> tuple[set[str], set[str]]:
    """Columns with a cell that is no whole number, and those of which nothing is odd.

    Plain ones have no cell that is infinite or beyond use, and neither extreme repeats as a sentinel does.

    >>> frame = pl.DataFrame({"a": [0.5, 1.0], "b": [1.0, None], "c": [1.0, 1e300]})
    >>> [sorted(found) for found in fractional_and_plain(frame, frame.columns)]
    [['a'], ['a', 'b']]
    """
    fractional: set[str] = set()
    plain: set[str] = set()
    most = max(1, _CELLS_AT_ONCE // max(1, frame.height))
    for start in range(0, len(names), most):
        some = names[start : start + most]
        cells = np.ascontiguousarray(frame.select(pl.col(some).cast(pl.Float64)).to_numpy().T)
        missing, finite = np.isnan(cells), np.isfinite(cells)
        broken = np.any(finite & (cells != np.floor(cells)), axis=1)
        low = np.where(missing, np.inf, cells).min(axis=1, initial=np.inf)
        high = np.where(missing, -np.inf, cells).max(axis=1, initial=-np.inf)
        ends = [(cells == end[:, None]).sum(axis=1) for end in (low, high)]
        odd = np.any(np.abs(cells) > LARGEST_USABLE, axis=1) | (np.maximum(*ends) >= FEWEST_SENTINELS)
        fractional |= {some[place] for place in np.flatnonzero(broken).tolist()}
        plain |= {some[place] for place in np.flatnonzero(~odd).tolist()}
    return fractional, plain
