"""The stream of training rows of data that lie on disk: shuffled in windows, so that it is read in runs of rows."""

import torch
from torch import Tensor

from lanewise.lanes.draws import generator

WINDOW_BYTES = 64 * 2**20
"""Bytes of the rows among which an epoch is shuffled: what each fold has in memory at a time."""

RUNS = 512
"""Runs of neighbouring rows in a window: of 128 KiB each, which is what a system reads at a time."""


def window_rows(row_bytes: int) -> int:
    """How many rows of that size a window has.

    >>> window_rows(80)
    838860
    """
    return max(1, WINDOW_BYTES // max(1, row_bytes))


class WindowedRowStream:
    """As `RowStream`, with an order for data that are larger than the memory.

    Row numbers are cut into runs of a 512th of a window. Each epoch takes the runs in a fresh random order, fills a
    window of ``window`` row numbers with 512 of them, and shuffles the training rows in it; then the next window. So a
    window holds runs from all over the data, and an epoch reads every run once. Two folds see the rows that they share
    in windows of the same runs. ``rows [n]`` are ascending.

    >>> stream = WindowedRowStream(0, torch.arange(4096), 4096, 1024)
    >>> first = stream.take(0, 4096)
    >>> sorted(first.tolist()) == list(range(4096)), len(set((first[:1024] // 2).tolist()))
    (True, 512)
    """

    def __init__(self, seed: int, rows: Tensor, total: int, window: int) -> None:
        assert len(rows) > 0
        self._seed, self._rows, self._length = seed, rows, len(rows)
        run = max(1, window // RUNS)
        count = -(-total // run)
        edges = torch.arange(count + 1, dtype=torch.int64) * run
        # Where in ``rows`` each run begins.
        self._starts = torch.searchsorted(rows, edges)
        self._per_window = max(1, window // run)
        self._epoch, self._window = -1, -1
        self._runs = self._ends = self._order = rows.new_empty(0)

    def _begin(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        count = len(self._starts) - 1
        self._runs = torch.randperm(count, generator=generator(self._seed, "runs", epoch))
        sizes = (self._starts[1:] - self._starts[:-1])[self._runs]
        sums = sizes.cumsum(0)
        last = torch.arange(self._per_window - 1, count + self._per_window - 1, self._per_window).clamp(max=count - 1)
        self._ends = sums[last.unique()]
        self._epoch, self._window = epoch, -1

    def _fill(self, window: int) -> None:
        if window == self._window:
            return
        runs = self._runs[window * self._per_window : (window + 1) * self._per_window].tolist()
        rows = torch.cat([self._rows[int(self._starts[run]) : int(self._starts[run + 1])] for run in sorted(runs)])
        draw = generator(self._seed, "rows", self._epoch, window)
        self._order = rows[torch.randperm(len(rows), generator=draw)]
        self._window = window

    def take(self, start: int, count: int) -> Tensor:
        """Rows ``start .. start + count`` of the stream, as ``[count]`` int64."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self._length)
            self._begin(epoch)
            window = int(torch.searchsorted(self._ends, offset, right=True))
            self._fill(window)
            offset -= int(self._ends[window - 1]) if window else 0
            part = self._order[offset : offset + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)
