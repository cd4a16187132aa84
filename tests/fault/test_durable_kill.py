"""Real processes killed, or refused by the kernel, at every system call of a save. Needs strace (Linux)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lanewise.storage.durable import remove_leftovers, write_atomically
from lanewise.storage.modelfile import load_model, save_model

STRACE = shutil.which("strace")

# It touches no tensors, so that a process starts in a moment; the folder is written by the same code.
SAVE = """
import sys
from pathlib import Path
from lanewise.errors import LanewiseError
from lanewise.storage.durable import write_atomically
from lanewise.storage.modelfile import save_model
try:
    folder = Path(sys.argv[1])
    version = int(sys.argv[2])
    save_model(folder / "model", {}, {"version": version}, {"a.txt": "a" * version, "b.txt": "b" * version})
    write_atomically(folder / "plan.json", str(version).encode())
except LanewiseError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def saved(folder: Path, version: int) -> None:
    """What SAVE does, in this process."""
    save_model(folder / "model", {}, {"version": version}, {"a.txt": "a" * version, "b.txt": "b" * version})
    write_atomically(folder / "plan.json", str(version).encode())


@pytest.fixture(scope="module")
def strace() -> str:
    if STRACE is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    probe = subprocess.run([STRACE, "-e", "inject=fsync:error=EIO", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here (it needs CAP_SYS_PTRACE)")
    return STRACE


def traced(folder: Path, version: int, *tracer: str) -> subprocess.CompletedProcess[str]:
    command = [*tracer, sys.executable, "-IB", "-c", SAVE, str(folder), str(version)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def versions(folder: Path) -> tuple[int, int]:
    """The versions of the model and of the plan; the model is checked whole."""
    model = load_model(folder / "model", "numpy")
    version = model.manifest["version"]
    assert model.texts == {"a.txt": "a" * version, "b.txt": "b" * version}
    return version, json.loads((folder / "plan.json").read_bytes())


def visible(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["rename", "fsync", "unlink", "write", "mkdir", "rmdir"])
def test_kill_at_every_system_call_leaves_a_whole_version(tmp_path: Path, strace: str, call: str) -> None:
    kills = 0
    while True:
        folder = tmp_path / str(kills)
        folder.mkdir()
        saved(folder, 1)
        whole = visible(folder)
        inject = ("-f", "-o", str(tmp_path / "log"), "-e", f"trace={call}")
        when = f"inject={call}:signal=KILL:when={kills + 1}"
        ended = traced(folder, 2, strace, *inject, "-e", when)
        found = versions(folder)
        assert found in {(1, 1), (2, 1), (2, 2)}
        if ended.returncode == 0:
            assert found == (2, 2)
            break
        kills += 1
        # Whoever comes next finishes the work, and nothing of the killed one stays.
        remove_leftovers(folder)
        saved(folder, 3)
        assert versions(folder) == (3, 3)
        assert visible(folder) == whole
    assert kills >= 1


@pytest.mark.slow
@pytest.mark.parametrize(("call", "error"), [("fsync", "EIO"), ("write", "ENOSPC"), ("rename", "EACCES")])
def test_kernel_error_at_every_system_call_is_one_line(tmp_path: Path, strace: str, call: str, error: str) -> None:
    failures = 0
    while True:
        folder = tmp_path / str(failures)
        folder.mkdir()
        saved(folder, 1)
        whole = visible(folder)
        inject = ("-f", "-o", str(tmp_path / "log"), "-e", f"trace={call}")
        when = f"inject={call}:error={error}:when={failures + 1}"
        ended = traced(folder, 2, strace, *inject, "-e", when)
        found = versions(folder)
        if ended.returncode == 0:
            assert found == (2, 2)
            break
        failures += 1
        assert ended.returncode == 3
        assert ended.stderr.startswith("cannot write ")
        assert ended.stderr.count("\n") == 1
        assert found in {(1, 1), (2, 1), (2, 2)}
        left = set(visible(folder)) - set(whole)
        # Only where the last flush failed may anything stay: the old model, until the new one is surely durable.
        assert {name.split("/")[0] for name in left} <= (
            {".model.old"} if found == (2, 1) and call == "fsync" else set()
        )
    assert failures >= 2
