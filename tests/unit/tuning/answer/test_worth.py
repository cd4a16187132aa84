"""That no difference is worth having is an answer: where nobody is better beyond chance, or by next to nothing."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lanewise.selection import Contender, select
from lanewise.tuning import tune
from lanewise.tuning.answer.worth import no_difference
from lanewise.tuning.checking import judge_of

LOSSES = np.random.default_rng(0).exponential(size=400)


def said(*others: np.ndarray) -> tuple[str, ...]:
    """What is said where the default has LOSSES and the others have these."""
    own = [Contender(id=f"c{place}", prediction=losses, cost=1.0) for place, losses in enumerate(others)]
    contenders = [Contender(id="default", prediction=LOSSES, cost=1.0, is_default=True), *own]
    judge, y = judge_of(None), np.zeros(400)
    chosen = select(contenders, y=y, metric=judge.metric, seed=0)
    return no_difference(chosen, contenders, default="default", error_of=partial(judge.error, y))


def test_a_lead_within_chance_keeps_the_default_and_is_said_to_be_none() -> None:
    other = np.random.default_rng(1).permutation(LOSSES)
    other[0] -= 1e-3
    (words,) = said(other)
    assert (
        words == "No difference worth having: of 2 candidates that trained to the end none is better than the default "
        "beyond chance"
    )


def test_a_lead_that_is_sure_and_next_to_none_is_said_to_be_none() -> None:
    (words,) = said(LOSSES - 1e-5)
    assert words.startswith(
        "No difference worth having: of 2 candidates that trained to the end the best is 1e-05 better"
    )
    half = 1.96 * LOSSES.std(ddof=1) / len(LOSSES) ** 0.5
    assert words.endswith(f"better than the default, and the score itself is known to within {half:.2g}")


def test_a_lead_that_is_worth_having_is_not_talked_away() -> None:
    assert said(LOSSES - 0.1) == ()


def test_of_the_default_alone_and_where_it_is_the_best_nothing_is_said() -> None:
    assert said() == ()
    assert said(LOSSES + 0.1) == ()


@pytest.mark.parametrize("close", [True, False])
def test_a_race_says_so_in_its_words_and_in_its_report(close: bool, tmp_path) -> None:
    X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    rates: list[dict[str, Any]] = [
        {"optimizer": "sgd", "lr": 0.01 * (1 + 1e-6 * k if close else 3**k)} for k in range(3)
    ]
    found = tune(
        lambda: nn.Linear(3, 1), train=(X[:200], y[:200]), valid=(X[200:], y[200:]), loss=nn.MSELoss(),
        candidates=rates, budget="40steps", workers=1,
    )  # fmt: skip
    page = found.report(tmp_path / "race.html").read_text()
    assert any(words.startswith("No difference worth having") for words in found.words) is close
    assert ("No difference worth having" in page) is close
