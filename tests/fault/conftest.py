"""The drivers are scripts of their own processes; nothing in them is collected."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore = ["resume_driver.py", "streamed_driver.py", "tuned_module.py"]

SERVER = Path(__file__).parents[1] / "e2e" / "warm_cli.py"
WARM = ("lanewise.again", "lanewise.experiment", "lanewise.tuning.from_files", "rich.console")


DRAW = random.Random(0)
ROWS = [[DRAW.gauss(0.0, 1.0) for _ in range(4)] for _ in range(150)]
TABLE = "a,b,c,d,y\n" + "".join(
    f"{','.join(f'{cell:.3f}' for cell in row)},{'low' if row[0] < row[1] else 'high'}\n" for row in ROWS
)


class Forked:
    """Runs ``lanewise`` one command at a time, each in a fork of a process that has loaded torch."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(SERVER), *WARM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, *arguments: str, said: Path, **variables: str) -> int:
        """Start a command in a session of its own, which says what it says to a file; its process."""
        assert self._server.stdin is not None
        streams = {"stdin": os.devnull, "out": os.devnull, "err": str(said)}
        request = {"arguments": arguments, "folder": str(said.parent), "environment": variables, **streams}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._answer())

    def end(self) -> int:
        """The exit code of the command, once it has ended; it must be asked for before the next begins."""
        return int(self._answer())

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a small table, whose ``y`` has two classes: unlike an example, it needs no scikit-learn."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Commands in forks; only on Linux, where a process with threads may be forked."""
    made = Forked()
    yield made
    made.close()
