"""Lanes of trees, trained in worker processes beside the stacked lanes of this one.

::

    with TreePool(data, task, workers=2, threads_per_worker=1) as pool:
        pool.open("a", TreeSpec(), train_rows=train, valid_rows=valid, seed=0)
        (at_rung,) = pool.advance("a", 33, predict_at=[33])
        (at_end,) = pool.advance("a", 100, predict_at=[100])
        saved = pool.export("a")

A crash takes one worker, not the race: its lanes are trained again, from round 0 and to the same
bits, when they are next asked for.
"""

import contextlib
import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import final

import numpy as np

from lanewise.errors import TrainingError, UsageError
from lanewise.models.saved_trees import SavedTrees
from lanewise.models.trees import TreeSpec
from lanewise.storage.filesystem import cut_short, store_error
from lanewise.task import Task
from lanewise.training.data import Kept
from lanewise.training.trees.data import MASKS, TreeData
from lanewise.training.trees.stored import StoredPart, StoredTable
from lanewise.training.workers.folder import FOLDER_PREFIX
from lanewise.training.workers.frames import Arrays, Header
from lanewise.training.workers.kinds import tree_worker
from lanewise.training.workers.process import WorkerDiedError, WorkerProcess, again, nobody


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fold:
    key: str
    train: np.ndarray
    valid: np.ndarray
    kept: Mapping[str, np.ndarray]
    whole: StoredPart | None


@dataclass(kw_only=True, eq=False)
class _Lane:
    """What the parent knows of a lane: enough to train it again after a crash."""

    name: str
    spec: TreeSpec
    fold: _Fold
    seed: int
    process: WorkerProcess
    cost: float
    keeps: bool
    shown: np.ndarray | None
    rounds: int = 0
    # The start of the process that knows the lane; -1: none yet.
    known_to: int = -1


