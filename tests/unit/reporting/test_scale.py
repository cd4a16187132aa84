"""Scales and ticks."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.reporting.charts.frame import Axis
from lanewise.reporting.charts.scale import Scale, scale_of, without_outliers
from lanewise.reporting.words import rate_words

values = st.lists(st.floats(-1e300, 1e300) | st.just(math.nan) | st.just(math.inf) | st.none(), max_size=8)


@given(values, st.booleans())
@settings(deadline=None, max_examples=400)
def test_every_scale_places_its_values_and_has_ticks(found, log):
    scale = scale_of(found, log=log)
    assert scale.low < scale.high
    for value in found:
        if value is not None and abs(value) < float("inf") and (value > 0 or not log):
            assert -1e-9 <= scale.at(value) <= 1 + 1e-9
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 16
    assert list(ticks) == sorted(set(ticks))
    assert all(-0.001 <= scale.at(tick) <= 1.001 for tick in ticks)


def test_ticks_are_round_numbers():
    assert Scale(low=0.27, high=0.58).ticks() == (0.3, 0.4, 0.5)
    assert Scale(low=0.0, high=1.0).ticks() == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert Scale(low=1e-5, high=1.0, log=True).ticks(4) == pytest.approx((1e-5, 1e-3, 1e-1))
    assert Scale(low=0.2, high=8.0, log=True).ticks(5) == pytest.approx((0.3, 1.0, 3.0))


def test_equal_values_stand_in_the_middle():
    scale = scale_of([0.5, 0.5, None])
    assert scale.at(0.5) == pytest.approx(0.5)


def test_a_value_beyond_stays_just_outside():
    scale = Scale(low=0.0, high=1.0)
    assert (scale.at(1e300), scale.at(-1e300)) == (1.1, -0.1)


def test_a_diverged_lane_does_not_flatten_the_rest():
    good = [0.3 + step / 100 for step in range(20)]
    assert max(without_outliers([*good, 1e9], keep=[], worse_is_high=True)) < 1
    assert min(without_outliers([*good, -1e9], keep=[], worse_is_high=False)) == pytest.approx(0.3)


def test_the_winner_is_never_an_outlier():
    assert 50.0 in without_outliers([0.1] * 20, keep=[50.0], worse_is_high=True)


def test_learning_rates_are_written_to_three_digits_and_no_two_alike():
    close = Axis(scale=Scale(low=4322545.1, high=4322546.9, log=True), written=rate_words)
    assert [word for _, word in close.ticks()] == ["4.32e6"]
    wide = Axis(scale=Scale(low=2e-5, high=2e5, log=True), written=rate_words, count=4)
    assert [word for _, word in wide.ticks()] == ["0.0001", "0.1", "100", "1e5"]
