"""Windows of stored rows, prepared for training: the one in use, and the next one, which is made ready meanwhile."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from lanewise.features.preparation import Preparation
from lanewise.features.prepared import prepare_rows
from lanewise.lanes.windows import PlacedRowStream
from lanewise.training.streamed.row_store import RowStore

BLOCK_BYTES = 4 * 2**20
"""Memory that preparing a window takes at a time."""

KEPT_WINDOWS = 2
"""Windows that are kept for whoever reads them next: teams begin with the same ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldReading:
    """How a fold reads stored rows: its ``preparation`` (``G = 1``), its ``target`` in its own units.

    ``trains [P]`` says which parts of the rows it trains on.
    """

    preparation: Preparation
    target: Callable[[np.ndarray], Tensor]
    trains: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedRows:
    """Rows as a fold reads them: ``dense [n, D]``, ``codes [n, K]``, ``target [n]``, ``weight [n]`` or None."""

    dense: Tensor
    codes: Tensor
    target: Tensor
    weight: Tensor | None

    def take(self, places: Tensor) -> "PreparedRows":
        return PreparedRows(
            dense=self.dense.index_select(0, places),
            codes=self.codes.index_select(0, places),
            target=self.target.index_select(0, places),
            weight=None if self.weight is None else self.weight.index_select(0, places),
        )


@final
class Windows:
    """The training rows of a streamed table as the folds of ``readings`` see them, of ``dtype``.

    ``weigh`` gives the weights of rows from their target and own weight; None: all weigh the same.
    """

    def __init__(
        self,
        store: RowStore,
        readings: Mapping[int, FoldReading],
        dtype: torch.dtype,
        weigh: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.store, self.readings, self.dtype = store, readings, dtype
        self.edges = torch.from_numpy(store.edges)
        self._weigh = weigh
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, dict[int, PreparedRows]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="windows")
        self.seconds_a_row = 0.0
        """What the last window took to read and prepare, per row and fold."""

    def stream(self, fold: int, seed: int) -> PlacedRowStream:
        """The order in which the lanes of a fold and seed see their rows."""
        trains = self.readings[fold].trains
        return PlacedRowStream(
            seed, self._sizes(fold), lambda window: torch.from_numpy(self.store.places(window, trains))
        )

    def training_rows(self, fold: int) -> int:
        """How many rows a fold trains on."""
        return int(self._sizes(fold).sum())

    def _sizes(self, fold: int) -> Tensor:
        """How many rows of each window a fold trains on: ``[W]``."""
        rows = np.diff(self.store.cells).reshape(-1, self.store.parts)
        return torch.from_numpy(rows[:, self.readings[fold].trains].sum(1))

    @property
    def window_bytes(self) -> int:
        """Memory of the prepared rows of the largest window, for one fold."""
        width = next(iter(self.readings.values())).preparation.dense_width
        return int(np.diff(self.store.edges).max()) * (width + 2) * self.dtype.itemsize

    def load(self, window: int, folds: Sequence[int]) -> dict[int, PreparedRows]:
        """A window as each of ``folds`` reads it."""
        with self._lock:
            known = dict(self._kept.get(window, {}))
        missing = [fold for fold in folds if fold not in known]
        if missing:
            started = time.perf_counter()
            known |= self._prepared(window, missing)
            size = max(1, int(self.edges[window + 1] - self.edges[window]))
            self.seconds_a_row = (time.perf_counter() - started) / (size * len(missing))
        with self._lock:
            self._kept[window] = {**self._kept.get(window, {}), **known}
            self._kept.move_to_end(window)
            while len(self._kept) > KEPT_WINDOWS:
                self._kept.popitem(last=False)
        return {fold: known[fold] for fold in folds}

    def _prepared(self, window: int, folds: Sequence[int]) -> dict[int, PreparedRows]:
        raw = self.store.read(window)
        everything = np.arange(raw.encoded.rows)
        weight = None
        if self._weigh is not None:
            weight = torch.from_numpy(self._weigh(raw.target, raw.weight)).to(self.dtype)
        found = {}
        for fold in folds:
            reading = self.readings[fold]
            dense, codes = prepare_rows(
                reading.preparation, raw.encoded, everything, self.dtype, block_bytes=BLOCK_BYTES
            )
            found[fold] = PreparedRows(dense=dense[0], codes=codes[0], target=reading.target(raw.target), weight=weight)
        return found

    def close(self) -> None:
        """Wait for what is being made ready; nothing is any more."""
        self._thread.shutdown(cancel_futures=True)

    def ahead(self, window: int, folds: Sequence[int]) -> "Future[dict[int, PreparedRows]]":
        """The same in a thread, of which there is one."""
        return self._thread.submit(self.load, window, folds)


