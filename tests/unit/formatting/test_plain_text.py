"""Text from outside."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.formatting.plain_text import clean, shorten, visible

anything = st.text(st.characters(), max_size=60) | st.text("\x1b[]0;m\x07\x9b31\u202e\u2066\x00\n\ud800a", max_size=40)


@given(anything)
@settings(deadline=None)
def test_nothing_that_steers_a_terminal_or_turns_the_text_survives(text):
    kept = clean(text)
    assert not {unicodedata.category(char) for char in kept} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(kept) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    kept.encode()


@given(anything)
@settings(deadline=None)
def test_cleaning_twice_changes_nothing(text):
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]0;title\x07name", "name"),
        ("\x9b31mred", "red"),
        ("\x1bcreset", "reset"),
        ("a\r\nb", "a b"),
        ("مرحبا", "مرحبا"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        (17, "17"),
    ],
)
def test_escapes_go_and_words_stay(text, kept):
    assert clean(text) == kept


@given(anything, st.integers(3, 50))
@settings(deadline=None)
def test_shortened_text_keeps_both_ends(text, limit):
    short, whole = shorten(text, limit), clean(text)
    assert len(short) <= limit
    assert short == whole or (short[0] == whole[0] and short[-1] == whole[-1])


def test_what_steers_a_terminal_is_made_visible_and_all_else_stays():
    kept = "naïve\u00a0日本\u3000 👨\u200d👩 a\u200cb\n\\x1b"
    assert visible(kept) == kept
    assert visible("\x1b[2J\r\t\x9b\u202e\u2028\ud800") == r"\x1b[2J\r\t\x9b\u202e\u2028\ud800"
