"""What the document of a fit says of its budget."""

from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.explain import Usage
from lanewise.fitting import documenting
from lanewise.fitting.documenting import ALL_PLANNED, _overrun, _unspent, documented
from lanewise.lanes.candidate import Candidate
from lanewise.runs.stage_times import StageTimes
from lanewise.settings.fit import FitSettings
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


NO_ROOM = "by its estimates the plan had no room for"


@pytest.mark.parametrize(
    ("planned", "seconds", "words"),
    [
        (plan(folds=5, parts=10), 47.0, f"{NO_ROOM} more folds"),
        (plan(folds=10, parts=10, wished_seeds=(0, 1, 2)), 47.0, f"{NO_ROOM} more seeds"),
        (plan(folds=5, parts=10, left_out=("mlp", "lightgbm")), 47.0, f"{NO_ROOM} lightgbm, mlp and more folds"),
        (plan(folds=10, parts=10), 47.0, ALL_PLANNED),
        (plan(folds=5, parts=10), 57.0, ""),
    ],
)
def test_where_a_budget_was_left_it_is_said_why(planned: Plan, seconds: float, words: str) -> None:
    asked = FitSettings(target="y", models=("linear", "lightgbm", "mlp"))  # in the order of the warning
    told = f"13 s of the budget were left: {words}" if words else ""
    assert _unspent({"hardware": {"seconds": seconds, "budget_seconds": 60.0}}, planned, asked) == told
    assert _unspent({"hardware": {"seconds": seconds, "budget_seconds": None}}, planned, asked) == ""
    resumed = {"seconds": seconds, "budget_seconds": 60.0, "resumed": True}
    assert _unspent({"hardware": resumed}, planned, asked) == "", "what went before counts for the budget, too"


@pytest.mark.parametrize(("config", "told"), [({}, True), ({"repeats": "r"}, False)])
def test_a_repeat_plans_nothing_and_says_nothing_of_a_budget_that_was_left(monkeypatch, config, told) -> None:
    monkeypatch.setattr(documenting, "compose", lambda stage: {"hardware": {"budget_seconds": 9e9}, "warnings": []})
    monkeypatch.setattr(documenting, "reported", lambda document, path: document)
    crew = SimpleNamespace(axis=None, mesh="", ranks=SimpleNamespace(size=1))
    trained: Any = SimpleNamespace(stage=lambda *_, **__: None, plan=plan(folds=5, parts=10), crew=crew)
    run: Any = SimpleNamespace(config=config, report=None)
    problem: Any = None
    document = documented(
        run,
        problem,
        FitSettings(target="y"),
        trained,
        sha256="",
        times=StageTimes.since(None),
        before=Usage(seconds=0.0, cpu_seconds=0.0, peak_bytes=None),
        elsewhere=(),
        resumed=False,
    )
    assert ("unspent" in document["hardware"]) is told
