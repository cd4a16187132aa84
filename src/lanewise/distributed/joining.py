"""How processes that a launcher started become the ranks of one run, and how they part."""

import atexit
import importlib
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lanewise.distributed.board import GO_ON, Board
from lanewise.distributed.groups import check_backend
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.place import HEARD_SECONDS, Place, launcher, place_of, speaks
from lanewise.distributed.ranks import Lone, Ranks, never
from lanewise.distributed.reaching import ANSWERED_SECONDS, answered, reach
from lanewise.errors import LanewiseError, TrainingError, UnreachableError, UsageError

if TYPE_CHECKING:
    from lanewise.distributed.data_axis import DataAxis

MEETING_SECONDS = 60.0
"""How long processes wait for each other to start, and for bytes that are on their way: all are there by then."""

SERVED_SECONDS = 4.0
"""How long to look for a launcher that listens before it starts any process."""

STORE_SECONDS = 10.0
"""How long to look for a file through which ranks meet before it counts as removed."""

HERE = "here/"
"""How the keys begin by which ranks say that they have come."""

LOOPBACK = {"linux": "lo", "darwin": "lo0"}

_MEETINGS: list[Place] = []
"""How often this process has joined others: all of them do so as often, and each time they meet in a place of its own.
"""


@contextmanager
def joined(place: Place | None = None) -> Iterator[Ranks]:
    """The ranks of this run within the block; one alone where no launcher started several.

    What the block raises on one rank ends it on all: each raises the same, with the rank that it came from.

    Raises ``UsageError`` where the processes cannot meet, or PyTorch was built without what moves their bytes.
    """
    place = place or place_of()
    if place.size == 1:
        yield Lone(place)
        return
    sys.excepthook = _one_line
    with _closed(_Joined(place)) as ranks:
        yield ranks


@contextmanager
def joined_for_good(*, device: str = "cpu") -> Iterator[Ranks]:
    """As :func:`joined`, but the process group stays until the process ends: what was trained may need it.

    ``device`` is where tensors lie that the group is to move, beside the processor. Where the user's program has made
    a process group, that one serves.
    """
    place = place_of()
    if place.size == 1:
        yield Lone(place)
        return
    sys.excepthook = _one_line
    with _closed(_Joined(place, lasts=True, device=device)) as ranks:
        yield ranks


def tell_others(error: LanewiseError) -> None:
    """Tell ranks that wait for this one what it failed with before it met them; they end with it, and rank 0 says it.

    Nothing happens where it has met them: they know.
    """
    if _MEETINGS:
        return
    with suppress(LanewiseError), _closed(_Joined(place_of())):
        raise error


@contextmanager
def _closed(ranks: "_Joined") -> Iterator[Ranks]:
    """The ranks; at the end they part, of an error the others are told first."""
    try:
        yield ranks
    except BaseException as error:
        told = ranks.named(error) if lost_a_rank(error) else error
        with suppress(LanewiseError):
            ranks.fail(told)
        ranks.close(patience=3.0)
        if told is error:
            raise
        raise told from error
    ranks.close(patience=MEETING_SECONDS)


