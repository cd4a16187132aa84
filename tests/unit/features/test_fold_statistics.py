"""Statistics of training rows against numpy, and where arithmetic is hard."""

import numpy as np
import pytest
import scipy.sparse as sp

from lanewise.errors import UsageError
from lanewise.features.fold_statistics import (
    NumberStatistics,
    fold_weights,
    inverse_document_frequencies,
    levels_present,
    number_statistics,
    weighted_quantiles,
)


def of_column(values: list[float] | np.ndarray, *, weights=None) -> NumberStatistics:
    column = np.asarray(values, dtype=np.float64)[:, None]
    weights = np.ones((1, len(column))) if weights is None else np.asarray(weights)[None]
    return number_statistics(column, weights, unscaled=[], ranked=[0], imputation="median", knots=9)


def test_quantiles_equal_numpys() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=101))
    probabilities = np.linspace(0, 1, 37)
    for count in (1, 2, 3, 100, 101):
        expected = np.quantile(values[:count], probabilities)
        np.testing.assert_allclose(
            weighted_quantiles(values[:count], np.full(count, 2.5), probabilities), expected, rtol=1e-13, atol=1e-13
        )


def test_heavier_value_pulls_the_median() -> None:
    values, halves = np.array([0.0, 1.0, 2.0]), np.array([0.5])
    assert weighted_quantiles(values, np.array([1.0, 1.0, 8.0]), halves) > 1
    assert weighted_quantiles(values, np.array([8.0, 1.0, 1.0]), halves) < 1
    assert weighted_quantiles(values, np.array([3.0, 1.0, 3.0]), halves) == 1


@pytest.mark.parametrize(
    ("values", "centre", "scale"),
    [
        pytest.param([1e15, 1e15 + 1, 1e15 + 2, 1e15 + 3], 1e15 + 1.5, np.sqrt(1.25), id="large integers"),
        pytest.param([1e180, 3e180], 2e180, 1e180, id="squares overflow"),
        pytest.param([1e-200, 3e-200], 2e-200, 1e-200, id="squares vanish"),
        pytest.param([0.1] * 7, 0.1, 0.0, id="constant that is no binary fraction"),
        pytest.param([np.nan, 4.0, np.nan], 4.0, 0.0, id="one value"),
        pytest.param([np.nan, np.nan], 0.0, 0.0, id="all missing"),
        pytest.param([np.inf, 1.0, 3.0, -np.inf], 2.0, 1.0, id="infinities are left out"),
    ],
)
def test_centre_and_scale(values: list[float], centre: float, scale: float) -> None:
    found = of_column(values)
    np.testing.assert_allclose(found.centre, [[centre]], rtol=1e-15)
    np.testing.assert_allclose(found.scale, [[scale]], rtol=1e-14)


def test_only_ranked_columns_have_scores_and_unscaled_ones_stay_as_they_are() -> None:
    numbers = np.random.default_rng(0).normal(3, 2, size=(50, 4))
    found = number_statistics(numbers, np.ones((2, 50)), unscaled=[1], ranked=[3, 0], imputation="mean", knots=9)
    assert (found.centre[:, 1].tolist(), found.scale[:, 1].tolist(), found.impute[:, 1].tolist()) == (
        [0, 0],
        [1, 1],
        [0, 0],
    )
    assert found.knots.shape == found.scores.shape == (2, 2, 9)
    np.testing.assert_array_equal(found.knots[:, :, 0], [numbers[:, [3, 0]].min(axis=0)] * 2)
    np.testing.assert_allclose(found.centre[:, [0, 2, 3]], [numbers[:, [0, 2, 3]].mean(axis=0)] * 2, rtol=1e-14)


def test_weights_act_as_repeated_rows_on_moments() -> None:
    values, times = np.array([1.0, 4.0, 9.0, 16.0]), np.array([1, 3, 2, 5])
    weighted, repeated = of_column(values, weights=times.astype(float)), of_column(np.repeat(values, times))
    np.testing.assert_allclose(weighted.centre, repeated.centre, rtol=1e-14)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-14)


def test_normal_scores_merge_equal_knots_and_end_half_a_row_early() -> None:
    from scipy.stats import norm

    found = of_column([0.0] * 6 + [1.0, 2.0, 3.0])
    assert found.knots[0, 0].tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3]
    expected = norm.ppf([(0 + 5 / 8) / 2, 6 / 8, 7 / 8, 1 - 0.5 / 9])
    np.testing.assert_allclose(found.scores[0, 0, :4], expected, rtol=1e-13)
    assert (found.scores[0, 0, 3:] == found.scores[0, 0, 3]).all()


def test_fold_weights_have_mean_one_inside_and_ignore_units() -> None:
    folds, weight = [np.array([0, 2, 3]), np.array([1, 1, 4])], np.array([1.0, 2.0, 0.0, 5.0, 2.0])
    found = fold_weights(folds, 5, weight)
    np.testing.assert_allclose(found, [[0.5, 0, 0, 2.5, 0], [0, 2, 0, 0, 1]], rtol=1e-15)
    np.testing.assert_array_equal(fold_weights(folds, 5, weight * 4), found)
    np.testing.assert_array_equal(fold_weights(folds, 5, None), [[1, 0, 1, 1, 0], [0, 2, 0, 0, 1]])


@pytest.mark.parametrize(
    ("folds", "weight", "words"),
    [
        ([], None, "no fold was given"),
        ([np.array([0]), np.array([], dtype=int)], None, "fold 1 has no training row"),
        ([np.array([1])], np.array([1.0, 0.0]), "fold 0 has no training row of positive weight"),
        ([np.array([2])], None, "row numbers in 0 to 1"),
        ([np.array([-1])], None, "row numbers in 0 to 1"),
        ([np.array([True, False])], None, "got bool"),
        ([np.array([0])], np.array([1.0]), "weight must hold 2 finite numbers"),
        ([np.array([0])], np.array([1.0, -1.0]), "weight must hold 2 finite numbers"),
        ([np.array([0])], np.array([1.0, np.nan]), "weight must hold 2 finite numbers"),
    ],
)
def test_unusable_folds_and_weights(folds, weight, words) -> None:
    with pytest.raises(UsageError, match=words):
        fold_weights(folds, 2, weight)


def test_document_frequencies_count_rows_with_a_bucket() -> None:
    tokens = sp.csr_array(np.array([[3, 0, 0], [1, 1, 0], [0, 5, 0]], dtype=np.float32))
    found = inverse_document_frequencies(tokens, np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[np.log(4 / 3) + 1, np.log(4 / 3) + 1, 0], [1, 0, 0]], rtol=1e-15)


def test_levels_are_present_in_the_columns_that_have_them() -> None:
    found = levels_present(np.array([[2, 0], [3, 0]]), 4)
    np.testing.assert_array_equal(found, [[False, False, True, True], [True, False, False, False]])
    assert levels_present(np.empty((3, 0), dtype=np.int64), 0).shape == (0, 0)
