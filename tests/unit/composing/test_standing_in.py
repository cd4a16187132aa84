"""Where the budget has no room for the documented default, it is said which one stands in for it."""

from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.composing.document import _default, _warnings
from lanewise.composing.standing_in import default_words, standing_in
from lanewise.explain.words import Outcome, summary
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import METRICS
from lanewise.training.planning.plan import Lengths


def stage(*models: str, default: str, left_out: tuple[str, ...] = ()) -> Any:
    candidates = tuple(
        Candidate(id=f"{model}-000", model=model, optimizer="", settings={"rounds": 100}, is_default=model == default)
        for model in models
    )
    plan = SimpleNamespace(
        candidates=candidates, left_out=left_out, advised_seconds=25.0, folds=3, lengths=Lengths(rows_seen=1000)
    )
    own = next(candidate for candidate in candidates if candidate.is_default)
    return SimpleNamespace(
        plan=plan,
        default=own,
        winner=candidates[-1],
        choice=SimpleNamespace(is_ensemble=False),
        problem=SimpleNamespace(findings=(), folds=(0, 1, 2)),
        settings=SimpleNamespace(models=("lightgbm", "mlp", "linear", "tree")),
    )


@pytest.mark.parametrize(
    ("raced", "words"),
    [
        (
            stage("linear", "tree", default="linear", left_out=("lightgbm", "mlp")),
            "The default of this run is linear: lightgbm, the first choice, had no room in the budget.",
        ),
        (
            stage("lightgbm", "linear", default="linear"),
            "The default of this run is linear: lightgbm, the first choice, had no room in the budget at its "
            "full length.",
        ),
        (stage("lightgbm", "linear", default="lightgbm", left_out=("mlp",)), ""),
        (stage("linear", "tree", default="linear"), ""),  # nobody asked for lightgbm, or no optimizer trains it
    ],
)
def test_who_stands_in_for_the_documented_default_is_said_with_the_reason(raced: Any, words: str) -> None:
    assert default_words(raced, "linear") == words, "whether it won or not"
    assert words.count("default") <= 1, "nothing but what raced is called the default"


def test_the_document_names_the_family_that_the_default_stands_in_for() -> None:
    card = _default(stage("linear", "tree", default="linear", left_out=("lightgbm",)))
    assert (card["stands_in_for"], card["why"]) == ("lightgbm", "lightgbm, the first choice, had no room in the budget")
    assert "stands_in_for" not in _default(stage("lightgbm", "tree", default="lightgbm"))


def test_a_default_of_another_family_is_warned_of_where_the_usual_one_raced_shorter() -> None:
    assert standing_in(stage("lightgbm", "linear", default="linear")) is not None
    words = "the budget left no room for lightgbm at its full length: its candidates were trained shorter"
    assert words in _warnings(stage("lightgbm", "linear", default="linear"))


@pytest.mark.parametrize("is_default", [True, False])
def test_the_summary_says_it_right_below_the_score(is_default: bool) -> None:
    sentence = "The default of this run is linear: lightgbm, the first choice, had no room in the budget."
    outcome = Outcome(
        target="y", winner="linear", is_default=is_default, test=None, rows=0, default="linear", stand_in=sentence
    )
    first, second, *_ = summary(outcome, METRICS["rmse"])
    assert second == sentence
    assert first.startswith("The default, linear, stays") is is_default
