"""Numbers in words."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.reporting import words

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.none() | st.integers() | st.text(max_size=3)


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.31237, 0.29811, 0.32702, "0.312"),
        (0.31237, 0.31236, 0.31238, "0.312370"),
        (48231.4, 46900.0, 49600.0, "48,200"),
        (48231.4, 48100.0, 48360.0, "48,230"),
        (-0.5, -0.9, -0.1, "-0.5"),
        (0.0, 0.0, 0.0, "0"),
        (0.25, None, None, "0.250"),
        (None, 0.0, 1.0, words.MISSING),
        (float("nan"), 0.0, 1.0, words.MISSING),
    ],
)
def test_a_score_has_the_digits_that_its_interval_justifies(value, low, high, shown):
    assert words.score("rmse", value, low, high) == shown


def test_the_interval_has_as_many_decimals_as_its_score():
    assert words.interval("rmse", 0.2891, 0.3351) == "0.289 to 0.335"
    assert words.score("rmse", 0.3121, 0.2891, 0.3351) == "0.312"


def test_a_rounded_zero_has_no_sign():
    assert words.rounded(-0.00001, 2) == "0.00"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.0421, "0.042 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (3599.0, "59 min 59 s"),
        (3599.9, "1 h"),
        (86399.0, "1 d"),
        (90000.0, "1 d 1 h"),
        (None, words.MISSING),
        (-1.0, words.MISSING),
    ],
)
def test_durations_never_show_sixty_seconds(seconds, shown):
    assert words.duration(seconds) == shown


@given(st.floats(0, 1e9))
@settings(deadline=None)
def test_a_duration_is_read_back_within_its_unit(seconds):
    units = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    shown = words.duration(seconds).replace(",", "")
    parts = re.findall(r"([\d.e-]+) (d|h|min|s)", shown)
    assert 1 <= len(parts) <= 2
    smallest = 0.01 * seconds + 0.5 if len(parts) == 1 and parts[0][1] == "s" else units[parts[-1][1]]
    assert sum(float(amount) * units[unit] for amount, unit in parts) == pytest.approx(seconds, abs=smallest)


@given(numbers, numbers, numbers)
@settings(deadline=None)
def test_every_formatter_takes_anything(value, low, high):
    for shown in (
        words.number(value),
        words.score("rmse", value, low, high),
        words.score("accuracy", value, low, high),
        words.interval("rmse", low, high),
        words.difference("rmse", value, low),
        words.percent(value),
        words.duration(value),
        words.size(value),
        words.count(value, "row"),
    ):
        assert "nan" not in shown
        assert "inf" not in shown


@given(st.floats(1e-12, 1e12))
@settings(deadline=None)
def test_a_number_is_right_to_its_digits(value):
    assert float(words.number(value, 3).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_percent_is_never_an_untrue_hundred():
    assert words.percent(0.99996) == ">99.9%"
    assert words.percent(1.0) == "100%"
    assert words.percent(0.0) == "0%"


def test_typeset_changes_only_signs_of_numbers():
    assert words.typeset("a-b 2026-11-21 -3 to -.5, x=-1") == "a-b 2026-11-21 −3 to −.5, x=−1"  # noqa: RUF001  # the sign is what is tested


def test_a_number_and_its_unit_stay_on_one_line():
    text = words.typeset("41 s of 2.5 GB, 1.1 SE; 3 sheep, 'a 5 s', x2 s, in 5 days")
    assert text == "41\xa0s of 2.5\xa0GB, 1.1\xa0SE; 3 sheep, 'a 5 s', x2 s, in 5 days"


def test_finite_refuses_what_is_not_a_number():
    assert words.finite(True) is None
    assert words.finite("1") is None
    assert words.finite(math.inf) is None
    assert words.finite(10**400) is None
    assert words.finite(3) == 3.0
