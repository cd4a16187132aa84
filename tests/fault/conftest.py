"""The drivers are scripts of their own processes; nothing in them is collected."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["resume_driver.py", "streamed_driver.py", "tree_parent.py", "tuned_module.py"]

DRIVER = Path(__file__).with_name("resume_driver.py")
SERVER = Path(__file__).parents[1] / "e2e" / "warm_cli.py"

DRAW = random.Random(0)
ROWS = [[DRAW.gauss(0.0, 1.0) for _ in range(4)] for _ in range(150)]
TABLE = "a,b,c,d,y\n" + "".join(
    f"{','.join(f'{cell:.3f}' for cell in row)},{'low' if row[0] < row[1] else 'high'}\n" for row in ROWS
)


class Forked:
    """Runs ``lanewise`` one command at a time, each in a fork of a process that has loaded torch."""

    def __init__(self, warm: Any, said: Path) -> None:
        self._server = warm(SERVER, said=said)

    def begin(self, *arguments: str, said: Path, **variables: str) -> int:
        """Start a command in a session of its own, which says what it says to a file; its process."""
        streams = {"stdin": os.devnull, "out": os.devnull, "err": str(said)}
        request = {"arguments": arguments, "folder": str(said.parent), "environment": variables, **streams}
        self._server.tell(request)
        return int(self._answer())

    def end(self) -> int:
        """The exit code of the command, once it has ended; it must be asked for before the next begins."""
        return int(self._answer())

    def _answer(self) -> str:
        return self._server.stdout.readline()

    def close(self) -> None:
        self._server.rest()


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, of 1 MiB or of as many as the test is parametrized by."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', 1)}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here (it needs CAP_SYS_ADMIN)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a small table, whose ``y`` has two classes: unlike an example, it needs no scikit-learn."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="session")
def resume_driver(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """What ``resume_driver.py`` finds of tasks; see there."""
    folder = tmp_path_factory.mktemp("resume")

    def found(*tasks: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = warm(DRIVER, json.dumps(tasks), said=folder / "said").rest()
        assert answer, (folder / "said").read_text()
        return json.loads(answer)

    return found


@pytest.fixture(scope="session")
def forked(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Commands in forks; only on Linux, where a process with threads may be forked."""
    made = Forked(warm, tmp_path_factory.mktemp("forked") / "server")
    yield made
    made.close()
