"""A SQLite file that many processes write to at once, and that a power cut does not harm.

WAL mode with synchronous=FULL: a commit that returned is on the disk. WAL needs shared memory, which
network file systems do not have: there the journal mode is DELETE.
"""

import errno
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, final

from lanewise.errors import StoreError, UnavailableError
from lanewise.storage.durable import make_folders, write_atomically
from lanewise.storage.filesystem import FILE_MODE, explained, nothing_free
from lanewise.storage.lock import FileLock

SCHEMA_VERSION = 1
PATIENCE = 60.0  # seconds that a write waits for the writes of other processes

_SCHEMA = """
CREATE TABLE runs(
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  created TEXT NOT NULL,
  status TEXT NOT NULL CHECK(status IN ('running', 'done', 'failed', 'interrupted')),
  command TEXT NOT NULL,
  config TEXT NOT NULL,
  document TEXT,
  error TEXT,
  seconds REAL
);
CREATE TABLE events(
  run TEXT NOT NULL REFERENCES runs(id),
  sequence INTEGER NOT NULL,
  kind TEXT NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY(run, sequence)
) WITHOUT ROWID;
"""

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs",
            "ocfs2", "gfs2", "davfs", "ncpfs", "vboxsf", "prl_fs", "drvfs"}  # fmt: skip
_NETWORK_FUSE = ("fuse.",)  # sshfs, glusterfs, rclone, ...: a FUSE mount may be remote, and DELETE is right on any


def journal_mode(path: Path, mounts: str) -> Literal["wal", "delete"]:
    """Choose the journal mode for a file at the absolute ``path``; ``mounts`` is the text of ``/proc/mounts``.

    >>> journal_mode(Path("/home/ann/runs.db"), "disk / ext4 rw 0 0\\nserver:/home /home nfs4 rw 0 0")
    'delete'
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if path.is_relative_to(point) and len(point.parts) >= best:  # a later mount covers an earlier one
            best, kind = len(point.parts), fields[2]
    remote = kind in _NETWORK or kind.startswith(_NETWORK_FUSE) or str(path).startswith("\\\\")
    return "delete" if remote else "wal"


@final
class Database:
    """One connection per process, shared by its threads; a forked child opens its own."""

    def __init__(self, path: Path, *, to_read: bool = False) -> None:
        """Open the file, or create it; ``to_read``: as it is, where the disk is full or nothing may be written."""
        self.path = path
        self._to_read = to_read
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._guard = threading.RLock()
        self._connection = _connect_to_read(self.path) if self._to_read else _connect(self.path)
        self._closer = weakref.finalize(self, _close, self._connection, self._process)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one durable write: all of it happens, or nothing."""
        connection = self._current()
        with self._guard, _explained(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run the block's queries; writers are not held up."""
        connection = self._current()
        with self._guard, _explained(self.path):
            yield connection

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self._process == os.getpid():
            self._closer()

    def _current(self) -> sqlite3.Connection:
        if self._process != os.getpid():  # SQLite forbids to carry a connection, or to close it, across a fork
            self._closer.detach()
            _INHERITED.append(self._connection)
            self._open()
        return self._connection


_INHERITED: list[sqlite3.Connection] = []


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    make_folders(path.parent)
    # The lock lets one process at a time create the file and change its mode: SQLite does not wait for those.
    with _explained(path), FileLock.acquire(path.with_name("store.lock"), what=str(path), patience=PATIENCE):
        if not path.exists():
            write_atomically(path.with_name(".gitignore"), b"*\n")  # runs hold data: keep them out of commits
            with explained("create", path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that needs to write nothing where it can't; raises as :func:`_connect` where that fails too.

    A reader of WAL writes to shared memory beside the file. Where that is not possible the file is read as it stands,
    which leaves out nothing but what a process that was killed had not yet moved into it from its log.
    """
    try:
        return _connect(path)
    except UnavailableError:
        raise
    except StoreError:
        for how in ("mode=ro", "mode=ro&immutable=1"):
            with suppress(sqlite3.Error), ExitStack() as opened:
                uri = f"{path.absolute().as_uri()}?{how}"
                connection = sqlite3.connect(
                    uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
                )
                opened.callback(connection.close)
                _known_schema(connection, path)
                connection.execute("SELECT COUNT(*) FROM runs").fetchone()
                opened.pop_all()
                return connection
        raise


def _known_schema(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the schema, 0 of a file that has none yet; ``StoreError`` for one newer than this program."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        msg = (
            f"{path} was written by a newer Lanewise (schema {version}, this one reads up to {SCHEMA_VERSION}); "
            "upgrade with `pip install -U lanewise`"
        )
        raise StoreError(msg)
    return version


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring schema, journal mode and durability to where this version wants them."""
    connection.execute("PRAGMA foreign_keys = ON")
    version = _known_schema(connection, path)
    try:
        mounts = Path("/proc/mounts").read_text(errors="replace")
    except OSError:
        mounts = ""
    mode = journal_mode(path.resolve(), mounts)
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != mode:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


_FULL = "the disk is full; free some space, or set LANEWISE_HOME to a folder on another disk"
_ADVICE = (
    ("full", _FULL),
    ("readonly", "it may not be written to; correct its permissions, or set LANEWISE_HOME to another folder"),
    ("unable to open", "it cannot be opened; correct its permissions, or set LANEWISE_HOME to another folder"),
    ("locked", "another process holds it too long; stop that process, then try again"),
    ("not a database", "it is damaged; restore it from a backup, or move it away to begin a new one"),
    ("malformed", "it is damaged; restore it from a backup, or move it away to begin a new one"),
    ("disk i/o", "the disk reported an input/output error; check the disk"),
)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "disk i/o" in text.lower() and nothing_free(path.parent):  # so SQLite calls a log that finds no room
            msg = f"the run store {path} failed: {_FULL}"
            raise StoreError(msg) from OSError(errno.ENOSPC, text)
        advice = next((advice for key, advice in _ADVICE if key in text.lower()), "restore it from a backup")
        msg = f"the run store {path} failed ({text}): {advice}"
        raise StoreError(msg) from error
