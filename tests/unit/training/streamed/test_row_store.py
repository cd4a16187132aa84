"""Rows in windows on disk: one process writes them, any may read them, and all know where each lies."""

from pathlib import Path

import numpy as np
import pytest

from lanewise.errors import DataError
from lanewise.features.encoding import Encoded
from lanewise.lanes.windows import Placing
from lanewise.training.streamed.row_store import RowForm, RowStore

ROWS, FIRST, WINDOWS = 60, 25, 4
Y = np.arange(ROWS) / 7
NUMBERS = np.stack([np.arange(ROWS) * 0.5, -Y], axis=1)
CODES = np.arange(ROWS)[:, None] % 5
PARTS = np.arange(ROWS) % 3 // 2
PLACING = Placing(windows=WINDOWS, seed=3)


def store_in(folder: Path, *, written: bool = False) -> RowStore:
    held = np.bincount(PLACING.of(0, ROWS) * 2 + PARTS, minlength=2 * WINDOWS).reshape(WINDOWS, 2)
    form = RowForm(narrow=np.array([True, False]), codes=1, token_buckets=0)
    return RowStore(folder, form, PLACING, held, np.zeros_like(held), written=written)


def write(store: RowStore, start: int, stop: int) -> None:
    own = slice(start, stop)
    encoded = Encoded(numbers=NUMBERS[own], codes=CODES[own].astype(np.int32), tokens=None)
    store.write(start, encoded, Y[own], np.ones(stop - start), PARTS[own])


def test_a_store_that_another_has_written_has_the_same_rows_and_is_only_read(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    write(store, 0, FIRST)
    write(store, FIRST, ROWS)
    store.complete()
    other = store_in(tmp_path, written=True)
    for path in tmp_path.iterdir():
        path.unlink()  # what is open is there all the same
    windows = [other.read(window) for window in range(WINDOWS)]
    targets = np.concatenate([own.target for own in windows])
    order = np.rint(7 * targets).astype(int)
    np.testing.assert_array_equal(np.sort(targets), Y)
    np.testing.assert_array_equal(np.concatenate([own.encoded.numbers for own in windows]), NUMBERS[order])
    np.testing.assert_array_equal(np.concatenate([own.encoded.codes for own in windows]), CODES[order])
    first = np.concatenate([other.places(window, np.array([True, False])) for window in range(WINDOWS)])
    np.testing.assert_array_equal(np.sort(targets[first]), Y[PARTS == 0])
    np.testing.assert_array_equal(store.read(2).target, windows[2].target)
    with pytest.raises(DataError, match="the prepared rows could not be written to"):
        write(other, 0, FIRST)


def test_files_that_are_not_there_are_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the prepared rows could not be read from .*: No such file"):
        store_in(tmp_path / "gone", written=True)


def test_other_rows_than_were_counted_are_told_of(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    write(store, 0, FIRST)
    with pytest.raises(DataError, match="60 rows were to be written, and 25 came, or others; start again when it is"):
        store.complete()
