"""Training rows of a streamed table as the workers of trees read them: from files that their parent has open.

A worker never loads torch, so it knows the store of rows by this description alone. The files have no name any more:
a worker inherits them.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

PIECE_ROWS = 65_536
"""Most rows that are read at a time."""


@final
@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """Rows on disk in windows, within each of which the rows of a part lie side by side.

    ``files`` has for each of numbers that 32 bits hold (``narrow``), other numbers (``wide``), ``codes``, ``target``
    and ``weight`` a descriptor, a type and how many a row has. ``cells [W * P + 1]`` says where each part of each
    window begins, ``is_narrow [Dn]`` where numbers are. ``shift`` is taken off codes. Rows that are ``weighed`` weigh
    what they came with times ``by_class``.
    """

    files: Mapping[str, tuple[int, str, int]]
    cells: tuple[int, ...]
    parts: int
    is_narrow: tuple[bool, ...]
    shift: int
    by_class: tuple[float, ...] | None
    weighed: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StoredTable":
        files = {name: (int(file), str(kind), int(width)) for name, (file, kind, width) in data["files"].items()}
        return cls(**{**data, "files": files})

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many rows of each part every window has: ``[W, P]``."""
        return np.diff(np.asarray(self.cells)).reshape(-1, self.parts)

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(file for file, _, _ in self.files.values())


@final
@dataclass(frozen=True, kw_only=True)
class StoredPart:
    """The rows of the first ``windows`` of a ``table`` whose parts ``trains [P]`` marks, one window after another."""

    table: StoredTable
    windows: int
    trains: tuple[bool, ...]

    @property
    def rows(self) -> int:
        return int(self.table.sizes[: self.windows, list(self.trains)].sum())

    def pieces(self) -> list[tuple[int, int]]:
        """From and to which place runs of rows lie, ``PIECE_ROWS`` at the most."""
        found = []
        for window in range(self.windows):
            for part in np.flatnonzero(self.trains).tolist():
                start, end = self.table.cells[window * self.table.parts + part :][:2]
                found += [(at, min(at + PIECE_ROWS, end)) for at in range(start, end, PIECE_ROWS)]
        return found

    def matrix(self, start: int, end: int) -> np.ndarray:
        """Columns of the rows between two places as LightGBM reads them: float64 ``[n, Dn + Kc]``."""
        codes = self._read("codes", start, end).astype(np.int64) - self.table.shift
        narrow, numbers = np.array(self.table.is_narrow, dtype=bool), len(self.table.is_narrow)
        found = np.empty((end - start, numbers + codes.shape[1]))
        found[:, :numbers][:, narrow] = self._read("narrow", start, end)
        found[:, :numbers][:, ~narrow] = self._read("wide", start, end)
        found[:, numbers:] = np.where(codes < 0, np.nan, codes)
        return found

    @property
    def target(self) -> np.ndarray:
        """The target of all rows, ``[N]``; read anew each time, for it is large."""
        return self._column("target")

    @property
    def weight(self) -> np.ndarray | None:
        """The weights of all rows, ``[N]``, up to a factor; None where they weigh the same."""
        if not self.table.weighed:
            return None
        own, by_class = self._column("weight"), self.table.by_class
        return own if by_class is None else own * np.array(by_class)[self.target.astype(np.int64)]

    def _column(self, name: str) -> np.ndarray:
        found, at = np.empty(self.rows), 0
        for start, end in self.pieces():
            cells = self._read(name, start, end)
            found[at : at + len(cells)] = cells[:, 0]
            at += len(cells)
        return found

    def _read(self, name: str, start: int, end: int) -> np.ndarray:
        file, kind, width = self.table.files[name]
        cells = np.empty((end - start, width), dtype=kind)
        left, at = cells.reshape(-1).view(np.uint8).data, start * width * cells.itemsize
        while len(left):
            # At a place of its own each time: all that have the file share one position.
            count = os.preadv(file, [left], at)
            if not count:
                message = "the rows on disk were cut short; start again"
                raise OSError(message)
            left, at = left[count:], at + count
        return cells
