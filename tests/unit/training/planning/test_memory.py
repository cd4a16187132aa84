from dataclasses import replace

import numpy as np
import pytest
import torch

from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.planning import memory
from lanewise.training.planning.memory import FOREST_COPIES, predicted_bytes, resident_bytes
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.proposals import Field, propose
from lanewise.training.team import never
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.pool import TreePool

TASK = Task(target="y", kind="binary", metric="log_loss", classes=("a", "b"))


def race(candidates: int) -> tuple[Plan, TeamBuilder]:
    fold = FoldData(
        dense=torch.zeros(50, 4),
        codes=torch.zeros(50, 0, dtype=torch.int64),
        target=torch.zeros(50, dtype=torch.int64),
        train=torch.arange(40),
        valid=torch.arange(40, 50),
    )
    data = TrainingData(task=TASK, width=Width(dense=4, levels=(), outputs=1), folds={0: fold}, rows=50)
    lengths = Lengths(rows_seen=1000)
    pool = propose("mlp", candidates, Field(task=TASK, rows=40, seed=0))
    plan = Plan(
        candidates=tuple(pool),
        rungs=(),
        confirm={"mlp": candidates},
        folds=5,
        seeds=(0,),
        lengths=lengths,
        workers=1,
        costs={},
    )
    return plan, TeamBuilder(data=data, lengths=lengths, workers=1, stop=never)


def test_what_is_there_counts() -> None:
    assert resident_bytes() > 2**20


def test_more_lanes_take_more_memory_in_proportion() -> None:
    base = resident_bytes()
    few, many = (predicted_bytes(*race(count)) - base for count in (4, 16))
    assert 2 * few < many < 16 * few


def test_folds_count_where_candidates_are_confirmed() -> None:
    plan, builder = race(4)
    assert predicted_bytes(replace(plan, folds=10), builder) > predicted_bytes(plan, builder)


def test_a_rule_that_remembers_more_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.training.planning.memory.resident_bytes", lambda: 0)
    found = []
    for optimizer in ("adamw", "ademamix", "soap"):
        plan, builder = race(4)
        candidates = tuple(replace(candidate, optimizer=optimizer) for candidate in plan.candidates)
        found.append(predicted_bytes(replace(plan, candidates=candidates), builder))
    assert found == sorted(set(found))


def test_refitted_forests_count_up_to_what_their_arrays_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.training.planning.memory.resident_bytes", lambda: 0)
    plan, builder = race(1)
    rows = np.zeros((50, 4))
    table = TreeData(numbers=rows, codes=np.zeros((50, 0), dtype=np.int64), target=rows[:, 0])
    forest = propose("forest", 1, Field(task=TASK, rows=40, seed=0))[0]

    def taken(trees: int, count: int) -> int:
        one = replace(forest, settings={**forest.settings, "trees": trees})
        data = replace(builder.data, rows=count)
        own = replace(plan, candidates=(one,), confirm={"forest": 1})
        return predicted_bytes(own, replace(builder, data=data, pool=pool))

    with TreePool(table, TASK, workers=1, threads_per_worker=1, waiting=True) as pool:
        # Half a leaf for each row, of 17 bytes a split and 4 for each of two classes.
        assert taken(300, 50) - taken(100, 50) == FOREST_COPIES * 200 * 50 * 25 // 2
        assert taken(300, 10**6) == taken(200, 10**6)


def test_what_forked_workers_share_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident_bytes", lambda: 0)
    plan, builder = race(1)
    rows = np.zeros((50, 4))
    table = TreeData(numbers=rows, codes=np.zeros((50, 0), dtype=np.int64), target=rows[:, 0])

    def taken(workers: int, *, forked: bool) -> int:
        monkeypatch.setattr(memory, "CAN_FORK", forked)
        return predicted_bytes(plan, replace(builder, workers=workers, pool=pool))

    with TreePool(table, TASK, workers=1, threads_per_worker=1, waiting=True) as pool:
        own = memory.TREE_WORKER_BYTES + memory.TABLE_COPIES * pool.table_bytes
        assert taken(5, forked=True) - taken(1, forked=True) == 4 * own
        assert taken(5, forked=False) - taken(1, forked=False) == 4 * (memory.TREES_LOADED_BYTES + own)
        assert taken(1, forked=True) == taken(1, forked=False)