def lost_a_rank(error: BaseException) -> bool:
    """Whether torch raised this because another rank did not answer, wherever it was called.

    >>> lost_a_rank(RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:129] Timed out waiting 5000ms"))
    True
    >>> lost_a_rank(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "c10d"))


@final
class _Joined(Ranks):
    """Ranks over a process group on the processors: what they tell each other lies in memory, whatever trains."""

    def __init__(self, place: Place, *, lasts: bool = False, device: str = "cpu") -> None:
        import torch

        dist: Any = importlib.import_module("torch.distributed")
        check_backend("cpu")
        self.place = place
        self._torch, self._dist = torch, dist
        number = len(_MEETINGS)
        _MEETINGS.append(place)
        self._folder = _private_folder(place, number) if place.one_host else None
        timeout = timedelta(seconds=MEETING_SECONDS)
        makes = not dist.is_initialized()
        self._owns, self._lasts = makes and not lasts, lasts
        store: Any = None
        try:
            store = dist.PrefixStore(f"{number}", _store(place, self._folder))
            store.set(f"{HERE}{place.rank}", "")
            if makes:
                named = dist.PrefixStore("group", store)
                backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
                patience = timedelta(seconds=place.timeout) if lasts else timeout
                dist.init_process_group(backend, store=named, rank=place.rank, world_size=place.size, timeout=patience)
            if lasts:
                atexit.register(_end, dist if makes else None, self._folder if place.leads else None)
            self._group = dist.group.WORLD if self._owns else dist.new_group(backend="gloo", timeout=timeout)
            # A rank that is refused at once would be gone while others still connect to it; they would blame the link.
            dist.all_reduce(self._torch.zeros(1), group=self._group)
        except LanewiseError:
            raise
        except (RuntimeError, ValueError) as error:
            message = (
                f"rank {place.rank} of {place.size} could not meet the others{absent(store, place.size)} "
                f"({' '.join(str(error).split())[:200]}); "
                "start all of them with torchrun, with an address that each host reaches"
            )
            raise UnreachableError(message) from error
        self._board = Board(
            dist.PrefixStore("board", store),
            rank=place.rank,
            size=place.size,
            timeout=place.timeout,
            lost=_left_alone,
            folder=self._folder,
        )

    def meet(self, *, stop: Callable[[], bool] = never) -> None:
        self._board.meet(stop)

    def gather(self, own: bytes, *, stop: Callable[[], bool] = never) -> list[bytes]:
        self.meet(stop=stop)
        sizes = [self._torch.zeros(1, dtype=self._torch.int64) for _ in range(self.size)]
        self._call(lambda: self._dist.all_gather(sizes, self._torch.tensor([len(own)]), group=self._group))
        return [self._sent(own, source, int(size)) for source, size in enumerate(sizes)]

    def broadcast(self, own: bytes = b"", *, source: int = 0, stop: Callable[[], bool] = never) -> bytes:
        self.meet(stop=stop)
        size = self._torch.tensor([len(own)])
        self._call(lambda: self._dist.broadcast(size, group=self._group, group_src=source))
        return self._sent(own, source, int(size))

    def data_axis(self, mesh: Mesh, *, payload: str | None = None) -> "DataAxis | None":
        if mesh.data == 1:
            return None
        from lanewise.distributed.data_axis import DataAxis
        from lanewise.distributed.summing import begun_sum

        dist, timeout = self._dist, timedelta(seconds=self.place.timeout)
        groups = {
            members: dist.new_group(list(members), backend="gloo", timeout=timeout) for members in mesh.groups("data")
        }
        members = mesh.group("data", rank=self.rank)
        group = groups[members]
        return DataAxis(
            place=members.index(self.rank),
            size=len(members),
            sums=partial(begun_sum, group=group, size=len(members), call=self._call),
            sends=lambda own: self._sent_along(group, own, leads=self.rank == members[0]),
            payload=None if payload is None else getattr(self._torch, payload),
        )

    def halted(self) -> bool:
        return self._board.halted()

    def alive(self) -> None:
        self._board.alive()

    def busy(self, *, at_work: bool) -> None:
        self._board.busy(at_work=at_work)

    def fail(self, error: BaseException) -> None:
        self._board.fail(error)

    def named(self, error: BaseException) -> LanewiseError:
        """Which rank it was that did not answer, where somebody has noticed."""
        return self._board.awaited() or self._lost(error)

    def _lost(self, error: BaseException) -> TrainingError:
        why = " ".join(str(error).split())[:200]
        return TrainingError(f"a rank was lost ({why}); {GO_ON}")

    def raise_if_halted(self) -> None:
        self._board.raise_if_halted()

    def close(self, *, patience: float) -> None:
        """Part: wait a little for the others, and leave nothing behind."""
        with suppress(LanewiseError):
            self._board.leave(patience=patience)
        if self._owns:
            with suppress(RuntimeError):
                self._dist.destroy_process_group()
        if not self._lasts and self._folder is not None and self.leads:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _sent(self, own: bytes, source: int, size: int) -> bytes:
        if not size:
            return b""
        data = bytearray(own) if self.rank == source else bytearray(size)
        buffer = self._torch.frombuffer(data, dtype=self._torch.uint8)
        self._call(lambda: self._dist.broadcast(buffer, group=self._group, group_src=source))
        return bytes(data)

    def _sent_along(self, group: Any, own: bytes, *, leads: bool) -> bytes:
        """What the first rank of ``group`` has."""
        size = self._torch.tensor([len(own)])
        self._call(lambda: self._dist.broadcast(size, group=group, group_src=0))
        if not int(size):
            return b""
        data = bytearray(own) if leads else bytearray(int(size))
        buffer = self._torch.frombuffer(data, dtype=self._torch.uint8)
        self._call(lambda: self._dist.broadcast(buffer, group=group, group_src=0))
        return bytes(data)

    def _call(self, collective: Callable[[], Any]) -> None:
        """All ranks are there: a collective that fails has lost one of them on the way."""
        try:
            collective()
        except RuntimeError as error:
            self.raise_if_halted()
            raise self._lost(error) from error


def absent(store: Any, size: int) -> str:
    """Which of ``size`` ranks have not come, to be said behind what went wrong; "" where all have, or nobody knows.

    >>> class Store:
    ...     def check(self, keys):
    ...         return keys[0] in ("here/0", "here/2")
    >>> absent(Store(), 4)
    ': rank 1 and 1 more did not come'
    """
    missing: list[int] = []
    with suppress(RuntimeError, AttributeError):
        missing = [rank for rank in range(size) if not store.check([f"{HERE}{rank}"])]
    if not missing:
        return ""
    return f": rank {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''} did not come"


def _one_line(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """What nobody caught ends every rank with its exit code, and rank 0 says it in one line."""
    if not isinstance(error, LanewiseError):
        sys.__excepthook__(kind, error, trace)
        return
    if speaks(error):
        # torch's own hook, which calls this one, holds back what is written to sys.stderr until this one returns.
        print(f"lanewise: {error}", file=sys.__stderr__, flush=True)
    else:
        time.sleep(HEARD_SECONDS)
    sys.stdout.flush()
    atexit._run_exitfuncs()  # an exit code can only be had by leaving here
    os._exit(error.exit_code)


def _end(dist: Any, folder: Path | None) -> None:
    """The process ends: part from a group that lasted until then."""
    if dist is not None and dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _left_alone(error: LanewiseError) -> None:
    """End this process, whose main thread does not hear that the run is over: in a product, a read, a collective."""
    if speaks(error):
        print(f"lanewise: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


def _store(place: Place, folder: Path | None) -> Any:
    """Where the processes meet: a file within one host, which opens no port; over hosts what the launcher serves."""
    if folder is not None:
        dist: Any = importlib.import_module("torch.distributed")
        interface = LOOPBACK.get(sys.platform)
        if interface is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        store = dist.FileStore(str(folder / "store"))
        store.set_timeout(timedelta(seconds=STORE_SECONDS))
        return store
    return _store_over_hosts(place)


@cache
def _store_over_hosts(place: Place) -> Any:
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


def _private_folder(place: Place, meeting: int) -> Path:
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
