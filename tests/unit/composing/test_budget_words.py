"""What a document says of a budget that was too short for what was asked for."""

from types import SimpleNamespace
from typing import Any

from lanewise.composing.document import _cut_short, _warnings
from lanewise.lanes.candidate import Candidate


def stage_of(*left_out: str) -> Any:
    one = Candidate(id="linear-000", model="linear", optimizer="lbfgs", settings={"rounds": 1000}, is_default=True)
    plan = SimpleNamespace(candidates=(one,), left_out=left_out, advised_seconds=25.0 if left_out else 0.0, folds=3)
    return SimpleNamespace(
        problem=SimpleNamespace(findings=(), folds=(0, 1, 2)),
        plan=plan,
        settings=SimpleNamespace(models=("linear", *left_out), budget="2s", candidates=None),
        result=SimpleNamespace(traces=(), confirmed=(one,)),
        default=one,
    )


def test_the_warning_and_the_summary_advise_the_same_budget_for_all_that_was_left_out() -> None:
    short = stage_of("lightgbm", "mlp", "tree")
    assert _warnings(short)[0] == (
        "the budget left no room for lightgbm, mlp and tree: a budget of about 25s would have room for all "
        "at the speed measured now"
    )
    assert _cut_short(short) == "a budget of 2s left room to confirm it alone; try 25s"


def test_where_no_family_was_left_out_more_of_a_budget_is_advised() -> None:
    assert _cut_short(stage_of()) == "a budget of 2s left room to confirm it alone; try 60s"
    assert not [words for words in _warnings(stage_of()) if "left no room for linear" in words]
