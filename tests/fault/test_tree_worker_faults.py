"""Trees when processes die: workers, parents, and the folder they share."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lanewise.errors import TrainingError
from lanewise.models.trees import TreeSpec
from lanewise.task import Task
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.pool import TreePool

ROWS = np.arange(600)
TRAIN, VALID = ROWS[:400], ROWS[400:]
TASK = Task(target="y", kind="regression", metric="rmse")
SPEC = TreeSpec(rounds=30, bagging_fraction=0.7)
LONG = TreeSpec(rounds=100_000, num_leaves=60, min_child_samples=1)

PARENT = Path(__file__).with_name("tree_parent.py")


def make_data() -> TreeData:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(600, 4))
    return TreeData(numbers=numbers, codes=np.zeros((600, 0), dtype=int), target=numbers[:, 0] + rng.normal(size=600))


TOLD: list[str] = []
"""What the survivor has told."""


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreePool]:
    """A pool that outlives what the tests do to its workers."""
    folder = tmp_path_factory.mktemp("survivor")
    with TreePool(make_data(), TASK, workers=2, threads_per_worker=1, folder=folder, tell=TOLD.append) as pool:
        yield pool
    assert not list(folder.iterdir())


@pytest.fixture
def pool(survivor: TreePool) -> Iterator[TreePool]:
    """The survivor with four new lanes."""
    opened(survivor)
    yield survivor
    for name in "abcd":
        survivor.drop(name)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[TreePool]:
    """A pool of the test's own."""
    with TreePool(make_data(), TASK, workers=2, threads_per_worker=1, folder=tmp_path) as pool:
        opened(pool)
        yield pool
    assert not list(tmp_path.iterdir())


