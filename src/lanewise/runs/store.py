"""The run store: every run that was started in a project, with its events, in one SQLite file.

::

    .lanewise/
    |-- runs.db                       runs and events; WAL, synchronous=FULL
    `-- runs/20261121-2145-k3f9/      what belongs to one run
        |-- plan.json  report.html
        `-- model/  checkpoints/

Order is by sequence numbers and durations by the monotonic clock, so a clock that jumps alters neither.
This module loads neither torch nor numpy: ``lanewise runs`` starts in a moment.
"""

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from lanewise.errors import StoreError, UnavailableError, UsageError
from lanewise.runs.database import Database
from lanewise.runs.run import Event, Run, RunStatus
from lanewise.storage.durable import dump_json, make_folders, remove_tree
from lanewise.storage.filesystem import DISK, explained, store_error

FOLDER_NAME = ".lanewise"
HOME_VARIABLE = "LANEWISE_HOME"

_COLUMNS = "sequence, id, created, status, command, config, document, error, seconds"
OUTLINE = ("target", "task", "positive", "metric", "test", "validation", "winner")
"""The parts of a document by which a run is listed."""
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no letter that is read as a digit
_SUFFIX = 4


@final
class RunStore:
    """The runs of one project. Any number of threads and processes may use a store at once.

    Use it as a context manager, or call :meth:`close`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunStore(Path(folder) / ".lanewise") as store:
    ...     run = store.create(command="fit", config={"target": "price"})
    ...     store.finish(run.id, {"rmse": 0.25})
    ...     store.get("last").status
    'done'
    """

    def __init__(self, folder: Path, *, to_read: bool = False) -> None:
        """Use or create the store in ``folder``; prefer :meth:`open`, which finds it."""
        self.folder = folder
        self._database = Database(folder / "runs.db", to_read=to_read)
        self._clocks: dict[str, float] = {}

    @classmethod
    def open(cls, start: Path | None = None, *, create: bool = True, to_read: bool = False) -> Self:
        """Open the store of ``LANEWISE_HOME``, or the nearest ``.lanewise`` folder at or above ``start``.

        ``start`` is the working directory by default; a store is created in it if there is none above. One that is
        opened ``to_read`` needs no room and no permission to write, and is not created.

        Raises:
            UsageError: there is none and ``create`` is false.
            UnavailableError: the folder belongs to another user, or cannot be used.
        """
        with explained("use", start or Path()):  # the working directory may be gone
            start = (start or Path.cwd()).resolve()
        home = os.environ.get(HOME_VARIABLE)
        folder = Path(home).expanduser().absolute() if home else _find(start)
        if folder is not None:
            _check_usable(folder, os.R_OK if to_read else os.W_OK)
        if folder is None or not (folder / "runs.db").exists():
            if to_read or not create:
                msg = f"no runs in {folder or start}; start one with `lanewise fit`, or set {HOME_VARIABLE}"
                raise UsageError(msg)
            folder = folder or start / FOLDER_NAME
            _make(folder)
        return cls(folder, to_read=to_read)

    def create(self, *, command: str, config: Mapping[str, Any], started: float | None = None) -> Run:
        """Record a run, and make its folder; its seconds count from ``started`` (``time.monotonic``), or from now."""
        text = dump_json(config).decode()
        created = datetime.now(UTC)
        name, folder = self._new_folder(created)
        try:
            with self._database.transaction() as database:
                database.execute(
                    "INSERT INTO runs(id, created, status, command, config) VALUES (?, ?, 'running', ?, ?)",
                    (name, created.isoformat(timespec="milliseconds"), command, text),
                )
        except BaseException:
            with suppress(OSError):
                remove_tree(folder)
            raise
        self._clocks[name] = time.monotonic() if started is None else started
        return self._one("id = :id", id=name)

    def resume(self, reference: str, *, started: float | None = None) -> Run:
        """Mark an earlier run as running again; its seconds go on from where they stood, since ``started`` or now."""
        run = self.get(reference)
        self._clocks[run.id] = time.monotonic() if started is None else started
        self._set(run.id, "status = 'running', error = NULL")
        return self._one("id = :id", id=run.id)

    def finish(self, run: str, document: Mapping[str, Any], *, seconds: float | None = None) -> None:
        """Record that a run is done, with the document that describes its result.

        ``seconds`` is what it took, since the resume if there was one: until now if None.
        """
        self._end(run, "done", document=dump_json(document).decode(), seconds=seconds)

    def fail(self, run: str, error: str) -> None:
        """Record that a run failed, with the one line that says why."""
        self._end(run, "failed", error=error)

    def interrupt(self, run: str, document: Mapping[str, Any] | None = None, *, error: str | None = None) -> None:
        """Record that a run was stopped, with what it had by then, and with the ``error`` where one stopped it."""
        text = None if document is None else dump_json(document).decode()
        self._end(run, "interrupted", document=text, error=error)

    def record_event(self, run: str, kind: str, payload: Mapping[str, Any]) -> int:
        """Append an event durably; returns its number within the run, counted from 1 without gaps."""
        text = dump_json(payload).decode()
        with self._database.transaction() as database:
            if database.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is None:
                raise self._unknown(run)
            (last,) = database.execute("SELECT MAX(sequence) FROM events WHERE run = ?", (run,)).fetchone()
            number = (last or 0) + 1
            database.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (run, number, kind, text))
        return number

    def events(self, run: str) -> tuple[Event, ...]:
        """Return the events of a run in the order of their numbers."""
        with self._database.reading() as database:
            rows = database.execute("SELECT sequence, kind, json FROM events WHERE run = ? ORDER BY sequence", (run,))
            return tuple(Event(sequence=sequence, kind=kind, text=text) for sequence, kind, text in rows)

    def list(self, *, limit: int = 50, documents: bool = True) -> tuple[Run, ...]:
        """Return at most ``limit`` runs, the newest first; without ``documents``, which of many fill the memory."""
        columns = _COLUMNS if documents else _COLUMNS.replace("document", "NULL")
        return self._select("1 ORDER BY sequence DESC LIMIT :limit", columns, limit=limit)

    def outlines(self, *, limit: int = 50) -> tuple[Run, ...]:
        """As :meth:`list`, with only those parts of each document that :data:`OUTLINE` names: many are read at once."""
        parts = ", ".join(f"'{name}', json_extract(document, '$.{name}')" for name in OUTLINE)
        # What is no JSON is left as it is, for the reader to tell what is wrong with it.
        document = f"CASE WHEN json_valid(document) THEN json_object({parts}) ELSE document END"
        columns = _COLUMNS.replace("document", document)
        try:
            return self._select("1 ORDER BY sequence DESC LIMIT :limit", columns, limit=limit)
        except StoreError:  # an SQLite that was built without JSON
            return self.list(limit=limit)

    def count(self) -> int:
        """How many runs there are."""
        with self._database.reading() as database:
            (found,) = database.execute("SELECT COUNT(*) FROM runs").fetchone()
        return int(found)

    def get(self, reference: str) -> Run:
        """Return the run with this id, a unique beginning of it, its last four letters, or ``last``.

        Raises:
            UsageError: no run is meant, or several are.
        """
        if reference == "last":
            found = self.list(limit=1)
        else:
            found = self._select("id = :id", id=reference) or self._select(
                "substr(id, 1, length(:id)) = :id OR substr(id, :suffix) = :id ORDER BY sequence DESC LIMIT 6",
                id=reference,
                suffix=-_SUFFIX,
            )
        if len(found) == 1 and reference:
            return found[0]
        if not found or not reference:
            raise self._unknown(reference)
        msg = f"{reference!r} is the beginning of several runs: {', '.join(run.id for run in found)}; give more of it"
        raise UsageError(msg)

    def close(self) -> None:
        """Close the database; everything acknowledged is already durable."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new_folder(self, created: datetime) -> tuple[str, Path]:
        """Make a run folder under a name that no process has taken."""
        runs = self.folder / "runs"
        make_folders(runs)
        while True:
            name = f"{created:%Y%m%d-%H%M}-{_suffix()}"
            with explained("create", runs / name):
                try:
                    DISK.make_folder(runs / name)
                except FileExistsError:
                    continue
                DISK.fsync_folder(runs)
            return name, runs / name

    def _end(
        self,
        run: str,
        status: RunStatus,
        *,
        document: str | None = None,
        error: str | None = None,
        seconds: float | None = None,
    ) -> None:
        started = self._clocks.get(run)
        if seconds is None and started is not None:
            seconds = time.monotonic() - started
        self._set(
            run,
            "status = :status, document = COALESCE(:document, document), error = :error, "
            "seconds = CASE WHEN :seconds IS NULL THEN seconds ELSE COALESCE(seconds, 0) + :seconds END",
            status=status,
            document=document,
            error=error,
            seconds=seconds,
        )
        self._clocks.pop(run, None)

    def _set(self, run: str, assignments: str, **values: object) -> None:
        with self._database.transaction() as database:
            found = database.execute(f"UPDATE runs SET {assignments} WHERE id = :id", {**values, "id": run})
            changed = found.rowcount
        if changed != 1:
            raise self._unknown(run)

    def _one(self, condition: str, **values: object) -> Run:
        return self._select(condition, **values)[0]

    def _select(self, condition: str, columns: str = _COLUMNS, /, **values: object) -> tuple[Run, ...]:
        with self._database.reading() as database:
            rows = database.execute(f"SELECT {columns} FROM runs WHERE {condition}", values).fetchall()
        return tuple(Run.from_row(row, folder=self.folder / "runs" / row[1]) for row in rows)

    def _unknown(self, reference: str) -> UsageError:
        there = self.list(limit=1)
        hint = (
            "`lanewise runs` lists them, `last` is the newest"
            if there
            else "it has none yet: start one with `lanewise fit`"
        )
        return UsageError(f"no run {reference!r} in {self.folder}; {hint}")


def _suffix() -> str:
    """Letters drawn by the system itself: what the standard library draws by takes a tenth of ``lanewise runs``."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(_SUFFIX))


