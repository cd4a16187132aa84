"""Whether the address where ranks of several hosts meet can be reached: asked first, for a sentence and not a trace."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from lanewise.errors import UnreachableError

SECONDS = 4.0
"""How long to try an address that does not answer, or a name that nobody knows."""

PAUSE = 0.2

ANSWERED_SECONDS = 8.0
"""How long what listens there may take for a first answer: a launcher takes milliseconds."""


def reach(host: str, port: int, *, rank: int, patience: float) -> None:
    """Return once ``host`` takes connections at ``port``.

    A host that is there but does not listen yet is waited for ``patience`` seconds, one that does not answer for
    :data:`SECONDS`.

    Raises ``UnreachableError`` with the address and the reason.
    """
    started = time.monotonic()
    while True:
        try:
            with socket.create_connection((host, port), timeout=SECONDS):
                return
        except ConnectionRefusedError as error:
            allowed, why = patience, error
        except OSError as error:
            allowed, why = min(SECONDS, patience), error
        waited = time.monotonic() - started
        if waited + PAUSE > allowed:
            message = (
                f"rank {rank} cannot reach {host} port {port}, where ranks meet ({why.strerror or why}, tried for "
                f"{waited:.0f} s); give torchrun an address of the first host that all hosts reach"
            )
            raise UnreachableError(message) from None
        time.sleep(PAUSE)


def answered(make: Callable[[], Any], host: str, port: int, *, rank: int, patience: float) -> Any:
    """What ``make`` has made of what listens at ``port`` of ``host``.

    It runs in a thread: of a listener that says nothing torch waits for ever, whatever its timeout.

    Raises ``UnreachableError`` where it fails, or takes more than ``patience`` seconds.
    """
    found: list[Any] = []
    why: list[str] = []

    def run() -> None:
        try:
            found.append(make())
        except RuntimeError as error:
            why.append(" ".join(str(error).split())[:100])

    thread = threading.Thread(target=run, name="meeting", daemon=True)
    thread.start()
    thread.join(patience)
    if found:
        return found[0]
    message = (
        f"rank {rank} reached {host} port {port}, and what listens there is no place where ranks meet "
        f"({why[0] if why else f'no answer for {patience:.0f} s'}); give torchrun a port that nothing else uses"
    )
    raise UnreachableError(message)
