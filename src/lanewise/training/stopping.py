"""Ctrl-C and SIGTERM: the first asks to stop, and is heard within seconds wherever the program is."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import final

from lanewise.errors import Interrupted

STOPPING = "stopping: what is trained so far is saved; Ctrl-C again stops at once"


@final
class Stop:
    """Whether somebody has asked to stop; calling it answers.

    While teams train they ask again and again (:meth:`polled`), so that they can save first. Anywhere else
    nothing unsaved is worth keeping, and the request itself raises ``Interrupted`` there. A second Ctrl-C
    raises ``KeyboardInterrupt`` at once; a second SIGTERM does nothing, for supervisors send several. The first is
    answered at once by ``tell``, for a step may last seconds.

    >>> stop = Stop()
    >>> stop()
    False
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._asked = threading.Event()
        self._held = False

    def __call__(self) -> bool:
        return self._asked.is_set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block a request is only noted, for what must not be torn apart."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    @contextmanager
    def polled(self) -> Iterator[None]:
        """Within the block somebody asks; a request that nobody acted on is raised when it ends."""
        with self.held():
            yield
        self.raise_if_asked()

    def raise_if_asked(self) -> None:
        if self._asked.is_set():
            message = "stopped on request"
            raise Interrupted(message)

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal."""
        if self._asked.is_set():
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self._asked.set()
        if self._tell is not None:
            with suppress(RuntimeError, OSError, ValueError):  # amid a print to the same stream, or nobody reads it
                self._tell(STOPPING)
        if not self._held:
            self.raise_if_asked()


@contextmanager
def stop_on_signals(tell: Callable[[str], None] | None = None) -> Iterator[Stop]:
    """Handle Ctrl-C and SIGTERM in the block; outside the main thread, where no signal arrives, do nothing."""
    stop = Stop(tell)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
