"""What must hold for any table: nothing leaks between rows, nothing but finite numbers leaves."""

from dataclasses import replace

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.features.columns import NumberColumn
from lanewise.features.encoding import Encoded
from lanewise.features.fold_statistics import weighted_quantiles
from lanewise.features.hashing import count_buckets
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import prepare_rows

KINDS: dict[str, ColumnKind] = {"n": "number", "m": "number", "c": "category", "d": "date", "t": "text"}
FLOATS = st.floats() | st.sampled_from([0.0, 1.0, 1e300, 1e308, -1e308, 5e-324])
ROWS = st.tuples(
    st.none() | FLOATS,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.sampled_from("abcdef"),
    st.none() | st.datetimes().map(lambda moment: moment.replace(tzinfo=None)),
    st.none() | st.text(max_size=12),
)
TYPES = {"n": pl.Float64(), "m": pl.Int64(), "c": pl.String(), "d": pl.Datetime("us"), "t": pl.String()}


def table(rows: list[tuple]) -> Dataset:
    return Dataset(frame=pl.DataFrame(rows, schema=TYPES, orient="row"), kinds=KINDS, source="table.csv")


def layout_of(data: Dataset, one_hot_levels: int = 32) -> Layout:
    options = LayoutSettings(text_buckets=8, one_hot_levels=one_hot_levels)
    return Layout.fit(data, list(KINDS), np.arange(data.rows), settings=options)


def with_tails(layout: Layout, *, heavy: bool) -> Layout:
    """The same columns, all numbers heavy-tailed or none."""
    columns = (replace(c, heavy_tailed=heavy) if isinstance(c, NumberColumn) else c for c in layout.columns)
    return Layout(columns=tuple(columns))


def mixed(encoded: Encoded, other: Encoded, keep: np.ndarray) -> Encoded:
    """Rows of ``keep`` from one, all others from the other."""
    inside = np.isin(np.arange(encoded.rows), keep)[:, None]
    assert encoded.tokens is not None
    assert other.tokens is not None
    return Encoded(
        numbers=np.where(inside, encoded.numbers, other.numbers),
        codes=np.where(inside, encoded.codes, other.codes),
        tokens=sp.csr_array(np.where(inside, encoded.tokens.toarray(), other.tokens.toarray())),
    )


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(2, 12), st.booleans(), st.sampled_from(["median", "mean"]), st.booleans())
def test_held_out_rows_do_not_change_the_statistics_of_a_fold(data, count, heavy, impute, weighted) -> None:
    many = st.lists(ROWS, min_size=count, max_size=count)
    rows, others = data.draw(many), data.draw(many)
    fold = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count - 1))))
    weight = np.linspace(0.5, 2, count) if weighted else None
    seen = layout_of(table(rows + others), one_hot_levels=data.draw(st.sampled_from([0, 32])))
    layout = with_tails(seen, heavy=heavy)
    encoded = layout.encode(table(rows))
    changed = mixed(encoded, layout.encode(table(others)), fold)
    options = PreparationSettings(impute=impute, knots=7)
    before, after = (
        Preparation.fit(layout, e, [fold], settings=options, weight=weight).state()[0] for e in (encoded, changed)
    )
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name


@settings(deadline=None, max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=10), st.lists(ROWS, min_size=1, max_size=10), st.booleans(), st.booleans())
def test_what_leaves_is_finite_and_bounded(seen, new, heavy, double) -> None:
    layout = with_tails(layout_of(table(seen)), heavy=heavy)
    options = PreparationSettings(knots=5, limit=50.0)
    folds = [np.arange(len(seen)), np.array([0])]
    preparation = Preparation.fit(layout, layout.encode(table(seen)), folds, settings=options)
    encoded = layout.encode(table(seen + new))
    dense, codes = prepare_rows(
        preparation, encoded, np.arange(encoded.rows), torch.float64 if double else torch.float32
    )
    assert dense.shape == (2, encoded.rows, len(layout.feature_names))
    assert codes.shape == (2, encoded.rows, 0)
    assert dense.isfinite().all()
    assert dense.abs().max() <= 50.0


@settings(deadline=None, max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_encoding_keeps_rows_apart_and_in_order(rows, random) -> None:
    layout = layout_of(table(rows))
    order = list(range(len(rows)))
    random.shuffle(order)
    straight, shuffled = layout.encode(table(rows)), layout.encode(table([rows[i] for i in order]))
    np.testing.assert_array_equal(straight.numbers[order], shuffled.numbers)
    np.testing.assert_array_equal(straight.codes[order], shuffled.codes)
    assert straight.tokens is not None
    assert shuffled.tokens is not None
    np.testing.assert_array_equal(straight.tokens.toarray()[order], shuffled.tokens.toarray())


@settings(deadline=None, max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=10), st.text(min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_layout_survives_json_and_the_order_of_rows(rows, name, random) -> None:
    data = table(rows)
    renamed = Dataset(
        frame=data.frame.rename({"c": f"c{name}"}),
        kinds={f"c{name}" if k == "c" else k: kind for k, kind in KINDS.items()},
        source="table.csv",
    )
    order = list(range(len(rows)))
    random.shuffle(order)
    options = LayoutSettings(max_levels=3)
    layout = Layout.fit(renamed, list(renamed.kinds), np.arange(len(rows)), settings=options)
    assert Layout.fit(renamed, list(renamed.kinds), np.array(order), settings=options) == layout
    text = layout.to_json()
    assert Layout.from_json(text) == layout
    assert Layout.from_json(text).to_json() == text


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 100)), min_size=1, max_size=30),
    st.floats(0.001, 1000),
)
def test_weighted_quantiles_are_monotone_within_range_and_free_of_units(pairs, unit) -> None:
    values, weights = (np.array(column) for column in zip(*sorted(pairs), strict=True))
    probabilities = np.linspace(0, 1, 11)
    found = weighted_quantiles(values, weights, probabilities)
    assert (np.diff(found) >= 0).all()
    assert found[0] == values[0]
    assert found[-1] == values[-1]
    np.testing.assert_allclose(weighted_quantiles(values, weights * unit, probabilities), found, rtol=1e-9, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(max_size=20), max_size=8))
def test_hashed_counts_of_a_text_do_not_depend_on_the_others(texts) -> None:
    together = count_buckets(pl.Series(texts, dtype=pl.String), buckets=16, character_ngrams=(1, 3)).toarray()
    assert together.shape == (len(texts), 16)
    for text, counts in zip(texts, together, strict=True):
        alone = count_buckets(pl.Series([text], dtype=pl.String), buckets=16, character_ngrams=(1, 3))
        np.testing.assert_array_equal(alone.toarray()[0], counts)
