"""Prepared rows in files that are mapped into memory: the kernel reads what training asks for, and drops the rest.

The files lie one fold after the other, rows in the order of training data: first the sample, then the rest. They have
no name any more once they are mapped, so their space is free again when the process ends, however it ends.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import DataError
from lanewise.features.preparation import Preparation, PreparationSettings
from lanewise.features.prepared import prepare_rows
from lanewise.lanes.windows import window_rows
from lanewise.training.data import ALL_ROWS, FoldData, TrainingData
from lanewise.training.problem import Problem, target_in_units, target_units
from lanewise.training.streamed_rest import TrainingRest
from lanewise.training.workers.loop import FOLDER_PREFIX

BLOCK_ROWS = 65_536

INDEX_BYTES = 8


def prepare_streamed(
    problem: Problem, *, refit: bool, folder: Path | None, dtype: torch.dtype = torch.float32
) -> tuple[TrainingData, Preparation]:
    """What `prepare` gives, of all rows of a streamed table, in files beneath ``folder`` (None: the system's place).

    Raises ``DataError`` where the disk has no room for them, or the table has changed.
    """
    parts = [problem.train] if refit else [fold.train for fold in problem.folds]
    judged = [problem.test] if refit else [fold.valid for fold in problem.folds]
    rest = problem.rest
    preparation = Preparation.fit(
        problem.layout,
        problem.encoded,
        parts,
        settings=PreparationSettings(),
        streamed=None if rest is None else rest.statistics,
    )
    units = [target_units(problem, rows) for rows in parts]
    rows = len(problem.y) + (0 if rest is None else rest.rows)
    with _Writing(folder, needed_bytes(problem, refit=refit)) as files:
        for dense, codes, y in _blocks(problem, preparation, dtype):
            for place, (center, scale) in enumerate(units):
                files.append(f"dense-{place}", dense[place])
                files.append(f"codes-{place}", codes[place])
                shared = problem.task.is_classification and place
                if not shared:
                    files.append(f"target-{place}", target_in_units(problem.task, y, center, scale, dtype))
        for place, own in enumerate(parts):
            files.append(f"train-{place}", torch.from_numpy(own))
            files.append(f"train-{place}", torch.arange(len(problem.y), rows))
        data: dict[int, FoldData] = {}
        whole = torch.int64 if problem.task.is_classification else dtype
        target = files.mapped("target-0", (rows,), whole)
        for place, (center, scale) in enumerate(units):
            count = len(parts[place]) + rows - len(problem.y)
            if place and not problem.task.is_classification:
                target = files.mapped(f"target-{place}", (rows,), whole)
            data[ALL_ROWS if refit else place] = FoldData(
                dense=files.mapped(f"dense-{place}", (rows, preparation.dense_width), dtype),
                codes=files.mapped(f"codes-{place}", (rows, len(problem.layout.embedded)), torch.int64),
                target=target,
                train=files.mapped(f"train-{place}", (count,), torch.int64),
                valid=torch.from_numpy(judged[place]),
                center=center,
                scale=scale,
                at_hand=len(parts[place]),
            )
    window = window_rows(dtype.itemsize * preparation.dense_width)
    found = TrainingData(task=problem.task, width=problem.width, folds=data, rows=rows, window=window)
    return found, preparation


def needed_bytes(problem: Problem, *, refit: bool, dtype: torch.dtype = torch.float32) -> int:
    """Bytes on disk of the rows of all folds, or of the refit."""
    rows = len(problem.y) + (0 if problem.rest is None else problem.rest.rows)
    layout = problem.layout
    row = layout.dense_width * dtype.itemsize + (len(layout.embedded) + 2) * INDEX_BYTES
    return rows * row * (1 if refit else len(problem.folds))


def _blocks(
    problem: Problem, preparation: Preparation, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """Dense features ``[G, n, D]``, codes ``[G, n, Ke]`` and target ``[n]`` of all rows in order, a block at a time."""
    for start in range(0, len(problem.y), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(problem.y)))
        yield (*prepare_rows(preparation, problem.encoded, rows, dtype), problem.y[rows])
    rest: TrainingRest | None = problem.rest
    for batch, y in () if rest is None else rest.batches():
        encoded = problem.layout.encode(batch)
        yield (*prepare_rows(preparation, encoded, np.arange(encoded.rows), dtype), y)


@final
class _Writing:
    """A folder of files that are written from front to end and then mapped."""

    def __init__(self, folder: Path | None, needed: int) -> None:
        self._parent, self._needed = folder, needed
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "_Writing":
        place = self._parent or Path(tempfile.gettempdir())
        free = shutil.disk_usage(place).free
        if self._needed > free:
            raise _no_room(place, self._needed, free)
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=place))
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
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
        self._files[name].flush()
        count = int(np.prod(shape))
        if not count:
            return torch.empty(shape, dtype=dtype)
        return torch.from_file(str(self.folder / name), shared=True, size=count, dtype=dtype).view(shape)


def _no_room(place: Path, needed: int, free: int) -> DataError:
    return DataError(
        f"the prepared rows need {needed / 1e9:,.2f} GB on disk at {place}, and {free / 1e9:,.2f} GB are free; make "
        "room, let LANEWISE_HOME name a folder on another disk, leave out columns (drop), or ask for fewer folds"
    )
