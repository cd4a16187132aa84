"""What an L1 penalty did, in a sentence."""

from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.composing import selection_section
from lanewise.composing.selection_section import Sparsity, sparsity_words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Sparsity(zeros=2, features=7, unread=("a", "b"), columns=7),
            "Its L1 penalty set the weights of 2 of 7 columns to exactly zero; it does not read a and b.",
        ),
        (
            Sparsity(zeros=2, features=9, unread=(), columns=7),
            "Its L1 penalty set the weights of 2 of the 9 inputs made of its 7 columns to exactly zero.",
        ),
        (
            Sparsity(zeros=2, features=9, unread=(), columns=1),
            "Its L1 penalty set the weights of 2 of the 9 inputs made of its 1 column to exactly zero.",
        ),
        (Sparsity(zeros=0, features=9, unread=(), columns=1), ""),
        (None, ""),
    ],
)
def test_the_sentence_counts_as_the_words_do(
    found: Sparsity | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection_section, "sparsity", lambda stage: found)
    stage: Any = SimpleNamespace()
    assert sparsity_words(stage) == words
