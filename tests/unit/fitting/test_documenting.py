"""What the document of a fit says of its budget."""

from typing import Any

import pytest

from lanewise.fitting.documenting import _overrun
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
