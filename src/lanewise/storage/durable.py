"""The only place that writes files which must survive a crash, a full disk and a power cut.

A file is written beside its target, flushed to the disk, renamed over it, and the folder's names are
flushed too: after any accident the old or the new version is there, never neither and never a mixture.
A folder is put in place likewise (:func:`replaced_folder`). Nothing counts as written before it is durable.

Source: T. Pillai and others, *All File Systems Are Not Created Equal*, OSDI 2014.
"""

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast, final

from lanewise.errors import StoreError, UsageError
from lanewise.storage.filesystem import DISK, FileSystem, explained
from lanewise.storage.strict_json import dump_json, load_json, parse_json

__all__ = [
    "Digest",
    "confine",
    "current_folder",
    "dump_json",
    "is_plain_name",
    "load_json",
    "make_folders",
    "parse_json",
    "read_verified",
    "remove_leftovers",
    "remove_tree",
    "replaced_folder",
    "write_atomically",
    "write_file",
]

CHUNK = 4 * 2**20  # bytes hashed and then written while they are still in the processor's cache

Data = bytes | bytearray | memoryview | Callable[[BinaryIO], None]


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What was written: its SHA-256 in hexadecimal, and its size in bytes."""

    sha256: str
    size: int


def write_atomically(
    path: Path, data: Data, *, verify: bool = False, private: bool = True, fs: FileSystem = DISK
) -> Digest:
    """Put ``data`` durably at ``path``: readers see the old file or the new one, whole.

    ``data`` is bytes, or a function that writes to the binary file it is given. With ``verify`` the file is
    read back and compared before it takes its place. Only its owner may read a ``private`` file; another may be
    read by those who could if ``open()`` had written it: as the umask says, or as the file that it replaces.
    On failure the old file stays and nothing is left behind.

    Raises:
        StoreError: a full disk, a missing permission, an error of the device; names the path and the remedy.
    """
    part = _part(path)
    with explained("write", path):
        try:
            digest = write_file(part, data, verify=verify, like=None if private else path, fs=fs)
            fs.rename(part, path)
        except BaseException:
            with suppress(OSError):
                fs.unlink(part)
            raise
        fs.fsync_folder(path.parent)
    return digest


def write_file(
    path: Path, data: Data, *, verify: bool = False, like: Path | None = None, fs: FileSystem = DISK
) -> Digest:
    """Write and flush a new file of a folder that :func:`replaced_folder` prepares; not atomic by itself.

    With ``like`` those may read it who could if ``open()`` had written that path; else only its owner.

    Raises:
        OSError: as it came; the function that knows the final path explains it.
    """
    with fs.create(path, like=like) as file:
        sink = _Sink(file)
        if callable(data):
            data(cast(BinaryIO, sink))
        else:
            sink.write(data)
        fs.fsync(file)
    digest = Digest(sha256=sink.hash.hexdigest(), size=sink.size)
    if verify:
        try:
            read_verified(path, digest, fs=fs, keep=False)
        except StoreError as error:
            raise OSError(errno.EIO, "it was not read back as it was written", str(path)) from error
    return digest


def read_verified(path: Path, digest: Digest, *, keep: bool = True, fs: FileSystem = DISK) -> bytearray:
    """Read a whole file once, and compare its size and SHA-256; without ``keep`` the content is dropped.

    The size is compared before memory is asked for.

    Raises:
        StoreError: the file is missing or is not what was written.
    """
    import hashlib

    digester = hashlib.sha256()
    with explained("read", path), fs.open(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size != digest.size:
            msg = f"{path} is damaged: it has {size:,} bytes instead of {digest.size:,}; restore it from a backup"
            raise StoreError(msg)
        file.seek(0)
        content = bytearray(size if keep else min(size, CHUNK))
        done = 0
        while done < size:
            start = done if keep else 0
            chunk = memoryview(content)[start : start + min(CHUNK, size - done)]
            count = cast(io.RawIOBase, file).readinto(chunk) or 0
            if count == 0:
                break
            digester.update(chunk[:count])
            done += count
    if done != size or digester.hexdigest() != digest.sha256:
        msg = f"{path} is damaged: its content does not match its checksum; restore it from a backup"
        raise StoreError(msg)
    return content


@contextmanager
def replaced_folder(path: Path, *, fs: FileSystem = DISK) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well, it durably becomes ``path``.

    The block writes flat files with :func:`write_file`. No system renames a folder over a full one, so the old
    folder first steps aside to a hidden name; :func:`current_folder` finds it there if the power goes just
    then. It is removed when the new one is durable. There must be one writer at a time.
    """
    part = _part(path)
    with explained("write", path):
        try:
            fs.make_folder(part)
            yield part
            fs.fsync_folder(part)
            _swap(part, path, fs)
        except BaseException:
            with suppress(OSError):
                remove_tree(part, fs=fs)
            raise


