"""Lanes of a user's own module in forked processes: the same bits as at home, whatever happens to a process."""

import os
import signal
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lanewise
from lanewise.errors import TrainingError
from lanewise.training.modules import seats as module_seats
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.workers.remote_team import RemoteTeam
from lanewise.training.workers.team_pool import TeamPool

ABLE = sys.platform == "linux" and not torch.accelerator.is_available()
pytestmark = pytest.mark.skipif(not ABLE, reason="processes are not forked on this system")

X = torch.randn(240, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_seats, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(module_seats, "can_fork", lambda: True)  # also where a test has loaded JAX, which waits idle


class Local(nn.Module):
    """With dropout and running statistics, and of no importable module's making."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))
        self.factor = factor

    def forward(self, rows: Tensor) -> Tensor:
        return self.net(self.factor * rows)


def race(**others: Any) -> lanewise.TuneResult:
    factor = 1.5
    settings: dict[str, Any] = {
        "train": (X[:160], Y[:160]),
        "valid": (X[160:], Y[160:]),
        "loss": lambda outputs, targets: nn.functional.cross_entropy(outputs * factor, targets),
        "candidates": [{"optimizer": "sgd", "lr": 1e30}, *({"lr": 0.003 * (k + 1)} for k in range(9))],
        "budget": "20steps",
        "seeds": 2,
        "workers": 2,
    }
    return lanewise.tune(lambda: Local(factor), **{**settings, **others})


def shown(result: lanewise.TuneResult) -> tuple[list[Any], dict[str, Tensor]]:
    traces = [(trace.lane.id, trace.fate, trace.fractions, trace.scores) for trace in result.race.traces]
    return traces, dict(result.model.state_dict())


def assert_same(one: lanewise.TuneResult, other: lanewise.TuneResult) -> None:
    (traces, weights), (expected, truth) = shown(one), shown(other)
    assert np.array_equal(np.array(traces, dtype=object)[:, :3], np.array(expected, dtype=object)[:, :3])
    for own, wanted in zip(traces, expected, strict=True):
        assert np.array_equal(own[3], wanted[3], equal_nan=True), own[0]
    for name, tensor in truth.items():
        assert torch.equal(weights[name], tensor), name


def raced_at_home(**others: Any) -> lanewise.TuneResult:
    """The same race in this process, lanes shared out in the same way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_seats, "WORTH_PROCESSES", 0)
        patch.setattr(module_seats, "TeamPool", _Nobody)
        patch.setattr(module_seats, "can_fork", lambda: True)
        return race(**others)


@pytest.fixture(scope="module")
def at_home() -> Any:
    return raced_at_home()


TWICE: dict[str, Any] = {"policy": "racing", "seeds": 1, "budget": "40steps"}
"""Everybody is looked at twice, and most leave at the first look."""


@pytest.fixture(scope="module")
def twice_at_home() -> Any:
    return raced_at_home(**TWICE)


class _Nobody:
    """A pool without processes."""

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        pass


