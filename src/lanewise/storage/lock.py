"""A lock between processes that the operating system itself takes back when its owner dies."""

import json
import os
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, final

from lanewise.errors import UnavailableError
from lanewise.storage.filesystem import FILE_MODE, explained

if sys.platform == "win32":
    import msvcrt

    _BYTE = 1 << 30  # the locked byte: far from the owner's name, which others must be able to read

    def _take(descriptor: int, *, shared: bool = False) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _give_back(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _give_back(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


_BUSY = (BlockingIOError, PermissionError)  # POSIX and Windows words for "another process holds it"
_POLL = 0.02


@final
class FileLock:
    """A held lock on a file; leave the ``with`` block or call :meth:`release` to give it back.

    The file stays when the lock is given back: to remove it would let two processes lock two files of one name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        _HELD.add(self)

    @classmethod
    def acquire(cls, path: Path, *, what: str, patience: float = 1.0) -> Self:
        """Take the lock at ``path``, waiting at most ``patience`` seconds; ``what`` names it in the message.

        Raises:
            UnavailableError: another living process holds it; names its process id and host.
        """
        with explained("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
            try:
                _wait(descriptor, what=what, patience=patience)
                _sign(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor)

    @staticmethod
    def held(path: Path) -> bool | None:
        """Say whether a living process holds the lock; ``None`` if nobody ever took it."""
        try:
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            _take(descriptor, shared=True)  # so that two who ask do not take each other for the owner
        except OSError:
            return True
        else:
            _give_back(descriptor)
            return False
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            _give_back(self._descriptor)
            self.forget()

    def forget(self) -> None:
        """Close the file without giving the lock back: for a forked child, whose parent still holds it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


_HELD: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _forget_in_child() -> None:
    """Keep a forked worker that outlives its parent from holding the parent's locks."""
    for lock in tuple(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _wait(descriptor: int, *, what: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            _take(descriptor)
        except _BUSY:
            if time.monotonic() >= deadline:
                msg = f"{what} is in use by {_owner(descriptor)}; wait until that ends, or stop it"
                raise UnavailableError(msg) from None
            time.sleep(_POLL)
        else:
            return


def _sign(descriptor: int) -> None:
    """Write who holds the lock, for the message that another process gets."""
    owner = json.dumps({"pid": os.getpid(), "host": _host()}).encode()
    with suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, owner)


def _host() -> str:
    """The name of this host; the system itself says it for less than a tenth of the time of ``lanewise runs``."""
    if sys.platform != "win32":
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _owner(descriptor: int) -> str:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 1024))
        return f"process {int(owner['pid'])} on host {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it was taken this instant and is not signed yet
        return "another process"
