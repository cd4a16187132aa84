"""Statistics found batch by batch are those of all rows at once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lanewise.errors import UsageError
from lanewise.features.fold_statistics import fold_weights, number_statistics
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.streamed_statistics import Moments, StreamedStatistics

numbers = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 3)),
    elements=st.one_of(st.floats(-1e9, 1e9), st.just(np.nan), st.just(1e300)),
)


@given(rows=numbers, cuts=st.lists(st.integers(0, 30), max_size=4), seed=st.integers(0, 99))
def test_moments_of_batches_in_any_order_are_those_of_all_rows(rows, cuts, seed):
    mixed = rows[np.random.default_rng(seed).permutation(len(rows))]
    found = Moments.none(rows.shape[1])
    for part in np.split(mixed, sorted(min(cut, len(rows)) for cut in cuts)):
        found = found.plus(Moments.of(part))
    whole = number_statistics(
        rows, fold_weights([np.arange(len(rows))], len(rows), None), unscaled=(), ranked=(), imputation="mean", knots=3
    )
    largest = np.nanmax(np.where(np.abs(rows) < 1e200, np.abs(rows), 0.0), axis=0, initial=1e-9)
    assert (np.abs(found.mean - whole.centre[0]) <= 1e-13 * largest).all()
    assert (np.abs(found.deviation - whole.scale[0]) <= 1e-12 * largest).all()


class Table:
    """Rows with all kinds of columns."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(5)
        words = ["rain", "sun", "cold wind", "late frost again", "storm"]
        self.frame = pl.DataFrame(
            {
                "n": [None if value > 1.5 else value for value in 1e6 + rng.normal(size=rows)],
                "tail": np.exp(3 * rng.normal(size=rows)),
                "c": rng.choice(["a", "b", "c"], rows),
                "t": rng.choice(words, rows),
                "d": pl.Series(rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")),
            }
        )
        self.kinds = {"n": "number", "tail": "number", "c": "category", "t": "text", "d": "date"}
        self.source = "a table"


def prepared(table, streamed_from):
    layout = Layout.fit(
        table, list(table.kinds), np.arange(table.frame.height), settings=LayoutSettings(text_buckets=8)
    )
    whole = layout.encode(table)
    here = np.arange(streamed_from)
    parts = [here[here % 2 == 0], here[here % 2 == 1]]
    after = np.arange(streamed_from, table.frame.height)
    everything = Preparation.fit(
        layout, whole, [np.append(part, after) for part in parts], settings=PreparationSettings()
    )
    return layout, whole, parts, after, everything


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_preparation_beside_streamed_rows_knows_them_all(batch):
    table = Table(120)
    layout, _, parts, after, everything = prepared(table, streamed_from=60)
    statistics = StreamedStatistics.none(layout)
    for start in range(60, 120, batch):
        table_of = Table(120)
        table_of.frame = table.frame[start : start + batch]
        statistics = statistics.seeing(layout.encode(table_of))
    sample = Table(120)
    sample.frame = table.frame[:60]
    found = Preparation.fit(
        layout,
        layout.encode(sample),
        parts,
        settings=PreparationSettings(impute="mean"),
        streamed=[statistics] * len(parts),
    )
    assert statistics.rows == len(after)
    for name in ("centre", "divisor", "bound"):
        np.testing.assert_allclose(getattr(found, name), getattr(everything, name), rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(found.impute, everything.centre, rtol=1e-10)
    for name in ("level_codes", "one_hot_active", "idf"):
        np.testing.assert_array_equal(getattr(found, name), getattr(everything, name), err_msg=name)


def test_streamed_rows_have_no_weights_and_none_change_nothing():
    table = Table(40)
    layout, whole, parts, _, _ = prepared(table, streamed_from=40)
    plain = Preparation.fit(layout, whole, parts, settings=PreparationSettings())
    none = Preparation.fit(
        layout, whole, parts, settings=PreparationSettings(), streamed=[StreamedStatistics.none(layout)] * len(parts)
    )
    assert all(bool((a == b).all()) for a, b in zip(plain.buffers(), none.buffers(), strict=True))
    some = StreamedStatistics.none(layout).seeing(whole)
    with pytest.raises(UsageError, match="rows that are streamed have no weights"):
        Preparation.fit(
            layout, whole, parts, settings=PreparationSettings(), weight=np.ones(40), streamed=[some] * len(parts)
        )
