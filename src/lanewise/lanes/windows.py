"""The stream of training rows of data that lie on disk: shuffled in windows, so that it is read in runs of rows.

Files of a user's own lie in an order of theirs: `WindowedRowStream` fills its windows with runs from all over them.
Rows that are written for training are spread over their windows at random by `Placing`, and `PlacedRowStream` reads
window after window.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.draws import generator, keyed_seed

WINDOW_BYTES = 64 * 2**20
"""Bytes of the rows among which an epoch is shuffled: what each fold has in memory at a time."""

PLACED_BYTES = 8 * 2**20
"""Bytes of a window of rows that were spread at random, for all folds; the next one is made ready beside it."""

FEWEST_PLACED = 512
"""Fewest rows of such a window: with less, files are read in small pieces."""

MOST_WINDOWS = 2_048
"""Most windows of a table: with more, they would be written in small pieces."""

LOOKED_AHEAD = 2
"""Windows that a stream knows it will read next."""

RUNS = 512
"""Runs of neighbouring rows in a window: of 128 KiB each, which is what a system reads at a time."""


def window_rows(row_bytes: int) -> int:
    """How many rows of that size a window has.

    >>> window_rows(80)
    838860
    """
    return max(1, WINDOW_BYTES // max(1, row_bytes))


def placed_windows(rows: int, row_bytes: int) -> int:
    """How many windows ``rows`` are spread over at random, of ``row_bytes`` for all folds together.

    >>> placed_windows(2_500_000, 152), placed_windows(1000, 200_000), placed_windows(10**9, 400)
    (46, 2, 2048)
    """
    window = max(FEWEST_PLACED, PLACED_BYTES // max(1, row_bytes))
    return min(MOST_WINDOWS, -(-rows // window))


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


@dataclass(frozen=True, kw_only=True)
class Placing:
    """In which of ``windows`` each row is written: at random, by ``seed`` and its number alone.

    ``window(row) = mixed(row + key) mod windows``. So the place of a row depends neither on the files nor on the
    batches that it comes in, nor on who else reads them. Source: the finalizer of SplitMix64, Steele, Lea and Flood
    (2014), Fast splittable pseudorandom number generators.

    >>> Placing(windows=3, seed=0).of(0, 6).tolist()
    [0, 2, 1, 0, 2, 2]
    >>> Placing(windows=3, seed=0).of(2, 2).tolist()
    [1, 0]
    """

    windows: int
    seed: int

    def of(self, first: int, count: int) -> np.ndarray:
        """The windows ``[count]`` of the rows from ``first`` on."""
        with np.errstate(over="ignore"):
            mixed = np.arange(first, first + count, dtype=np.uint64) + np.uint64(keyed_seed(self.seed, "placing"))
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
            mixed ^= mixed >> np.uint64(31)
        return (mixed % np.uint64(self.windows)).astype(np.int64)


class PlacedRowStream:
    """As `RowStream`, of rows that lie in windows already, spread at random.

    Each epoch takes the windows in a fresh order, the same for all seeds and folds, so that they can share what is
    read; within a window each seed has its own. ``sizes [W]`` says how many rows of each window the fold trains on,
    and ``places`` gives them for a window, ascending.

    >>> parts = torch.tensor([0, 1, 2, 3]), torch.tensor([4, 6, 7])
    >>> stream = PlacedRowStream(0, torch.tensor([4, 3]), parts.__getitem__)
    >>> sorted(stream.take(0, 7).tolist()), stream.take(0, 3).tolist() == stream.take(0, 7)[:3].tolist()
    ([0, 1, 2, 3, 4, 6, 7], True)
    """

    def __init__(self, seed: int, sizes: Tensor, places: Callable[[int], Tensor]) -> None:
        self._seed, self._sizes, self._places = seed, sizes, places
        self._length = int(sizes.sum())
        assert self._length > 0
        self._epoch, self._place = -1, -1
        self._windows = self._ends = self._order = sizes.new_empty(0)

    def _shuffled(self, epoch: int) -> Tensor:
        return torch.randperm(len(self._sizes), generator=generator(0, "windows", epoch))

    def _begin(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._windows = self._shuffled(epoch)
            self._ends = self._sizes[self._windows].cumsum(0)
            self._epoch, self._place = epoch, -1

    def _fill(self, place: int) -> None:
        if place == self._place:
            return
        window = int(self._windows[place])
        rows = self._places(window)
        draw = generator(self._seed, "rows", self._epoch, window)
        self._order = rows[torch.randperm(len(rows), generator=draw)]
        self._place = place

    @property
    def following(self) -> tuple[int, ...]:
        """The two windows that are read after the one that was taken from last."""
        found, epoch = self._windows[self._place + 1 : self._place + 1 + LOOKED_AHEAD].tolist(), self._epoch
        while len(found) < LOOKED_AHEAD:
            epoch += 1
            found += self._shuffled(epoch)[: LOOKED_AHEAD - len(found)].tolist()
        return tuple(found)

    def take(self, start: int, count: int) -> Tensor:
        """Places ``start .. start + count`` of the stream, as ``[count]`` int64."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self._length)
            self._begin(epoch)
            place = int(torch.searchsorted(self._ends, offset, right=True))
            self._fill(place)
            offset -= int(self._ends[place - 1]) if place else 0
            part = self._order[offset : offset + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)
