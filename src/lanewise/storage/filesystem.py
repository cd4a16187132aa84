"""The few file operations that durable writing needs, behind an interface that tests replace.

:class:`Disk` is the real one. A test puts an in-memory model of unsynced writes in its place and cuts
the power thousands of times per second, so everything that must survive goes through here.
"""

import errno
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, final

from lanewise.errors import StoreError

if sys.platform != "win32":
    import fcntl

FILE_MODE = 0o600
FOLDER_MODE = 0o700
SHARED_MODE = 0o666  # what open() asks for; the umask takes away from it


class FileSystem(Protocol):
    """What durable writing asks of a file system; every method raises ``OSError`` as POSIX does."""

    def create(self, path: Path, *, like: Path | None = None) -> BinaryIO:
        """Open a new file for writing, unbuffered; it must not exist.

        Only its owner may read it; with ``like``, those may who could if ``open()`` had written that path.
        """
        ...

    def open(self, path: Path) -> BinaryIO:
        """Open a regular file for reading, unbuffered; a symbolic link, device or pipe is refused."""
        ...

    def fsync(self, file: BinaryIO) -> None:
        """Return when the content of ``file`` would survive a power cut."""
        ...

    def fsync_folder(self, path: Path) -> None:
        """Return when the names in the folder would survive a power cut."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Move a name within one folder, replacing a file that is there."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file, or a symbolic link itself."""
        ...

    def make_folder(self, path: Path) -> None:
        """Create one folder that only its owner may enter; it must not exist."""
        ...

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        ...

    def names(self, folder: Path) -> list[str]:
        """List the names in a folder, sorted."""
        ...

    def kind(self, path: Path) -> Literal["file", "folder"] | None:
        """Say what is at ``path``: anything but a real folder counts as a file; ``None`` is nothing."""
        ...


@final
class Disk:
    """The file system of the operating system."""

    def create(self, path: Path, *, like: Path | None = None) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, FILE_MODE if like is None else SHARED_MODE)
        if like is not None:
            with suppress(OSError):  # there is none yet, or its disk keeps no modes: the umask decides
                os.chmod(path, stat.S_IMODE(os.stat(like).st_mode))
        return open(descriptor, "wb", buffering=0)

    def open(self, path: Path) -> BinaryIO:
        # O_NONBLOCK: opening a pipe that someone put in place of the file must not hang.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return open(descriptor, "rb", buffering=0)

    def fsync(self, file: BinaryIO) -> None:
        if sys.platform == "darwin":
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)  # fsync leaves the data in the drive's own cache
        else:
            os.fsync(file.fileno())

    def fsync_folder(self, path: Path) -> None:
        if sys.platform == "win32":  # Windows cannot open a folder; NTFS journals its names
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def make_folder(self, path: Path) -> None:
        os.mkdir(path, FOLDER_MODE)

    def remove_folder(self, path: Path) -> None:
        os.rmdir(path)

    def names(self, folder: Path) -> list[str]:
        return sorted(os.listdir(folder))

    def kind(self, path: Path) -> Literal["file", "folder"] | None:
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return None
        return "folder" if stat.S_ISDIR(mode) else "file"


DISK = Disk()

_NEXT_TO_NOTHING = 2**20
"""Bytes below which a disk counts as full: SQLite alone wants that much for a log and its index."""

_ADVICE = {
    errno.ENOSPC: ("the disk is full", "free some space or choose a folder on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose a folder on another disk"),
    errno.EFBIG: ("the file is larger than the system allows", "raise the limit (ulimit -f) or choose another disk"),
    errno.EACCES: ("permission denied", "choose a folder that you may write to, or correct its permissions"),
    errno.EPERM: ("operation not permitted", "choose a folder that you may write to, or correct its permissions"),
    errno.EROFS: ("the file system is read-only", "choose a folder on a writable disk"),
    errno.EIO: ("the disk reported an input/output error", "check the disk, then try again on a healthy one"),
    errno.ENOENT: ("no such file or folder", "check the path, or create its folder"),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "check the path"),
    errno.EISDIR: ("a folder is in its place", "choose another name, or remove the folder"),
    errno.ELOOP: ("it is a symbolic link", "put a real file in its place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
}


def store_error(error: OSError, *, action: str, path: Path) -> StoreError:
    """Say in one line which path failed, why, and what to do.

    >>> print(store_error(OSError(errno.ENOSPC, "No space left on device"), action="write", path=Path("model.json")))
    cannot write model.json: the disk is full; free some space or choose a folder on another disk
    """
    reason = error.strerror or str(error) or type(error).__name__
    reason, advice = _ADVICE.get(error.errno or 0, (reason[:1].lower() + reason[1:], "check the disk and the path"))
    return StoreError(f"cannot {action} {path}: {reason}; {advice}")


def is_full(error: BaseException | None) -> bool:
    """Whether what went wrong, or what that came from, is that a disk takes no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            return True
        error = error.__cause__
    return False


def nothing_free(folder: Path) -> bool:
    """Whether the disk of a folder has next to no room, which is what its other errors then come from."""
    try:
        return shutil.disk_usage(folder).free < _NEXT_TO_NOTHING
    except OSError:
        return False


def cut_short(error: OSError, folder: Path) -> OSError | None:
    """That the disk of ``folder`` is full, where a write into it failed for that; NumPy's error of it has no number."""
    if is_full(error):
        return error
    if error.errno is None and nothing_free(folder):
        return OSError(errno.ENOSPC, str(error))
    return None


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the one line of a :class:`StoreError`."""
    try:
        yield
    except OSError as error:
        raise store_error(error, action=action, path=path) from error
