"""The batches of a stack: which rows its lanes are shown at which step, and what is read of them here."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Roster
from lanewise.lanes.windows import PlacedRowStream, WindowedRowStream
from lanewise.models.base import Inputs, PartOfBatch
from lanewise.training.data import TrainingData
from lanewise.training.step import Batch, KeyedNoise
from lanewise.training.streamed.row_windows import PreparedRows, Reader


@final
class Batches:
    """What the groups of ``roster`` are shown: ``batch_size`` rows a step, or all training rows where it is None.

    ``dtype`` is that of the lanes, ``compute`` that of their inputs, None: the same. Along an ``axis`` each rank reads
    its part of the same rows.
    """

    def __init__(
        self,
        data: TrainingData,
        roster: Roster,
        *,
        batch_size: int | None,
        dtype: torch.dtype,
        compute: torch.dtype | None,
        axis: DataAxis | None = None,
    ) -> None:
        self.groups, self.sizes = roster.groups, roster.group_sizes
        self._data, self._batch_size, self._axis = data, batch_size, axis
        self._dtype, self._compute = dtype, compute
        self._seeds = [seed for _, seed in self.groups]
        self._streams = [_stream(data, fold, seed) for fold, seed in self.groups]
        self._reader = None
        if data.windows is not None:
            self._reader = Reader(data.windows, [fold for fold, _ in self.groups])
        self._ahead: tuple[int, list[Tensor], Batch] | None = None

    def read_ahead(self, at: int) -> None:
        """Read the batch of step ``at``, which :meth:`rows` and :meth:`batch` will be asked for next."""
        if self._batch_size is not None:
            shown = self.rows(at)
            self._ahead = at, shown, self.batch(shown)

    def rows(self, at: int) -> list[Tensor]:
        """The rows ``[B]`` that each group is shown at step ``at``."""
        if self._ahead is not None and self._ahead[0] == at:
            return self._ahead[1]
        if self._batch_size is None:
            return [self._data.folds[fold].train for fold, _ in self.groups]
        return [stream.take(at * self._batch_size, self._batch_size) for stream in self._streams]

    def noise(self, at: int, shown: Sequence[Tensor]) -> KeyedNoise:
        """The draws of step ``at`` for the rows that are here of those ``shown``."""
        device = self._data.folds[self.groups[0][0]].dense.device
        return KeyedNoise(self._seeds, at, device, part=self._part(shown))

    def _part(self, shown: Sequence[Tensor]) -> PartOfBatch | None:
        if self._axis is None:
            return None
        rows = max(map(len, shown))
        own = self._axis.part(rows)
        return PartOfBatch(start=own.start, stop=own.stop, rows=rows)

    def batch(self, shown: Sequence[Tensor]) -> Batch:
        """The batch of the rows ``shown`` to each group, or the part of it that is here."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[1] is shown:
            return ahead[2]
        own = self._part(shown)
        here = slice(None) if own is None else slice(own.start, own.stop)
        dense, codes, targets, weights = [], [], [], []
        for (fold, _), taken in zip(self.groups, shown, strict=True):
            rows, share = self._all_rows(taken) if self._batch_size is None else (taken, None)
            rows, share = rows[here], None if share is None else share[here]
            read = self._read(fold, rows)
            dense.append(read.dense)
            codes.append(read.codes)
            targets.append(read.target)
            weights.append(read.weight if share is None else share if read.weight is None else read.weight * share)
        self._turn()
        weighted = [weight for weight in weights if weight is not None]
        return Batch(
            inputs=Inputs(dense=self.low(_stacked(dense)), codes=_stacked(codes), sizes=self.sizes),
            targets=_stacked(targets),
            weights=_stacked(weighted) if weighted else None,
            share=1.0 if own is None else own.share,
        )

    def _read(self, fold: int, rows: Tensor) -> PreparedRows:
        """Rows of a fold: of those in memory, or in windows where the table is streamed."""
        part = self._data.folds[fold]
        if self._reader is not None:
            read = self._reader.rows(fold, rows)
            dense, codes = part.narrowed(read.dense, read.codes)
            return replace(read, dense=dense, codes=codes)
        dense, codes = part.features(rows)
        weight = None if self._data.weight is None else self._data.weight.index_select(0, rows)
        return PreparedRows(dense=dense, codes=codes, target=part.targets(rows), weight=weight)

    def _turn(self) -> None:
        if self._reader is not None:
            streams = zip(self.groups, self._streams, strict=True)
            self._reader.turn({fold: own.following for (fold, _), own in streams if isinstance(own, PlacedRowStream)})

    def settle(self) -> None:
        """No batch is wanted for a while: the windows that are held are let go."""
        if self._reader is not None:
            self._reader.settle()

    def _all_rows(self, train: Tensor) -> tuple[Tensor, Tensor | None]:
        """All rows of a fold, filled up to the length of the longest fold by a row of its own that weighs nothing.

        With the rows come their weights, under which a mean over the longer batch is the mean over the fold.
        """
        folds = [self._data.folds[fold].train for fold, _ in self.groups]
        longest = max(map(len, folds))
        if longest == min(map(len, folds)):
            return train, None
        share = torch.zeros(longest, dtype=self._dtype, device=train.device)
        share[: len(train)] = longest / len(train)
        return torch.cat([train, train[:1].expand(longest - len(train))]), share

    def low(self, dense: Tensor) -> Tensor:
        """``dense`` as products read it."""
        return dense.to(self._compute) if self._compute else dense


def _stream(data: TrainingData, fold: int, seed: int) -> RowStream | WindowedRowStream | PlacedRowStream:
    """The order in which the lanes of a group see the training rows of their fold."""
    if data.windows is not None:
        return data.windows.stream(fold, seed)
    train = data.folds[fold].train
    if data.edges is not None:
        starts = torch.searchsorted(train, data.edges.to(train.device)).cpu()  # a slice of a GPU's rows waits for none
        return PlacedRowStream(seed, starts.diff(), lambda window: train[starts[window] : starts[window + 1]])
    if data.window is None or data.rows <= data.window:
        return RowStream(seed, train, data.rows)
    return WindowedRowStream(seed, train, data.rows, data.window)


def _stacked(parts: list[Tensor]) -> Tensor:
    """``parts`` of one shape with an axis in front; a view, not a copy, where there is only one."""
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)
