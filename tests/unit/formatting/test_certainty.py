"""One scale of certainty; its figures never contradict its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.formatting.certainty import certainty, errors_shown


@pytest.mark.parametrize(
    ("steps", "word"), [(-3, "tie"), (1, "tie"), (1.0001, "likely"), (1.9999, "likely"), (2, "clear")]
)
def test_words(steps, word):
    assert certainty(steps) == word


@given(st.floats(-1e6, 1e6))
def test_the_figure_shown_has_the_word_of_the_figure_meant(steps):
    shown = float(errors_shown(steps).replace(",", ""))
    assert certainty(shown) == certainty(steps)
    assert shown == pytest.approx(steps, rel=0.06)
