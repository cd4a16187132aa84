"""Target values so far out that nothing else counts: warned of, and kept out of the units of training."""

import numpy as np
import pytest

from lanewise.data.target_tails import robust_units, target_tail_findings
from lanewise.task import Task

DRAWS = np.random.default_rng(0).normal(50.0, 10.0, size=1000)
TYPO = np.concatenate([DRAWS[:500], [DRAWS[500] * 1e6], DRAWS[501:]])
EVERY = np.arange(1000)


def task(metric: str = "rmse") -> Task:
    return Task(target="price", kind="regression", metric=metric)


def test_a_misplaced_decimal_point_is_named_with_its_row() -> None:
    (found,) = target_tail_findings(TYPO, task(), EVERY)
    assert (found.code, found.severity, found.count, found.column) == ("extreme_target", "warning", 1, "price")
    assert f"{TYPO[500]:.6g} in row 501" in found.message
    assert "--metric mae" in found.message


def test_the_advice_does_not_name_the_metric_that_is_used() -> None:
    (found,) = target_tail_findings(TYPO, task("mae"), EVERY)
    assert "--metric" not in found.message


def test_rows_that_are_not_used_are_not_judged() -> None:
    assert target_tail_findings(TYPO, task(), EVERY[EVERY != 500]) == ()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(DRAWS, id="normal"),
        pytest.param(np.exp(DRAWS / 10), id="log-normal"),
        pytest.param(np.exp(2 * (DRAWS - 50) / 10), id="log-normal, sigma 2"),
        pytest.param(np.random.default_rng(1).standard_t(2, size=1000), id="t with 2 degrees of freedom"),
        pytest.param(np.where(EVERY % 10 == 0, 1e6 * DRAWS, 0.0), id="mostly zero"),
    ],
)
def test_ordinary_heavy_tails_are_not_warned_of_and_keep_their_units(values: np.ndarray) -> None:
    assert target_tail_findings(values, task(), EVERY) == ()
    assert robust_units(values, float(values.std())) is None


def test_many_far_values_are_counted_and_a_few_shown_the_farthest_first() -> None:
    values = DRAWS.copy()
    values[[3, 30, 300, 900]] = [1e6, -1e7, 1e8, 1e9]
    (found,) = target_tail_findings(values, task(), EVERY)
    assert found.count == 4
    assert "1e+09 in row 901, 1e+08 in row 301, -1e+07 in row 31 and 1 more" in found.message


def test_the_units_of_an_extreme_target_are_those_of_the_other_rows() -> None:
    units = robust_units(TYPO, float(TYPO.std()))
    assert units is not None
    assert units == pytest.approx((50.0, 10.0), rel=0.1)
