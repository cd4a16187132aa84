"""Conformal half widths hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.errors import DataError, UsageError
from lanewise.evaluation import interval_half_width


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_is_the_smallest_residual_with_enough_rows_within(rows, level):
    residuals = np.random.default_rng(rows).normal(size=rows)
    half = interval_half_width(residuals, np.zeros(rows), level)
    within = np.count_nonzero(np.abs(residuals) <= half)
    if math.isinf(half):
        assert rows < (rows + 1) * level
    else:
        assert within >= (rows + 1) * level - 1e-9
        assert within - 1 < (rows + 1) * level


def test_covers_new_rows_at_the_stated_rate():
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(400):
        half = interval_half_width(rng.standard_t(3, 39), np.zeros(39), 0.9)
        hits.append(np.mean(np.abs(rng.standard_t(3, 100)) <= half))
    # 39 rows hold rank 36 of 40: exactly 0.9 in expectation.
    assert abs(np.mean(hits) - 0.9) < 4 * np.std(hits) / 20


def test_rows_that_no_fold_held_out_are_left_out():
    y = np.arange(20.0)
    oof = np.where(np.arange(20) < 5, np.nan, y + 2.0)
    assert interval_half_width(y, oof[:, None]) == 2.0


def test_too_few_rows_give_no_finite_width():
    assert interval_half_width(np.zeros(8), np.ones(8)) == math.inf
    assert interval_half_width([], []) == math.inf


def test_errors_say_what_is_allowed():
    with pytest.raises(UsageError, match="level must lie between 0 and 1"):
        interval_half_width([0.0], [0.0], 1.0)
    with pytest.raises(DataError, match="give the same rows"):
        interval_half_width([0.0, 1.0], [0.0])
