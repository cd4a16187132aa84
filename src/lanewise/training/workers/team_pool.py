"""Worker processes in which teams of stacked lanes train side by side."""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, final

from lanewise.errors import TrainingError
from lanewise.lanes.roster import Lane
from lanewise.storage.filesystem import cut_short, store_error
from lanewise.training.data import TrainingData
from lanewise.training.workers.folder import FOLDER_PREFIX
from lanewise.training.workers.kinds import TEAM_WORKER
from lanewise.training.workers.process import Child, WorkerDiedError, WorkerProcess, nobody
from lanewise.training.workers.shared_data import read_data, write_data


class Seated(Protocol):
    """A team that trains in the workers, as the pool knows it."""

    lanes: tuple[Lane, ...]

    def rise(self) -> None: ...
    def let_go(self) -> None: ...


@final
class TeamPool:
    """``workers`` processes, each lent to one team at a time; their private folder lies in ``folder``.

    A team is a function of its lanes, the data and its state, so any worker may go on with it. Raises
    ``TrainingError`` where the folder cannot be made or the data not be written. ``launch`` starts a process, which is
    given the folder; None: one of :mod:`lanewise.training.workers.team_worker`. ``tell`` hears of one that died.
    """

    def __init__(
        self,
        *,
        workers: int,
        folder: Path | None = None,
        launch: Callable[[Path], Child] | None = None,
        tell: Callable[[str], object] = nobody,
    ) -> None:
        self.tell = tell
        self._shared = 0
        self.workers = workers
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=folder))
        except OSError as error:
            message = f"no folder for the lanes' workers could be made: {error}"
            raise TrainingError(message) from error
        greeting = {"op": "start"}
        self._processes = [
            WorkerProcess(
                index,
                self.folder,
                greeting,
                kind=TEAM_WORKER,
                launch=None if launch is None else partial(launch, self.folder),
                tell=tell,
            )
            for index in range(workers)
        ]
        self.teams: weakref.WeakSet[Seated] = weakref.WeakSet()
        """All that were formed, whether they keep their seats from one stretch to the next or not."""
        self._idle: SimpleQueue[WorkerProcess] = SimpleQueue()
        self._finalizer = weakref.finalize(self, _end, self._processes, self.folder)
        for process in self._processes:
            process.start()
            self._idle.put(process)

    def __enter__(self) -> "TeamPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def alone(self, teams: int) -> bool:
        """Whether so many new teams have the workers to themselves, so that each may keep its seat.

        Teams of before that still have lanes rise from theirs for good: all share the workers from now on. One that
        kept its seat beside others would have them wait for ever.
        """
        before = [team for team in self.teams if team.lanes]
        for team in before:
            team.rise()
        return not before and teams <= self.workers

    def ready(self) -> None:
        """Wait until all have started, for who measures; one that died is started when needed.

        Raises ``TrainingError`` where one says that it can not.
        """
        for process in self._processes:
            with process.lock, suppress(WorkerDiedError):
                process.ensure_started()

    def share(self, data: TrainingData) -> tuple[TrainingData, str]:
        """The same data, mapped from files that the workers map too, and the name that workers know them by."""
        name = f"data-{self._shared}"
        self._shared += 1
        try:
            (self.folder / name).mkdir()
            write_data(data, self.folder / name)
        except OSError as error:
            if (full := cut_short(error, self.folder)) is not None:
                raise store_error(full, action="write", path=self.folder) from full
            message = f"the data for the lanes' workers could not be written: {error}"
            raise TrainingError(message) from error
        return read_data(self.folder / name), name

    def borrow(self) -> WorkerProcess:
        """A worker that nobody else uses; waits for one where all are lent."""
        process = self._idle.get()
        process.lock.acquire()
        return process

    def give_back(self, process: WorkerProcess) -> None:
        process.lock.release()
        self._idle.put(process)

    def process_ids(self) -> list[int]:
        """The workers' process ids, for supervision."""
        return [process.pid for process in self._processes]

    def close(self) -> None:
        """End the workers and remove the folder; a team that still waits for one fails."""
        for team in list(self.teams):
            team.let_go()
        self._finalizer()


def _end(processes: list[WorkerProcess], folder: Path) -> None:
    for process in processes:
        process.stop()
    shutil.rmtree(folder, ignore_errors=True)
