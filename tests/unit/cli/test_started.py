"""The budget of a command counts from the start of its process, not from where the program was loaded."""

import subprocess
import sys
import time
from types import ModuleType

import pytest

from lanewise.__main__ import main
from lanewise.runs.stage_times import StageTimes

SLOW_TO_LOAD = (
    "import time; time.sleep(0.3); from lanewise.cli.started import process_started; print(process_started())"
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_knows_when_it_was_started() -> None:
    before = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", SLOW_TO_LOAD], capture_output=True, text=True, check=True)
    assert before - 0.05 <= float(ended.stdout) <= time.monotonic() - 0.3  # the kernel counts in hundredths


def test_ctrl_c_while_the_program_is_loaded_ends_in_one_line(monkeypatch, capsys) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "lanewise.cli", Interrupted("lanewise.cli"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "lanewise: stopped\n"


def test_what_went_by_before_is_a_stage_of_its_own() -> None:
    times = StageTimes.since(time.monotonic() - 2.0)
    assert times.seconds["start"] == pytest.approx(2.0, abs=0.5)
    assert times.elapsed() >= 2.0
    assert StageTimes.since(None).seconds == {}