def _swap(part: Path, path: Path, fs: FileSystem) -> None:
    """Put ``part`` at ``path``; on failure what was there is there again."""
    aside = _aside(path)
    if fs.kind(path) is not None:
        if fs.kind(aside) is not None:  # an earlier replacement stopped here: make it durable before its old goes
            fs.fsync_folder(path.parent)
            remove_tree(aside, fs=fs)
        fs.rename(path, aside)
    try:
        fs.rename(part, path)
    except BaseException:
        if fs.kind(path) is None and fs.kind(aside) is not None:
            fs.rename(aside, path)
        raise
    fs.fsync_folder(path.parent)
    with suppress(OSError):  # the new folder is durable: a leftover is hidden and goes with the next replacement
        remove_tree(aside, fs=fs)


def current_folder(path: Path, *, fs: FileSystem = DISK) -> Path:
    """Say where the content of a folder is that :func:`replaced_folder` writes, even after a power cut."""
    aside = _aside(path)
    with explained("read", path):
        return aside if fs.kind(path) is None and fs.kind(aside) == "folder" else path


def make_folders(path: Path, *, fs: FileSystem = DISK) -> None:
    """Create a folder and those above it that are missing, durably and for their owner only."""
    with explained("create", path):
        missing = []
        while fs.kind(path) is None:
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            with suppress(FileExistsError):  # another process was faster
                fs.make_folder(folder)
            fs.fsync_folder(folder.parent)


def remove_tree(path: Path, *, fs: FileSystem = DISK) -> None:
    """Remove what is at ``path``, if anything; symbolic links are removed, never followed."""
    kind = fs.kind(path)
    if kind == "folder":
        for name in fs.names(path):
            remove_tree(path / name, fs=fs)
        fs.remove_folder(path)
    elif kind == "file":
        fs.unlink(path)


def remove_leftovers(folder: Path, *, fs: FileSystem = DISK) -> None:
    """Remove the temporary files that a killed process left in ``folder``; only its one writer may ask for it."""
    with explained("clean", folder):
        for name in fs.names(folder):
            if _LEFTOVER.fullmatch(name):
                remove_tree(folder / name, fs=fs)


_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # devices of Windows


def is_plain_name(name: str) -> bool:
    """Say whether ``name`` can name a file on every system and leads nowhere else."""
    return bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)


def confine(base: Path, name: str) -> Path:
    """Return ``base / name`` for a plain name, inside ``base`` also after symbolic links.

    Raises:
        UsageError: a name that is not 1 to 64 of ``A-Z a-z 0-9 _ . -``, that starts with a dot, or that
            leads out of ``base``.

    >>> confine(Path("models"), "../secrets")
    Traceback (most recent call last):
    lanewise.errors.UsageError: '../secrets' cannot be used as a name: use 1 to 64 of A-Z a-z 0-9 _ . - and no dot first
    """
    if not is_plain_name(name):
        msg = f"{name!r} cannot be used as a name: use 1 to 64 of A-Z a-z 0-9 _ . - and no dot first"
        raise UsageError(msg)
    path = base / name
    try:
        inside = path.resolve(strict=path.is_symlink()).parent == base.resolve()
    except (OSError, RuntimeError):  # symbolic links that go round, or to nothing
        inside = False
    if not inside:
        msg = f"{path} is a symbolic link that leads elsewhere; use a real folder or file"
        raise UsageError(msg)
    return path


_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{8}\.part")


def _part(path: Path) -> Path:
    """Name a temporary sibling: hidden, not guessable, and short enough for any name."""
    return path.with_name(f".{path.name[:60]}.{os.urandom(4).hex()}.part")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@final
class _Sink(io.RawIOBase):
    """A binary file that passes on what it is given, and hashes it on the way without a copy."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        import hashlib

        self.hash = hashlib.sha256()
        self.size = 0
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        size = view.nbytes
        if size == 0:  # memoryview refuses to cast a view with no items
            return 0
        view = view.cast("B")
        for start in range(0, size, CHUNK):
            chunk = view[start : start + CHUNK]
            self.hash.update(chunk)
            while len(chunk):
                chunk = chunk[self._file.write(chunk) :]
        self.size += size
        return size
