"""How many rows of a streamed table boosters are confirmed on: what the memory holds, and the time."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lanewise.composing.sample_words import sample_words, winner_rows
from lanewise.composing.stage import Stage
from lanewise.lanes.candidate import Candidate
from lanewise.models.base import Width
from lanewise.training.planning import tree_rows as module
from lanewise.training.planning.making import _boosting
from lanewise.training.planning.measured import Measured
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.tree_rows import TreeRows, row_bytes, tree_rows, with_tree_rows
from lanewise.training.problem import Problem
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.stored import StoredTable

TABLE = StoredTable(
    files={},
    cells=tuple(range(0, 2100, 100)),
    parts=2,
    is_narrow=(True,) * 10,
    shift=1,
    by_class=None,
    weighed=False,
)
BOOSTED = Candidate(id="boosted", model="lightgbm", optimizer="", settings={"max_bin": 255})
SAMPLED = 300


def builder(*, workers: int = 1, stored: StoredTable | None = TABLE, levels: tuple[int, ...] = ()) -> TeamBuilder:
    pool = SimpleNamespace(stored=stored, columns=10)
    data = SimpleNamespace(width=Width(dense=10, levels=levels, outputs=1))
    return cast("TeamBuilder", SimpleNamespace(pool=pool, workers=workers, data=data))


PROBLEM = cast("Problem", SimpleNamespace(train=range(SAMPLED), rest=object(), training_rows=2000))


def found(monkeypatch: pytest.MonkeyPatch, fitting: float, *, most_ratio: float = 1e9, **more: Any) -> TreeRows:
    """With memory free in which ``fitting`` rows of one byte a bin find room."""
    free = fitting * row_bytes(builder(), [BOOSTED]) / module.MEMORY_SHARE
    monkeypatch.setattr(module, "free_bytes", lambda: free + 1)
    return tree_rows(PROBLEM, builder(**more), [BOOSTED], most_ratio=most_ratio)


def test_boosters_get_all_rows_or_the_first_windows_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, 5000) == TreeRows(windows=10, rows=2000, ratio=2000 / SAMPLED)
    assert found(monkeypatch, 1300) == TreeRows(windows=6, rows=1200, ratio=4.0)
    assert found(monkeypatch, 1300, workers=2).rows == 600
    assert found(monkeypatch, 1300, levels=(300,)).rows < 1200  # codes beyond a byte
    assert found(monkeypatch, 1300, most_ratio=3.0).rows == 800
    # The sample is larger than what fits; nothing is streamed.
    assert found(monkeypatch, 250) == found(monkeypatch, 5000, stored=None) == TreeRows()
    assert tree_rows(PROBLEM, builder(), []) == TreeRows()


def test_a_plan_keeps_them_and_counts_what_a_confirmed_booster_takes_more() -> None:
    other = Candidate(id="other", model="mlp", optimizer="adam", settings={})
    plan = Plan(
        candidates=(BOOSTED, other),
        rungs=(),
        confirm={},
        folds=2,
        seeds=(0,),
        lengths=Lengths(rows_seen=10),
        workers=1,
        costs={"boosted": 2.0, "other": 3.0},
    )
    more = with_tree_rows(plan, TreeRows(windows=6, rows=1200, ratio=4.0))
    assert [more.confirming(id) for id in ("boosted", "other")] == [8.0, 3.0]
    assert plan.confirming("boosted") == 2.0
    assert Plan.from_json(more.to_json()) == more
    stage = cast(
        "Stage",
        SimpleNamespace(
            plan=more,
            problem=PROBLEM,
            choice=SimpleNamespace(weights={"boosted": 0.5, "other": 0.5}),
            candidate=lambda id: BOOSTED if id == "boosted" else other,
        ),
    )
    assert winner_rows(stage) == 2000
    assert sample_words(stage) == (
        "1 of its 2 members was trained on 1,200 of the 2,000 training rows: single trees and full-batch methods read "
        "rows in memory, mini-batch methods all, boosted trees 1,200 of them, as many as time and memory allowed."
    )


def test_what_boosting_takes_is_that_of_those_who_are_surely_confirmed() -> None:
    """All of them without a screen; after one the default, and a leader that is mostly one of the longer ones."""
    others = tuple(replace(BOOSTED, id=id) for id in ("short", "long"))
    plan = Plan(
        candidates=(BOOSTED, *others),
        rungs=(),
        confirm={},
        folds=3,
        seeds=(0, 1),
        lengths=Lengths(rows_seen=10),
        workers=1,
        costs={"boosted": 1.0, "short": 1.0, "long": 6.0},
    )
    measured = cast("Measured", SimpleNamespace(once={"lightgbm": 0.5}))
    assert _boosting(plan, measured) == (3 + 1) * 2 * (8.0 + 0.5)
    assert _boosting(replace(plan, rungs=(0.5,)), measured) == (3 + 1) * 2 * (1.0 + 38.0 / 8.0 + 0.5)
    assert _boosting(replace(plan, candidates=()), measured) == 0.0
