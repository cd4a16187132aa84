"""Facts of columns add up: in any order, in batches of any size."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from lanewise.data import column_facts as module
from lanewise.data.column_facts import ColumnFacts

RNG = np.random.default_rng(0)
CELLS = {
    "number": pl.Series([None if n % 7 == 0 else float(n) for n in RNG.integers(0, 50, 200)]),
    "date": pl.Series(RNG.integers(-(10**15), 10**15, 200)).cast(pl.Datetime("us")),
    "category": pl.Series([None if n % 9 == 0 else f"level {n}" for n in RNG.integers(0, 20, 200)], dtype=pl.String),
}


def same(a: ColumnFacts, b: ColumnFacts) -> bool:
    return a.levels.equals(b.levels) and vars(a) | {"levels": 0} == vars(b) | {"levels": 0}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("seed", range(5))
def test_order_and_batches_do_not_matter(kind, seed):
    rng = np.random.default_rng(seed)
    cells = CELLS[kind]
    mixed = cells[rng.permutation(len(cells))]
    cuts = [0, *sorted(rng.integers(0, len(cells), 4).tolist()), len(cells)]
    found = ColumnFacts()
    for start, end in pairwise(cuts):
        found = found.plus(ColumnFacts.of(mixed[start:end], kind))
    assert same(found, ColumnFacts.of(cells, kind))
    assert (found.rows, found.missing) == (200, cells.null_count())


def test_too_many_levels_are_bounded_and_counted(monkeypatch):
    monkeypatch.setattr(module, "MOST_LEVELS", 3)
    cells = pl.Series(["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2)
    found = ColumnFacts.of(cells, "category").plus(ColumnFacts.of(pl.Series(["a"]), "category"))
    assert found.levels.rows() == [("a", 6), ("b", 4), ("c", 3)]
    assert found.forgotten == 2
    without = found.without(("b",))
    assert (without.missing, without.levels["level"].to_list()) == (4, ["a", "c"])
