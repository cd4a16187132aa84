"""Ctrl-C and SIGTERM during a tune: a checkpoint, the command that goes on, exit 130."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lanewise.runs.store import RunStore
from lanewise.training.stopping import STOPPING

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")]

FILE = Path(__file__).with_name("tuned_module.py")
# Long enough that nobody finishes, whatever the machine.
LONG = ("tune", f"{FILE}:make_model", "--data", f"{FILE}:data", "--candidates", "3", "--budget", "500000steps")
COMMAND = [sys.executable, "-c", "from lanewise.cli import main; main()"]
PATIENCE = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    home, log = tmp_path / "home", tmp_path / "said"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, *LONG],
            env={**os.environ, "LANEWISE_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(home.glob("runs/*/plan.json")):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)  # in the middle of a stretch
        process.send_signal(number)
        assert process.wait(PATIENCE) == 130, log.read_text()
    finally:
        process.kill()
        process.wait()
    with RunStore(home) as store:
        run = store.get("last")
    assert run.status == "interrupted"
    assert log.read_text().splitlines()[-1] == f"lanewise: stopped; go on with: lanewise resume {run.id}"
    assert STOPPING in log.read_text().splitlines()
    assert any(run.checkpoints.glob("*/step-*"))
    assert not list(home.rglob("*.part"))
