"""The process that workers are forked from: ``python -P -m lanewise.training.workers.nursery MODULE PARENT SOCKET``.

It imports MODULE once, which each worker would otherwise do for itself, has one thread, and answers for its workers:
it ends them when it is told to, when whoever asked for them is gone, and when its parent is, and it says how each
ended. When it is killed, the system ends them. It is asked over SOCKET, by JSON objects that open files come with:

======== ============================================= =============================================
request  what it holds                                 answer
======== ============================================= =============================================
load     ``loads``: parts that MODULE is to load. It   ``loaded``, over SOCKET
         waits until what comes with it is at its end,
         but for the last, which it closes then
fork     ``loads``; ``folder``; ``set`` and ``unset``  ``pid``, and at its end ``code`` and ``peak``
         of the environment; ``files``: the numbers    (bytes of memory), over the worker's socket; it
         of what comes after ``CARRIED``               is to end when anything comes from there
======== ============================================= =============================================

MODULE has ``load(part)``, and ``main(folder)``, which does all that a worker does. A worker is a new interpreter, as it
would be without all this, where MODULE could not be imported, so that it says why, and where a library has begun
threads, which a fork leaves behind with what they hold. Those whose names begin as ``IDLE_THREADS`` no worker misses.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, final

from lanewise.training.workers.folder import remove_left

CARRIED = ("life", "cwd", "stdin", "stdout", "log")
"""The open files that come with a request to fork: the worker's socket, its working directory, and its streams."""

MESSAGE_LIMIT = 1 << 20

FILES_LIMIT = 250
"""Open files in a message; the system takes three more."""

IDLE_SECONDS = 120.0
"""How long it stays without a worker."""

LOOKS_SECONDS = 1.0
"""How often it looks whether its parent lives, which it does not hear of while another process has its socket too."""

_PR_SET_PDEATHSIG = 1


@dataclass(kw_only=True, eq=False)
class _Worker:
    pid: int
    life: socket.socket
    # The end to read of a pipe that the worker holds: it is at its end when the worker is.
    runs: int


