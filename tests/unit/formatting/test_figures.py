"""How a score is written: with the digits that it is worth, and with a sign only where one shows."""

import pytest

from lanewise.formatting.figures import between, gap, places_in_column, score, written


@pytest.mark.parametrize("half", [None, 0.0001, 0.02])
def test_an_r_squared_of_next_to_nothing_is_zero_without_a_sign(half):
    assert float(score("r2", -0.00002, half)) == 0
    assert "-" not in score("r2", -0.00002, half)
    assert len(score("r2", -0.00002, half)) <= len("0.000")
    assert written("r2", -0.00002, places_in_column("r2", -0.00002, half, 3)) == "0.000"


def test_an_r_squared_that_shows_keeps_its_sign():
    assert written("r2", -0.0006, 3) == "-0.0006"
    assert score("r2", -0.031, 0.02) == "-0.031"
    assert between("r2", -0.00003, -0.00001) == "0.000 to 0.000"


def test_an_interval_of_r_squared_from_0_has_no_digit_more_than_another():
    assert between("r2", 0.0001, 0.3) == between("r2", 0.0, 0.3) == "0.00 to 0.30"
    assert score("r2", 0.0001, 0.15) == "0.00"


def test_a_difference_of_two_r_squared_is_no_r_squared():
    assert gap("r2", 0.0003) == "0.00030"


def test_small_errors_keep_their_first_digit():
    assert written("rmse", 0.00002, 3) == "0.00002"


@pytest.mark.parametrize("half", [None, 0.00004])
def test_a_calibration_error_far_below_the_others_of_its_row_has_their_digits(half):
    assert written("ece", 0.000083, places_in_column("ece", 0.000083, half, 3)) == "<0.001"


@pytest.mark.parametrize(("low", "high"), [(3e-6, 0.002), (0.0004, 0.2), (0.3, 5000.0)])
def test_the_lower_end_of_an_error_next_to_0_has_the_digits_of_its_interval(low, high):
    assert between("rmse", low, high) == between("rmse", 0.0, high)


def test_an_interval_that_is_all_next_to_0_keeps_its_first_digits():
    assert between("rmse", 0.00002, 0.00004, kept=3) == "0.00002 to 0.00004"
