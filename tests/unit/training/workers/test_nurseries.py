"""Workers that are forked: like new processes to themselves and to their parent, whatever happens to whom."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lanewise.explain import spent, usage
from lanewise.training.workers import nursery
from lanewise.training.workers.folder import FOLDER_PREFIX
from lanewise.training.workers.kinds import WorkerKind
from lanewise.training.workers.nurseries import (
    CAN_FORK,
    NURSERIES,
    ForkedWorker,
    environment_of,
    fork_worker,
    is_prepared,
    prepare,
    settle,
)

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux")

PATIENCE = 30.0

MODULE = """
import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

WAITS = os.environ.get("OMP_WAITS")  # for the end of what is written to a pipe
if WAITS:
    open(WAITS).read()
if "OMP_THREAD" in os.environ:
    named = threading.Event()

    def waits():
        ctypes.CDLL(None).prctl(15, os.environ["OMP_THREAD"].encode(), 0, 0, 0)
        named.set()
        time.sleep(1000.0)

    threading.Thread(target=waits, daemon=True).start()
    named.wait()
if "OMP_FAILS" in os.environ:
    raise MemoryError("there is no room")
LOADED = [os.getpid()]
IDLE_THREADS = ("idle-",)


def load(part):
    if part == "wrong":
        raise ValueError(part)
    LOADED.append(part)


