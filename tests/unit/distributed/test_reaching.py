"""Where ranks of several hosts are to meet something else listens: told soon, and never waited for without an end."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lanewise.distributed import stores
from lanewise.distributed.place import Place
from lanewise.errors import UnreachableError


@pytest.fixture
def listener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a listener that says what the test is given to everybody, and nothing where that is empty."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                taken.append(one)
                with suppress(OSError):  # it has gone
                    one.sendall(request.param)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
        monkeypatch.setattr(stores, "ANSWERED_SECONDS", 1.0)
        yield port
        server.shutdown(socket.SHUT_RDWR)  # which ends the accept
        thread.join()
        for one in taken:
            one.close()


@pytest.mark.parametrize(
    ("listener", "why"), [(b"", "no answer for 1 s"), (b"HTTP/1.0 400 Bad Request\r\n\r\n", "")], indirect=["listener"]
)
def test_what_is_no_meeting_place_is_told_soon(listener: int, why: str) -> None:
    place = Place(rank=1, size=2, local_rank=0, local_size=1, job=str(listener))
    said = f"rank 1 reached 127.0.0.1 port {listener}, and what listens there is no place where ranks meet \\({why}"
    with pytest.raises(UnreachableError, match=said):
        stores.store_over_hosts(place)
