"""Moments of a block of columns are those of each column alone, to the last bit."""

import numpy as np
import pytest

from lanewise.features.column_blocks import means_and_deviations, medians
from lanewise.features.fold_statistics import Imputation, fold_weights, number_statistics, weighted_quantiles

KNOTS = 9


def columns(rows: int) -> np.ndarray:
    draw = np.random.default_rng(rows)
    found = draw.normal(size=(rows, 40))
    found[:, ::5] = np.round(found[:, ::5])
    found[:, 1] = 0.1
    found[:, 2] *= 1e180
    found[:, 3] = found[:, 3] > 1
    found[:, 4] = 1e15 + np.arange(rows)
    return found


def weights_of(rows: int, weight: np.ndarray | None) -> np.ndarray:
    every = np.arange(rows)
    parts = [every[every % 3 != part] if rows > 1 else every for part in range(3)]
    return fold_weights([*parts, np.random.default_rng(1).integers(0, rows, rows)], rows, weight)


@pytest.mark.parametrize("rows", [1, 2, 3, 60, 1001])
@pytest.mark.parametrize("imputation", ["median", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_block_comes_out_as_column_by_column(rows: int, imputation: Imputation, *, weighted: bool) -> None:
    numbers, weight = columns(rows), 0.1 + np.random.default_rng(2).random(rows) if weighted else None
    weights = weights_of(rows, weight)
    together = number_statistics(numbers, weights, unscaled=[], ranked=[0, 3], imputation=imputation, knots=KNOTS)
    # A row of no fold without any value: such columns are taken one by one.
    apart = number_statistics(
        np.vstack([numbers, np.full(numbers.shape[1], np.nan)]),
        np.hstack([weights, np.zeros((len(weights), 1))]),
        unscaled=[],
        ranked=[0, 3],
        imputation=imputation,
        knots=KNOTS,
    )
    for name in ("centre", "scale", "impute", "knots", "scores"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))


def test_columns_with_and_without_missing_cells_keep_their_places() -> None:
    numbers = columns(60)
    numbers[::7, 10:20] = np.nan
    weights = weights_of(60, None)
    found = number_statistics(numbers, weights, unscaled=[5], ranked=[], imputation="mean", knots=KNOTS)
    for place in (0, 5, 9, 12, 25):
        bare = [0] if place == 5 else []
        one = number_statistics(numbers[:, [place]], weights, unscaled=bare, ranked=[], imputation="mean", knots=KNOTS)
        np.testing.assert_array_equal(found.centre[:, [place]], one.centre)
        np.testing.assert_array_equal(found.scale[:, [place]], one.scale)


def test_medians_are_weighted_quantiles_at_one_half() -> None:
    draw = np.random.default_rng(3)
    for count in (1, 2, 5, 100):
        values, weights = np.sort(draw.normal(size=(20, count)), axis=1), draw.random((20, count)) + 1e-3
        expected = [weighted_quantiles(v, w, np.array([0.5])).item() for v, w in zip(values, weights, strict=True)]
        np.testing.assert_array_equal(medians(values, weights), expected)


def test_moments_are_numpys() -> None:
    values = np.sort(np.random.default_rng(4).normal(3, 2, size=(5, 77)), axis=1)
    mean, deviation = means_and_deviations(values, np.ones_like(values))
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(deviation, values.std(axis=1), rtol=1e-13)
