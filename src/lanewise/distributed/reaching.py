"""Whether the address where ranks of several hosts meet can be reached: asked first, for a sentence and not a trace."""

import socket
import time

from lanewise.errors import UnreachableError

SECONDS = 4.0
"""How long to try an address that does not answer, or a name that nobody knows."""

PAUSE = 0.2


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
