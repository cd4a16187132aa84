"""Ctrl-C and SIGTERM during a tune: a checkpoint, the command that goes on, exit 130."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lanewise.runs.store import RunStore
from lanewise.training.stopping import STOPPING

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="signals, and forks")]

FILE = Path(__file__).with_name("tuned_module.py")
# Long enough that nobody finishes, whatever the machine.
LONG = ("tune", f"{FILE}:make_model", "--data", f"{FILE}:data", "--candidates", "3", "--budget", "500000steps")
PATIENCE = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, forked: Any, number: signal.Signals) -> None:
    home, log = tmp_path / "home", tmp_path / "said"
    process, code = forked.begin(*LONG, said=log, LANEWISE_HOME=str(home)), None
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(home.glob("runs/*/plan.json")):
            assert Path(f"/proc/{process}").exists(), log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)  # in the middle of a stretch
        os.kill(process, number)
        code = forked.end()
    finally:
        if code is None:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            forked.end()
    assert code == 130, log.read_text()
    with RunStore(home) as store:
        run = store.get("last")
    assert run.status == "interrupted"
    assert log.read_text().splitlines()[-1] == f"lanewise: stopped; go on with: lanewise resume {run.id}"
    assert STOPPING in log.read_text().splitlines()
    assert any(run.checkpoints.glob("*/step-*"))
    assert not list(home.rglob("*.part"))
