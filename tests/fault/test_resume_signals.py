"""Ctrl-C and SIGTERM: a checkpoint, the command that goes on, exit 130, and nothing left running."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, final

import pytest

import lanewise
from lanewise.errors import StoreError
from lanewise.runs.store import RunStore
from lanewise.runs.unfinished import unfinished
from lanewise.training.stopping import STOPPING

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="signals, and reads /proc")]

# Long enough that nobody finishes, whatever the machine; the trees take part, by workers that need no scikit-learn.
RACED = ("--models", "lightgbm,mlp,linear", "--candidates", "2", "--folds", "2")
LONG = ("--target", "y", "--budget", "200000steps", *RACED, "--workers")
PATIENCE = 180.0


@final
class Started:
    """A ``lanewise fit`` in a session of its own; what it says goes to a file."""

    def __init__(self, forked: Any, home: Path, table: Path, processes: int) -> None:
        self._forked, self._log, self._ended = forked, home.parent / "said", False
        self._log.touch()
        environment = {"LANEWISE_HOME": str(home), "TMPDIR": str(home.parent)}
        self.pid: int = forked.begin("fit", str(table), *LONG, str(processes), said=self._log, **environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.ends()

    @property
    def runs(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_until_training(self) -> None:
        """Wait until the screen has been looked at: stacks train then, and workers boost."""
        deadline = time.monotonic() + PATIENCE
        while "\nscreen" not in self.said:
            assert self.runs, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def ends(self) -> int:
        """The exit code."""
        self._ended = True
        return self._forked.end()


def workers(session: int) -> list[str]:
    """Processes that a fit has begun, and these in turn, by their id and name: what workers are forked from, too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = entry.read_text().rpartition(")")
            state, _, _, own, *_ = rest.split()
            if int(own) == session and entry.parent.name != str(session) and state != "Z":
                found.append(name)
    return found


def left_alive(session: int) -> list[str]:
    """Those that live on after what it takes them to see that their parent is gone, which did not wait for them."""
    deadline = time.monotonic() + PATIENCE
    while workers(session) and time.monotonic() < deadline:
        time.sleep(0.01)
    return workers(session)


def left_over(home: Path) -> list[Path]:
    return [*home.parent.glob("lanewise-workers-*"), *home.rglob("lanewise-workers-*"), *home.rglob("*.part")]


@pytest.mark.parametrize(("number", "processes"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_first_signal_saves_and_says_how_to_go_on(
    tmp_path: Path, forked: Any, table: Path, number: signal.Signals, processes: int
) -> None:
    """With two workers the stacks train in processes as well, not only the trees."""
    home = tmp_path / "home"
    with Started(forked, home, table, processes) as started:
        started.wait_until_training()
        # As a terminal or a service manager does it: to the whole group, workers included.
        os.killpg(started.pid, number)
        assert started.ends() == 130, started.said
    with RunStore(home) as store:
        run = store.get("last")
    assert run.status == "interrupted"
    assert started.said.splitlines()[-1] == f"lanewise: stopped; go on with: lanewise resume {run.id}"
    assert started.said.count(STOPPING) == 1
    assert any(run.checkpoints.glob("screen-*/step-*"))
    shown = unfinished(run)
    assert shown is not None
    assert shown["metric"]["name"] == "log_loss"
    assert any(one["score"] > 0 and one["steps"] > 0 for one in shown["candidates"])
    assert left_alive(started.pid) == []
    assert left_over(home) == []


def test_second_ctrl_c_leaves_at_once(tmp_path: Path, forked: Any, table: Path) -> None:
    home = tmp_path / "home"
    with Started(forked, home, table, 1) as started:
        started.wait_until_training()
        os.kill(started.pid, signal.SIGINT)
        time.sleep(0.01)  # two signals that nobody has seen yet are one
        os.kill(started.pid, signal.SIGINT)
        assert started.ends() == 130, started.said
    assert "Traceback" not in started.said
    assert left_alive(started.pid) == []
    with RunStore(home) as store:
        assert store.get("last").status == "interrupted"


def test_second_process_on_one_run_is_refused_and_a_killed_one_leaves_no_worker(
    tmp_path: Path, forked: Any, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with Started(forked, home, table, 2) as started:
        started.wait_until_training()
        monkeypatch.setenv("LANEWISE_HOME", str(home))
        with pytest.raises(StoreError, match=f"is in use by process {started.pid} on host") as second:
            lanewise.resume("last")  # this process is the second one
        assert second.value.exit_code == 2
        assert "\n" not in str(second.value)
        assert started.runs
        with RunStore(home) as store:
            assert store.get("last").status == "running"
        assert workers(started.pid)
    deadline = time.monotonic() + PATIENCE
    while (workers(started.pid) or left_over(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_alive(started.pid) == []
    assert [path for path in left_over(home) if path.name.startswith("lanewise-workers-")] == []
    with RunStore(home) as store:
        assert store.get("last").status == "interrupted"
