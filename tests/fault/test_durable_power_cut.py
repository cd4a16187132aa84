"""Thousands of power cuts and single failures on a model of a disk that loses what was not flushed."""

import errno
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import pytest

from lanewise.errors import StoreError
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.durable import make_folders, write_atomically
from lanewise.storage.modelfile import load_model, save_model

ROOT = Path("/disk")


class PowerCut(BaseException):
    """The machine stops here."""


class File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.durable = bytes(content)

    def survivor(self, rng: random.Random) -> "File":
        """What a cut leaves: what was flushed, all of it, a beginning, or a beginning and zeros."""
        written = bytes(self.content)
        if written == self.durable:
            return File(written)
        half = written[: rng.randint(0, len(written))]
        return File(rng.choice([self.durable, written, half, half.ljust(len(written), b"\0")]))


class Folder:
    def __init__(self) -> None:
        self.names: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}
        self.pending: list[dict[str, File | Folder | None]] = []

    def change(self, **names: "File | Folder | None") -> None:
        """Alter names at once, as a rename does; a cut may lose it until the folder is flushed."""
        _apply(self.names, names)
        self.pending.append(names)

    def survivor(self, rng: random.Random) -> "Folder":
        """What a cut leaves: any selection of the changes that were not flushed."""
        left = dict(self.durable)
        for change in self.pending:
            if rng.random() < 0.5:
                _apply(left, change)
        folder = Folder()
        folder.names = {name: node.survivor(rng) for name, node in left.items()}
        folder.durable = dict(folder.names)
        return folder


def _apply(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Writer(io.RawIOBase):
    def __init__(self, disk: "UnsyncedDisk", file: File) -> None:
        super().__init__()
        self.disk = disk
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        half = len(data) // 2
        self.file.content += data[:half]
        self.disk.step("write")  # a cut or an error may come in the middle
        self.file.content += data[half:]
        return len(data)


class UnsyncedDisk:
    """A file system in memory. ``interrupt`` is asked before each operation and may raise."""

    def __init__(self, root: Folder | None = None) -> None:
        self.root = root or Folder()
        self.operations: list[str] = []
        self.interrupt: Callable[[int, str], None] = lambda number, name: None

    def step(self, name: str) -> None:
        self.operations.append(name)
        self.interrupt(len(self.operations), name)

    def after_cut(self, rng: random.Random) -> "UnsyncedDisk":
        return UnsyncedDisk(self.root.survivor(rng))

    def _folder(self, path: Path) -> Folder:
        node: File | Folder = self.root
        for name in path.relative_to(ROOT).parts:
            if not isinstance(node, Folder):
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(path))
            if name not in node.names:
                raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
            node = node.names[name]
        if not isinstance(node, Folder):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(path))
        return node

    def _file(self, path: Path) -> File:
        node = self._folder(path.parent).names.get(path.name)
        if not isinstance(node, File):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return node

    def create(self, path: Path, *, like: Path | None = None) -> BinaryIO:
        del like  # modes are no part of this model
        self.step("create")
        assert self.kind(path) is None
        file = File()
        self._folder(path.parent).change(**{path.name: file})
        return cast(BinaryIO, Writer(self, file))

    def open(self, path: Path) -> BinaryIO:
        return io.BytesIO(bytes(self._file(path).content))

    def fsync(self, file: BinaryIO) -> None:
        self.step("fsync")
        node = cast(Writer, file).file
        node.durable = bytes(node.content)

    def fsync_folder(self, path: Path) -> None:
        self.step("fsync_folder")
        folder = self._folder(path)
        folder.durable = dict(folder.names)
        folder.pending = []

    def rename(self, source: Path, target: Path) -> None:
        self.step("rename")
        assert source.parent == target.parent
        folder = self._folder(source.parent)
        assert not isinstance(folder.names.get(target.name), Folder), "no system renames over a folder"
        folder.change(**{source.name: None, target.name: folder.names[source.name]})

    def unlink(self, path: Path) -> None:
        self.step("unlink")
        self._file(path)
        self._folder(path.parent).change(**{path.name: None})

    def make_folder(self, path: Path) -> None:
        self.step("make_folder")
        assert self.kind(path) is None
        self._folder(path.parent).change(**{path.name: Folder()})

    def remove_folder(self, path: Path) -> None:
        self.step("remove_folder")
        assert not self._folder(path).names
        self._folder(path.parent).change(**{path.name: None})

    def names(self, folder: Path) -> list[str]:
        return sorted(self._folder(folder).names)

    def kind(self, path: Path) -> Literal["file", "folder"] | None:
        if path == ROOT:
            return "folder"
        try:
            node = self._folder(path.parent).names.get(path.name)
        except FileNotFoundError:
            return None
        return None if node is None else "folder" if isinstance(node, Folder) else "file"


def cut_at(number: int) -> Callable[[int, str], None]:
    def interrupt(now: int, name: str) -> None:
        if now == number:
            raise PowerCut

    return interrupt


def fail_at(number: int, code: int, *, ever_after: bool = False) -> Callable[[int, str], None]:
    def interrupt(now: int, name: str) -> None:
        if now == number or (ever_after and now > number):
            raise OSError(code, "injected")

    return interrupt


def read_file(disk: UnsyncedDisk) -> int:
    return int(disk.open(ROOT / "plan.json").read())


def write_version(disk: UnsyncedDisk, version: int) -> None:
    write_atomically(ROOT / "plan.json", str(version).encode(), fs=disk)