@final
class TreePool:
    """Worker processes that hold the lanes of trees of one race.

    ``folder``: where the private folder for the table is made (the system's place for temporary
    files if None); it is removed at the end. ``waiting``: no worker starts before it is needed; ``tell`` hears of one
    that died.
    ``single_trees``: the workers load scikit-learn at their start, not when the first tree of it grows. Calls from
    several threads run side by side as far as their lanes sit in different workers. Results do not depend on the number
    of workers. Of a streamed table ``data`` is the sample, and ``stored`` are all training rows.

    Raises ``UsageError`` for arguments that make no sense and ``TrainingError`` where a lane
    cannot be trained.
    """

    def __init__(
        self,
        data: TreeData,
        task: Task,
        *,
        workers: int,
        threads_per_worker: int,
        folder: Path | None = None,
        single_trees: bool = False,
        waiting: bool = False,
        stored: StoredTable | None = None,
        tell: Callable[[str], object] = nobody,
    ) -> None:
        for name, value in (("workers", workers), ("threads_per_worker", threads_per_worker)):
            if value < 1:
                message = f"{name} must be at least 1, got {value}"
                raise UsageError(message)
        _check_target(data, task)
        self._data, self._task, self._waiting, self.stored, self._tell = data, task, waiting, stored, tell
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._folds: dict[str, _Fold] = {}
        start = {
            "op": "start",
            "task": task.kind,
            "classes": len(task.classes) if task.is_classification else 0,
            "threads": threads_per_worker,
            "single_trees": single_trees,
            "stored": None if stored is None else stored.to_json(),
        }
        self._kind = tree_worker(threads=threads_per_worker, single_trees=single_trees)
        self.folder = _write(data, folder)
        self._processes = [
            WorkerProcess(
                index,
                self.folder,
                start,
                kind=self._kind,
                files=() if stored is None else stored.descriptors,
                tell=tell,
            )
            for index in range(workers)
        ]
        self._finalizer = weakref.finalize(self, _end, self._processes, self.folder)
        try:
            for process in () if waiting else self._processes:
                process.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "TreePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> None:
        """Wait until all have started that do so at once, for who measures; one that died is started when needed."""
        for process in () if self._waiting else self._processes:
            with process.lock, contextlib.suppress(WorkerDiedError):
                process.ensure_started()

    def close(self) -> None:
        """End the workers and remove the folder; a call that still waits for one fails."""
        self._finalizer()

    def open(
        self,
        lane: str,
        spec: TreeSpec,
        *,
        train_rows: np.ndarray,
        valid_rows: np.ndarray,
        seed: int,
        kept: Kept | None = None,
        whole: StoredPart | None = None,
        keeps: bool = True,
        shown: np.ndarray | None = None,
    ) -> None:
        """Declare a lane. Nothing is trained before ``advance``. Columns that are not ``kept`` are never split on.

        With ``whole`` it trains on those of the stored rows, in the bins of ``train_rows``. A forest that ``keeps`` no
        trees saves their memory, and grows them anew where it is exported. Of the training rows at the places ``shown``
        predictions are at hand at any time. The lane goes to the worker with the least expected work, the first of
        them on a tie.
        """
        train = self._rows("train_rows", train_rows)
        valid = self._rows("valid_rows", valid_rows)
        if not len(train):
            message = f"lane {lane!r} needs training rows, got none"
            raise UsageError(message)
        if seed < 0:
            message = f"seed must not be negative, got {seed}"
            raise UsageError(message)
        masks = {} if kept is None else {name: getattr(kept, name) for name in MASKS}
        content = train.tobytes() + valid.tobytes() + b"".join(masks[name].tobytes() for name in masks)
        disk = "" if whole is None else f"{whole.windows} {whole.trains}"
        key = hashlib.sha256(f"{len(train)} {len(valid)} {disk}".encode() + content).hexdigest()
        outputs = self._task.outputs
        with self._lock:
            if lane in self._lanes:
                message = f"lane {lane!r} is already open: give each lane a name of its own"
                raise UsageError(message)
            fold = self._folds.setdefault(key, _Fold(key=key, train=train, valid=valid, kept=masks, whole=whole))
            loads = {process.index: 0.0 for process in self._processes}
            for other in self._lanes.values():
                loads[other.process.index] += other.cost
            process = min(self._processes, key=lambda process: (loads[process.index], process.index))
            rows = len(train) if whole is None else whole.rows
            cost = spec.expected_cost(rows=rows, columns=self._data.columns, outputs=outputs)
            self._lanes[lane] = _Lane(
                name=lane, spec=spec, fold=fold, seed=seed, process=process, cost=cost, keeps=keeps, shown=shown
            )

    def advance(self, lane: str, rounds: int, *, predict_at: Sequence[int] = ()) -> list[np.ndarray]:
        """Train on to ``rounds``; predictions of the validation rows after each of ``predict_at`` rounds.

        A prediction is ``[n, C]`` probabilities for classes (two columns for a binary task), else
        ``[n]`` means. Rounds already trained are not trained again.
        """
        known = self._known(lane)
        if not 1 <= rounds <= known.spec.full_length:
            message = f"rounds of lane {lane!r} must be from 1 to {known.spec.full_length}, got {rounds}"
            raise UsageError(message)
        if any(not 1 <= at <= rounds for at in predict_at):
            message = f"predict_at must lie from 1 to {rounds} rounds, got {list(predict_at)}"
            raise UsageError(message)
        header = {"op": "advance", "rounds": rounds, "predict_at": [int(at) for at in predict_at]}
        _, arrays = self._ask(known, header)
        return list(arrays["predictions"]) if predict_at else []

    def predict(self, lane: str, rows: np.ndarray, *, rounds: int | None = None) -> np.ndarray:
        """Predictions of some rows of the table, with the first ``rounds`` rounds only if stated."""
        known = self._trained(lane, rounds)
        index = self._rows("rows", rows)
        return self._ask(known, {"op": "predict", "rounds": rounds}, {"rows": index})[1]["predictions"]

    def train_predictions(self, lane: str, places: np.ndarray | None = None) -> np.ndarray:
        """Predictions of the lane's own training rows, or of those at ``places`` among them, to see if it overfits."""
        arrays = {} if places is None else {"places": np.asarray(places, dtype=np.int64)}
        return self._ask(self._trained(lane, None), {"op": "train"}, arrays)[1]["predictions"]

    def export(self, lane: str, *, rounds: int | None = None) -> SavedTrees:
        """The lane as text (``load_trees`` reads it), with the first ``rounds`` rounds only if stated."""
        header, arrays = self._ask(self._trained(lane, rounds), {"op": "export", "rounds": rounds})
        return SavedTrees(kind=header["kind"], text=arrays["text"].tobytes().decode(), meta=header["meta"])

    def digest(self, lane: str) -> str:
        """SHA-256 of what the lane has grown: of its predictions for its training rows, or of all trees of a forest.

        The text of large boosters takes longer to write than a round takes to train; of rows on disk it is that.
        """
        return str(self._ask(self._trained(lane, None), {"op": "digest"})[0]["digest"])

    def settle(self, lane: str) -> None:
        """The lane grows no more: its worker lets go of the training rows, unless other lanes have them too."""
        self._ask(self._trained(lane, None), {"op": "settle"})

    def drop(self, lane: str) -> None:
        """Forget a lane and free what it held; the name may be used again."""
        known = self._known(lane)
        with known.process.lock:
            with self._lock:
                self._lanes.pop(lane, None)
                if all(other.fold is not known.fold for other in self._lanes.values()):
                    self._folds.pop(known.fold.key, None)
            if known.process.alive and known.known_to == known.process.starts:
                try:
                    header, _ = known.process.ask({"op": "drop", "lane": lane})
                except WorkerDiedError:
                    return  # the lane went with its worker
                if header.get("fold_gone"):
                    known.process.known.discard(known.fold.key)

    def worker_of(self, lane: str) -> int:
        """Index of the lane's worker: lanes of different workers advance side by side."""
        return self._known(lane).process.index

    @property
    def columns(self) -> int:
        """How many columns trees may split on."""
        return self._data.columns

    @property
    def table_bytes(self) -> int:
        """Size of the table that every worker maps."""
        data = self._data
        return data.numbers.nbytes + data.codes.nbytes + (0 if data.tokens is None else data.tokens.data.nbytes * 2)

    def process_ids(self) -> list[int]:
        """The workers' process ids, for supervision."""
        return [process.pid for process in self._processes]

    def _ask(self, lane: _Lane, header: Header, arrays: Arrays | None = None) -> tuple[Header, Arrays]:
        """Ask about a lane; a worker that dies is replaced and the lane trained again, once."""
        process = lane.process
        with process.lock:
            for attempt in range(2):
                try:
                    return self._ask_once(lane, header, arrays)
                except WorkerDiedError as error:
                    if attempt:
                        message = (
                            f"the worker process that trained lane {lane.name!r} was ended twice, {error}; if memory "
                            "ran out, which is the usual cause, train fewer lanes at once or use fewer rows"
                        )
                        raise TrainingError(message) from error
                    self._tell(again(self._kind.what, error))
        raise AssertionError

    def _ask_once(self, lane: _Lane, header: Header, arrays: Arrays | None) -> tuple[Header, Arrays]:
        process = lane.process
        process.ensure_started()
        if lane.known_to != process.starts:
            self._reopen(lane)
            if lane.rounds and header["op"] != "advance":
                self._checked(lane, {"op": "advance", "rounds": lane.rounds, "predict_at": []})
        answer = self._checked(lane, header, arrays)
        if header["op"] == "advance":
            lane.rounds = max(lane.rounds, header["rounds"])
        return answer

    def _reopen(self, lane: _Lane) -> None:
        process, fold = lane.process, lane.fold
        rows = {} if fold.key in process.known else {"train": fold.train, "valid": fold.valid, **fold.kept}
        whole = fold.whole
        header = {
            "op": "open",
            "fold": fold.key,
            "seed": lane.seed,
            "spec": lane.spec.as_settings(),
            "keeps": lane.keeps,
            "windows": whole.windows if whole else 0,
            "trains": list(whole.trains) if whole else [],
        }
        self._checked(lane, header, rows if lane.shown is None else {**rows, "shown": lane.shown})
        process.known.add(fold.key)
        lane.known_to = process.starts

    def _checked(self, lane: _Lane, header: Header, arrays: Arrays | None = None) -> tuple[Header, Arrays]:
        answer, results = lane.process.ask({**header, "lane": lane.name}, arrays)
        if "error" in answer:
            message = f"lane {lane.name!r} could not be trained: {answer['error']}"
            raise TrainingError(message)
        return answer, results

    def _known(self, lane: str) -> _Lane:
        with self._lock:
            if lane not in self._lanes:
                message = f"there is no open lane {lane!r}: open it first"
                raise UsageError(message)
            return self._lanes[lane]

    def _trained(self, lane: str, rounds: int | None) -> _Lane:
        known = self._known(lane)
        if known.rounds == 0 or not 1 <= (rounds or known.rounds) <= known.rounds:
            message = f"lane {lane!r} is trained for {known.rounds} rounds, got {rounds or 'none'}: advance it first"
            raise UsageError(message)
        return known

    def _rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        index = np.array(rows, dtype=np.int64)
        if index.ndim != 1 or (len(index) and not (index.min() >= 0 and index.max() < self._data.rows)):
            message = f"{name} must be indices from 0 to {self._data.rows - 1}"
            raise UsageError(message)
        return index


