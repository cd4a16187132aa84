"""A fork of a process that has loaded much, as a new interpreter would be: what ``warm_server.py`` makes of one."""

import atexit
import gc
import multiprocessing.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from lanewise.training.workers import nurseries, nursery


def run_as_main(variables: Mapping[str, str], act: Callable[[], object]) -> NoReturn:
    """Act as the main program of this process, which was forked, and end it as an interpreter."""
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # the environment may say another
    code = 0
    try:
        act()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def open_streams() -> None:
    """The standard streams of a fork whose files are others: what is known of them, and was read, does not hold."""
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


class Forked:
    """A child that was forked to act, with the face of ``subprocess.Popen``; several threads may ask for its end."""

    def __init__(self, act: Callable[[], NoReturn]) -> None:
        self.returncode: int | None = None
        self._lock = threading.Lock()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            act()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None:
                self.returncode = ended(self.pid)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def ended(process: int) -> int | None:
    """The exit code of a child, or None while it runs."""
    there, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if there else None


def fork_nurseries() -> None:
    """From now on what workers are forked from is a fork as well where this process has loaded their module.

    To load torch and Lanewise anew takes three seconds of a processor, for each process that has such workers.
    """
    nurseries.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": _nursery})


def _nursery(command: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int], **streams: Any) -> Any:
    *_, module, parent, requests = command
    if module not in sys.modules:
        return subprocess.Popen(command, env=env, pass_fds=pass_fds, **streams)

    def become() -> NoReturn:
        gc.freeze()  # what the parent has made is not to be cleaned up here
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.closerange(3, int(requests))
        os.closerange(int(requests) + 1, os.sysconf("SC_OPEN_MAX"))
        open_streams()
        sys.argv = [nursery.__file__, module, parent, requests]
        run_as_main(env, nursery.main)

    return Forked(become)
