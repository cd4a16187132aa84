"""Columns of which one level tells a rare class: none is passed over."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.rare_class_leaks import may_divide, telling_division

ROWS, RARE = 300, 9


def columns(seed: int) -> list[pl.Series]:
    draw = np.random.default_rng(seed)
    rare = np.arange(ROWS) < RARE
    found: list[pl.Series] = []
    for place in range(12):
        cells = draw.integers(0, 4, ROWS).astype(np.float64)
        marked = rare ^ (draw.random(ROWS) < draw.choice([0.0, 0.005, 0.03]))
        cells[marked if place % 2 else ~marked] = draw.choice([np.nan, 9.0])
        found.append(pl.Series(f"c{place}", cells).fill_nan(None))
    return found


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_column_that_divides_is_never_passed_over(seed: int) -> None:
    rare, other = np.arange(ROWS) < RARE, np.arange(ROWS) >= ROWS - 20
    own = columns(seed)
    cells = np.stack([values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy() for values in own])
    for classes in ([rare], [other], [rare, other]):
        looked = may_divide(cells, classes)
        tells = [any(telling_division(values, one) for one in classes) for values in own]
        assert all(look or not told for look, told in zip(looked.tolist(), tells, strict=True))


def test_columns_that_divide_nothing_are_passed_over() -> None:
    draw = np.random.default_rng(0)
    cells = np.stack([draw.integers(0, 5, ROWS), np.arange(ROWS) < RARE, np.zeros(ROWS, dtype=np.int64)])
    assert may_divide(cells, [np.arange(ROWS) < RARE]).tolist() == [False, True, False]
