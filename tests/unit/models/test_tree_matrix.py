"""Columns as trees read them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.models.tree_matrix import (
    DENSE_TOKENS,
    TokenCounts,
    boosting_matrix,
    frequent_tokens,
    ordered_levels,
    splitting_matrix,
)


def counts(dense: np.ndarray) -> TokenCounts:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(dense)
    return TokenCounts(data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, width=dense.shape[1])


def test_numbers_then_codes_then_tokens() -> None:
    numbers = np.array([[1.5], [np.nan]])
    codes = np.array([[0, 3], [-1, 2]])
    expected = np.array([[1.5, 0.0, 3.0], [np.nan, np.nan, 2.0]])
    np.testing.assert_array_equal(boosting_matrix(numbers, codes, None), expected)
    tokens = np.array([[0.0, 2.0], [1.0, 0.0]])
    sparse = boosting_matrix(numbers, codes, counts(tokens).matrix())
    assert not isinstance(sparse, np.ndarray)
    np.testing.assert_array_equal(sparse.toarray(), np.hstack([expected, tokens]))


def test_single_precision_is_kept() -> None:
    assert boosting_matrix(np.ones((2, 1), dtype=np.float32), np.ones((2, 1), dtype=np.int64), None).dtype == np.float32


def test_an_unknown_code_is_missing_to_a_single_tree() -> None:
    codes = np.array([[5], [2], [-1], [3], [900]])
    matrix = splitting_matrix(np.zeros((5, 0)), codes, None, levels=[[5, 2]], token_columns=[])
    np.testing.assert_array_equal(matrix[:, 0], [0.0, 1.0, np.nan, np.nan, np.nan])


def test_numbers_beyond_single_precision_stay_ordered() -> None:
    numbers = np.array([[1e300], [-np.inf], [3.0], [np.nan]])
    matrix = splitting_matrix(numbers, np.zeros((4, 0), dtype=int), None, levels=[], token_columns=[])[:, 0]
    assert matrix[1] < matrix[2] < matrix[0]
    assert np.isfinite(matrix[:3]).all()
    assert np.isnan(matrix[3])


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_a_threshold_on_the_order_is_the_best_split_in_two(seed: int) -> None:
    """Fisher (1958): among all ways to split the levels in two, one along the order by mean is the best."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(5), 4000)  # so many rows that the smoothing of means cannot reorder them
    means = rng.permutation(5) * 1.0 + rng.uniform(-0.3, 0.3, 5)
    target = means[codes]
    order = ordered_levels(codes, target[:, None], np.ones(len(codes)))

    def left_over(levels: tuple[int, ...]) -> float:
        inside = np.isin(codes, levels)
        return float(target[inside].var() * inside.mean() + target[~inside].var() * (~inside).mean())

    every = [left_over(levels) for size in range(1, 5) for levels in itertools.combinations(range(5), size)]
    along = [left_over(tuple(order[:size])) for size in range(1, 5)]
    assert min(along) == pytest.approx(min(every), rel=1e-12)


def test_two_classes_are_ordered_as_their_share() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 8, 500)
    positive = rng.random(500) < (codes + 2) / 11
    weight = rng.uniform(0.5, 2.0, 500)
    by_share = ordered_levels(codes, positive[:, None].astype(float), weight)
    by_component = ordered_levels(codes, np.eye(2)[positive.astype(int)], weight)
    assert by_component in (by_share, by_share[::-1])
    assert sorted(by_share) == list(range(8))


def test_a_column_without_known_codes_has_no_levels() -> None:
    assert ordered_levels(np.array([-1, -1]), np.ones((2, 1)), np.ones(2)) == []


def test_only_the_most_frequent_tokens_are_kept() -> None:
    rows = np.zeros((3, DENSE_TOKENS + 5))
    rows[0, :] = 1.0
    rows[1, 5:] = 1.0
    rows[2, 7] = 0.0
    assert frequent_tokens(counts(rows).matrix()) == list(range(5, DENSE_TOKENS + 5))
    assert frequent_tokens(counts(np.array([[0.0, 1.0]])).matrix()) == [1]
