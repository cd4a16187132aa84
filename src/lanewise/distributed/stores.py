"""Where the processes of a job meet: a file within one host, an address over several."""

import importlib
import os
import socket
import stat
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lanewise.distributed.place import Place, launcher
from lanewise.distributed.reaching import ANSWERED_SECONDS, answered, reach
from lanewise.errors import UsageError

MEETING_SECONDS = 60.0
"""How long processes wait for each other to start, and for bytes that are on their way: all are there by then."""

SERVED_SECONDS = 4.0
"""How long to look for a launcher that listens before it starts any process."""

STORE_SECONDS = 10.0
"""How long to look for a file through which ranks meet before it counts as removed."""

LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def store_of(place: Place, folder: Path | None) -> Any:
    """Where the processes meet: a file within one host, which opens no port; over hosts what the launcher serves."""
    if folder is not None:
        dist: Any = importlib.import_module("torch.distributed")
        interface = LOOPBACK.get(sys.platform)
        if interface is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        store = dist.FileStore(str(folder / "store"))
        store.set_timeout(timedelta(seconds=STORE_SECONDS))
        return store
    return store_over_hosts(place)


@cache
def store_over_hosts(place: Place) -> Any:
    """One for all meetings of this process: an address can be listened at once."""
    dist: Any = importlib.import_module("torch.distributed")
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        message = f"{' and '.join(missing)} must be set where ranks are on several hosts; torchrun sets them"
        raise UsageError(message)
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    port = _port()
    if served or not place.leads:  # else this process is the one that is to listen there
        patience = SERVED_SECONDS if served else MEETING_SECONDS
        reach(os.environ["MASTER_ADDR"], port, rank=place.rank, patience=patience)
    if place.rank == 0 and not served:
        store = _tcp_store(place, port, seconds=MEETING_SECONDS, listens=True)
    else:
        make = partial(_tcp_store, place, port, seconds=ANSWERED_SECONDS / 2, listens=False)
        store = answered(make, os.environ["MASTER_ADDR"], port, rank=place.rank, patience=ANSWERED_SECONDS)
        store.set_timeout(timedelta(seconds=MEETING_SECONDS))
    # What a launcher serves outlives its ranks; restarts are counted by each launcher for itself, and one that joined
    # later has counted fewer, so that ranks with a store of their own must not go by it.
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if served else "0"
    return dist.PrefixStore(f"lanewise-{start}", store)


def _tcp_store(place: Place, port: int, *, seconds: float, listens: bool) -> Any:
    dist: Any = importlib.import_module("torch.distributed")
    return dist.TCPStore(
        host_name=os.environ["MASTER_ADDR"],
        port=port,
        world_size=place.size,
        is_master=listens,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,
        master_listen_fd=_bound(os.environ["MASTER_ADDR"], port) if listens else None,
    )


def _bound(host: str, port: int) -> int | None:
    """A socket that listens at this address alone, where a store left to itself would listen at every one.

    None where the address is none of this host's own, as behind a translation of addresses, or only this host takes
    that name for loopback: then the store is left to itself.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if ip_address(address[0]).is_loopback and host not in ("localhost", address[0]):
            return None
        bound = socket.socket(family, kind, protocol)
    except OSError:
        return None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError:
        bound.close()
        return None
    return bound.detach()


def _port() -> int:
    text = os.environ["MASTER_PORT"]
    if not (text.isdecimal() and 0 < int(text[:6]) < 2**16):
        message = f"MASTER_PORT must be from 1 to 65535, got {text!r}; start all processes with torchrun, which sets it"
        raise UsageError(message)
    return int(text)


def private_folder(place: Place, meeting: int) -> Path:
    """A folder that all processes of one launch name alike at the same meeting, and nobody else may enter."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    port = os.environ.get("MASTER_PORT", "0")
    folder = Path(tempfile.gettempdir()) / f"lanewise-ranks-{user}-{launcher()}-{port}-{start}-{meeting}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{folder} is not a folder of this user alone, so ranks cannot meet in it; remove it, or set TMPDIR"
        raise UsageError(message)
    return folder
