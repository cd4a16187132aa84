"""What a fit says of its plan, and when processes are worth their start."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.fitting import pools, wanted_workers
from lanewise.fitting.planned import planned_words, without_trees
from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import Lengths, Plan


def plan(folds: int = 3, **more: Any) -> Plan:
    one = Candidate(id="linear-000", model="linear", optimizer="lbfgs", settings={}, is_default=True)
    return Plan(
        candidates=(one,),
        rungs=(),
        confirm={"linear": 1},
        folds=folds,
        seeds=(0,),
        lengths=Lengths(rows_seen=1),
        workers=2,
        costs={one.id: 1.0},
        **more,
    )


def test_a_family_is_left_out_for_the_budget_or_for_the_optimizers_and_it_is_said_which() -> None:
    settings: Any = SimpleNamespace(models=("linear", "mlp", "forest"), optimizers=("lbfgs",))
    words = planned_words(plan(left_out=("forest",), advised_seconds=25.0), settings)
    assert "without mlp: lbfgs does not train it;" in words
    assert words.endswith("without forest: a budget of about 25s would have room for all at the speed measured now")


def test_one_budget_is_advised_for_all_trees_that_did_not_start_among_them() -> None:
    settings: Any = SimpleNamespace(models=("linear", "mlp", "lightgbm", "tree"), optimizers=())
    for advised, expected in ((0.0, 20), (45.0, 45)):
        short = plan(left_out=("mlp",), advised_seconds=advised)
        words = planned_words(without_trees(short, settings, left=0.4, seconds=1.0, pace=1.0), settings)
        room = f"a budget of about {expected}s would have room for all at the speed measured now"
        assert words.endswith(f"without mlp, lightgbm, tree: {room}")


def test_a_plan_is_read_with_what_was_left_out_of_it() -> None:
    short = plan(left_out=("mlp",), advised_seconds=25.0)
    assert Plan.from_json(json.loads(json.dumps(short.to_json()))) == short


def test_the_shortest_race_tells_what_it_takes_and_what_is_left_for_it() -> None:
    settings: Any = SimpleNamespace(models=("linear",), optimizers=())
    least = plan(least=True, predicted_seconds=1.24, available_seconds=0.31)
    runs = "left: it runs all the same, and may overrun the budget"
    assert planned_words(least, settings).endswith(f"takes about 1.2 s, but only 0.3 s of the budget are {runs}")
    none = plan(least=True, predicted_seconds=1.24, available_seconds=0.04)
    assert planned_words(none, settings).endswith(f"but nothing of the budget is {runs}")
    assert planned_words(plan(), settings) == "1 candidate (linear), 3 folds, 2 workers"
    assert planned_words(plan(folds=5, parts=10), settings) == "1 candidate (linear), 5 of 10 folds, 2 workers"


class Pool:
    """Stands for processes, and starts none."""

    def __init__(self, **more: Any) -> None:
        del more

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ready(self) -> None:
        pass


@pytest.mark.parametrize(
    ("spent", "pace", "prepared", "started"),
    [
        (2.0, 1.0, False, True),
        (10.0, 1.0, False, False),
        (2.0, 0.5, False, False),
        (10.0, 1.0, True, True),
        (18.0, 1.0, True, False),
        (10.0, 0.2, True, False),
    ],
)
def test_processes_for_stacks_start_where_the_machine_leaves_time_for_it(
    monkeypatch: pytest.MonkeyPatch, spent: float, pace: float, *, prepared: bool, started: bool
) -> None:
    monkeypatch.setattr(pools, "TeamPool", Pool)
    monkeypatch.setattr(wanted_workers, "is_prepared", lambda kind: prepared)
    problem: Any = SimpleNamespace(dataset=SimpleNamespace(rest=None))
    settings: Any = SimpleNamespace(budget="20s", models=("linear",))
    with pools.team_pool(problem, settings, 2, None, spent=spent, pace=pace) as pool:
        assert (pool is not None) == started