def _check_target(data: TreeData, task: Task) -> None:
    """A wrong class index would make the library read beyond its tables."""
    target, classes = np.asarray(data.target), len(task.classes)
    if task.is_classification:
        if not np.isin(target, np.arange(classes)).all():
            message = f"the target must hold class indices from 0 to {classes - 1}"
            raise UsageError(message)
    elif task.kind == "count" and (target < 0).any():
        message = f"counts must not be negative, got {target.min():g}"
        raise UsageError(message)


def _write(data: TreeData, folder: Path | None) -> Path:
    try:
        private = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=folder))
    except OSError as error:
        message = f"no folder for the trees' workers could be made: {error}"
        raise TrainingError(message) from error
    try:
        data.write(private)
    except OSError as error:
        full = cut_short(error, private)  # before its files are removed, which makes room
        shutil.rmtree(private, ignore_errors=True)
        if full is not None:
            raise store_error(full, action="write", path=private) from full
        message = f"the table for the trees' workers could not be written: {error}"
        raise TrainingError(message) from error
    except BaseException:
        shutil.rmtree(private, ignore_errors=True)
        raise
    return private


def _end(processes: list[WorkerProcess], folder: Path) -> None:
    for process in processes:
        process.stop()
    shutil.rmtree(folder, ignore_errors=True)