def test_race_in_processes_gives_the_same_bits(at_home: lanewise.TuneResult, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    ask = RemoteTeam._ask

    def asking(self: RemoteTeam, header: dict[str, Any]) -> Any:
        answer = ask(self, header)
        if self._process is not None:
            seen.add(self._process.pid)
        return answer

    monkeypatch.setattr(RemoteTeam, "_ask", asking)
    assert_same(race(), at_home)
    assert len(seen) == 2
    assert os.getpid() not in seen
    for pid in seen:
        with pytest.raises(ProcessLookupError):  # they ended with the race
            os.kill(pid, 0)


def test_race_with_dead_processes_gives_the_same_bits(
    at_home: lanewise.TuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, asked, killed = RemoteTeam._ask, 0, []

    def dying(self: RemoteTeam, header: dict[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        if self._process is not None and asked in (3, 9) and len(killed) < 2:
            killed.append(self._process.pid)
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, header)

    monkeypatch.setattr(RemoteTeam, "_ask", dying)
    assert_same(race(), at_home)
    assert killed


def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the processes from now on."""
    asked, checked = list[str](), RemoteTeam._checked

    def checking(self: RemoteTeam, header: dict[str, Any], *args: Any) -> Any:
        asked.append(header["op"])
        return checked(self, header, *args)

    monkeypatch.setattr(RemoteTeam, "_checked", checking)
    return asked


def test_stacks_stay_in_their_processes_from_look_to_look(
    twice_at_home: lanewise.TuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_for(monkeypatch)
    assert_same(race(**TWICE), twice_at_home)
    assert asked.count("open") == 4, "two stacks of the screen, two of the confirmation"
    assert "keep" in asked
    assert "state" not in asked, "nothing is kept, so no state is fetched"


def test_processes_that_die_between_two_looks_are_followed_by_ones_that_do_the_same(
    twice_at_home: lanewise.TuneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, killed = RemoteTeam._checked, dict[str, int]()

    def dying(self: RemoteTeam, header: dict[str, Any], *args: Any) -> Any:
        if header["op"] in ("keep", "export", "close") and header["op"] not in killed:
            assert self._process is not None
            killed[header["op"]] = self._process.pid
            os.kill(self._process.pid, signal.SIGKILL)
        return checked(self, header, *args)

    monkeypatch.setattr(RemoteTeam, "_checked", dying)
    assert_same(race(**TWICE), twice_at_home)
    assert killed.keys() == {"keep", "export", "close"}


def test_memory_that_ran_out_in_a_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = ModuleTeams.formed

    def scarce(self: ModuleTeams, lanes: Any, way: Any, *, length: int) -> Any:
        if len(lanes) > 3:
            raise MemoryError
        return formed(self, lanes, way, length=length)

    monkeypatch.setattr(ModuleTeams, "formed", scarce)
    assert any("memory ran out with 5 lanes in one stack" in note for note in race(**TWICE).warnings)


def test_more_stacks_than_processes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [{"lr": 0.003 * (k + 1), "batch_size": size} for size in (16, 20, 32) for k in range(4)]
    expected = raced_at_home(candidates=sizes, seeds=1)
    asked = asked_for(monkeypatch)
    assert_same(race(candidates=sizes, seeds=1), expected)
    assert "state" in asked


def test_stacks_that_enter_on_the_way_take_turns_with_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    settings: dict[str, Any] = {"candidates": 12, "space": {"optimizer": "adamw", "lr": (1e-4, 0.1)}}
    expected = raced_at_home(search="bayesian", **settings)
    asked = asked_for(monkeypatch)
    assert_same(race(search="bayesian", **settings), expected)
    assert "state" in asked


def test_nobody_keeps_a_seat_where_more_stacks_than_seats_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next look those would wait for ever."""
    pytest.importorskip("optuna")

    class Recurrent(nn.Module):  # which cannot be stacked: three lanes are three stacks
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, rows: Tensor) -> Tensor:
            return self.outer(self.inner(rows[:, None])[0][:, 0])

    alone, told = TeamPool.alone, list[tuple[int, bool]]()

    def asking(self: TeamPool, teams: int) -> bool:
        told.append((teams, alone(self, teams)))
        return told[-1][1]

    monkeypatch.setattr(TeamPool, "alone", asking)
    lanewise.tune(
        Recurrent, train=(X[:160], Y[:160]), valid=(X[160:], Y[160:]), loss=nn.CrossEntropyLoss(), candidates=9,
        space={"optimizer": "adamw", "lr": (1e-4, 0.1)}, search="bayesian", budget="40steps", workers=2,
    )  # fmt: skip
    assert told[:4] == [(3, False), (2, False), (2, False), (2, False)]


def test_what_fails_in_a_process_is_told_in_one_line() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if os.getpid() != parent:
            message = "the loss had\nenough"
            raise RuntimeError(message)
        return nn.functional.cross_entropy(outputs, targets)

    parent = os.getpid()
    with pytest.raises(TrainingError, match="could not be trained: the loss had enough"):
        race(loss=loss)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_worker_stays_in_this_process(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    placed = module_seats.ForkedChild

    def forking(work: Any) -> Any:
        made.append(work)
        return placed(work)

    monkeypatch.setattr(module_seats, "ForkedChild", forking)
    race(workers=workers, budget="20steps", seeds=1, policy="never", candidates=[{"lr": 0.01}, {"lr": 0.02}])
    assert len(made) == (0 if workers == 1 else 2)


def test_short_races_stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(module_seats, "ForkedChild", lambda work: pytest.fail("a process was forked"))
    race(budget="20steps", seeds=1)
