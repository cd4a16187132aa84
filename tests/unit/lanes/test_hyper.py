import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.lanes.hyper import Hyper

UNIT = st.floats(0, 1)


@given(UNIT)
def test_values_lie_in_their_range(u: float) -> None:
    for scale in ("linear", "log", "integer", "log_integer"):
        value = Hyper(name="x", default=2, low=1, high=100, scale=scale).at(u)
        assert 1 - 1e-12 <= float(value) <= 100 + 1e-9
        assert isinstance(value, int) == scale.endswith("integer")


@given(UNIT)
def test_a_choice_is_one_of_its_values(u: float) -> None:
    assert Hyper(name="x", default="a", scale="choice", choices=("a", "b", "c")).at(u) in ("a", "b", "c")


@pytest.mark.parametrize(("u", "value"), [(0.0, 1e-4), (0.5, 1e-2), (1.0, 1.0)])
def test_a_log_range_is_even_in_the_logarithm(u: float, value: float) -> None:
    assert Hyper(name="lr", default=1e-3, low=1e-4, high=1.0, scale="log").at(u) == pytest.approx(value)