def read_model(disk: UnsyncedDisk) -> int:
    model = load_model(ROOT / "model", "numpy", fs=disk)
    version = model.manifest["version"]
    np.testing.assert_array_equal(model.tensors["w"], np.full(5, version))
    assert model.texts == {"booster.txt": f"tree {version}"}
    return version


def write_model(disk: UnsyncedDisk, version: int) -> None:
    save_model(
        ROOT / "model", {"w": np.full(5, version)}, {"version": version}, {"booster.txt": f"tree {version}"}, fs=disk
    )


def read_checkpoint(disk: UnsyncedDisk) -> int:
    latest = Checkpoints(ROOT / "run" / "checkpoints", fs=disk).latest()
    assert latest is not None
    assert latest.state == {"history": [latest.step]}
    np.testing.assert_array_equal(latest.tensors["w"].numpy(), np.full(5, latest.step))
    return latest.step


def write_checkpoint(disk: UnsyncedDisk, step: int) -> None:
    Checkpoints(ROOT / "run" / "checkpoints", fs=disk).save(step, {"w": np.full(5, step)}, {"history": [step]})


SCENES = {
    "file": (write_version, read_file, 1500),
    "model": (write_model, read_model, 400),
    "checkpoint": (write_checkpoint, read_checkpoint, 400),
}


def rounds_of_cuts(scene: str, make_disk: Callable[[], UnsyncedDisk]) -> int:
    """Cut the power at random operations, three times on one disk; returns the number of cuts."""
    write, read, rounds = SCENES[scene]
    cuts = 0
    for seed in range(rounds):
        rng = random.Random(f"{scene} {seed}")
        disk = make_disk()
        write(disk, 1)
        acknowledged = newest = 1
        for _ in range(3):
            disk.interrupt = cut_at(len(disk.operations) + rng.randint(1, 40))
            try:
                for _ in range(rng.randint(1, 3)):
                    newest += 1
                    write(disk, newest)
                    acknowledged = newest
            except PowerCut:
                pass
            cuts += 1
            survivor = make_disk()
            survivor.root = disk.after_cut(rng).root
            disk = survivor
            found = read(disk)
            assert acknowledged <= found <= newest, f"seed {seed}: {found} after {acknowledged} was acknowledged"
            acknowledged = newest = found
    return cuts


@pytest.mark.parametrize("scene", SCENES)
def test_power_cut_leaves_the_old_or_the_new_version(scene: str) -> None:
    assert rounds_of_cuts(scene, UnsyncedDisk) >= 1200


class WithoutFsync(UnsyncedDisk):
    def fsync(self, file: BinaryIO) -> None:
        pass


class WithoutFolderFsync(UnsyncedDisk):
    def fsync_folder(self, path: Path) -> None:
        pass


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("forgetful", [WithoutFsync, WithoutFolderFsync])
def test_model_of_power_cuts_notices_a_forgotten_flush(scene: str, forgetful: type[UnsyncedDisk]) -> None:
    with pytest.raises((AssertionError, StoreError, OSError, ValueError)):
        rounds_of_cuts(scene, forgetful)


def visible(disk: UnsyncedDisk, folder: Path = ROOT) -> set[str]:
    names = set()
    for name in disk.names(folder):
        names.add(str(folder / name))
        if disk.kind(folder / name) == "folder":
            names |= visible(disk, folder / name)
    return names


def failure_of(write: Callable[[UnsyncedDisk, int], None], disk: UnsyncedDisk) -> str | None:
    """Write version 2; return the message of the failure, if any."""
    try:
        write(disk, 2)
    except StoreError as error:
        return str(error)
    return None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("scene", SCENES)
def test_one_failed_operation_keeps_a_version_and_leaves_nothing_behind(scene: str, code: int) -> None:
    write, read, _ = SCENES[scene]
    number = 0
    failures = 0
    while True:
        number += 1
        disk = UnsyncedDisk()
        write(disk, 1)
        before = visible(disk)
        done = len(disk.operations)
        disk.interrupt = fail_at(done + number, code)
        error = failure_of(write, disk)
        if error is None:
            assert read(disk) == 2
            if len(disk.operations) < done + number:
                break  # the write ended before the failure
            continue  # it failed to remove what was old: the new version is durable all the same
        failures += 1
        assert "\n" not in error
        assert str(ROOT) in error
        if disk.operations[done + number - 1] == "fsync_folder" and read(disk) == 2:
            continue  # in place, but not known to be durable: so the old one stays within reach
        assert read(disk) == 1
        assert visible(disk) == before
    assert failures >= 4


@pytest.mark.parametrize("scene", SCENES)
def test_disk_that_fails_for_good_keeps_a_version(scene: str) -> None:
    write, read, _ = SCENES[scene]
    number = 0
    while True:
        number += 1
        disk = UnsyncedDisk()
        write(disk, 1)
        done = len(disk.operations)
        disk.interrupt = fail_at(done + number, errno.EIO, ever_after=True)
        acknowledged = 1
        try:
            write(disk, 2)
            acknowledged = 2
        except StoreError:
            pass
        assert acknowledged <= read(disk) <= 2
        if len(disk.operations) < done + number:
            break
        survivor = disk.after_cut(random.Random(number))
        assert acknowledged <= read(survivor) <= 2
        write(survivor, 3)
        assert read(survivor) == 3
        write(survivor, 4)
        assert {name for name in visible(survivor) if name.endswith(".old")} == set()


def test_missing_folders_are_made_durably() -> None:
    disk = UnsyncedDisk()
    make_folders(ROOT / "a" / "b" / "c", fs=disk)
    assert disk.after_cut(random.Random(0)).kind(ROOT / "a" / "b" / "c") == "folder"
