"""What is found of columns block by block is what each column alone gives, but for rounding."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from lanewise.data import leakage_screen
from lanewise.data.leakage_screen import ROUNDING, quantile_bins, rough_lines, rough_strengths

ROWS = 401
HALF = ROWS // 2


@pytest.fixture
def numbers() -> np.ndarray:
    draw = np.random.default_rng(0)
    found = draw.normal(size=(12, ROWS))
    found[1] = np.round(found[1])
    found[2] = 7.0
    found[3] = np.exp(4 * found[3])
    found[4, :HALF] = 0.0
    return found


def test_bins_part_the_rows_as_the_quantiles_of_the_first_half_do(numbers: np.ndarray) -> None:
    for column, bins in zip(numbers, quantile_bins(numbers, HALF), strict=True):
        edges = np.unique(np.quantile(column[:HALF], np.arange(1, 14) / 14, method="inverted_cdf"))
        _, expected = np.unique(np.searchsorted(edges, column, side="left"), return_inverse=True)
        np.testing.assert_array_equal(np.unique(bins, return_inverse=True)[1], expected)


def test_strengths_are_those_of_scores_learnt_on_the_first_half(numbers: np.ndarray) -> None:
    cells, target = quantile_bins(numbers, HALF), numbers[0] + np.random.default_rng(1).normal(size=ROWS)
    targets = {
        "binary": (target > 0).astype(np.int64),
        "multiclass": np.digitize(target, [-1, 0.5]),
        "regression": target,
    }
    for kind in ("binary", "multiclass", "regression"):
        y = targets[kind]
        expected = [_alone(own, y, kind) for own in cells]
        np.testing.assert_allclose(rough_strengths(cells, y, kind), expected, atol=ROUNDING / 100)


def test_many_classes_are_counted_of_fewer_columns(numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, y = quantile_bins(numbers, HALF), np.digitize(numbers[0], [-1, 0.5])
    together = rough_strengths(cells, y, "multiclass")
    monkeypatch.setattr(leakage_screen, "MOST_COUNTS", 50)
    np.testing.assert_array_equal(rough_strengths(cells, y, "multiclass"), together)


def _alone(cells: np.ndarray, y: np.ndarray, kind: str) -> float:
    """The strength of one column, with no help of the code that is tested."""
    seen, told = y[:HALF], []
    for cell in cells[HALF:]:
        own = seen[cells[:HALF] == cell]
        if kind == "multiclass":
            told.append(np.bincount(own if len(own) else seen, minlength=3).argmax())
        else:
            told.append(own.mean() if len(own) else seen.mean())
    asked = y[HALF:]
    if kind == "binary":
        return 2 * roc_auc_score(asked, told) - 1
    if kind == "multiclass":
        plain = np.mean(asked == np.bincount(seen).argmax())
        return (np.mean(np.array(told) == asked) - plain) / (1 - plain)
    return 1 - np.sum((asked - told) ** 2) / np.sum((asked - asked.mean()) ** 2)


def test_lines_and_ranks_are_those_of_least_squares_and_spearman(numbers: np.ndarray) -> None:
    y = np.exp(numbers[0])
    fits, orders = rough_lines(numbers, y)
    for column, fit, order in zip(numbers, fits, orders, strict=True):
        if np.ptp(column[:HALF]) == 0:
            assert (fit, order) == (0.0, 0.0)
            continue
        line = np.polynomial.Polynomial.fit(column[:HALF], y[:HALF], 1)(column[HALF:])
        asked = y[HALF:]
        expected = 1 - np.sum((asked - line) ** 2) / np.sum((asked - asked.mean()) ** 2)
        assert fit == pytest.approx(expected, rel=1e-6, abs=ROUNDING)
        assert order == pytest.approx(spearmanr(column[HALF:], asked).statistic ** 2, abs=1e-9)


def test_one_class_in_the_second_half_tells_nothing(numbers: np.ndarray) -> None:
    y = (np.arange(ROWS) < HALF // 2).astype(np.int64)
    np.testing.assert_array_equal(rough_strengths(quantile_bins(numbers, HALF), y, "binary"), 0.0)
