"""Facts of columns add up: in any order, in batches of any size."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from lanewise.data import column_facts as module
from lanewise.data.column_facts import ColumnFacts, facts_of

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


@pytest.mark.parametrize("cells_at_once", [1, 450, 10**6])
def test_columns_together_have_the_facts_of_each_alone(monkeypatch, cells_at_once):
    monkeypatch.setattr(module, "CELLS_AT_ONCE", cells_at_once)
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            **CELLS,
            "whole": rng.integers(-5, 2**60, 200),
            "endless": np.append(rng.normal(size=199), np.inf),
            "text": [f"one of {n} words" for n in range(200)],
            "empty": pl.Series([None] * 200, dtype=pl.String),
            **{f"n{place}": rng.normal(size=200) for place in range(5)},
            **{f"c{place}": rng.choice(["a", "b", "ab", "é", "z"], 200) for place in range(5)},
        }
    )
    kinds = {name: "number" if dtype.is_numeric() else "category" for name, dtype in frame.schema.items()}
    kinds |= {"date": "date", "text": "text"}
    found = facts_of(frame, kinds)
    assert list(found) == frame.columns
    for name, facts in found.items():
        assert same(facts, ColumnFacts.of(frame[name], kinds[name])), name
        assert facts.levels.schema == ColumnFacts.of(frame[name], kinds[name]).levels.schema
