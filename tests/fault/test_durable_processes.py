"""Several processes on one store: no write is lost, none meets 'locked', a run has one owner."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lanewise.errors import StoreError
from lanewise.runs.store import RunStore

PROCESSES = int(os.environ.get("LANEWISE_TEST_PROCESSES", "4"))
WRITES = int(os.environ.get("LANEWISE_TEST_WRITES", "100"))

WRITE = """
import sys
from pathlib import Path
from lanewise.runs.store import RunStore
with RunStore(Path(sys.argv[1])) as store:
    own = store.create(command="fit", config={})
    for number in range(int(sys.argv[3])):
        store.record_event(sys.argv[2], "row", {"writer": own.id, "number": number})
    store.finish(own.id, {})
"""

HOLD = """
import sys, time
from pathlib import Path
from lanewise.runs.store import RunStore
with RunStore(Path(sys.argv[1])) as store:
    lock = store.get(sys.argv[2]).acquire()
    print("held", flush=True)
    time.sleep(600)
"""

# The child outlives its parent, which held the lock when it forked.
FORK = """
import os, sys, time
from pathlib import Path
from lanewise.runs.store import RunStore
store = RunStore(Path(sys.argv[1]))
lock = store.get(sys.argv[2]).acquire()
if os.fork() == 0:
    store.record_event(sys.argv[2], "child", {})
    print(os.getpid(), flush=True)
    time.sleep(600)
store.record_event(sys.argv[2], "parent", {})
time.sleep(600)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_write_of_every_process_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / ".lanewise"  # the processes also race to create the store
    with RunStore(tmp_path / "first") as store:
        assert store.list() == ()
    processes = []
    with RunStore(folder) as store:
        run = store.create(command="fit", config={})
        processes = [start(WRITE, folder, run.id, WRITES) for _ in range(PROCESSES)]
        for process in processes:
            _, problems = process.communicate(timeout=600)
            assert problems == ""
            assert process.returncode == 0
        events = store.events(run.id)
        runs = store.list(limit=1000)
    assert [event.sequence for event in events] == list(range(1, PROCESSES * WRITES + 1))
    assert len({json.dumps(event.payload) for event in events}) == PROCESSES * WRITES
    for one in runs[:-1]:
        numbers = [event.payload["number"] for event in events if event.payload["writer"] == one.id]
        assert numbers == list(range(WRITES))
        assert one.status == "done"


def test_processes_that_create_one_store_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from lanewise.runs.store import RunStore\n"
        "with RunStore(Path(sys.argv[1])) as store: store.create(command='fit', config={})"
    )
    processes = [start(script, tmp_path / ".lanewise") for _ in range(6)]
    for process in processes:
        _, problems = process.communicate(timeout=120)
        assert problems == ""
    with RunStore(tmp_path / ".lanewise") as store:
        assert [run.sequence for run in store.list()] == [6, 5, 4, 3, 2, 1]


def test_second_process_on_a_run_is_refused_and_a_dead_owner_never_blocks(tmp_path: Path) -> None:
    with RunStore(tmp_path / ".lanewise") as store:
        run = store.create(command="fit", config={})
        owner = start(HOLD, tmp_path / ".lanewise", run.id)
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "held\n"
            with pytest.raises(StoreError, match=rf"run {run.id} is in use by process {owner.pid} on host \S+; wait"):
                run.acquire()
            assert store.get(run.id).status == "running"
        finally:
            owner.kill()
            owner.communicate()
        assert store.get(run.id).status == "interrupted"
        with run.acquire():
            assert store.get(run.id).status == "running"
        with run.acquire():
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_worker_that_outlives_the_owner_holds_nothing(tmp_path: Path) -> None:
    with RunStore(tmp_path / ".lanewise") as store:
        run = store.create(command="fit", config={})
        owner = start(FORK, tmp_path / ".lanewise", run.id)
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        try:
            while {event.kind for event in store.events(run.id)} != {"child", "parent"}:
                time.sleep(0.01)
            with pytest.raises(StoreError, match=f"process {owner.pid}"):
                run.acquire()
            owner.kill()
            owner.wait()
            with run.acquire():
                os.kill(child, 0)  # it lives
        finally:
            owner.kill()
            os.kill(child, signal.SIGKILL)
            owner.communicate()
