"""One worker process as its parent sees it: started, asked, found dead, started again."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol, final

from lanewise.errors import TrainingError
from lanewise.training.workers.frames import Arrays, FrameError, Header, read_frame, write_frame
from lanewise.training.workers.kinds import WorkerKind
from lanewise.training.workers.nurseries import CAN_FORK, environment_of, fork_worker

LETS_GO_SECONDS = 0.5
"""How long the end of a worker waits for a thread to let go of it, once the process is gone."""

_LAST_WORDS = 4096


class WorkerDiedError(Exception):
    """The process ended before it answered; the message says how."""


def nobody(text: str) -> None:
    """Who hears what is told where nobody asks for it."""
    del text


def again(what: str, died: WorkerDiedError) -> str:
    """That a worker, called ``what``, is replaced.

    >>> again("the trees' worker", WorkerDiedError("by SIGKILL"))
    "the trees' worker was ended by SIGKILL; what it trained is trained again, to the same bits"
    """
    return f"{what} was ended {died}; what it trained is trained again, to the same bits"


def counted_again(told: Sequence[str]) -> list[str]:
    """What was told of workers that were replaced, each sentence once.

    >>> counted_again(["a worker was ended", "a worker was ended", "another was ended"])
    ['2 times a worker was ended', 'another was ended']
    """
    return [f"{times} times {text}" if times > 1 else text for text, times in Counter(told).items()]


class Child(Protocol):
    """A process that was started, as ``subprocess.Popen`` shows it."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


@final
class WorkerProcess:
    """A worker process, whose first request is ``greeting``.

    ``launch`` starts it; None: as ``python -m MODULE FOLDER``, where that can be by a fork of a process that has loaded
    what its ``kind`` needs. ``tell`` hears of one that is found dead before it is asked.

    Whoever calls ``ask`` holds ``lock``. ``starts`` counts how often it was started, ``known`` names what the
    running one was told to keep. Open ``files`` of this process are those of the worker too, by the same numbers.
    """

    def __init__(
        self,
        index: int,
        folder: Path,
        greeting: Header,
        *,
        kind: WorkerKind,
        launch: Callable[[], Child] | None = None,
        files: Sequence[int] = (),
        tell: Callable[[str], object] = nobody,
    ) -> None:
        self.index = index
        self.lock = threading.Lock()
        self.starts = 0
        self.known: set[str] = set()
        self._folder = folder
        self._greeting = greeting
        self._kind, self._what, self._files = kind, kind.what, tuple(files)
        self._greeted = False
        self._launch = launch or self._started
        self._tell = tell
        self._process: Child | None = None
        # Starting and stopping exclude each other, so that none is started after the end.
        self._life = threading.Lock()
        self._stopped = False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process without waiting until it is ready."""
        with self._life:
            if self._stopped:
                message = f"{self._what} was ended while a lane still waited for one"
                raise TrainingError(message)
            self._process = self._launch()
        self.starts += 1
        self.known = set()
        self._greeted = False

    def _started(self) -> Child:
        with self._log.open("wb") as log:
            if CAN_FORK:
                return fork_worker(self._kind, self._folder, log=log, files=self._files)
            return subprocess.Popen(
                # -P: a file called numpy.py in the user's folder must not be imported.
                [sys.executable, "-P", "-m", self._kind.module, str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment_of(self._kind),
                pass_fds=self._files,
            )

    def ensure_started(self) -> None:
        """A running process that has answered the greeting."""
        if not self.alive:
            served, how = self._greeted, self._discard()
            if served:  # one that died while it was asked was told by whoever had asked
                self._tell(again(self._what, WorkerDiedError(how)))
            self.start()
        if not self._greeted:
            answer, _ = self.ask(self._greeting)
            if "error" in answer:
                message = f"{self._what} could not start: {answer['error']}"
                raise TrainingError(message)
            self._greeted = True

    def ask(self, header: Header, arrays: Arrays | None = None) -> tuple[Header, Arrays]:
        """Send a request and wait for its answer.

        Raises ``WorkerDiedError`` where the process ends first. On any interruption it is killed, for its
        answer would otherwise be taken for that of the next request.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write_frame(self._process.stdin, header, arrays)
            return read_frame(self._process.stdout)
        except (EOFError, OSError, ValueError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5.0)  # its pipe closes a moment before it has an exit code
            raise WorkerDiedError(self._discard()) from error
        except FrameError as error:
            self._discard()
            message = f"{self._what} broke the protocol: {error}"
            raise TrainingError(message) from error
        except BaseException:
            self._discard()
            raise

    def stop(self) -> None:
        """End the process for good; a thread that waits for its answer gets ``WorkerDiedError``."""
        with self._life:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
        # A thread that was waiting lets go of the pipes now that they are at their end; one that was interrupted with
        # the worker in hand never does.
        if self.lock.acquire(timeout=LETS_GO_SECONDS):
            try:
                self._close_pipes()
            finally:
                self.lock.release()

    def _discard(self) -> str:
        """Make sure that the process is gone; how it ended, in words."""
        self._greeted = False
        if self._process is None:
            return "it never ran"
        self._process.kill()  # does nothing to one that has ended by itself
        code = self._process.wait()
        self._close_pipes()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"by {signal.Signals(-code).name}"
        return f"with exit code {code}" + self._last_line()

    def _close_pipes(self) -> None:
        process = self._process
        for stream in (process.stdin, process.stdout) if process is not None else ():
            with contextlib.suppress(OSError):
                _close(stream)

    def _last_line(self) -> str:
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _LAST_WORDS))
            lines = log.read().decode(errors="replace").split("\n")
            said = [line.strip() for line in lines if line.strip()]
            return f" ({said[-1]})" if said else ""
        return ""

    @property
    def _log(self) -> Path:
        return self._folder / f"{self._kind.module.rpartition('.')[2]}-{self.index}.log"


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()
