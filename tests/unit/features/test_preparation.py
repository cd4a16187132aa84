"""Preparation: parity with scikit-learn, unseen cells, state, and stacked folds against single ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, RobustScaler, StandardScaler

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import StoreError, UsageError
from lanewise.features.columns import NumberColumn
from lanewise.features.encoding import Encoded
from lanewise.features.fold_statistics import robust_centre_and_scale
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import predicted_bytes, prepare_rows, raw_rows

ROWS = 120
EVERY_FOLD = [np.arange(80), np.arange(30, ROWS), np.arange(0, ROWS, 2)]


def table(columns: Mapping[str, object], kinds: Mapping[str, ColumnKind]) -> Dataset:
    return Dataset(frame=pl.DataFrame(dict(columns)), kinds=kinds, source="table.csv")


def layout_of(data: Dataset, **settings) -> Layout:
    return Layout.fit(data, list(data.kinds), np.arange(data.rows), settings=LayoutSettings(**settings))


def fit(data: Dataset, folds=None, *, weight=None, layout=None, **settings) -> tuple[Preparation, Encoded]:
    layout = layout or layout_of(data, text_buckets=64)
    encoded = layout.encode(data)
    folds = [np.arange(data.rows)] if folds is None else folds
    return Preparation.fit(layout, encoded, folds, settings=PreparationSettings(**settings), weight=weight), encoded


def assert_parity(found: np.ndarray, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def dense_of(preparation: Preparation, encoded: Encoded) -> np.ndarray:
    return prepare_rows(preparation, encoded, np.arange(encoded.rows), torch.float64)[0].numpy()


@pytest.fixture
def mixed() -> Dataset:
    draw = np.random.default_rng(3)
    words = np.array(["free", "prize", "hello", "you", "tomorrow"])
    columns = {
        "light": draw.normal(5, 2, ROWS),
        "heavy": np.exp(2 * draw.normal(size=ROWS)),
        "gaps": [None if i % 5 == 0 else float(i) for i in range(ROWS)],
        "few": [["x", "y", None, "z"][i % 4] for i in range(ROWS)],
        "many": [f"level {i % 50}" for i in range(ROWS)],
        "when": pl.Series(draw.integers(-(10**15), 10**15, ROWS)).cast(pl.Datetime("us")),
        "text": [" ".join(draw.choice(words, 4)) for _ in range(ROWS)],
    }
    kinds: dict[str, ColumnKind] = {
        "light": "number", "heavy": "number", "gaps": "number", "few": "category", "many": "category",
        "when": "date", "text": "text",
    }  # fmt: skip
    return table(columns, kinds)


def numbers_alone(*names: str, heavy: bool) -> Layout:
    """A layout of number columns, all of them heavy-tailed or none."""
    return Layout(columns=tuple(NumberColumn(name=name, missing=False, heavy_tailed=heavy) for name in names))


@pytest.fixture
def numbers() -> Dataset:
    draw = np.random.default_rng(1)
    columns = {"a": draw.normal(100, 3, ROWS), "b": np.exp(2 * draw.normal(size=ROWS)), "c": np.arange(ROWS)}
    return table(columns, {"a": "number", "b": "number", "c": "number"})


def test_standard_scaling_is_scikit_learns(numbers: Dataset) -> None:
    preparation, encoded = fit(numbers, EVERY_FOLD, layout=numbers_alone("a", "b", "c", heavy=False))
    expected = [StandardScaler().fit(encoded.numbers[fold]).transform(encoded.numbers) for fold in EVERY_FOLD]
    assert_parity(dense_of(preparation, encoded), expected)


def test_weighted_standard_scaling_is_scikit_learns(numbers: Dataset) -> None:
    weight = np.random.default_rng(2).uniform(0, 3, ROWS)
    layout = numbers_alone("a", "b", "c", heavy=False)
    preparation, encoded = fit(numbers, EVERY_FOLD, layout=layout, weight=weight)
    expected = [
        StandardScaler().fit(encoded.numbers[fold], sample_weight=weight[fold]).transform(encoded.numbers)
        for fold in EVERY_FOLD
    ]
    assert_parity(dense_of(preparation, encoded), expected)


def test_robust_scaling_is_scikit_learns_and_bends_towards_its_limit(numbers: Dataset) -> None:
    layout = numbers_alone("a", "b", "c", heavy=False)
    preparation, encoded = fit(numbers, EVERY_FOLD, layout=layout, robust=True)
    scalers = [RobustScaler(unit_variance=True).fit(encoded.numbers[fold]) for fold in EVERY_FOLD]
    scaled = np.stack([scaler.transform(encoded.numbers) for scaler in scalers])
    assert np.abs(scaled).max() > 10
    assert_parity(dense_of(preparation, encoded), scaled / np.sqrt(1 + np.square(scaled / 3)))
    assert layout_of(numbers, scaling="robust").feature_names == ("a", "b", "b rank", "c")
    assert layout_of(numbers, scaling="standard").feature_names == ("a", "b", "c")


def test_robust_scaling_of_what_squares_overflow_and_of_constants_is_finite() -> None:
    data = table({"huge": [0.0, 1.0, 2.0, 1e307], "same": [5.0, 5.0, 5.0, None]}, {"huge": "number", "same": "number"})
    preparation, encoded = fit(data, robust=True)
    encoded.numbers[0] = [-1e308, 1e308]
    found = dense_of(preparation, encoded)[0]
    assert np.isfinite(found).all()
    assert found[[0, 3], 0] == pytest.approx([-3.0, 3.0])
    assert (found[:, preparation.layout.feature_names.index("same")] == 0).all()


def test_amounts_that_are_mostly_zero_are_scaled_by_the_others() -> None:
    amounts = np.append(np.zeros(90), np.arange(1.0, 31.0))
    assert robust_centre_and_scale(amounts, np.ones(120)) == pytest.approx((0.0, 14.5 / 1.3489795003921634))
    flags = (amounts > 25) * 1.0
    assert robust_centre_and_scale(flags, np.ones(120)) == pytest.approx((0.0, flags.std()))
    assert robust_centre_and_scale(np.full(3, 2.0), np.ones(3)) == (2.0, 0.0)


def test_quantile_scaling_leaves_the_rank_of_every_number(numbers: Dataset) -> None:
    beside, encoded = fit(numbers, EVERY_FOLD, layout=numbers_alone("a", "b", "c", heavy=True))
    layout = layout_of(numbers, scaling="quantile")
    alone, _ = fit(numbers, EVERY_FOLD, layout=layout)
    assert layout.feature_names == ("a rank", "b rank", "c rank")
    assert layout.feature_columns == ("a", "b", "c")
    assert alone.dense_width == layout.dense_width == 3
    np.testing.assert_array_equal(dense_of(alone, encoded), dense_of(beside, encoded)[:, :, 1::2], strict=True)
    again = Preparation.from_state(*alone.state())
    np.testing.assert_array_equal(dense_of(again, encoded), dense_of(alone, encoded), strict=True)


def test_ranks_are_scikit_learns_quantiles_at_the_knots(numbers: Dataset) -> None:
    knots = 21
    layout = numbers_alone("a", "b", "c", heavy=True)
    preparation, encoded = fit(numbers, EVERY_FOLD, layout=layout, knots=knots)
    for place, fold in enumerate(EVERY_FOLD):
        theirs = QuantileTransformer(n_quantiles=knots, output_distribution="normal").fit(encoded.numbers[fold])
        at_knots = theirs.quantiles_
        ours = (
            preparation.single(place)
            .prepare(
                torch.from_numpy(at_knots).unsqueeze(0),
                torch.zeros(1, knots, 0, dtype=torch.int64),
                None,
                torch.float64,
            )[0][0, :, 1::2]
            .numpy()
        )
        assert_parity(ours[1:-1], np.asarray(theirs.transform(at_knots))[1:-1])
        assert (np.diff(ours, axis=0) > 0).all()


def test_ranks_are_linear_between_knots_and_level_beyond() -> None:
    data = table({"n": np.arange(5.0)}, {"n": "number"})
    preparation, _ = fit(data, layout=numbers_alone("n", heavy=True), knots=5)
    values = torch.tensor([-1e9, 0.0, 0.25, 1.0, 3.5, 4.0, 1e9, float("nan")], dtype=torch.float64)
    found, _ = preparation.prepare(
        values.reshape(1, -1, 1), torch.zeros(1, 8, 0, dtype=torch.int64), None, torch.float64
    )
    at = torch.special.ndtri(torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64))
    expected = [at[0], at[0], 0.75 * at[0] + 0.25 * at[1], at[1], (at[3] + at[4]) / 2, at[4], at[4], at[2]]
    torch.testing.assert_close(found[0, :, 1], torch.stack(expected), rtol=0, atol=1e-12)


def test_heavy_tailed_number_is_both_its_clipped_value_and_its_rank(mixed: Dataset) -> None:
    preparation, encoded = fit(mixed, EVERY_FOLD, tail_limit=2.0)
    names = preparation.layout.feature_names
    value, rank = names.index("heavy"), names.index("heavy rank")
    raw = encoded.numbers[:, preparation.layout.number_names.index("heavy")]
    assert [name for name in names if name.endswith("rank")] == ["heavy rank"]
    for dense, fold in zip(dense_of(preparation, encoded), EVERY_FOLD, strict=True):
        expected = ((raw - raw[fold].mean()) / raw[fold].std()).clip(-2, 2)
        np.testing.assert_allclose(dense[:, value], expected, atol=1e-10)
        assert expected.max() == 2.0
        # Fewer rows than knots: every training row is a knot, and the ranks are those of the rows.
        order = raw[fold].argsort().argsort() / (len(fold) - 1)
        ends = 0.5 / len(fold)
        scores = torch.special.ndtri(torch.from_numpy(order.clip(ends, 1 - ends))).numpy()
        np.testing.assert_allclose(dense[fold, rank], scores, atol=1e-10)


def test_numbers_keep_their_places_around_ranks() -> None:
    layout = Layout(columns=numbers_alone("a", heavy=True).columns + numbers_alone("b", "c", heavy=False).columns)
    layout = Layout(columns=(layout.columns[1], layout.columns[0], layout.columns[2]))
    draw = np.random.default_rng(5)
    data = table({name: draw.normal(size=ROWS) for name in "abc"}, dict.fromkeys("abc", "number"))
    preparation, encoded = fit(data, layout=layout)
    assert layout.feature_names == ("b", "a", "a rank", "c")
    expected = StandardScaler().fit_transform(encoded.numbers)
    assert_parity(dense_of(preparation, encoded)[0][:, [0, 1, 3]], expected)


def test_one_hot_is_scikit_learns(mixed: Dataset) -> None:
    preparation, encoded = fit(mixed, EVERY_FOLD)
    names = preparation.layout.feature_names
    levels = mixed.frame["few"].fill_null("missing").to_numpy()[:, None]
    order: Any = [["missing", *preparation.layout.categories[0].levels]]
    expected = np.asarray(OneHotEncoder(categories=order, sparse_output=False).fit_transform(levels))
    mine = [i for i, name in enumerate(names) if name.startswith("few")]
    assert len(mine) == 4
    for dense, fold in zip(dense_of(preparation, encoded), EVERY_FOLD, strict=True):
        np.testing.assert_array_equal(dense[fold][:, mine], expected[fold])


def test_text_is_scikit_learns_tf_idf(mixed: Dataset) -> None:
    preparation, encoded = fit(mixed, EVERY_FOLD)
    assert encoded.tokens is not None
    tokens = encoded.tokens.toarray().astype(np.float64)
    for dense, fold in zip(dense_of(preparation, encoded), EVERY_FOLD, strict=True):
        expected: Any = TfidfTransformer(sublinear_tf=True).fit(tokens[fold]).transform(tokens)
        assert_parity(dense[:, -64:], 3.0 * expected.toarray())


def test_text_of_several_columns_is_normalised_column_by_column() -> None:
    data = table({"s": ["a b", "c", None], "t": ["x y z", None, "u"]}, {"s": "text", "t": "text"})
    preparation, encoded = fit(data, text_gain=2.5)
    lengths = np.linalg.norm(dense_of(preparation, encoded)[0].reshape(3, 2, 64), axis=-1)
    np.testing.assert_allclose(lengths, [[2.5, 2.5], [2.5, 0], [0, 2.5]], rtol=1e-12)


def test_words_that_no_training_row_holds_weigh_nothing() -> None:
    data = table({"t": ["known", "unheard"]}, {"t": "text"})
    preparation, encoded = fit(data, [np.array([0])])
    known, unheard = dense_of(preparation, encoded)[0]
    assert known.any()
    np.testing.assert_array_equal(unheard[known == 0], 0.0)


def test_missing_numbers_take_the_folds_own_median_or_mean(mixed: Dataset) -> None:
    for impute, centre in (("median", np.nanmedian), ("mean", np.nanmean)):
        preparation, encoded = fit(mixed, EVERY_FOLD, impute=impute)
        gaps = encoded.numbers[:, preparation.layout.number_names.index("gaps")]
        place = preparation.layout.feature_names.index("gaps")
        for dense, fold in zip(dense_of(preparation, encoded), EVERY_FOLD, strict=True):
            expected = (centre(gaps[fold]) - np.nanmean(gaps[fold])) / np.nanstd(gaps[fold])
            np.testing.assert_allclose(dense[np.isnan(gaps), place], expected, atol=1e-12)
            indicator = dense[:, preparation.layout.feature_names.index("gaps missing")]
            np.testing.assert_array_equal(indicator, np.isnan(gaps))


def test_missing_date_has_no_direction(mixed: Dataset) -> None:
    preparation, _ = fit(mixed)
    numbers = torch.full((1, 1, len(preparation.layout.numbers)), float("nan"), dtype=torch.float64)
    dense, _ = preparation(numbers, torch.ones(1, 1, 2, dtype=torch.int64), torch.zeros(1, 1, 64))
    cycles = [i for i, name in enumerate(preparation.layout.feature_names) if name.endswith((" sin", " cos"))]
    assert len(cycles) == 8
    assert not dense[0, 0, cycles].any()


def test_level_absent_from_a_fold_is_the_other_level_there() -> None:
    levels = ["a", "b", "c", "a", "b", "d"]
    data = table({"few": levels, "many": levels}, {"few": "category", "many": "category"})
    one_hot = Layout.fit(data, ["few"], np.arange(6), settings=LayoutSettings(max_levels=3)).columns
    embedded = Layout.fit(data, ["many"], np.arange(6), settings=LayoutSettings(one_hot_levels=0)).columns
    layout = Layout(columns=one_hot + embedded)
    assert layout.feature_names == ("few other", "few=a", "few=b", "few=c")
    preparation, encoded = fit(data, [np.array([0, 1, 5]), np.array([0, 1, 2])], layout=layout)
    dense, codes = prepare_rows(preparation, encoded, np.arange(6))
    other = [[0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]
    assert dense[..., 0].tolist() == other  # the second fold has no other level, so its feature stays 0
    assert dense[..., 3].tolist() == [[0] * 6, [0, 0, 1, 0, 0, 0]]
    assert codes[..., 0].tolist() == [[2, 3, 0, 2, 3, 5], [2, 3, 4, 2, 3, 0]]


def test_unseen_levels_and_levels_missing_only_at_prediction_are_all_zero() -> None:
    data = table({"c": ["a", "b"]}, {"c": "category"})
    preparation, _ = fit(data)
    encoded = preparation.layout.encode(table({"c": ["new", None, "a"]}, {"c": "category"}))
    assert dense_of(preparation, encoded)[0].tolist() == [[0, 0], [0, 0], [1, 0]]


def test_constant_and_missing_columns_become_zero() -> None:
    columns = {"constant": [3.0, 3.0, 8.0], "missing": [None, None, 5.0], "both": [1.0, None, 2.0]}
    data = table(columns, {"constant": "number", "missing": "number", "both": "number"})
    for heavy in (False, True):
        layout = numbers_alone(*columns, heavy=heavy)
        preparation, encoded = fit(data, [np.array([0, 1]), np.arange(3)], layout=layout)
        dense = dense_of(preparation, encoded)
        assert np.isfinite(dense).all()
        np.testing.assert_array_equal(dense[0], 0.0)
        assert dense.shape == (2, 3, 6 if heavy else 3)


def test_one_row_is_enough(mixed: Dataset) -> None:
    preparation, encoded = fit(mixed, [np.array([7])])
    assert np.isfinite(dense_of(preparation, encoded)).all()


def test_far_values_are_clipped_to_the_limit() -> None:
    data = table({"n": [0.0, 2.0, np.inf, -1e308, 1e12]}, {"n": "number"})
    preparation, encoded = fit(data, [np.array([0, 1])], limit=30.0)
    assert dense_of(preparation, encoded)[0, :, 0].tolist() == [-1, 1, 30, -30, 30]


def test_knots_too_close_to_divide_by_are_one_step() -> None:
    data = table({"n": [0.0, 5e-324, 1e-323, 1.0]}, {"n": "number"})
    preparation, encoded = fit(data, layout=numbers_alone("n", heavy=True))
    dense = dense_of(preparation, encoded)[0, :, 1]
    assert np.isfinite(dense).all()
    assert (np.diff(dense) > 0).all()


def test_large_integers_and_old_dates_survive_float32() -> None:
    moments = pl.Series([-(10**14), -(10**14) + 86_400_000_000, 10**15]).cast(pl.Datetime("us"))
    columns = {"n": [2**52, 2**52 + 1, 2**52 + 2], "d": moments}
    data = table(columns, {"n": "number", "d": "date"})
    preparation, encoded = fit(data)
    dense, _ = prepare_rows(preparation, encoded, np.arange(3), torch.float32)
    assert dense.dtype == torch.float32
    torch.testing.assert_close(dense[0, :, 0], torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5]))
    torch.testing.assert_close(dense.double(), torch.from_numpy(dense_of(preparation, encoded)), rtol=1e-6, atol=1e-7)


def test_folds_share_widths_and_equal_their_single_preparations(mixed: Dataset) -> None:
    stacked, encoded = fit(mixed, EVERY_FOLD)
    dense, codes = prepare_rows(stacked, encoded, np.arange(ROWS))
    assert dense.shape == (3, ROWS, stacked.dense_width)
    assert codes.shape == (3, ROWS, 1)
    for place, fold in enumerate(EVERY_FOLD):
        alone, _ = fit(mixed, [fold])
        for single in (alone, stacked.single(place)):
            assert single.folds == 1
            one_dense, one_codes = prepare_rows(single, encoded, np.arange(ROWS))
            assert torch.equal(one_dense[0], dense[place])
            assert torch.equal(one_codes[0], codes[place])


def test_each_fold_may_see_rows_of_its_own(mixed: Dataset) -> None:
    stacked, encoded = fit(mixed, EVERY_FOLD)
    batches = [np.arange(5) + 3 * place for place in range(3)]
    columns = zip(*(raw_rows(encoded, batch) for batch in batches), strict=True)
    dense, levels = stacked(*(torch.cat([t for t in tensors if t is not None]) for tensors in columns))
    for place, batch in enumerate(batches):
        expected, expected_levels = prepare_rows(stacked, encoded, batch)
        assert torch.equal(dense[place], expected[place])
        assert torch.equal(levels[place], expected_levels[place])


def test_blocks_do_not_change_the_result(mixed: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    stacked, encoded = fit(mixed, EVERY_FOLD)
    rows = np.array([5, 3, 3, 119, 0])
    whole = prepare_rows(stacked, encoded, rows)
    monkeypatch.setattr("lanewise.features.prepared.BLOCK_BYTES", 1)
    for block, expected in zip(prepare_rows(stacked, encoded, rows), whole, strict=True):
        assert torch.equal(block, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_predicted_bytes_are_those_of_the_result(mixed: Dataset, dtype: torch.dtype) -> None:
    stacked, encoded = fit(mixed, EVERY_FOLD)
    dense, codes = prepare_rows(stacked, encoded, np.arange(17), dtype)
    assert predicted_bytes(stacked, 17, dtype) == dense.nbytes + codes.nbytes


def test_state_round_trip_is_bitwise(mixed: Dataset) -> None:
    from safetensors.torch import load, save

    stacked, encoded = fit(mixed, EVERY_FOLD, knots=17, impute="mean", limit=8.0, tail_limit=4.0, text_gain=2.0)
    tensors, text = stacked.state()
    again = Preparation.from_state(load(save(tensors)), text)
    assert again.settings == stacked.settings
    assert again.layout == stacked.layout
    assert again.state()[1] == text
    assert all(torch.equal(again.state()[0][name], tensor) for name, tensor in tensors.items())
    for ours, theirs in zip(*(prepare_rows(p, encoded, np.arange(ROWS)) for p in (stacked, again)), strict=True):
        assert torch.equal(ours, theirs)


def test_damaged_state_is_a_store_error(mixed: Dataset) -> None:
    tensors, text = fit(mixed, EVERY_FOLD)[0].state()
    with pytest.raises(StoreError, match="is damaged"):
        Preparation.from_state(tensors, text[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        Preparation.from_state(tensors, text.replace('"knots":129', '"knots":-1'))
    with pytest.raises(StoreError, match="has format 2, this version reads 1"):
        Preparation.from_state(tensors, text.replace('{"format":1', '{"format":2', 1))
    with pytest.raises(StoreError, match=r"'idf' of the preparation must have shape .*, got nothing"):
        Preparation.from_state({k: t for k, t in tensors.items() if k != "idf"}, text)
    with pytest.raises(StoreError, match="'impute' of the preparation must have shape"):
        Preparation.from_state(tensors | {"impute": tensors["impute"][:, 1:]}, text)


def test_text_needs_tokens(mixed: Dataset) -> None:
    preparation, encoded = fit(mixed)
    numbers, codes, _ = raw_rows(encoded, np.arange(2))
    with pytest.raises(UsageError, match="tokens of 64 buckets are needed"):
        preparation(numbers, codes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"impute": "zero"}, "median or mean, got 'zero'"),
        ({"knots": 1}, "knots must be 2 or more, got 1"),
        ({"limit": 0.0}, "limit must be a positive number, got 0.0"),
        ({"tail_limit": float("nan")}, "tail_limit must be a positive number, got nan"),
        ({"text_gain": float("inf")}, "text_gain must be a positive number, got inf"),
    ],
)
def test_settings_are_checked(settings, words) -> None:
    with pytest.raises(UsageError, match=words):
        PreparationSettings(**settings)


def test_missing_numbers_take_the_weighted_median_of_the_folds_training_rows() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, None, 9.0]
    data = table({"x": values}, {"x": "number"})
    weight = np.array([1.0, 1.0, 1.0, 1.0, 40.0, 1.0, 1000.0])
    fold = [np.arange(6)]
    (plain, encoded), (weighted, _) = (fit(data, fold, weight=one) for one in (None, weight))
    assert plain.impute.item() == 3.0
    assert weighted.impute.item() == pytest.approx(4 + 8.75 / 20.5)  # half of the weight lies left of it
    numbers, codes = torch.from_numpy(encoded.numbers)[None], torch.from_numpy(encoded.codes)[None]
    dense, _ = weighted.prepare(numbers, codes, None, torch.float64)
    assert dense[0, 5, 0].item() == pytest.approx(
        (weighted.impute.item() - weighted.centre.item()) / weighted.divisor.item()
    )
