"""The command line as a user runs it: its own process, its own streams, an exit code."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

SERVER = Path(__file__).with_name("warm_cli.py")
QUICK = ("--models", "linear", "--budget", "40steps", "--candidates", "2", "--folds", "2")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SCRUBBED = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "CI", "PYTEST_CURRENT_TEST")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command line that ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """The variables of this process, without those that alter what the command line does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LANEWISE_")}
    return {name: value for name, value in kept.items() if name not in SCRUBBED} | more


class CommandLine:
    """Runs ``lanewise`` in a folder, with the runs in ``home``."""

    def __init__(self, scratch: Path, warm: Callable[[], Any]) -> None:
        self._scratch, self._warm = scratch, warm
        self.home = scratch / "runs of the tests"
        self._server: Any = None

    def __call__(
        self, *arguments: str, folder: Path, stdin: bytes = b"", home: Path | None = None, **variables: str
    ) -> Ended:
        """Run in a fork of a warm process: quick, and good for all but imports."""
        if sys.platform != "linux":  # to fork with threads about is safe enough only there
            return self.cold(*arguments, folder=folder, stdin=stdin, home=home, **variables)
        streams = {key: self._scratch / key for key in ("stdin", "out", "err")}
        streams["stdin"].write_bytes(stdin)
        self.begin(*arguments, folder=folder, streams=streams, home=home, **variables)
        code = self.end()
        out, err = (streams[key].read_text(encoding="utf-8") for key in ("out", "err"))
        return Ended(code=code, out=out, err=err)

    def begin(
        self,
        *arguments: str,
        folder: Path,
        streams: Mapping[str, Path | str],
        home: Path | None = None,
        **variables: str,
    ) -> int:
        """Start a fork of the warm process on files for its ``stdin``, ``out`` and ``err``; its id, and its group's."""
        if self._server is None:
            self._server = self._warm()(SERVER, said=self._scratch / "server", environment=environment())
        files = {key: str(path) for key, path in streams.items()}
        variables = {"LANEWISE_HOME": str(home or self.home)} | variables
        request = {"arguments": arguments, "folder": str(folder), "environment": variables, **files}
        self._server.tell(request)
        return int(self._server.stdout.readline())

    def end(self) -> int:
        """The exit code of what was begun last, once it has ended; it must be asked for before the next begins."""
        return int(self._server.stdout.readline())

    def cold(
        self, *arguments: str, folder: Path, stdin: bytes = b"", home: Path | None = None, **variables: str
    ) -> Ended:
        """Run in a new process, imports and all."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=folder,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=180,
            env=self.variables(home=home, **variables),
        )
        return Ended(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def variables(self, *, home: Path | None = None, **more: str) -> Mapping[str, str]:
        return environment(LANEWISE_HOME=str(home or self.home), **more)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", "from lanewise.cli import main; main()", *arguments]

    def close(self) -> None:
        if self._server is not None:
            self._server.rest()


@pytest.fixture(scope="session")
def cli(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path_factory.mktemp("cli"), lambda: request.getfixturevalue("warm"))
    yield line
    line.close()


class Visit:
    """A file that is open in a browser, with everything that it said, asked for, or failed at."""

    def __init__(self, page: Any, file: Path, left: Callable[[Any], None]) -> None:
        self.page, self._left = page, left
        self.said: list[str] = []
        self.asked: list[str] = []
        self._heard: Mapping[str, Callable[[Any], None]] = {
            "console": lambda message: self.said.append(message.text),
            "pageerror": lambda error: self.said.append(str(error)),
            "dialog": lambda dialog: self.said.append(dialog.message),
            "request": lambda request: self.asked.append(request.url),
        }
        for event, hear in self._heard.items():
            page.on(event, hear)
        page.goto(file.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for event, hear in self._heard.items():
            self.page.remove_listener(event, hear)
        self._left(self.page)


class Browser:
    """Debian's chromium, patient on a busy machine.

    What was visited in one page is left for the next: a page of its own, with processes of its own, takes three times
    as long as a file that is opened in one that is there.
    """

    def __init__(self, running: Any) -> None:
        self._running, self._pages = running, []
        self._usual = running.new_context()

    def visit(self, file: Path, *, width: int = 1280, height: int = 720, scripts: bool = True, **media: str) -> Visit:
        """Open a file in a page of this size, and of these ``media`` besides what is usual."""
        if scripts:
            page, left = self._pages.pop() if self._pages else self._usual.new_page(), self._pages.append
        else:
            page, left = self._running.new_page(java_script_enabled=False), lambda page: page.close()
        page.set_default_timeout(180_000)
        page.goto("about:blank")
        page.mouse.move(0, 0)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(**{"media": "null", "color_scheme": "light", "reduced_motion": "no-preference", **media})
        return Visit(page, file, left)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Opens files in chromium; skips where it or playwright is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield Browser(running)
        running.close()


def table(rows: int = 60, *, header: str = "a,b,w,y") -> str:
    """Rows of two normal numbers, a weight of one, and whether their sum is positive."""
    drawn = random.Random(0)
    lines = [header]
    for _ in range(rows):
        a, b = drawn.gauss(0, 1), drawn.gauss(0, 1)
        lines.append(f"{a:.3f},{b:.3f},1,{'yes' if a + b > 0 else 'no'}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a small table of two classes and one of a number."""
    (tmp_path / "good.csv").write_text(table())
    rows = [line.split(",") for line in table().splitlines()[1:]]
    numbers = "".join(f"{a},{b},{float(a) + float(b):.3f}\n" for a, b, *_ in rows)
    (tmp_path / "numbers.csv").write_text("a,b,price\n" + numbers)
    return tmp_path


@pytest.fixture(scope="session")
def quick() -> tuple[str, ...]:
    """Options of a fit that takes no time worth speaking of."""
    return QUICK


@pytest.fixture(scope="session")
def finished(cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of one finished run of two classes that many tests share, its ``home``, and its ``progress``."""
    place = tmp_path_factory.mktemp("finished")
    (place / "good.csv").write_text(table())
    ended = cli("fit", "good.csv", "--target", "y", *QUICK, "--json", folder=place, home=place / "home")
    assert ended.code == 0, ended.err
    return {**ended.document, "home": place / "home", "table": place / "good.csv", "progress": ended.err}


HOSTILE = "y\x1b[2Jes\u202e"
"""A label that clears a terminal, and turns the direction of what follows."""


@pytest.fixture(scope="session")
def hostile(cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How a fit of a table ended that has such a ``label``; its ``home``, and its ``table``."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "hostile.csv").write_text(table().replace("yes", HOSTILE), encoding="utf-8")
    ended = cli("fit", "hostile.csv", "--target", "y", *QUICK, folder=place, home=place / "home")
    assert ended.code == 0, ended.err
    return {"ended": ended, "home": place / "home", "table": place / "hostile.csv", "label": HOSTILE}
