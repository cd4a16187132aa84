"""Before a race: the pace of the machine, and whether trees may race, once what was prepared for workers has loaded."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.fitting import stages
from lanewise.runs.stage_times import StageTimes


def prospects(
    monkeypatch: pytest.MonkeyPatch,
    *,
    there: bool,
    models: tuple[str, ...] = ("tree", "linear"),
    budget: str = "60s",
    plan: Path | None = None,
) -> tuple[tuple[float, bool], list[str]]:
    """What is found where the libraries of trees are ``there`` in time, and what was waited for or loaded."""
    done: list[str] = []
    monkeypatch.setattr(stages, "pace_of", lambda threads: 0.5)
    monkeypatch.setattr(stages, "settle_workers", lambda settings, left: done.append("settle") or there)
    monkeypatch.setattr(stages, "settle_stacks", lambda left: done.append("stacks"))
    monkeypatch.setattr(stages, "load_trees", lambda settings, left, pace: done.append("load") or True)
    job: Any = SimpleNamespace(
        problem=None,
        settings=SimpleNamespace(budget=budget, models=models),
        times=StageTimes(started=time.monotonic()),
        plan_file=plan,
    )
    return stages._prospects(job, 1), done


def test_libraries_of_trees_that_were_given_up_are_not_loaded_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prospects(monkeypatch, there=False) == ((0.5, False), ["settle"])
    assert prospects(monkeypatch, there=True) == ((0.5, True), ["settle", "load"])


@pytest.mark.parametrize("models", [("linear", "mlp"), ("tree", "forest")], ids=str)
def test_who_asks_for_no_trees_or_for_trees_alone_is_left_nothing_out(
    monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    assert prospects(monkeypatch, there=False, models=models) == ((0.5, True), ["settle"])


def test_a_run_that_goes_on_by_its_plan_gives_up_nothing_that_this_may_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    assert prospects(monkeypatch, there=False, plan=plan) == ((0.5, False), ["settle"])
    plan.write_text("{}")
    assert prospects(monkeypatch, there=False, plan=plan) == ((0.5, False), ["stacks"])


def test_a_budget_in_steps_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prospects(monkeypatch, there=False, budget="10steps") == ((1.0, True), [])