def _find(start: Path) -> Path | None:
    """Return the nearest store folder at or above ``start``; ``UnavailableError`` where that may not be searched."""
    for folder in (start / FOLDER_NAME, *(above / FOLDER_NAME for above in start.parents)):
        try:
            there = folder.is_dir()
        except PermissionError as error:
            msg = f"{folder.parent} may not be searched for runs; set {HOME_VARIABLE} to a folder that you may write to"
            raise UnavailableError(msg) from error
        if there:
            _refuse_foreign(folder)
            return folder
    return None


def _refuse_foreign(folder: Path) -> None:
    """A store that someone else left above the working directory must be meant, not met."""
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    owner = folder.stat().st_uid
    if user not in (0, owner):
        msg = f"{folder} belongs to another user (uid {owner}); set {HOME_VARIABLE}={folder} to use it on purpose"
        raise UnavailableError(msg)


def _check_usable(folder: Path, access: int) -> None:
    """``UnavailableError`` where something else than a folder with that ``access`` is there."""
    try:
        there = folder.exists()
    except OSError as error:  # a name too long, a loop of links
        raise UnavailableError(str(store_error(error, action="use", path=folder))) from error
    if not there and folder.is_symlink():
        msg = f"cannot use {folder}: it is a symbolic link that leads nowhere; make its folder, or set {HOME_VARIABLE}"
        raise UnavailableError(msg)
    if there and not (folder.is_dir() and os.access(folder, access | os.X_OK)):
        use, may = ("read runs of", "read") if access == os.R_OK else ("keep runs in", "write to")
        why = f"you may not {may} it" if folder.is_dir() else "it is a file, not a folder"
        msg = f"cannot {use} {folder}: {why}; set {HOME_VARIABLE} to a folder that you may {may}"
        raise UnavailableError(msg)


def _make(folder: Path) -> None:
    """Make the folder; a place where none can be is a mistake in what was given, a full disk is a failure."""
    try:
        make_folders(folder)
    except StoreError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        msg = f"cannot keep runs in {folder}: {error}; or set {HOME_VARIABLE} to another folder"
        raise UnavailableError(msg) from error
