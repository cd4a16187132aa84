"""How processes that a launcher started become the ranks of one run, and how they part."""

import atexit
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from lanewise.distributed.board import GO_ON, Board
from lanewise.distributed.groups import check_backend
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.place import HEARD_SECONDS, Place, place_of, speaks
from lanewise.distributed.ranks import Lone, Ranks, never
from lanewise.distributed.stores import MEETING_SECONDS, private_folder, store_of
from lanewise.errors import LanewiseError, TrainingError, UnreachableError

if TYPE_CHECKING:
    from lanewise.distributed.data_axis import DataAxis

HERE = "here/"
"""How the keys begin by which ranks say that they have come."""


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
    if _Joined.meetings:
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
        # Ctrl-C ends the telling and the waiting; what is raised stays what it failed with.
        with suppress(LanewiseError, KeyboardInterrupt):
            ranks.fail(told)
        with suppress(KeyboardInterrupt):
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

    meetings: ClassVar[int] = 0
    """How often this process has joined others: all do so as often, and each time they meet in a place of its own."""

    def __init__(self, place: Place, *, lasts: bool = False, device: str = "cpu") -> None:
        import torch

        dist: Any = importlib.import_module("torch.distributed")
        check_backend("cpu")
        self.place = place
        self._torch, self._dist = torch, dist
        number = _Joined.meetings
        _Joined.meetings += 1
        self._folder = private_folder(place, number) if place.one_host else None
        timeout = timedelta(seconds=MEETING_SECONDS)
        makes = not dist.is_initialized()
        self._owns, self._lasts = makes and not lasts, lasts
        store: Any = None
        try:
            store = dist.PrefixStore(f"{number}", store_of(place, self._folder))
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
        with suppress(KeyboardInterrupt):
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
