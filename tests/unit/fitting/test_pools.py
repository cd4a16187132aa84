"""Workers are as many as suit the cores, and no more than memory has room for."""

from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.distributed.ranks import Lone
from lanewise.fitting import pools
from lanewise.settings.fit import FitSettings
from lanewise.training.planning import memory
from lanewise.training.planning.memory import (
    LATER_BYTES,
    TABLE_COPIES,
    TREE_WORKER_BYTES,
    one_worker_bytes,
    workers_with_room,
)

MIB = 2**20


def workers(monkeypatch: pytest.MonkeyPatch, free: float, **settings: Any) -> tuple[int, list[str]]:
    told: list[str] = []
    problem: Any = SimpleNamespace(
        train=range(1000),
        layout=SimpleNamespace(columns=range(10)),
        dataset=SimpleNamespace(rest=object()),
        training_rows=1000,
    )
    monkeypatch.setattr(pools, "free_bytes", lambda: free)
    asked = FitSettings(target="y", budget="200steps", **settings)
    return pools.workers_for(problem, asked, Lone(), tell=told.append), told


def test_as_many_workers_start_as_were_stated_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers(monkeypatch, 8e9, workers=4) == (4, [])


def test_fewer_workers_start_where_memory_is_short_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    free = LATER_BYTES + one_worker_bytes() + 1.5 * TREE_WORKER_BYTES  # what they are forked from is there once
    found, told = workers(monkeypatch, free, workers=4)
    assert found == 2
    assert [line.startswith("2 workers at a time, not 4: only ") for line in told] == [True]
    assert workers(monkeypatch, 10 * MIB, workers=4)[0] == 1


def test_without_trees_no_worker_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers(monkeypatch, 10 * MIB, workers=4, models=("linear", "mlp")) == (4, [])


def test_the_table_that_each_worker_holds_counts_and_so_do_other_processes_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = 10_000_000
    table = 8 * TABLE_COPIES * cells
    free = LATER_BYTES + one_worker_bytes() + table + 2.5 * (TREE_WORKER_BYTES + table)
    room = {"cells": cells, "trees": True, "stacks": False}
    assert workers_with_room(8, free=free, **room) == 3
    assert workers_with_room(8, free=2 * free, processes=2, **room) == 3
    monkeypatch.setattr(memory, "CAN_FORK", False)
    assert workers_with_room(8, free=free, **room) == 2