@final
class Reader:
    """What one team reads of ``windows``, for the ``folds`` of its lanes.

    Folds of about one length are in the same or neighbouring windows, which are read once for all of them; those that
    chain forward in time are not, and each reads its own.
    """

    def __init__(self, windows: Windows, folds: Collection[int]) -> None:
        self._windows, self._folds = windows, tuple(dict.fromkeys(folds))
        self._held: dict[int, dict[int, PreparedRows]] = {}
        self._coming: dict[tuple[int, tuple[int, ...]], Future[dict[int, PreparedRows]]] = {}
        self._following: Mapping[int, Collection[int]] = {}
        self._used: set[int] = set()

    def rows(self, fold: int, places: Tensor) -> PreparedRows:
        """The rows at ``places [n]`` of the store, in that order."""
        edges = self._windows.edges
        windows = torch.searchsorted(edges, places, right=True) - 1
        first = int(windows[0]) if len(windows) else next(iter(self._held), 0)  # a rank may have none of a batch
        if bool((windows == first).all()):
            return self._window(first, fold).take(places - edges[first])
        parts: list[tuple[Tensor, PreparedRows]] = []
        for window in windows.unique().tolist():
            at = (windows == window).nonzero().squeeze(1)
            parts.append((at, self._window(window, fold).take(places[at] - edges[window])))
        order = torch.cat([at for at, _ in parts]).argsort()
        return _joined([part for _, part in parts]).take(order)

    def _window(self, window: int, fold: int) -> PreparedRows:
        self._used.add(window)
        held = self._held.setdefault(window, {})
        if fold not in held:
            key = next((own for own in self._coming if own[0] == window and fold in own[1]), None)
            coming = None if key is None else self._coming.pop(key)
            if coming is None or coming.cancel():  # the one thread is still busy for other teams
                held |= self._windows.load(window, tuple({fold, *self._near(window)}))
            else:
                held |= coming.result()
        return held[fold]

    def _near(self, window: int) -> tuple[int, ...]:
        """The folds that want a window now or soon, and do not have it."""
        held = self._held.get(window, {})
        return tuple(own for own in self._folds if own not in held and window in self._following.get(own, (window,)))

    def turn(self, following: Mapping[int, Collection[int]]) -> None:
        """A batch was read: let go of what it did not need, and have the first windows ``following`` made ready."""
        self._held = {window: rows for window, rows in self._held.items() if window in self._used}
        self._used, self._following = set(), following
        first = {fold: next(iter(windows)) for fold, windows in following.items()}
        wanted = {own: self._near(own) for fold, own in first.items() if fold not in self._held.get(own, {})}
        for key in self._coming.keys() - wanted.items():
            self._coming.pop(key).cancel()
        for window, folds in wanted.items() - self._coming.keys():
            self._coming[window, folds] = self._windows.ahead(window, folds)

    def settle(self) -> None:
        """Let go of everything: the team will not train for a while."""
        for other in self._coming.values():
            other.cancel()
        self._held, self._coming, self._following, self._used = {}, {}, {}, set()


def _joined(parts: Sequence[PreparedRows]) -> PreparedRows:
    weights = [part.weight for part in parts if part.weight is not None]
    return PreparedRows(
        dense=torch.cat([part.dense for part in parts]),
        codes=torch.cat([part.codes for part in parts]),
        target=torch.cat([part.target for part in parts]),
        weight=torch.cat(weights) if weights else None,
    )