def main(folder):
    for line in sys.stdin:
        print(json.dumps(eval(line)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
"""
"""A worker that says what expressions are worth there."""


class Asked:
    """A worker and its answers."""

    def __init__(self, worker: ForkedWorker, log: Path) -> None:
        self.worker, self._log = worker, log

    def __call__(self, expression: str) -> Any:
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(expression.encode() + b"\n")
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    @property
    def said(self) -> str:
        return self._log.read_text()


Start = Callable[..., Asked]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers of the module, whose environment may say more."""
    (tmp_path / "asked.py").write_text(MODULE)
    started: list[Asked] = []

    def begin(*parts: str, files: tuple[int, ...] = (), folder: Path = tmp_path, **environment: str) -> Asked:
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        kind = WorkerKind(module="asked", what="", environment={"PYTHONPATH": path, **environment}, parts=parts)
        log = tmp_path / f"log-{len(started)}"
        with log.open("wb") as opened:
            started.append(Asked(fork_worker(kind, folder, log=opened, files=files), log))
        return started[-1]

    yield begin
    for asked in started:
        asked.worker.kill()
        asked.worker.wait()
        for stream in (asked.worker.stdin, asked.worker.stdout):
            assert stream is not None
            stream.close()
        asked.worker._nursery.end()
        NURSERIES.forget(asked.worker._nursery)


def test_a_request_waits_where_too_many_open_files_are_on_their_way(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, refused = socket.send_fds, [errno.ETOOMANYREFS] * 2

    def send(*arguments: Any) -> int:
        if refused:
            raise OSError(refused.pop(), "too many references")
        return sent(*arguments)

    monkeypatch.setattr(socket, "send_fds", send)
    assert start()("1 + 1") == 2
    assert not refused


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_worker_has_its_files_its_directory_and_its_environment(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):  # the nursery has many files open from now on
        start()("0")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setenv("TOLD", "later")
    monkeypatch.delenv("HOME", raising=False)
    with (tmp_path / "one").open("w+") as one, (tmp_path / "two").open("w+") as two:
        one.write("first")
        one.flush()
        # One number that the nursery has for something of its own, one that is far from all of them.
        near, far = os.dup(one.fileno()), os.dup2(two.fileno(), 200)
        asked = start(files=(near, far))
        assert asked(f"os.pread({near}, 9, 0).decode()") == "first"
        assert asked("os.write(200, b'second')") == 6
        assert os.pread(far, 9, 0) == b"second"
        os.close(near)
        os.close(far)
    assert asked("os.getcwd()") == str(tmp_path / "below")
    assert asked("os.environ['TOLD'], os.environ['PYTHONWARNINGS'], 'HOME' in os.environ") == ["later", "ignore", False]
    assert asked("sys.stderr.write('said\\n')") == 5
    assert asked("sys.stderr.flush()") is None
    assert asked.said == "said\n"
    opened = asked("sorted(map(int, os.listdir('/proc/self/fd')))")
    assert len(opened) == 3 + 2 + 2, "the streams, the files, the pipe that tells of its end, and the folder it lists"


def test_worker_is_forked_where_the_working_folder_may_not_be_searched(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def closed(path: Any, *arguments: Any, **more: Any) -> int:  # root may search all there is
        if path == ".":
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", closed)
    assert start()("os.getcwd()") == "/"


def test_a_nursery_that_has_left_is_collected_when_the_next_one_is_started(start: Start) -> None:
    left = start().worker._nursery
    os.kill(left.process.pid, signal.SIGKILL)
    wait_until(lambda: gone(left.process.pid))
    assert Path(f"/proc/{left.process.pid}").exists(), "a zombie"
    start(OMP_NUM_THREADS="3")
    assert not Path(f"/proc/{left.process.pid}").exists()


def test_workers_of_a_kind_are_forked_from_one_process_that_has_loaded_for_them(start: Start) -> None:
    first, second = start(), start("lights", "wrong")
    assert first("LOADED") == [first("os.getppid()")]
    assert second("LOADED") == [first("os.getppid()"), "lights"]
    assert {first("os.getpid()"), second("os.getpid()")} == {first.worker.pid, second.worker.pid}
    # Other libraries than those of the workers set this, once they are loaded here.
    third = start(KMP_INIT_AT_FORK="FALSE", CUDA_MODULE_LOADING="LAZY", _RJEM_MALLOC_CONF="x")
    assert third("os.getppid(), os.environ['KMP_INIT_AT_FORK']") == [first("os.getppid()"), "FALSE"]
    other = start(OMP_NUM_THREADS="3")
    assert other("os.getppid()") != first("os.getppid()")


def test_what_is_prepared_is_what_workers_are_forked_from(start: Start, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    kind = WorkerKind(module="asked", what="", environment={"PYTHONPATH": path}, parts=("early",))
    prepare([kind], at_once=1)
    settle(kind)
    prepared = NURSERIES.of(kind.module, environment_of(kind)).process.pid
    before, all_of_it = usage(prepared=False), usage()
    assert prepared in NURSERIES.unused()
    assert start()("LOADED") == [prepared, "early"]
    assert prepared not in NURSERIES.unused()
    # What it has used was for what comes, so it is not among what was used before.
    assert all_of_it.cpu_seconds - before.cpu_seconds > 0.01
    assert spent(before, usage()).cpu_seconds >= all_of_it.cpu_seconds - before.cpu_seconds


def test_no_more_load_at_once_than_there_are_cores_for(start: Start, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    gates = [tmp_path / f"gate-{place}" for place in range(3)]
    kinds = []
    for gate in gates:
        os.mkfifo(gate)
        kinds.append(WorkerKind(module="asked", what="", environment={"PYTHONPATH": path, "OMP_WAITS": str(gate)}))
    prepare(kinds, at_once=2)
    opened = [_opened(gate) for gate in gates[:2]]  # both load
    with pytest.raises(OSError, match="No such device"):  # nobody is there to read it
        os.open(gates[2], os.O_WRONLY | os.O_NONBLOCK)
    os.close(opened[0])
    opened.append(_opened(gates[2]))
    for end in opened[1:]:
        os.close(end)
    for kind in kinds:
        settle(kind)
        assert is_prepared(kind)
    assert start(OMP_WAITS=str(gates[2]))("1 + 1") == 2
    for kind in kinds:
        nursery = NURSERIES.of(kind.module, environment_of(kind))
        nursery.end()
        NURSERIES.forget(nursery)


def test_what_loads_for_too_long_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(MODULE)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    kind = WorkerKind(module="asked", what="", environment={"PYTHONPATH": path, "OMP_WAITS": str(gate)})
    assert settle(kind)  # nothing was prepared
    prepare([kind], at_once=1)
    process = NURSERIES.of(kind.module, environment_of(kind)).process.pid
    assert not settle(kind, within=0.0)
    assert not is_prepared(kind)
    assert gone(process)


def test_a_nursery_that_is_prepared_again_and_again_still_answers(start: Start, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    kind = WorkerKind(module="asked", what="", environment={"PYTHONPATH": path})
    for _ in range(400):  # as fits do whose budget is in steps: none waits for the answer, and a socket holds some 280
        prepare([kind], at_once=1)
    asked = start()
    wait_until(lambda: asked.worker.poll() is None and asked.worker._pid is not None)
    settle(kind, within=PATIENCE)
    assert NURSERIES.of(kind.module, environment_of(kind))._unanswered == 0


def _opened(gate: Path) -> int:
    """The end of a pipe to write to, once somebody reads it."""
    found = list[int]()

    def opens() -> bool:
        with suppress(OSError):
            found.append(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    wait_until(opens)
    return found[0]


def test_how_a_worker_ends_is_told(start: Start) -> None:
    for expression, code in (("os._exit(3)", 3), ("os.kill(os.getpid(), 15)", None), ("os.kill(os.getpid(), 9)", -9)):
        asked = start()
        assert asked.worker.poll() is None
        assert asked.worker.stdin is not None
        asked.worker.stdin.write(expression.encode() + b"\n")
        asked.worker.stdin.flush()
        if code is None:  # the terminal's signals are the parent's business
            with pytest.raises(subprocess.TimeoutExpired):
                asked.worker.wait(0.1)
            asked.worker.kill()
        assert asked.worker.wait(PATIENCE) == (code or -9)
        assert asked.worker.poll() == (code or -9)
        assert NURSERIES.peak_bytes > 2**20
    asked = start()
    assert asked.worker.stdin is not None
    asked.worker.stdin.write(b"1 / 0\n")
    asked.worker.stdin.flush()
    assert asked.worker.wait(PATIENCE) == 1
    assert asked.said.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_workers_of_a_program_that_ignores_the_end_of_its_children_are_collected(start: Start) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which processes that it starts inherit
    try:
        first, second = start(), start()
    finally:
        signal.signal(signal.SIGCHLD, before)
    os.kill(first.worker.pid, signal.SIGKILL)
    assert first.worker.wait(PATIENCE) == -9
    assert second("1 + 1") == 2
    assert second.worker.poll() is None


def test_module_that_cannot_be_loaded_is_told_by_every_worker(start: Start) -> None:
    for _ in range(2):
        asked = start(OMP_FAILS="1")
        assert asked.worker.wait(PATIENCE) == 1
        assert asked.said.splitlines()[-1] == "MemoryError: there is no room"


def test_module_with_threads_is_loaded_by_each_worker(start: Start) -> None:
    asked = start(OMP_THREAD="busy")
    assert asked("sys.orig_argv[1:4]") == ["-P", "-m", "asked"]
    assert asked("threading.active_count()") == 2
    assert asked("os.getppid()") == asked.worker._nursery.process.pid
    asked.worker.kill()
    assert asked.worker.wait() == -9
    forked = start(OMP_THREAD="idle-1")
    assert forked("threading.active_count(), sys.orig_argv[4]") == [1, "asked"]


def test_worker_that_is_ended_before_it_is_forked_never_is(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    early, late = start(OMP_WAITS=str(gate)), start(OMP_WAITS=str(gate))
    assert early.worker.poll() is None
    early.worker.kill()
    assert early.worker.wait() == -9
    gate.open("w").close()
    assert late("os.getpid()") == late.worker.pid
    assert children(late.worker._nursery.process.pid) == [late.worker.pid]


def children(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def test_nursery_that_is_killed_takes_its_workers_along_and_another_one_is_started(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / f"{FOLDER_PREFIX}kept"
    folder.mkdir()
    asked = start(folder=folder)
    worker, first = asked.worker.pid, asked("os.getppid()")
    os.kill(first, signal.SIGKILL)
    assert asked.worker.wait(PATIENCE) == -9
    wait_until(lambda: gone(worker))
    assert folder.exists(), "its parent lives, and needs it"
    again = start(folder=folder)
    assert again("os.getppid()") != first


def test_nursery_killed_while_it_loads_is_told_and_another_one_is_started(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    asked = start(OMP_WAITS=str(gate))
    asked.worker._nursery.process.kill()
    assert asked.worker.wait(PATIENCE) == -9
    again = start(OMP_WAITS=str(gate))
    gate.open("w").close()
    assert again("1 + 1") == 2


def test_process_forked_from_the_parent_has_nurseries_of_its_own(start: Start) -> None:
    asked = start()
    first = asked("os.getppid()")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ended = asked.worker.poll()
            asked.worker.kill()
            own = start()
            os.write(write, json.dumps([ended, own("os.getppid()"), own.worker._nursery.process.pid]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        ended, parent, known = json.loads(answer.read())
    os.waitpid(child, 0)
    assert ended == -9, "not its own"
    assert parent == known != first
    wait_until(lambda: gone(parent))
    assert asked("os.getppid()") == first, "the parent's worker has gone on"


def test_two_pools_may_start_at_once(start: Start) -> None:
    found: list[int] = []
    together = threading.Barrier(4)

    def begin() -> None:
        together.wait()
        found.append(start()("os.getppid()"))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_another_thread_may_end_a_worker_that_is_waited_for(start: Start) -> None:
    asked = start()
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(asked.worker.wait(PATIENCE)))
    waiting.start()
    asked.worker.kill()
    assert asked.worker.wait() == -9
    waiting.join()
    assert codes == [-9]


@pytest.mark.parametrize("holder", ["forks", ""])
def test_parent_that_is_killed_leaves_nothing_even_where_its_socket_stays_open(tmp_path: Path, holder: str) -> None:
    (tmp_path / "asked.py").write_text(MODULE)
    folder = tmp_path / f"{FOLDER_PREFIX}left"
    folder.mkdir()
    code = (
        "import ctypes, os, signal, sys\n"
        "from pathlib import Path\n"
        "from lanewise.training.workers.kinds import WorkerKind\n"
        "from lanewise.training.workers.nurseries import fork_worker\n"
        "kind = WorkerKind(module='asked', what='', environment={})\n"
        "with open('log', 'wb') as log:\n"
        "    worker = fork_worker(kind, Path(sys.argv[1]), log=log)\n"
        "processes = worker.pid, worker._nursery.process.pid\n"
        "if sys.argv[2] == 'forks' and ctypes.CDLL(None).fork() == 0:\n"  # Python is not told, and so does not close it
        "    os.close(1)\n"
        "    signal.pause()\n"
        "print(*processes, flush=True)\n"
        "signal.pause()\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), holder],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        processes = list(map(int, parent.stdout.readline().split()))
        assert not any(map(gone, processes))
        parent.kill()
        parent.wait()
    try:
        wait_until(lambda: all(map(gone, processes)))
        assert not folder.exists()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


def test_nursery_without_work_leaves_and_says_so_to_who_asks(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = "from lanewise.training.workers import nursery\nnursery.IDLE_SECONDS = 0.0\nnursery.main()"
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-c", code, "json", str(os.getpid()), str(theirs.fileno())], pass_fds=[theirs.fileno()]
        ) as process,
    ):
        ours.send(json.dumps({"loads": []}).encode())
        assert json.loads(ours.recv(100)) == {"loaded": True}
        assert process.wait(PATIENCE) == 0
        theirs.close()
        with pytest.raises(BrokenPipeError):
            ours.send(b"{}")


def test_files_get_their_numbers_whatever_had_them() -> None:
    made = [os.pipe() for _ in range(3)]
    ends = [end for pipe in made for end in pipe]
    keeps, *others = ends
    for number, end in enumerate(others):
        os.set_inheritable(end, number % 2 == 0)
    known = {end: os.fstat(end).st_ino for end in ends}
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # Each has the number of the next, and the one that is kept loses its own.
            numbers = [*others[1:], keeps]
            nursery.place(others, numbers, keeps=keeps)
            fine = all(os.fstat(number).st_ino == known[end] for number, end in zip(numbers, others, strict=True))
            kept = [
                one for one in map(int, os.listdir("/dev/fd")) if _number(one) == known[keeps] and one not in numbers
            ]
            code = 0 if fine and kept else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for end in ends:
        os.close(end)


def _number(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None
