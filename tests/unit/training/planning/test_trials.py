"""What a trial measures: seconds of the clock to plan with, processor time to compare with."""

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.planning import costs, trials
from lanewise.training.planning.allowance import Allowance


def test_waiting_is_time_of_the_clock_and_not_of_the_processor():
    asleep: Any = SimpleNamespace(fraction=0.0, length=100, warm_up=2, advance=lambda fraction: time.sleep(0.05))
    clock, processor = trials.timed(asleep, 2)
    assert clock >= 0.025
    assert processor < clock / 2


def test_work_is_both():
    def work(fraction: float) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    busy: Any = SimpleNamespace(fraction=0.0, length=100, warm_up=2, advance=work)
    clock, processor = trials.timed(busy, 2)
    assert clock >= processor >= 0.025


@dataclass(frozen=True)
class Looked:
    """Forms teams whose look takes as long as they hold rows out; stands for a builder."""

    data: TrainingData
    selections: object = None
    seats: object = None

    def key(self, lane: Lane) -> tuple[object, ...]:
        return (lane.candidate.text("loss"),)

    def on_gpu(self, candidate: Candidate) -> bool:
        return False

    def form(self, lanes: list[Lane], phase: str) -> list[Any]:
        def evidence() -> list[Any]:
            end = time.thread_time() + 2e-6 * len(self.data.folds[0].valid)
            while time.thread_time() < end:
                pass
            return [lanes[0]]

        return [SimpleNamespace(length=10, fraction=0.1, advance=lambda at: None, evidence=evidence, keep=len)]


def test_a_look_is_measured_on_a_part_of_the_rows_and_counted_for_all():
    rows = 4 * costs.LOOKED_ROWS
    empty = torch.zeros(rows, 0)
    fold = FoldData(dense=empty, codes=empty, target=empty, train=torch.arange(1), valid=torch.arange(rows))
    task = Task(target="y", kind="binary", metric="log_loss", classes=("a", "b"))
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=1), folds={0: fold}, rows=rows)
    builder: Any = Looked(data)
    seen: list[tuple[str, int]] = []
    pool = [
        Candidate(id=f"{loss}{place}", model="linear", optimizer="adam", settings={"loss": loss})
        for place, loss in enumerate(("logistic", "hinge", "hinge"))
    ]
    found = costs.measured_looks(
        pool, builder, lambda own, item: seen.append((item.candidate.id, len(own.folds[0].valid))) or 0.0, Allowance()
    )
    assert {id for id, _ in seen} == {"logistic0", "hinge1"}  # one of each structure
    assert {count for _, count in seen} == {costs.LOOKED_ROWS}
    assert found["hinge2"] == found["hinge1"] >= 2e-6 * rows
    assert torch.equal(costs._few(fold.valid), torch.arange(0, rows, 4))
