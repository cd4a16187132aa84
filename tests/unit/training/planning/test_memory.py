from dataclasses import replace

import pytest
import torch

from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.planning.memory import predicted_bytes, resident_bytes
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.proposals import Field, propose
from lanewise.training.team import never
from lanewise.training.teams import TeamBuilder

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
