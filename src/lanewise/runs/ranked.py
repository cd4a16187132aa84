"""The run store of several ranks: rank 0 reads and writes it, the others are told."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore
from lanewise.storage.lock import FileLock

LOCK = "lock"
"""The lock of a run; that of rank 3 is called ``lock.3`` beside it."""


@final
class RankedStore:
    """What a run needs of a :class:`RunStore`, on every rank; all call :meth:`create`, :meth:`get` and the like alike.

    ``store`` is there on rank 0 only. How a run ends is recorded there, and nowhere else.
    """

    def __init__(self, store: RunStore | None, ranks: Ranks) -> None:
        self._store, self.ranks = store, ranks

    def create(self, *, command: str, config: Mapping[str, Any], started: float | None = None) -> Run:
        """Record a run that started then, or starts now."""
        store = self._store
        return self._told(None if store is None else store.create(command=command, config=config, started=started))

    def get(self, reference: str) -> Run:
        """The run that is meant."""
        return self._told(None if self._store is None else self._store.get(reference))

    def resume(self, reference: str, *, started: float | None = None) -> Run:
        """Mark a run as running again, since then or now."""
        return self._told(None if self._store is None else self._store.resume(reference, started=started))

    def begun(self) -> str | None:
        """The id of the newest run that this job has begun, where some rank may have been started again.

        A host that joins later knows nothing of that. Raises ``UsageError`` where the run is done.
        """
        job = self.ranks.place.job
        if not any(self.ranks.gather(b"again" if self.ranks.place.again else b"")):
            return None
        found = None
        if self._store is not None:
            runs = self._store.list(limit=1000, documents=False)
            found = next((run for run in runs if run.config.get("job") == job), None)
            if found is not None and found.status == "done":
                message = f"job {job} has finished, as run {found.id}; nothing is left to do"
                raise UsageError(message)
        told = self.ranks.broadcast(found.id.encode() if found is not None else b"")
        return told.decode() or None

    def newest(self, wanted: Callable[[Run], bool], *, until: Collection[str]) -> Run | None:
        """The newest run that is ``wanted``, if its status is one of those; rank 0 alone looks, and at no documents."""
        found = None
        if self._store is not None:
            found = next((run for run in self._store.list(limit=10_000, documents=False) if wanted(run)), None)
        there = found is not None and found.status in until
        if not self.ranks.broadcast(b"there" if there else b""):
            return None
        return self._told(found)

    def finish(self, run: str, document: Mapping[str, Any], *, seconds: float | None = None) -> None:
        if self._store is not None:
            self._store.finish(run, document, seconds=seconds)

    def fail(self, run: str, error: str) -> None:
        if self._store is not None:
            self._store.fail(run, error)

    def interrupt(self, run: str, *, error: str | None = None) -> None:
        if self._store is not None:
            self._store.interrupt(run, error=error)

    def record_event(self, run: str, kind: str, payload: Mapping[str, Any]) -> None:
        if self._store is not None:
            self._store.record_event(run, kind, payload)

    def _told(self, run: Run | None) -> Run:
        own = b"" if run is None else json.dumps({**asdict(run), "folder": str(run.folder)}).encode()
        found = json.loads(self.ranks.broadcast(own))
        found["folder"] = folder = Path(found["folder"])
        if not folder.is_dir():
            message = f"the folder of run {found['id']}, {folder}, is gone, and with it all that the run had kept"
            if self.ranks.size > 1:
                message = (
                    f"the folder of the run, {folder}, is not on this host; set LANEWISE_HOME to a folder that all "
                    "hosts share"
                )
            raise UsageError(message)
        return run or Run(**found)


Store = RunStore | RankedStore


@contextmanager
def opened(ranks: Ranks, *, create: bool = True, home: Path | None = None) -> Iterator[RankedStore]:
    """The store of a run over ``ranks``, in ``home`` or where :meth:`RunStore.open` finds it; raises as that does."""
    if ranks.leads:
        with RunStore.open(create=create) if home is None else RunStore(home) as store:
            yield RankedStore(store, ranks)
    else:
        yield RankedStore(None, ranks)


@contextmanager
def held(run: Run, ranks: Ranks) -> Iterator[None]:
    """Be the one job that works on a run: rank 0 holds its lock, every other rank one of its own.

    A rank of an earlier job that does not know yet that rank 0 is gone still writes checkpoints: raises
    ``UnavailableError`` while there is one.
    """
    if ranks.leads:
        with run.acquire():
            for lock in sorted(run.folder.glob(f"{LOCK}.*")):
                with FileLock.acquire(lock, what=f"run {run.id}", patience=10.0):
                    pass
            ranks.meet()
            yield
    else:
        ranks.meet()
        lock = run.folder / f"{LOCK}.{ranks.rank}"
        with FileLock.acquire(lock, what=f"run {run.id}"):
            yield
