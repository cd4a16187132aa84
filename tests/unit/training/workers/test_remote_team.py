"""Teams in worker processes: the same bits as at home, whatever happens to the worker."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pytest
import torch

from lanewise.errors import Interrupted, TrainingError
from lanewise.lanes.candidate import Event
from lanewise.training.data import Kept
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.teams import Seats, TeamBuilder
from lanewise.training.workers import remote_team
from lanewise.training.workers.forked_child import ForkedChild, can_fork
from lanewise.training.workers.loop import serve
from lanewise.training.workers.nurseries import CAN_FORK
from lanewise.training.workers.remote_team import RemoteTeam
from lanewise.training.workers.shared_data import read_data, write_data
from lanewise.training.workers.team_pool import TeamPool
from lanewise.training.workers.team_worker import Worker


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamPool]:
    with TeamPool(workers=2, folder=tmp_path_factory.mktemp("pool")) as made:
        yield made


@pytest.fixture(scope="module")
def replaceable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamPool]:
    """A pool whose workers cost next to nothing to start again, where processes can be forked."""

    def launch(folder: Path) -> ForkedChild:
        return ForkedChild(partial(work, folder))

    with TeamPool(
        workers=2, folder=tmp_path_factory.mktemp("replaceable"), launch=launch if can_fork() else None
    ) as made:
        yield made


def work(folder: Path, requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    """What a worker process does, without the seconds of loading torch."""
    serve(Worker(folder).answer, folder, streams=(requests, answers))


def seated(small: ModuleType, pool: TeamPool, **others: Any) -> TeamBuilder:
    builder = small.builder(**others)
    data, name = pool.share(builder.data)
    return replace(builder, data=data, seats=Seats(pool=pool, data=name))


def test_mapped_data_are_those_that_were_written(small: ModuleType, tmp_path: Path) -> None:
    data = replace(small.data(), weight=torch.rand(small.ROWS))
    write_data(data, tmp_path)
    found = read_data(tmp_path)
    assert found.task == data.task
    assert found.width == data.width
    assert torch.equal(found.weight, data.weight)
    for fold, own in data.folds.items():
        for part in ("dense", "codes", "target", "train", "valid"):
            assert torch.equal(getattr(found.folds[fold], part), getattr(own, part)), part
    files = list(tmp_path.glob("*.npy"))
    assert len(files) == 10, "the target, which the folds share, is written once"


@pytest.fixture(scope="module")
def at_home(small: ModuleType) -> tuple[Plan, list[Any]]:
    """A plan, and what comes of it in this process."""
    plan = small.plan(small.company(lr=1e4))
    return plan, small.shown(small.race(plan).run())


def test_race_in_processes_gives_the_same_bits(
    small: ModuleType, pool: TeamPool, at_home: tuple[Plan, list[Any]]
) -> None:
    plan, expected = at_home
    found = small.shown(small.race(plan, build=seated(small, pool)).run())
    assert found == expected


def test_lanes_that_read_some_columns_and_show_training_rows(small: ModuleType, pool: TeamPool) -> None:
    builder = seated(small, pool)
    none = np.zeros(0, dtype=np.uint8)
    kept = Kept(
        columns=("a", "c"),
        dense=torch.tensor([1.0, 0.0, 1.0, 0.0]),
        codes=torch.zeros(0, dtype=torch.int64),
        numbers=none,
        categories=none,
        tokens=none,
    )
    folds = {fold: replace(part, kept=kept if fold else None) for fold, part in builder.data.folds.items()}
    data = replace(builder.data, folds=folds, shows=True)
    lanes = small.lanes(small.company()[:3])
    teams = [builder.team(lanes, data), builder.placed(lanes, data)]
    assert isinstance(teams[1], RemoteTeam)
    found = []
    for team in teams:
        team.advance(1.0)
        found.append((team.evidence(), team.export(lanes[1].id)))
        team.settle()
    for here, there in zip(found[0][0], found[1][0], strict=True):
        assert here.lane == there.lane
        assert np.array_equal(here.valid, there.valid)
        assert here.train is not None
        assert np.array_equal(here.train, there.train)
    assert found[1][1].columns == found[0][1].columns == ("a", "c")
    for name, tensor in found[0][1].tensors.items():
        assert torch.equal(found[1][1].tensors[name], tensor)


def test_a_lane_that_blows_up_is_set_back_there_as_here(
    small: ModuleType, replaceable: TeamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_team, "SLICE_SECONDS", 0.01)
    lengths = Lengths(rows_seen=400 * small.BATCH, iterations=20)
    builder = replace(seated(small, replaceable), lengths=lengths)
    data = replace(builder.data, answers=True)
    jumps = Event(fraction=0.5, restored=0.5, rate_factor=1500.0, cause="took over from well")
    usual = {"model": "linear", "optimizer": "sgd", "lr": 0.03, "schedule": "constant", "warmup": 0.0}
    own = [small.candidate("jumps", **usual, events=(jumps,)), small.candidate("well", **usual)]
    teams = [builder.team(small.lanes(own), data), builder.placed(small.lanes(own), data)]
    found = []
    for team in teams:
        repairs = []
        for fraction in (0.5, 1.0):
            team.advance(fraction)
            if isinstance(team, RemoteTeam) and fraction == 0.5:
                team.state()
                assert team._process is not None
                os.kill(team._process.pid, signal.SIGKILL)  # it goes on from the state, in another
            bits = small.evidence_of(team)
            repairs.append(team.repairs())
        found.append((bits, repairs))
        team.settle()
    assert found[0] == found[1]
    assert any(event.cause.startswith("spiked") for event in found[0][1][1]["jumps.f0.s0"])


def test_race_with_dead_workers_gives_the_same_bits(
    small: ModuleType, replaceable: TeamPool, at_home: tuple[Plan, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, expected = at_home
    due = [("look", 1), ("advance", 9), ("look", 6), ("state", 3)]
    told: list[str] = []
    monkeypatch.setattr(replaceable, "tell", told.append)
    asked: Counter[str] = Counter()
    ask = RemoteTeam._ask

    def dying(self: RemoteTeam, header: dict[str, Any]) -> Any:
        asked[header["op"]] += 1
        if self._process is not None and (header["op"], asked[header["op"]]) in due:
            due.remove((header["op"], asked[header["op"]]))
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, header)

    monkeypatch.setattr(RemoteTeam, "_ask", dying)
    monkeypatch.setattr(remote_team, "SLICE_SECONDS", 0.01)
    journal = small.MemoryJournal()
    found = small.race(plan, build=seated(small, replaceable), journal=journal, threads=1).run()
    assert not due, "not every death was died"
    assert told == ["the lanes' worker was ended by SIGKILL; what it trained is trained again, to the same bits"] * 4
    assert small.shown(found) == expected


def test_race_stopped_in_processes_goes_on_at_home(
    small: ModuleType, pool: TeamPool, at_home: tuple[Plan, list[Any]]
) -> None:
    plan, expected = at_home
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    journal = small.MemoryJournal()
    with pytest.raises(Interrupted):
        small.race(plan, build=seated(small, pool, stop=stop), journal=journal).run()
    assert small.shown(small.race(plan, journal=small.MemoryJournal(journal.kept)).run()) == expected


def test_worker_that_dies_again_and_again_ends_the_race_in_one_line(
    small: ModuleType, replaceable: TeamPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = seated(small, replaceable)
    team = builder.form(small.lanes(small.company()[:1]), "screen")[0]
    checked = RemoteTeam._checked

    def dying(self: RemoteTeam, header: dict[str, Any], *args: Any) -> Any:
        if header["op"] == "advance":
            assert self._process is not None
            os.kill(self._process.pid, signal.SIGKILL)
        return checked(self, header, *args)

    monkeypatch.setattr(RemoteTeam, "_checked", dying)
    with pytest.raises(TrainingError, match=r"ended twice, by SIGKILL; if memory ran out") as error:
        team.advance(1.0)
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    team.advance(1.0)  # the pool is sound again
    assert team.evidence()
    team.settle()


@pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux")
def test_workers_are_forked_from_one_process_that_has_loaded_torch(pool: TeamPool) -> None:
    pool.ready()
    commands = {Path(f"/proc/{process}/cmdline").read_bytes() for process in pool.process_ids()}
    assert len(commands) == 1
    assert b"\0lanewise.training.workers.nursery\0" in commands.pop()


def test_worker_that_dies_at_its_start_is_started_when_it_is_needed(tmp_path: Path) -> None:
    with TeamPool(workers=1, folder=tmp_path) as pool:
        before = pool.process_ids()
        os.kill(before[0], signal.SIGKILL)
        pool.ready()
        pool.ready()
        assert pool.process_ids() != before


def test_worker_that_dies_while_nobody_asks_it_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    with TeamPool(workers=1, folder=tmp_path, tell=told.append) as pool:
        pool.ready()
        (process,) = pool._processes
        os.kill(process.pid, signal.SIGKILL)
        assert process._process is not None
        process._process.wait()
        pool.ready()
        pool.ready()
    assert told == ["the lanes' worker was ended by SIGKILL; what it trained is trained again, to the same bits"]


def test_pool_leaves_nothing_behind(tmp_path: Path) -> None:
    with TeamPool(workers=1, folder=tmp_path) as pool:
        (worker,) = pool.process_ids()
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
