"""Disks that are full, read-only or not ours: one line, the old version stays, nothing is left behind."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from lanewise.errors import StoreError
from lanewise.runs.store import RunStore
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.durable import write_atomically
from lanewise.storage.filesystem import DISK, is_full
from lanewise.storage.modelfile import load_model, save_model
from lanewise.task import Task
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.pool import TreePool


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    path = small_disk / "report.html"
    write_atomically(path, b"old")
    with pytest.raises(StoreError, match=r"report\.html: the disk is full; free some space"):
        write_atomically(path, bytes(2 * 2**20))
    assert path.read_bytes() == b"old"
    assert names(small_disk) == ["report.html"]


def test_full_disk_keeps_the_old_model(small_disk: Path) -> None:
    folder = small_disk / "model"
    save_model(folder, {"w": np.arange(10_000)}, {"version": 1})
    before = names(small_disk)
    with pytest.raises(StoreError, match="the disk is full"):
        save_model(folder, {"w": np.arange(200_000)}, {"version": 2})
    assert load_model(folder, "numpy").manifest == {"version": 1}
    assert names(small_disk) == before


def test_full_disk_keeps_the_last_checkpoint(small_disk: Path) -> None:
    checkpoints = Checkpoints(small_disk / "checkpoints", keep=1000)
    step = 0
    with pytest.raises(StoreError, match="the disk is full"):  # noqa: PT012 - which save fails is the disk's matter
        while True:
            checkpoints.save(step + 1, {"w": np.full(10_000, step + 1)})
            step += 1
    assert step >= 2
    latest = Checkpoints(small_disk / "checkpoints").latest()
    assert latest is not None
    assert (latest.step, latest.skipped) == (step, ())
    assert latest.tensors["w"].tolist() == [step] * 10_000


def test_full_disk_is_named_where_rows_for_the_trees_workers_have_no_room(small_disk: Path) -> None:
    """NumPy tells of a write that was cut short without the number of the error."""
    rows = TreeData(numbers=np.zeros((300_000, 1)), codes=np.zeros((300_000, 0), dtype=int), target=np.zeros(300_000))
    with pytest.raises(StoreError, match="the disk is full; free some space") as caught:
        TreePool(
            rows,
            Task(target="y", kind="regression", metric="rmse"),
            workers=1,
            threads_per_worker=1,
            folder=small_disk,
        )
    assert is_full(caught.value)
    assert names(small_disk) == []


def test_full_disk_keeps_the_store(small_disk: Path) -> None:
    with RunStore(small_disk / ".lanewise") as store:
        run = store.create(command="fit", config={})
        recorded = 0
        with pytest.raises(StoreError, match="the disk is full; free some space") as caught:  # noqa: PT012  # which one fails is open
            while True:
                store.record_event(run.id, "epoch", {"text": "x" * 10_000})
                recorded += 1
        assert "\n" not in str(caught.value)
        assert len(store.events(run.id)) == recorded
        with RunStore(small_disk / ".lanewise") as second:
            assert [one.id for one in second.list()] == [run.id]


def test_read_only_file_system(small_disk: Path) -> None:
    write_atomically(small_disk / "plan.json", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="the file system is read-only; choose a folder on a writable disk"):
        write_atomically(small_disk / "plan.json", b"new")
    assert (small_disk / "plan.json").read_bytes() == b"old"


class FullDevice:
    """The disk, but for one thing: what is written goes to /dev/full."""

    def __getattr__(self, name: str) -> object:
        return getattr(DISK, name)

    def create(self, path: Path, *, like: Path | None = None) -> BinaryIO:
        DISK.create(path, like=like).close()
        return open("/dev/full", "wb", buffering=0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_device(tmp_path: Path) -> None:
    write_atomically(tmp_path / "plan.json", b"old")
    with pytest.raises(StoreError, match="the disk is full"):
        write_atomically(tmp_path / "plan.json", b"new", fs=FullDevice())  # pyright: ignore[reportArgumentType]  # by __getattr__
    assert names(tmp_path) == ["plan.json"]
    assert (tmp_path / "plan.json").read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_limit_on_the_size_of_a_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "plan.json", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreError, match=r"larger than the system allows; raise the limit \(ulimit -f\)"):
            write_atomically(tmp_path / "plan.json", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["plan.json"]
    assert (tmp_path / "plan.json").read_bytes() == b"old"


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that this process may enter but not write to; root becomes nobody for the time."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX permissions")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.json").write_bytes(b"old")
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o700)


def test_folder_without_permission(foreign_folder: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*plan\.json: permission denied; choose a folder that you may"):
        write_atomically(foreign_folder / "plan.json", b"new")
    with pytest.raises(StoreError, match=r"cannot write .*model: permission denied"):
        save_model(foreign_folder / "model", {}, {})
    with pytest.raises(StoreError, match="permission denied"):
        RunStore(foreign_folder / ".lanewise")
    assert names(foreign_folder) == ["plan.json"]
    assert (foreign_folder / "plan.json").read_bytes() == b"old"
