"""Fixtures that every test may use, and in which order tests are collected and run."""

import gc
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The command of the README finds the same examples every time; new ones are looked for with
# `pytest --hypothesis-profile explore`, and what they find becomes an `@example`.
# No example has a deadline: on a busy machine any of them may take long once.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("repeatable")

# A shell lets what it begins in the background ignore Ctrl-C, and all that is started inherits that: tests that send
# this signal would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "property/test_no_leakage.py",
    "distributed/test_torchrun.py",
    "unit/test_docs_blocks.py",
    "distributed/test_train.py",
    "distributed/test_ranks.py",
    "fault/test_streamed_fit.py",
    "distributed/test_data_axis.py",
    "distributed/test_tune_ranks.py",
    "fault/test_resume_signals.py",
    "e2e/test_cli_errors.py",
    "oracle/test_stacked_equals_solo.py",
    "unit/estimators/test_searching.py",
    "e2e/test_report_browser.py",
    "fault/test_resume_kills.py",
    "e2e/test_cli_streams.py",
    "e2e/test_cli_fit.py",
    "e2e/test_compare_browser.py",
    "oracle/test_other_rules_of_torch.py",
    "oracle/test_more_garbow_hillstrom.py",
    "oracle/test_rules_beyond_torch.py",
    "oracle/test_modules_equal_solo.py",
    "unit/solvers/test_kinked_constraints.py",
    "unit/training/modules/test_module_seats.py",
    "unit/training/test_race.py",
    "unit/deploy/test_onnx_export.py",
    "unit/training/test_selecting.py",
    "distributed/test_auto_mesh.py",
    "distributed/test_averaging.py",
    "fault/test_tune_kills.py",
    "fault/test_resume_full_disk.py",
    "oracle/test_planted_bugs.py",
    "oracle/test_nist_regressions.py",
    "oracle/test_hock_schittkowski.py",
    "unit/deploy/test_saving.py",
    "unit/deploy/test_onnx_trees.py",
    "conformance/test_contracts.py",
)
"""Files that take long (15 to 100 seconds), longest first; many of them wait for processes that they start."""

INTEROP = ("tests/interop/", "tests/unit/test_docs_blocks.py::test_python_blocks_run[docs/interop.md]")
"""How tests begin that load Lightning, Transformers or Accelerate: one process of pytest-xdist does for all of them."""

# Tests make their own stores of runs, in folders of their own.
os.environ.pop("LANEWISE_HOME", None)

# Thousands of tests, and all that they import, are there to stay: looking through them for garbage again and again
# takes a sixth of the time of collecting them.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)  # a fit makes hundreds of objects a step, hardly any of them in a circle
    gc.enable()


WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""``gw0``, ``gw1`` and so on in the processes of pytest-xdist, of which each collects all tests."""


class Backwards(pytest.Dir):
    """A folder whose last file is collected first."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        return reversed(list(super().collect()))


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Every second process begins at the other end: pytest compiles a file once, and a process finds what another has.

    That is two fifths of collecting on a fresh machine; side by side they would compile each file at the same time.
    """
    return Backwards.from_parent(parent, path=path) if WORKER[-1:] in tuple("13579") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files to each process, as ``--dist loadfile`` has it, and those of ``INTEROP`` as if they were one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "interop" if nodeid.startswith(INTEROP) else super()._split_scope(nodeid)

    return Scheduling(config, log)


SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Long files come first: under ``--dist loadfile`` a process that begins one last would work on alone."""
    if WORKER:  # in one order, before they are shuffled
        items.sort(key=lambda item: item.nodeid)
    yield
    here = Path(__file__).parent
    turns = {here / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


collect_ignore = ["main_program.py", "warm_server.py"]


class Warm:
    """A script that runs in a fork of the process of ``warm_server.py``, as a new interpreter would run it."""

    def __init__(self, server: str, request: Mapping[str, Any]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self.stdin, self.stdout = (self._connection.makefile(mode, encoding="utf-8") for mode in ("w", "r"))
        try:
            self._connection.connect(b"\0" + server.encode())
            self.tell(request)
            self.pid = int(self.stdout.readline() or 0)
        except ConnectionError:  # there is none, or it ends just now
            self._connection.close()
            raise

    def tell(self, what: Any) -> None:
        """Write a line of JSON to its standard input."""
        print(json.dumps(what), file=self.stdin, flush=True)

    def rest(self) -> str:
        """Let its standard input end; what it writes until it has ended itself."""
        self._connection.shutdown(socket.SHUT_WR)
        try:
            return self.stdout.read()
        finally:
            self.close()

    def close(self) -> None:
        for one in (self.stdin, self.stdout, self._connection):
            one.close()


class WarmServer:
    """The process of ``warm_server.py``, which all test processes share."""

    def __init__(self, folder: Path) -> None:
        import fcntl  # not on Windows, where nothing can be forked

        # A hash, for the name of a socket is short and a folder's may be long.
        self._name = f"lanewise-tests-{hashlib.sha256(str(folder).encode()).hexdigest()[:32]}"
        self._said = folder / "warm-server"
        with (folder / "warm-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._kept = Warm(self._name, {})
            except ConnectionError:
                self._begin()
                self._kept = Warm(self._name, {})
        assert self._kept.pid, self._said.read_text()

    def _begin(self) -> None:
        command = [sys.executable, "-W", "ignore::DeprecationWarning", str(Path(__file__).with_name("warm_server.py"))]
        with self._said.open("w") as said:
            own = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            subprocess.run([*command, self._name], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **own)

    def __call__(self, script: Path, *arguments: str, said: Path, environment: Mapping[str, str] = os.environ) -> Warm:
        """Begin a script, which says what goes wrong in a file beside which it runs."""
        own = {"arguments": arguments, "folder": str(said.parent), "environment": dict(environment)}
        return Warm(self._name, {"script": str(script), "stderr": str(said), **own})

    def close(self) -> None:
        self._kept.close()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmServer]:
    """Runs scripts in forks of a process that has loaded what they need; only on Linux, where threads survive none."""
    base = tmp_path_factory.getbasetemp()
    server = WarmServer(base.parent if WORKER else base)
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets (../shared/data) are not beside this checkout")
    return SHARED.resolve()
