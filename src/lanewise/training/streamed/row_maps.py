"""Prepared rows of a streamed table: its sample in files that are mapped into memory, all training rows in a store.

The kernel reads of the sample what is asked for, and drops the rest. Ranks of one host have the same files, which one
of them writes. No file has a name any more once it is open everywhere, so its space is free again when the processes
end, however they end.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import DataError
from lanewise.features.layout import Layout
from lanewise.features.preparation import Preparation
from lanewise.features.prepared import prepare_rows
from lanewise.training.data import ALL_ROWS, FoldData, TrainingData
from lanewise.training.problem import Problem, target_in_units, target_units
from lanewise.training.streamed.row_store import RowForm, RowStore
from lanewise.training.streamed.row_windows import FoldReading, Windows
from lanewise.training.streamed.streamed_rest import TrainingRest, weights_of
from lanewise.training.workers.folder import FOLDER_PREFIX

BLOCK_ROWS = 65_536

INDEX_BYTES = 8

ELSEWHERE = "let LANEWISE_HOME name a folder on another disk, leave out columns (drop), or ask for fewer folds"
"""What helps a fit on a disk without room."""

NARROW = (pl.Float32, pl.Int16, pl.Int8, pl.UInt16, pl.UInt8)
"""Types of which 32 bits of a float hold every number."""


def prepare_streamed(
    problem: Problem,
    *,
    refit: bool,
    folder: Path | None,
    stored: RowStore | None = None,
    dtype: torch.dtype = torch.float32,
    ranks: Ranks | None = None,
) -> tuple[TrainingData, Preparation]:
    """What `prepare` gives, of all rows of a streamed table, in files beneath ``folder`` (None: the system's place).

    ``stored`` are the training rows, which are the same for folds and refit; None: they are written now. All ``ranks``
    call this alike; the first on each host writes, the others open what it has written.

    Raises ``DataError`` where the disk has no room for them, or the table has changed.
    """
    rest = problem.rest
    stored = store_rows(problem, folder, ranks=ranks) if stored is None else stored
    parts = [problem.train] if refit else [fold.train for fold in problem.folds]
    judged = [problem.test] if refit else [fold.valid for fold in problem.folds]
    folds = [None] if refit else list(range(len(parts)))
    preparation = Preparation.fit(
        problem.layout,
        problem.encoded,
        parts,
        settings=problem.preparing,
        weight=problem.weight if rest is None else None,
        streamed=None if rest is None else [rest.statistics_of(fold) for fold in folds],
    )
    units = [
        target_units(problem, rows, None if rest is None else rest.target_of(fold))
        for fold, rows in zip(folds, parts, strict=True)
    ]
    with Writing(folder, _sample_bytes(problem, len(parts)), ranks) as files:
        for start in range(0, len(problem.y), BLOCK_ROWS) if files.writes else ():
            rows = np.arange(start, min(start + BLOCK_ROWS, len(problem.y)))
            dense, codes = prepare_rows(preparation, problem.encoded, rows, dtype)
            for place in range(len(parts)):
                files.append(f"dense-{place}", dense[place])
                files.append(f"codes-{place}", codes[place])
        files.share()
        data = {
            (ALL_ROWS if refit else place): FoldData(
                dense=files.mapped(f"dense-{place}", (len(problem.y), preparation.dense_width), dtype),
                codes=files.mapped(f"codes-{place}", (len(problem.y), len(problem.layout.embedded)), torch.int64),
                target=target_in_units(problem.task, problem.y, center, scale, dtype),
                train=torch.from_numpy(parts[place]),
                valid=torch.from_numpy(judged[place]),
                center=center,
                scale=scale,
            )
            for place, (center, scale) in enumerate(units)
        }
    weight = None if problem.weight is None else torch.from_numpy(problem.weight).to(dtype)
    windows = None if stored is None else _windows(problem, stored, preparation, data=data, folds=folds, dtype=dtype)
    found = TrainingData(
        task=problem.task, width=problem.width, folds=data, rows=len(problem.y), weight=weight, windows=windows
    )
    return found, preparation


def _windows(
    problem: Problem,
    stored: RowStore,
    preparation: Preparation,
    *,
    data: Mapping[int, FoldData],
    folds: Sequence[int | None],
    dtype: torch.dtype,
) -> Windows | None:
    """Windows on the rows that are ``stored``, read as each of the ``folds`` prepares them; None without such rows."""
    rest = problem.rest
    if rest is None:
        return None
    readings = {
        key: FoldReading(
            preparation=preparation.single(place),
            target=partial(target_in_units, problem.task, center=part.center, scale=part.scale, dtype=dtype),
            trains=rest.trains(fold),
        )
        for place, (fold, (key, part)) in enumerate(zip(folds, data.items(), strict=True))
    }
    return Windows(stored, readings, dtype, problem.weighing)


def store_rows(problem: Problem, folder: Path | None, *, ranks: Ranks | None = None) -> RowStore | None:
    """The training rows of a streamed table, written beneath ``folder`` (None: the system's place).

    None where the table is no larger than its sample. ``ranks`` and errors are those of `prepare_streamed`.
    """
    rest: TrainingRest | None = problem.rest
    if rest is None:
        return None
    form, train = row_form(problem.layout, rest), problem.train
    own, encoded = rest.placing.of(0, len(train)) * rest.parts.count + rest.parts.own, problem.encoded.only(train)
    held = rest.held + np.bincount(own, minlength=rest.held.size).reshape(rest.held.shape)
    words = rest.words
    if encoded.tokens is not None:
        spoken = np.bincount(own, weights=np.diff(encoded.tokens.indptr), minlength=words.size)
        words = words + spoken.astype(np.int64).reshape(words.shape)

    def fill(store: RowStore) -> None:
        weight = weights_of(problem.dataset, rest.weight)[train]
        store.write(0, encoded, problem.y[train], weight, rest.parts.own)
        first = len(train)
        for batch, y, weight in rest.batches():
            store.write(first, problem.layout.encode(batch), y, weight, rest.parts.of(batch))
            first += batch.rows

    store_in = partial(RowStore, form=form, placing=rest.placing, rows=held, words=words)
    with Writing(folder, needed_bytes(problem), ranks) as files:
        return files.stored(store_in, fill)


def row_form(layout: Layout, rest: TrainingRest) -> RowForm:
    """What is kept of a row."""
    schema, kinds = rest.rest.files.schema, rest.rest.kinds
    narrow = [kinds[number.column] == "number" and schema[number.column] in NARROW for number in layout.numbers]
    return RowForm(narrow=np.array(narrow, dtype=bool), codes=len(layout.categories), token_buckets=layout.tokens_width)


def needed_bytes(problem: Problem) -> int:
    """Bytes on disk of the training rows, and of the sample as all folds and the refit read it."""
    rest = problem.rest
    stored = 0
    if rest is not None:
        tokens = problem.encoded.tokens
        words = int(rest.words.sum()) + (0 if tokens is None else int(np.diff(tokens.indptr)[problem.train].sum()))
        stored = row_form(problem.layout, rest).needed_bytes(problem.training_rows, words)
    return stored + _sample_bytes(problem, len(problem.folds) + 1)


def _sample_bytes(problem: Problem, folds: int) -> int:
    layout = problem.layout
    row = layout.dense_width * torch.float32.itemsize + len(layout.embedded) * INDEX_BYTES
    return len(problem.y) * row * folds


@final
class Writing:
    """A folder of files that one rank of each host writes, from front to end, and all of them then open.

    Which that is ``writes`` says; it calls `share` once they are written, the others before they open any. The folder
    is gone when all ranks have left the block. Raises ``DataError`` where the disk has no room, or nobody wrote here.
    """

    folder: Path

    def __init__(
        self, folder: Path | None, needed: int, ranks: Ranks | None = None, *, elsewhere: str = ELSEWHERE
    ) -> None:
        self._parent, self._needed, self._elsewhere = folder, needed, elsewhere
        self._ranks = ranks or Lone()
        self.writes = self._ranks.place.local_rank == 0
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "Writing":
        if not self.writes:
            return self
        place = self._parent or Path(tempfile.gettempdir())
        try:
            free = shutil.disk_usage(place).free
            if self._needed > free:
                raise _no_room(place, self._needed, free, self._elsewhere)
            self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=place))
        except OSError as error:
            message = f"no rows can be written to {place}: {error.strerror or error}; {self._elsewhere}"
            raise DataError(message) from error
        return self

    def share(self) -> None:
        """Wait until the files are written, and learn where: each rank says which host it is on, and what it wrote."""
        for file in self._files.values():
            file.flush()
        host = socket.gethostname()
        own = json.dumps([host, os.fspath(self.folder) if self.writes else ""])
        told: list[tuple[str, str]] = [json.loads(text) for text in self._ranks.gather(own.encode())]
        if self.writes:
            return
        # Hosts of one name are told apart by what is there: the name of a folder is drawn at random.
        here = [Path(folder) for name, folder in told if folder and name == host and Path(folder).is_dir()]
        if not here:
            message = (
                f"rank {self._ranks.rank} finds no rows on {host}, where no rank has written any; start ranks with "
                "torchrun, or set LOCAL_RANK to 0 for one rank of each host, and let TMPDIR name one folder for all"
            )
            raise DataError(message)
        self.folder = here[0]

    def stored(self, store_in: Callable[..., RowStore], fill: Callable[[RowStore], None]) -> RowStore:
        """The store that ``fill`` writes all rows to, opened by ``store_in(folder)``; the other ranks open it too."""
        if not self.writes:
            self.share()
            return store_in(self.folder, written=True)
        store = store_in(self.folder)
        fill(store)
        store.complete()
        self.share()
        return store

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._ranks.meet()  # by now all of them have opened the files
        finally:
            for file in self._files.values():
                file.close()
            if self.writes:
                shutil.rmtree(self.folder, ignore_errors=True)

    def append(self, name: str, rows: Tensor) -> None:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("wb")
        if rows.numel():
            try:
                self._files[name].write(rows.contiguous().numpy().data)
            except OSError as error:
                message = f"the prepared rows could not be written to {self.folder.parent}: {error.strerror or error}"
                raise DataError(message) from error

    def mapped(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """What was written under ``name``."""
        count = int(np.prod(shape))
        if not count:
            return torch.empty(shape, dtype=dtype)
        return torch.from_file(str(self.folder / name), shared=True, size=count, dtype=dtype).view(shape)


def _no_room(place: Path, needed: int, free: int, elsewhere: str) -> DataError:
    return DataError(
        f"the prepared rows need {needed / 1e9:,.2f} GB on disk at {place}, and {free / 1e9:,.2f} GB are free; make "
        f"room, {elsewhere}"
    )
