"""Widths that follow the prediction hold the level where one width does not, and one width stays where it does."""

import numpy as np
import pytest

from lanewise.errors import DataError
from lanewise.evaluation import interval_half_width, local_half_widths
from lanewise.evaluation.local_widths import FEWEST_ROWS, bin_of

LEVEL = 0.9


def rows(count: int, seed: int, *, growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions whose errors have a deviation of ``1 + growth * prediction``."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 10, count)
    return predicted + rng.normal(size=count) * (1 + growth * predicted), predicted


def by_third(y: np.ndarray, predicted: np.ndarray, half: np.ndarray | float) -> np.ndarray:
    third = np.argsort(np.argsort(predicted)) * 3 // len(predicted)
    return np.bincount(third, weights=np.abs(y - predicted) <= half) / np.bincount(third)


def test_each_third_of_the_predictions_is_covered_where_one_width_fails() -> None:
    y, predicted = rows(3000, 0, growth=0.5)
    new_y, new = rows(60_000, 1, growth=0.5)
    one = by_third(new_y, new, interval_half_width(y, predicted, LEVEL))
    assert one[0] > 0.97
    assert one[2] < 0.83
    found = local_half_widths(y, predicted, LEVEL)
    assert found is not None
    own = by_third(new_y, new, np.array(found.half_widths)[bin_of(new, found.edges)])
    np.testing.assert_allclose(own, LEVEL, atol=0.025)
    assert found.half_widths[-1] > 3 * found.half_widths[0]


def test_one_width_stays_where_errors_are_alike() -> None:
    """A test at 1% is wrong in 1% of tables: in at most 7 of 200, as a binomial says with more than 99%."""
    given_up = sum(local_half_widths(*rows(600, seed, growth=0.0)) is not None for seed in range(200))
    assert given_up <= 7


def test_new_rows_are_covered_at_the_level_or_above_on_average() -> None:
    """Few rows in every bin: the rank is corrected for each of them."""
    covered = []
    for seed in range(150):
        found = local_half_widths(*rows(400, seed, growth=1.0))
        if found is None:
            continue
        y, predicted = rows(2000, 1000 + seed, growth=1.0)
        covered.append(np.mean(np.abs(y - predicted) <= np.array(found.half_widths)[bin_of(predicted, found.edges)]))
    assert len(covered) > 120
    assert np.mean(covered) >= LEVEL - 2 * np.std(covered) / np.sqrt(len(covered))


def test_bins_have_rows_enough_and_equal_predictions_stay_together() -> None:
    y, predicted = rows(1000, 2, growth=1.0)
    steps = np.floor(predicted / 4)  # the predictions 0, 1 and 2; the last for a fifth of the rows
    found = local_half_widths(y - predicted + steps, steps, LEVEL)
    assert found is not None
    assert found.edges == (1.0, 2.0)
    assert local_half_widths(y, np.zeros(1000), LEVEL) is None
    assert local_half_widths(y[: 2 * FEWEST_ROWS - 1], predicted[: 2 * FEWEST_ROWS - 1]) is None
    for count in (200, 357, 999, 1000):
        edges = (local_half_widths(*rows(count, 3, growth=20.0)) or found).edges
        held = np.bincount(bin_of(rows(count, 3, growth=20.0)[1], edges))
        assert min(held) >= FEWEST_ROWS or edges == found.edges


def test_rows_that_belong_together_count_once() -> None:
    """Forty groups that each err alike are no evidence on 4,000 rows."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), 100)
    predicted = rng.normal(size=40)[groups] + 0.01 * rng.normal(size=4000)
    y = predicted + (rng.normal(size=40) ** 2)[groups]
    assert local_half_widths(y, predicted) is not None
    assert local_half_widths(y, predicted, clusters=groups) is None


def test_rows_that_no_fold_held_out_are_left_out() -> None:
    y, predicted = rows(2000, 5, growth=1.0)
    held = np.arange(2000) % 4 > 0
    found = local_half_widths(y, np.where(held, predicted, np.nan)[:, None], clusters=np.arange(2000))
    assert found == local_half_widths(y[held], predicted[held])
    with pytest.raises(DataError, match="give the same rows"):
        local_half_widths(y, predicted[:5])
