import json
import os
from pathlib import Path

import pytest

from lanewise.errors import StoreError
from lanewise.storage.lock import FileLock


def test_second_owner_is_refused_until_the_first_releases(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert FileLock.held(path) is None
    with FileLock.acquire(path, what="run x"):
        assert FileLock.held(path) is True
        with pytest.raises(StoreError, match=rf"run x is in use by process {os.getpid()} on host \S+; wait until that"):
            FileLock.acquire(path, what="run x", patience=0)
    assert FileLock.held(path) is False
    lock = FileLock.acquire(path, what="run x", patience=0)
    lock.release()
    lock.release()
    assert FileLock.held(path) is False


def test_the_owner_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("something longer than any owner " * 20)
    with FileLock.acquire(tmp_path / "lock", what="run x"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_unsigned_lock_still_has_a_message(tmp_path: Path) -> None:
    with FileLock.acquire(tmp_path / "lock", what="run x"):
        (tmp_path / "lock").write_text('{"pid": "x"')
        with pytest.raises(StoreError, match="run x is in use by another process"):
            FileLock.acquire(tmp_path / "lock", what="run x", patience=0)


def test_dropped_lock_is_given_back(tmp_path: Path) -> None:
    lock = FileLock.acquire(tmp_path / "lock", what="run x")
    del lock
    assert FileLock.held(tmp_path / "lock") is False


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot lock .*: no such file or folder"):
        FileLock.acquire(tmp_path / "missing" / "lock", what="run x")
