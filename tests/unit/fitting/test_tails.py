"""Student's quantiles and Fisher's tails, against SciPy's."""

import math

import pytest
from scipy.special import fdtrc, stdtrit

from lanewise.errors import UsageError
from lanewise.statistics import fisher_tail, student_quantile, tails

LEVELS = (0.501, 0.6, 0.75, 0.9, 0.975, 0.995, 0.9999)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 57, 254, 999, 1000, 1001, 50_000, 10**7])
def test_quantiles_of_student_are_those_of_scipy(freedom: int) -> None:
    for p in LEVELS:
        assert student_quantile(freedom, p) == pytest.approx(float(stdtrit(freedom, p)), rel=1e-11)


@pytest.mark.parametrize("freedom", [1.29, 2.5, 9.1, 198.7, 1500.5])
def test_quantiles_of_student_with_degrees_that_are_not_whole_are_those_of_scipy(freedom: float) -> None:
    for p in LEVELS:
        assert student_quantile(freedom, p) == pytest.approx(float(stdtrit(freedom, p)), rel=1e-9)


@pytest.mark.parametrize("p", [0.75, 0.975, 0.9999])
def test_a_quantile_of_student_takes_few_steps_whatever_the_last_digit_does(
    monkeypatch: pytest.MonkeyPatch, p: float
) -> None:
    steps: list[float] = []
    share = tails._within
    monkeypatch.setattr(tails, "_within", lambda freedom, t: steps.append(t) or share(freedom, t))
    for freedom in range(2, 300):
        steps.clear()
        student_quantile(freedom, p)
        assert len(steps) <= 8


def test_the_median_of_student_is_zero() -> None:
    assert [student_quantile(freedom, 0.5) for freedom in (1, 2, 7, 2000)] == [0.0] * 4


@pytest.mark.parametrize(("freedom", "p"), [(0, 0.9), (5, 0.4), (5, 1.0), (5, math.nan)])
def test_a_quantile_of_student_that_is_not_known_is_refused(freedom: int, p: float) -> None:
    with pytest.raises(UsageError, match="freedom must be at least 1 and p within"):
        student_quantile(freedom, p)


@pytest.mark.parametrize("above", [1, 2, 3, 10, 63])
@pytest.mark.parametrize("below", [1, 2, 7, 40, 3000])
def test_tails_of_fisher_are_those_of_scipy(above: int, below: int) -> None:
    for ratio in (0.0, 1e-8, 0.3, 1.0, 2.5, 17.0, 400.0):
        truth = float(fdtrc(above, below, ratio))
        assert fisher_tail(above, below, ratio) == pytest.approx(truth, rel=1e-10, abs=1e-200)


def test_nothing_lies_beyond_infinity_and_what_is_no_number_stays_none() -> None:
    assert fisher_tail(3, 4, math.inf) == 0.0
    assert math.isnan(fisher_tail(3, 4, math.nan))
