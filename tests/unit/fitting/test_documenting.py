"""What the document of a fit says of its budget."""

from typing import Any

import pytest

from lanewise.fitting.documenting import _overrun, _unspent
from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import Lengths, Plan


def plan(**more: Any) -> Plan:
    line = Candidate(id="linear-0", model="linear", optimizer="lbfgs", settings={})
    fixed: dict[str, Any] = {"rungs": (), "confirm": {}, "seeds": (0,), "workers": 2, "costs": {}}
    return Plan(candidates=(line,), lengths=Lengths(rows_seen=1), **{**fixed, **more})


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        (plan(folds=10), "It took 50 s, with a budget of 40 s"),
        (
            plan(folds=2, least=True),
            "a budget of 40 s cannot be kept here: the least that gives an honest result, 1 candidate on 2 folds, "
            "took 50 s",
        ),
        (plan(folds=10, least=True, begun=(2, 1)), "It took 50 s, with a budget of 40 s"),
    ],
)
def test_a_budget_that_was_overrun_could_not_be_kept_only_where_no_less_was_trained(planned: Plan, words: str) -> None:
    assert _overrun({"hardware": {"seconds": 50.0, "budget_seconds": 40.0}}, planned) == words
    assert _overrun({"hardware": {"seconds": 39.0, "budget_seconds": 40.0}}, planned) == ""


@pytest.mark.parametrize(
    ("planned", "seconds", "told"),
    [
        (plan(folds=5, parts=10), 47.0, True),
        (plan(folds=10, parts=10, wished_seeds=(0, 1, 2)), 47.0, True),
        (plan(folds=10, parts=10, left_out=("mlp",)), 47.0, True),
        (plan(folds=10, parts=10), 47.0, False),
        (plan(folds=5, parts=10), 57.0, False),
    ],
)
def test_why_a_budget_was_left_is_said_where_the_race_had_use_for_it(planned: Plan, seconds: float, told: bool) -> None:
    words = _unspent({"hardware": {"seconds": seconds, "budget_seconds": 60.0}}, planned)
    assert words.startswith("13 s of the budget were left: ") if told else words == ""
    assert _unspent({"hardware": {"seconds": seconds, "budget_seconds": None}}, planned) == ""
    resumed = {"seconds": seconds, "budget_seconds": 60.0, "resumed": True}
    assert _unspent({"hardware": resumed}, planned) == "", "what went before counts for the budget, too"
