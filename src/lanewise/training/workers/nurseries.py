"""Where workers come from: the nurseries of this process, and a worker that was forked in one, as its parent sees it.

A nursery is a process that has loaded what the workers of a module need, see :mod:`lanewise.training.workers.nursery`.
There is one for each module and all that libraries read from the environment while they load. It is started when the
first worker is, or before, by :func:`prepare`; and again where it has ended.
"""

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, final

from lanewise.training.workers.kinds import WorkerKind

MODULE = "lanewise.training.workers.nursery"

CAN_FORK = sys.platform == "linux"
"""Elsewhere system libraries do not survive a fork, and nobody ends the workers of a nursery that was killed."""

READ_ON_LOADING = (
    *("ATEN_", "BLIS_", "CUDA_", "DNNL_", "GLIBC_", "GOMP_", "GOTO_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_"),
    *("NPY_", "NUMPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON", "PYTORCH_", "SCIPY_", "SKLEARN_", "TORCH_"),
)
"""How the variables begin that libraries may read while they load; all others a worker is given when it is forked."""

SET_ON_LOADING = ("CUDA_MODULE_LOADING", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
"""Those of them that torch and scikit-learn set themselves when they load or reach a GPU, here or in a worker."""

COLLECTS_SECONDS = 10.0
"""How long a nursery may take to end a worker; one that takes longer is ended itself, and its workers with it."""

TAKES_SECONDS = 0.01
"""How long a request waits for files of others that are on their way, before it is sent again."""

_MESSAGE_LIMIT = 1 << 12


class GoneError(Exception):
    """The nursery has ended, or takes no more requests."""


@final
class Nursery:
    """A process that forks workers of ``module``; it is killed when this process ends, if not before."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self.process = subprocess.Popen(
                    # -P: a file called numpy.py in the user's folder must not be imported.
                    [sys.executable, "-P", "-m", MODULE, module, str(os.getpid()), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=self.environment,
                    pass_fds=[theirs.fileno()],
                )
        except BaseException:
            self._requests.close()
            raise
        self.ours = True
        """Whether this is the process that has started it, and not one that was forked from that."""
        self.used = False
        """Whether a worker was forked from it."""
        self._hearing, self._unanswered = threading.Lock(), 0
        self.end = weakref.finalize(self, _end, self.process, self._requests)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> None:
        """Send a request; raises ``GoneError`` where nobody will read it.

        No more open files may be on their way than a process may have open: the nursery takes in those before first.
        """
        while True:
            try:
                socket.send_fds(self._requests, [json.dumps(request).encode()], files)
                return
            except ConnectionError as error:
                raise GoneError from error
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    raise
                time.sleep(TAKES_SECONDS)

    def load(self, parts: Sequence[str], turns: Sequence[int] = ()) -> None:
        """Have it load its module and parts of that, once all of ``turns`` but the last, which it holds, are over."""
        with self._hearing:
            self._hear(0.0)  # what nobody waited for would fill the socket in the end, and then it could not answer
            self.ask({"loads": list(parts)}, turns)
            self._unanswered += 1

    def loaded(self, within: float | None = None) -> bool:
        """Wait until it has loaded what it was asked for, or has ended, at most ``within`` seconds: whether it did."""
        with self._hearing:
            return self._hear(within)

    def _hear(self, within: float | None) -> bool:
        end = None if within is None else time.monotonic() + within
        waiting = select.poll()
        waiting.register(self._requests, select.POLLIN)
        while self._unanswered:
            if not waiting.poll(None if end is None else 1000.0 * max(0.0, end - time.monotonic())):
                return False
            said = b""
            with suppress(ConnectionError):
                said = self._requests.recv(_MESSAGE_LIMIT)
            self._unanswered = self._unanswered - 1 if said else 0
        return True

    def disown(self) -> None:
        """Let go of it in a process that was forked from its parent."""
        self.ours = False
        self.end.detach()
        self._requests.close()
        self.process.returncode = 0  # no child of this process, which need not look after it


def _end(process: "subprocess.Popen[bytes]", requests: socket.socket) -> None:
    process.kill()
    process.wait()
    requests.close()


@final
class Nurseries:
    """Those of a process. Other threads may start pools at the same time."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._known: dict[tuple[str, frozenset[tuple[str, str]]], Nursery] = {}
        self._lock = threading.Lock()
        self.peak_bytes = 0
        """The most memory that one of the workers had that have ended, what it shared with its nursery included."""

    def of(self, module: str, environment: Mapping[str, str]) -> Nursery:
        """The nursery for a module, started if there is none that lives."""
        key = self._key(module, environment)
        with self._lock:
            # Asking whether they live collects those that have left, of whatever kind: else they stay as zombies.
            self._known = {other: one for other, one in self._known.items() if one.alive}
            if key not in self._known:
                self._known[key] = Nursery(module, environment)
            return self._known[key]

    @staticmethod
    def _key(module: str, environment: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
        read = [name for name in environment if name.startswith(READ_ON_LOADING) and name not in SET_ON_LOADING]
        return module, frozenset((name, environment[name]) for name in read)

    def living(self, module: str, environment: Mapping[str, str]) -> Nursery | None:
        """The nursery for a module, if there is one that lives."""
        with self._lock:
            found = self._known.get(self._key(module, environment))
        return found if found is not None and found.alive else None

    def forget(self, nursery: Nursery) -> None:
        """Start another one next time."""
        with self._lock:
            self._known = {key: one for key, one in self._known.items() if one is not nursery}

    def unused(self) -> set[int]:
        """The process ids of those that no worker was forked from yet."""
        with self._lock:
            return {nursery.process.pid for nursery in self._known.values() if not nursery.used}

    def disown(self) -> None:
        """Let go of all in a process that was forked from theirs; another thread of that may have held the lock."""
        for nursery in self._known.values():
            nursery.disown()
        self._begin()


NURSERIES = Nurseries()

if CAN_FORK:
    os.register_at_fork(after_in_child=NURSERIES.disown)


def environment_of(kind: WorkerKind) -> dict[str, str]:
    """All that a worker finds in its environment."""
    return {**os.environ, "PYTHONWARNINGS": "ignore", **kind.environment}


def prepare(kinds: Sequence[WorkerKind], *, at_once: int) -> None:
    """Start what workers will be forked from, if anything: no more than ``at_once`` load at a time, in this order."""
    ends: list[int] = []
    for place, kind in enumerate(kinds if CAN_FORK else ()):
        end, held = os.pipe()
        with suppress(OSError, GoneError):  # a worker that is started will say what is wrong
            nursery = NURSERIES.of(kind.module, environment_of(kind))
            nursery.load(kind.parts, [*ends[place - at_once :][: place >= at_once], held])
        os.close(held)
        ends.append(end)
    for end in ends:
        os.close(end)


def is_prepared(kind: WorkerKind) -> bool:
    """Whether workers need only be forked, once what they are forked from has loaded."""
    return NURSERIES.living(kind.module, environment_of(kind)) is not None


def settle(kind: WorkerKind, *, within: float | None = None) -> bool:
    """Wait until what workers will be forked from has loaded, if it was prepared; give it up after some seconds.

    False where it was given up.
    """
    nursery = NURSERIES.living(kind.module, environment_of(kind))
    if nursery is None or nursery.loaded(within) or nursery.used:
        return True
    NURSERIES.forget(nursery)
    nursery.end()
    return False


def fork_worker(kind: WorkerKind, folder: Path, *, log: IO[bytes], files: Sequence[int] = ()) -> "ForkedWorker":
    """A new worker, which does what ``python -m MODULE FOLDER`` would; it may have to wait until its nursery is ready.

    ``log`` is its standard error. Open ``files`` have the same numbers there as here.
    """
    environment = environment_of(kind)
    while True:
        nursery = NURSERIES.of(kind.module, environment)
        try:
            return ForkedWorker(nursery, kind.parts, folder, environment=environment, log=log, files=files)
        except GoneError:
            NURSERIES.forget(nursery)


def _working_folder() -> int:
    """The folder that this process works in, open; the root where it may not be searched: no worker reads from it."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return os.open(".", flags)
    except PermissionError:
        return os.open("/", flags)


@final
class ForkedWorker:
    """A worker that is forked in a nursery, with the face of ``subprocess.Popen``."""

    def __init__(
        self,
        nursery: Nursery,
        parts: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str],
        log: IO[bytes],
        files: Sequence[int],
    ) -> None:
        born = nursery.environment
        request = {
            "folder": str(folder.absolute()),
            "loads": list(parts),
            "files": list(files),
            "set": {name: value for name, value in environment.items() if born.get(name) != value},
            "unset": [name for name in born if name not in environment],
        }
        self._nursery, self._lock = nursery, threading.Lock()
        self._pid: int | None = None
        self._code: int | None = None
        with ExitStack() as theirs, ExitStack() as ours:
            life = theirs.enter_context(self._opened(ours))
            asked, requests = os.pipe()
            theirs.callback(os.close, asked)
            self.stdin: IO[bytes] | None = ours.enter_context(os.fdopen(requests, "wb"))
            answers, answered = os.pipe()
            theirs.callback(os.close, answered)
            self.stdout: IO[bytes] | None = ours.enter_context(os.fdopen(answers, "rb"))
            here = _working_folder()
            theirs.callback(os.close, here)
            nursery.used = True
            nursery.ask(request, [life.fileno(), here, asked, answered, log.fileno(), *files])
            ours.pop_all()

    def _opened(self, ours: ExitStack) -> socket.socket:
        """The other end of the worker's socket, over which the nursery tells of it."""
        self._life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.enter_context(self._life)
        weakref.finalize(self, self._life.close)
        return theirs

    @property
    def pid(self) -> int:
        """The process id, once it has been forked; that of its nursery where it never was."""
        while self._pid is None and self._code is None:
            self._hear(None)
        return self._nursery.process.pid if self._pid is None else self._pid

    def poll(self) -> int | None:
        """The exit code, negative the number of a signal; None while it runs, or is still to be forked."""
        if self._code is None:
            self._hear(0.0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises ``subprocess.TimeoutExpired``."""
        end = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            left = None if end is None else end - time.monotonic()
            if timeout is not None and left is not None and left < 0.0:
                raise subprocess.TimeoutExpired(MODULE, timeout)
            self._hear(left)
        return self._code

    def kill(self) -> None:
        """End it at once; nothing, where it has ended. One that has not been forked yet will not be."""
        if self.poll() is not None:
            return
        with self._lock:
            with suppress(OSError):  # the nursery has died meanwhile
                self._life.shutdown(socket.SHUT_WR)
            if self._pid is None:
                self._code = -signal.SIGKILL
        try:
            self.wait(COLLECTS_SECONDS)
        except subprocess.TimeoutExpired:
            self._nursery.end()

    def _hear(self, seconds: float | None) -> None:
        """Take in what the nursery says within so many seconds."""
        if not self._nursery.ours:
            self._code = -signal.SIGKILL  # it is the business of the process that this one was forked from
            return
        waiting = select.poll()
        waiting.register(self._life, select.POLLIN)
        waiting.poll(None if seconds is None else 1000.0 * seconds)
        with self._lock, suppress(BlockingIOError):  # another thread has heard it
            try:
                said = self._life.recv(_MESSAGE_LIMIT, socket.MSG_DONTWAIT)
            except ConnectionError:
                said = b""
            if self._code is not None:
                return
            told = json.loads(said) if said else {"code": self._lost(), "peak": 0}
            self._pid = told.get("pid", self._pid)
            self._code = told.get("code")
            NURSERIES.peak_bytes = max(NURSERIES.peak_bytes, told.get("peak", 0))

    def _lost(self) -> int:
        """The exit code where the nursery has died, with which the system kills the worker."""
        code = -signal.SIGKILL
        with suppress(subprocess.TimeoutExpired):
            code = self._nursery.process.wait(COLLECTS_SECONDS)
        # Of the worker nobody will tell any more; its answers are at their end when it is.
        waiting = select.poll()
        assert self.stdout is not None
        with suppress(ValueError):  # closed already
            waiting.register(self.stdout, 0)
            waiting.poll(1000.0 * COLLECTS_SECONDS)
        return code if self._pid is None and code > 0 else -signal.SIGKILL