@final
class _Nursery:
    """The workers that were forked, and what is heard of them."""

    def __init__(self, module: str, parent: int, requests: socket.socket) -> None:
        self._module, self._parent, self._requests = module, parent, requests
        self._home: ModuleType | None = None
        self._tried: set[str] = set()
        self._workers: list[_Worker] = []
        self._folders: set[Path] = set()
        self._retired = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def serve(self) -> NoReturn:
        """Fork workers and look after them until the parent is gone, or for long nothing was asked."""
        since = time.monotonic()
        while True:
            for key, _ in self._selector.select(LOOKS_SECONDS):
                worker: _Worker | None = key.data
                if worker is None:
                    self._answer()
                elif worker in self._workers:  # else it has just been collected, and its number may be another's
                    self._look_after(worker, ended=key.fd == worker.runs)
            if os.getppid() != self._parent:
                self._leave()
            if self._retired and not self._workers:
                os._exit(0)
            if self._workers:
                since = time.monotonic()
            elif time.monotonic() - since > IDLE_SECONDS:
                self._retire()

    def _answer(self) -> None:
        """Do what the next request asks."""
        text, descriptors = b"", []
        with suppress(ConnectionError):
            text, descriptors, _, _ = socket.recv_fds(self._requests, MESSAGE_LIMIT, FILES_LIMIT)
        if not text:
            self._leave()
        asked = json.loads(text)
        if "folder" in asked:
            self._load(asked["loads"])
            self._fork(asked, descriptors)
            return
        for turn in descriptors[:-1]:
            os.read(turn, 1)
        if os.getppid() == self._parent:
            self._load(asked["loads"])
        _close(descriptors)
        _tell(self._requests, {"loaded": True})

    def _load(self, parts: Sequence[str]) -> None:
        """Load the module and parts of what it needs that are not loaded yet."""
        new = {self._module, *parts} - self._tried
        if new:
            self._tried |= new
            gc.disable()
            # A worker that needs what cannot be loaded will say why.
            with suppress(Exception):
                self._home = import_module(self._module)
                for part in parts:
                    self._home.load(part)
            gc.freeze()  # it is there to stay: what no search for garbage looks at is not copied by one
            gc.enable()

    def _fork(self, asked: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        life = socket.socket(fileno=descriptors[0])
        if _is_over(life):
            _close([life.detach(), *descriptors[1:]])
            return
        runs, held = os.pipe()
        nursery, home = os.getpid(), self._home
        safe = home is not None and all(name.startswith(home.IDLE_THREADS) for name in _threads())
        try:
            pid = os.fork()
        except OSError as error:
            os.write(descriptors[CARRIED.index("log")], f"{type(error).__name__}: {error}\n".encode())
            _tell(life, {"code": 1, "peak": 0})
            _close([life.detach(), runs, held, *descriptors[1:]])
            return
        if pid == 0:
            with _last_words():
                end_with(nursery)
                self._become(asked, descriptors[1:], held=held, own=[life.detach(), runs])
                self._work(asked["folder"], safe=safe)
        _close([held, *descriptors[1:]])
        worker = _Worker(pid=pid, life=life, runs=runs)
        self._workers.append(worker)
        self._folders.add(Path(asked["folder"]))
        self._selector.register(life, selectors.EVENT_READ, worker)
        self._selector.register(runs, selectors.EVENT_READ, worker)
        _tell(life, {"pid": pid})

    def _become(self, asked: Mapping[str, Any], descriptors: Sequence[int], *, held: int, own: Sequence[int]) -> None:
        """Take the worker's files, and let go of those of the nursery."""
        self._selector.close()
        others = [number for worker in self._workers for number in (worker.life.detach(), worker.runs)]
        _close([self._requests.detach(), *own, *others])
        cwd, *files = descriptors
        os.fchdir(cwd)
        os.close(cwd)
        place(files, [0, 1, 2, *asked["files"]], keeps=held)
        for name in asked["unset"]:
            os.environ.pop(name, None)
        os.environ.update(asked["set"])

    def _work(self, folder: str, *, safe: bool) -> None:
        """Do what a worker does: in this process, unless a fork was not safe."""
        if not safe:
            os.execv(sys.executable, [sys.executable, "-P", "-m", self._module, folder])
        assert self._home is not None
        self._home.main(Path(folder))

    def _look_after(self, worker: _Worker, *, ended: bool) -> None:
        """Collect a worker that has ended; end one that is to."""
        if not ended:
            os.kill(worker.pid, signal.SIGKILL)
            self._selector.unregister(worker.life)
            return
        _, status, used = os.wait4(worker.pid, 0)
        self._workers.remove(worker)
        _tell(worker.life, {"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss * 1024})
        with suppress(KeyError):
            self._selector.unregister(worker.life)
        self._selector.unregister(worker.runs)
        _close([worker.life.detach(), worker.runs])

    def _retire(self) -> None:
        """Take no more requests, and leave once what was asked meanwhile is done."""
        self._requests.shutdown(socket.SHUT_RD)  # who asks from now on learns that nobody is here
        self._selector.unregister(self._requests)
        while self._requests.recv(1, socket.MSG_PEEK):
            self._answer()
        self._retired = True

    def _leave(self) -> NoReturn:
        """End, with all workers, for the parent is gone. It may not have been able to remove their folders."""
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGKILL)
        for worker in self._workers:
            os.waitpid(worker.pid, 0)
        for folder in self._folders:
            remove_left(folder)
        os._exit(0)


@contextmanager
def _last_words() -> Iterator[None]:
    """End the process with the block; what goes wrong in it is said on the standard error, as of any program."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(1)


def _is_over(life: socket.socket) -> bool:
    """Whether the worker is wanted no more, before there is one."""
    try:
        life.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


def _tell(life: socket.socket, said: Mapping[str, Any]) -> None:
    with suppress(OSError):  # nobody listens any more
        life.send(json.dumps(said).encode())


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def place(files: Sequence[int], numbers: Sequence[int], *, keeps: int) -> None:
    """Let open files have these numbers, whatever had them; ``keeps``, or a copy of it, stays open under another."""

    def elsewhere(descriptor: int) -> int:
        while descriptor in numbers:
            descriptor = os.dup(descriptor)
        return descriptor

    moved = [elsewhere(file) for file in files]
    os.set_inheritable(elsewhere(keeps), True)  # noqa: FBT003  it takes no names
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
    _close(moved)


def end_with(parent: int) -> None:
    """Have the system kill this process when ``parent`` ends, which has forked it from its only thread."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        os._exit(1)


def _threads() -> list[str]:
    """The names of the threads that libraries have begun; one without a name, where the system does not tell."""
    try:
        tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
        return [(task / "comm").read_text(errors="replace").strip() for task in tasks]
    except OSError:
        return [""]


def main() -> NoReturn:
    """Serve the parent that has started this process."""
    for number in (signal.SIGINT, signal.SIGTERM):  # to a whole group: the parent's business; it ends us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where a parent ignores it nobody could be waited for
    module, parent, requests = sys.argv[1:]
    _Nursery(module, int(parent), socket.socket(fileno=int(requests))).serve()


if __name__ == "__main__":
    main()
