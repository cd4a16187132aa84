"""Processes forked from this one. They know its objects from their start, a user's own functions among them."""

import multiprocessing
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import IO, BinaryIO, NoReturn, final

import torch

Work = Callable[[BinaryIO, BinaryIO], NoReturn]
"""What a forked process does, given the streams of its requests and of its answers."""


def can_fork() -> bool:
    """Whether this process may be forked and its children train.

    Elsewhere than on Linux system libraries do not survive it. Where there is an accelerator, autograd has threads for
    it, which a fork leaves behind; torch then refuses to go backward in the child. JAX, where it is loaded, has
    threads that hold locks, which a fork may take along.
    """
    return sys.platform == "linux" and not torch.accelerator.is_available() and "jax" not in sys.modules


@final
class ForkedChild:
    """A forked process that does ``work``, with the face of ``subprocess.Popen``.

    Other threads of this process do not go along, nor what they hold: none of them may be within torch meanwhile.
    """

    def __init__(self, work: Work) -> None:
        asked, self._requests = os.pipe()
        self._answers, answered = os.pipe()
        forking = multiprocessing.get_context("fork")
        process = forking.Process(target=self._run, args=(work, asked, answered), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12, of other threads: see above
            process.start()
        self._process = process
        os.close(asked)
        os.close(answered)
        self.stdin: IO[bytes] | None = os.fdopen(self._requests, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(self._answers, "rb")

    def _run(self, work: Work, asked: int, answered: int) -> None:
        os.close(self._requests)
        os.close(self._answers)
        work(os.fdopen(asked, "rb"), os.fdopen(answered, "wb"))

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative the number of a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises ``subprocess.TimeoutExpired``."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            command = "a forked process"
            raise subprocess.TimeoutExpired(command, timeout or 0.0)
        return code

    def kill(self) -> None:
        """End it at once; nothing, where it has ended."""
        self._process.kill()
