"""Raw rows of a table on disk, spread over windows at random and read a window at a time.

Within a window the rows that train in the same folds lie side by side, so that which of them a fold trains on is known
without a number for each row.

Each part of a row (its numbers, its codes, its target, ...) has a file of its own, in which the rows of a window lie
side by side. So writing puts every row where it belongs at once, and whatever is read later is read in one piece.
"""

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from lanewise.data.memory import free_bytes
from lanewise.data.wording import counted
from lanewise.errors import DataError
from lanewise.features.encoding import Encoded
from lanewise.lanes.windows import Placing
from lanewise.training.trees.stored import StoredTable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NARROW, WIDE, CODES, TARGET, WEIGHT, LENGTHS, BUCKETS, COUNTS = range(8)
"""The parts: numbers that 32 bits hold exactly, other numbers, codes, target, weight, words of each row, the words."""


@dataclass(frozen=True, kw_only=True)
class RowForm:
    """What a row holds: which ``numbers [Dn]`` are kept in 32 bits, how many ``codes``, whether there are texts.

    ``code_type`` and ``target_type`` are the types of codes and target; rows that are ``weighed`` have a weight.
    """

    narrow: np.ndarray
    codes: int
    token_buckets: int = 0
    code_type: np.dtype = field(default_factory=lambda: np.dtype(np.int32))
    target_type: np.dtype = field(default_factory=lambda: np.dtype(np.float64))
    weighed: bool = True

    def part_widths(self) -> dict[int, tuple[np.dtype, int]]:
        """The type of each part, and how many of them a row has (a word, of the last two)."""
        narrow = int(self.narrow.sum())
        found = {
            NARROW: (np.dtype(np.float32), narrow),
            WIDE: (np.dtype(np.float64), len(self.narrow) - narrow),
            CODES: (self.code_type, self.codes),
            TARGET: (self.target_type, 1),
            WEIGHT: (np.dtype(np.float64), int(self.weighed)),
        }
        if self.token_buckets:
            found |= {
                LENGTHS: (np.dtype(np.int32), 1),
                BUCKETS: (np.dtype(np.int32), 1),
                COUNTS: (np.dtype(np.float32), 1),
            }
        return found

    def needed_bytes(self, rows: int, words: int) -> int:
        """Bytes on disk."""
        return sum(
            (words if part in (BUCKETS, COUNTS) else rows) * dtype.itemsize * width
            for part, (dtype, width) in self.part_widths().items()
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRows:
    """The rows of a window in the order in which they lie: ``encoded``, ``target [n]`` and ``weight [n]``."""

    encoded: Encoded
    target: np.ndarray
    weight: np.ndarray


@final
class RowStore:
    """Rows in files beneath ``folder``, in the windows of ``placing``: ``rows [W, P]`` of each part in each of them.

    ``words [W, P]`` are those of their texts. ``edges [W + 1]`` says at which place each window begins, ``cells
    [W * P + 1]`` each part of one. Files that another process has ``written`` are opened to be read only. Raises
    ``DataError`` where the files cannot be made, or are not there.
    """

    def __init__(
        self,
        folder: Path,
        form: RowForm,
        placing: Placing,
        rows: np.ndarray,
        words: np.ndarray,
        *,
        written: bool = False,
    ) -> None:
        self.form, self.placing, self.parts = form, placing, rows.shape[1]
        self.cells = np.concatenate([[0], np.cumsum(rows)])
        self.edges = self.cells[:: self.parts].copy()
        self._word_cells = np.concatenate([[0], np.cumsum(words)])
        self._word_edges = self._word_cells[:: self.parts]
        self._filled, self._spoken = np.zeros(rows.size, dtype=np.int64), np.zeros(words.size, dtype=np.int64)
        self._place = folder
        self._widths = form.part_widths()
        self.bytes = form.needed_bytes(int(rows.sum()), int(words.sum()))
        self.bytes_read = 0
        self._drops = 2 * self.bytes > free_bytes()
        self._files: dict[int, FileIO] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._files)
        try:
            for part in self._widths:
                self._files[part] = FileIO(str(folder / f"rows-{part}"), "r" if written else "w+")
        except OSError as error:
            raise (self._unreadable if written else self._unwritable)(error) from error

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.edges[-1])

    def places(self, window: int, trains: np.ndarray) -> np.ndarray:
        """The places ``[n]``, ascending, of the rows of a window whose part ``trains [P]`` says it."""
        first = window * self.parts
        bounds = [self.cells[first + part : first + part + 2] for part in np.flatnonzero(trains)]
        return np.concatenate([np.arange(start, end) for start, end in bounds])

    def write(self, first: int, encoded: Encoded, target: np.ndarray, weight: np.ndarray, parts: np.ndarray) -> None:
        """Write the rows from number ``first`` on, which belong to ``parts [n]``.

        Raises ``DataError`` where the disk is full.
        """
        cells = self.placing.of(first, encoded.rows) * self.parts + parts
        order = np.argsort(cells, kind="stable")
        sizes = np.bincount(cells, minlength=len(self._filled))
        begins = self.cells[:-1] + self._filled
        columns: dict[int, np.ndarray] = {
            NARROW: encoded.numbers[:, self.form.narrow],
            WIDE: encoded.numbers[:, ~self.form.narrow],
            CODES: encoded.codes,
            TARGET: target[:, None],
            WEIGHT: weight[:, None],
        }
        for part, values in columns.items():
            self._scatter(part, values[order], sizes, begins)
        if encoded.tokens is not None:
            self._write_words(encoded.tokens[order], sizes, begins)
        self._filled += sizes

    def _write_words(self, tokens: "csr_array", sizes: np.ndarray, begins: np.ndarray) -> None:
        lengths = np.diff(tokens.indptr)
        self._scatter(LENGTHS, lengths[:, None], sizes, begins)
        ends = np.concatenate([[0], np.cumsum(lengths)])[np.concatenate([[0], np.cumsum(sizes)])]
        words, begins = np.diff(ends), self._word_cells[:-1] + self._spoken
        self._scatter(BUCKETS, tokens.indices[:, None], words, begins)
        self._scatter(COUNTS, tokens.data[:, None], words, begins)
        self._spoken += words

    def _scatter(self, part: int, cells: np.ndarray, sizes: np.ndarray, begins: np.ndarray) -> None:
        """Write ``cells``, sorted by window and part, those of each behind what it has."""
        dtype, width = self._widths[part]
        if not width:
            return
        data = np.ascontiguousarray(cells, dtype=dtype).reshape(-1).view(np.uint8).data
        size, start = dtype.itemsize * width, 0
        for window in np.flatnonzero(sizes).tolist():
            end = start + int(sizes[window]) * size
            self._write(part, data[start:end], int(begins[window]) * size)
            start = end

    def _write(self, part: int, data: memoryview, at: int) -> None:
        try:
            self._files[part].seek(at)
            while len(data):
                data = data[self._files[part].write(data) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def complete(self) -> None:
        """Every row is written; raises ``DataError`` where there were other rows than those that were counted."""
        if (self._filled != np.diff(self.cells)).any() or (self._spoken != np.diff(self._word_cells)).any():
            message = (
                f"the table changed while it was read: {counted(self.rows, 'row')} were to be written, and "
                f"{self._filled.sum():,} came, or others; start again when it is complete"
            )
            raise DataError(message)

    def described(self, *, shift: int, by_class: np.ndarray | None, weighed: bool) -> StoredTable:
        """What a worker of trees needs to read the rows; see there."""
        names = {"narrow": NARROW, "wide": WIDE, "codes": CODES, "target": TARGET, "weight": WEIGHT}
        widths = {name: self._widths[part] for name, part in names.items()}
        return StoredTable(
            files={
                name: (self._files[part].fileno(), widths[name][0].str, widths[name][1]) for name, part in names.items()
            },
            cells=tuple(self.cells.tolist()),
            parts=self.parts,
            is_narrow=tuple(self.form.narrow.tolist()),
            shift=shift,
            by_class=None if by_class is None else tuple(by_class.tolist()),
            weighed=weighed,
        )

    def mapped(self, part: int) -> np.ndarray:
        """A part of all rows ``[N, width]``, window after window, as an array that stays on disk."""
        dtype, width = self._widths[part]
        return np.memmap(self._files[part], dtype=dtype, mode="r", shape=(self.rows, width))

    def read(self, window: int) -> StoredRows:
        """The rows of a window. Raises ``DataError`` where the disk fails."""
        start, end = int(self.edges[window]), int(self.edges[window + 1])
        found = {part: self._read(part, start, end) for part in self._widths if part not in (BUCKETS, COUNTS)}
        numbers = np.empty((end - start, len(self.form.narrow)))
        numbers[:, self.form.narrow], numbers[:, ~self.form.narrow] = found[NARROW], found[WIDE]
        encoded = Encoded(
            numbers=numbers,
            codes=found[CODES].astype(np.int64),
            tokens=self._read_words(window, found[LENGTHS][:, 0]) if self.form.token_buckets else None,
        )
        return StoredRows(encoded=encoded, target=found[TARGET][:, 0], weight=found[WEIGHT][:, 0])

    def _read_words(self, window: int, lengths: np.ndarray) -> "csr_array":
        from scipy.sparse import csr_array

        bounds = [int(edge) for edge in self._word_edges[window : window + 2]]
        buckets, counts = (self._read(part, *bounds)[:, 0] for part in (BUCKETS, COUNTS))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return csr_array((counts, buckets, starts), shape=(len(lengths), self.form.token_buckets))

    def _read(self, part: int, start: int, end: int) -> np.ndarray:
        dtype, width = self._widths[part]
        cells = np.empty((end - start, width), dtype=dtype)
        data, at, file = cells.reshape(-1).view(np.uint8).data, start * width * dtype.itemsize, self._files[part]
        try:
            with self._lock:
                file.seek(at)
                left = data
                while len(left):
                    count = file.readinto(left)
                    if not count:
                        message = f"the prepared rows beneath {self._place.parent} were cut short; start again"
                        raise DataError(message)
                    left = left[count:]
                self.bytes_read += len(data)
        except OSError as error:
            raise self._unreadable(error) from error
        if self._drops and data and hasattr(os, "posix_fadvise"):
            # All of it is read before this is wanted again: better keep what is in use.
            os.posix_fadvise(file.fileno(), at, len(data), os.POSIX_FADV_DONTNEED)
        return cells

    def _unreadable(self, error: OSError) -> DataError:
        return DataError(f"the prepared rows could not be read from {self._place.parent}: {error.strerror or error}")

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"the prepared rows could not be written to {self._place.parent}: {error.strerror or error}")


def _close(files: Mapping[int, FileIO]) -> None:
    for file in files.values():
        file.close()
