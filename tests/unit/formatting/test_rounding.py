"""Rounding: as many digits as the evidence has, and no number turned into nothing."""

from hypothesis import given
from hypothesis import strategies as st

from lanewise.formatting.rounding import fixed


@given(st.floats(1e-8, 1e12), st.sampled_from((-1, 1)), st.integers(-6, 10))
def test_a_clear_number_is_never_rounded_to_zero(size, sign, places):
    shown = float(fixed(sign * size, places).replace(",", ""))
    if size > 0.01 * 10.0**-places:
        assert shown * sign > 0
        assert abs(shown - sign * size) <= max(0.5000001 * 10.0**-places, 0.5 * size)


def test_nothing_has_no_sign():
    assert fixed(-0.0, 2) == fixed(-0.00001, 2) == "0.00"
