"""What is said before anything is trained."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.errors import Interrupted
from lanewise.fitting import experiment


class _Listens:
    """Keeps what is said, and stops at the first sentence that has a word."""

    def __init__(self, word: str) -> None:
        self.word, self.said = word, list[str]()

    def announce(self, text: str) -> None:
        self.said.append(text)
        if self.word in text:
            raise Interrupted(text)

    def pulse(self, pulse: object) -> None:
        message = f"trained before it was said: {pulse}"
        raise AssertionError(message)


def test_groups_that_are_too_few_for_an_interval_are_told_of_before_anything_is_trained() -> None:
    rows = np.arange(120)
    table = pl.DataFrame({"a": rows % 7 / 7, "y": rows % 11 / 11, "site": [f"s{row % 6}" for row in rows]})
    heard = _Listens("have no interval")
    settings: dict[str, Any] = {"target": "y", "group": "site", "budget": "20steps"}
    with pytest.raises(Interrupted):
        experiment.fit(table, watcher=heard, **settings)
    assert len(heard.said) == 2
    assert heard.said[1].startswith("the test rows are of ")