def opened(pool: TreePool) -> None:
    for seed, name in enumerate("abcd"):
        pool.open(name, SPEC, train_rows=TRAIN, valid_rows=VALID, seed=seed)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    """Ended, whether or not whoever inherited it has collected it."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_killed_worker_is_replaced_and_its_lanes_trained_again_to_the_same_bits(pool: TreePool) -> None:
    expected = {}
    for name in "abcd":
        (at_rung,) = pool.advance(name, 10, predict_at=[10])
        expected[name] = at_rung, pool.digest(name), pool.train_predictions(name)
    before = pool.process_ids()
    victim = pool.worker_of("a")
    TOLD.clear()
    kill(before[victim])
    for name in "abcd":  # lanes that are read, not trained on, come back as well
        assert pool.digest(name) == expected[name][1]
        np.testing.assert_array_equal(pool.train_predictions(name), expected[name][2])
        np.testing.assert_array_equal(pool.predict(name, VALID), expected[name][0])
    assert TOLD == ["the trees' worker was ended by SIGKILL; what it trained is trained again, to the same bits"]
    after = pool.process_ids()
    assert after[victim] != before[victim]
    assert after[1 - victim] == before[1 - victim]
    kill(after[victim])
    (rung_again, end) = pool.advance("a", 30, predict_at=[10, 30])
    np.testing.assert_array_equal(rung_again, expected["a"][0])
    with TreePool(make_data(), TASK, workers=1, threads_per_worker=1) as fresh:
        fresh.open("a", SPEC, train_rows=TRAIN, valid_rows=VALID, seed=0)
        np.testing.assert_array_equal(fresh.advance("a", 30, predict_at=[30])[0], end)
        assert fresh.digest("a") == pool.digest("a")


def test_a_lane_whose_worker_dies_twice_is_given_up_and_the_others_go_on(pool: TreePool) -> None:
    pool.open("poison", LONG, train_rows=TRAIN, valid_rows=VALID, seed=0)
    victim = pool.worker_of("poison")
    (neighbour,) = [name for name in "abcd" if pool.worker_of(name) == victim][:1]
    expected = pool.advance(neighbour, 5, predict_at=[5])[0]
    ended = threading.Event()

    def keep_killing() -> None:
        seen: set[int] = set()
        while not ended.wait(0.05):
            pid = pool.process_ids()[victim]
            if pid not in seen:
                seen.add(pid)
                ended.wait(0.3)
                kill(pid)

    killer = threading.Thread(target=keep_killing)
    killer.start()
    with pytest.raises(TrainingError, match="trained lane 'poison' was ended twice, by SIGKILL; if memory ran out"):
        pool.advance("poison", 100_000)
    ended.set()
    killer.join()
    pool.drop("poison")
    np.testing.assert_array_equal(pool.advance(neighbour, 5, predict_at=[5])[0], expected)
    other = next(name for name in "abcd" if pool.worker_of(name) != victim)
    assert pool.advance(other, 5, predict_at=[5])[0].shape == (200,)


def test_a_lane_may_be_dropped_after_its_worker_died(pool: TreePool) -> None:
    pool.advance("a", 2)
    kill(pool.process_ids()[pool.worker_of("a")])
    pool.drop("a")
    pool.open("a", SPEC, train_rows=TRAIN, valid_rows=VALID, seed=0)
    assert pool.advance("a", 2, predict_at=[2])[0].shape == (200,)


def test_closing_frees_a_thread_that_waits(mortal: TreePool) -> None:
    mortal.open("long", LONG, train_rows=TRAIN, valid_rows=VALID, seed=0)
    mortal.advance("long", 1)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            mortal.advance("long", 100_000)
        except BaseException as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    mortal.close()
    waiting.join(20.0)
    assert not waiting.is_alive()
    assert isinstance(caught[0], TrainingError)
    with pytest.raises(TrainingError, match="was ended"):
        mortal.advance("a", 1)


def test_a_table_that_cannot_be_read_is_reported(mortal: TreePool) -> None:
    mortal.advance("a", 1)
    (mortal.folder / "numbers.npy").write_bytes(b"damaged")
    kill(mortal.process_ids()[mortal.worker_of("a")])
    with pytest.raises(TrainingError, match="worker could not start") as caught:
        mortal.advance("a", 2)
    assert "\n" not in str(caught.value)


def told(folder: Path) -> list[int]:
    """Processes that were told of a folder when they, or what they were forked from, began."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"TOLD={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX, and reads /proc")
@pytest.mark.parametrize(
    ("how", "mode"),
    [(signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGKILL, ""), (signal.SIGKILL, "fork")],
)
def test_a_parent_that_ends_leaves_no_process_and_no_folder(
    warm: Any, tmp_path: Path, how: signal.Signals, mode: str
) -> None:
    """Also where a process forked from the parent outlives it and holds the workers' pipes open."""
    folder = tmp_path / "folder"
    folder.mkdir()
    environment = {**os.environ, "TOLD": str(folder)}
    parent = warm(PARENT, str(folder), mode, said=tmp_path / "said", environment=environment)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2, (tmp_path / "said").read_text()
    assert not any(gone(pid) for pid in workers)
    assert len(told(folder)) >= 3, "what the workers were forked from, and these"
    assert len(list(folder.iterdir())) == 1
    holder = int(parent.stdout.readline()) if mode == "fork" else None
    os.kill(parent.pid, how)
    parent.close()
    try:
        assert wait_until(lambda: gone(parent.pid))
        assert wait_until(lambda: all(gone(pid) for pid in workers))
        assert wait_until(lambda: not list(folder.iterdir()))
        assert wait_until(lambda: not told(folder))
    finally:
        if holder is not None:
            kill(holder)


def test_the_terminals_ctrl_c_reaches_no_worker(pool: TreePool) -> None:
    pool.advance("a", 1)
    before = pool.process_ids()
    os.kill(before[pool.worker_of("a")], signal.SIGINT)
    assert pool.advance("a", 3, predict_at=[3])[0].shape == (200,)
    assert pool.process_ids() == before
