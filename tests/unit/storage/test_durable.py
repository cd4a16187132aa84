import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from lanewise.errors import StoreError, UsageError
from lanewise.storage.durable import (
    Digest,
    confine,
    current_folder,
    make_folders,
    read_verified,
    remove_leftovers,
    remove_tree,
    replaced_folder,
    write_atomically,
    write_file,
)
from lanewise.storage.filesystem import DISK


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4 * 2**20, 9 * 2**20 + 1])
def test_write_returns_what_was_written(tmp_path: Path, size: int, verify: bool) -> None:
    data = os.urandom(size)
    digest = write_atomically(tmp_path / "a", data, verify=verify)
    assert digest == Digest(sha256=hashlib.sha256(data).hexdigest(), size=size)
    assert (tmp_path / "a").read_bytes() == data
    assert read_verified(tmp_path / "a", digest) == data
    assert names(tmp_path) == ["a"]


def test_write_through_a_function(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        assert file.writable()
        file.write(b"one ")
        file.write(memoryview(b"two"))

    digest = write_atomically(tmp_path / "a", write)
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert digest.sha256 == hashlib.sha256(b"one two").hexdigest()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_interrupted_write_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    write_atomically(tmp_path / "a", b"old")

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(error):
        write_atomically(tmp_path / "a", write)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


class LyingDisk:
    """The disk, but what is written is altered on the way."""

    def __getattr__(self, name: str) -> object:
        return getattr(DISK, name)

    def fsync(self, file: BinaryIO) -> None:
        os.pwrite(file.fileno(), b"X", 0)
        DISK.fsync(file)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pwrite")
def test_verify_finds_a_disk_that_lies(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    with pytest.raises(StoreError, match=r"cannot write .*a: the disk reported an input/output error; check the disk"):
        write_atomically(tmp_path / "a", b"new", verify=True, fs=LyingDisk())  # pyright: ignore[reportArgumentType]  # by __getattr__
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_folders(tmp_path / "x" / "y")
        write_atomically(tmp_path / "x" / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "x" / "y").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "x" / "a").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_for_others_has_the_mode_that_open_gives(tmp_path: Path, mask: int) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")
    kept.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(kept)
    before = os.umask(mask)
    try:
        (tmp_path / "plain").write_bytes(b"")
        write_atomically(tmp_path / "new", b"", private=False)
        write_atomically(kept, b"new", private=False)
        write_atomically(link, b"new", private=False)
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640, "a file that is written anew keeps its mode"
    assert stat.S_IMODE(link.stat().st_mode) == 0o640, "as the file that a link leads to"


def test_message_for_a_missing_folder_and_for_a_folder_in_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*a: no such file or folder; check the path, or create"):
        write_atomically(tmp_path / "missing" / "a", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*folder: a folder is in its place; choose another name"):
        write_atomically(tmp_path / "folder", b"")
    assert names(tmp_path) == ["folder"]


def test_long_names(tmp_path: Path) -> None:
    name = "n" * 250
    write_atomically(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


def test_read_verified_refuses(tmp_path: Path) -> None:
    digest = write_atomically(tmp_path / "a", b"content")
    (tmp_path / "a").write_bytes(b"c0ntent")
    with pytest.raises(StoreError, match=r"a is damaged: its content does not match its checksum"):
        read_verified(tmp_path / "a", digest)
    (tmp_path / "a").write_bytes(b"content!")
    with pytest.raises(StoreError, match=r"a is damaged: it has 8 bytes instead of 7"):
        read_verified(tmp_path / "a", digest)
    (tmp_path / "a").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*: no such file"):
        read_verified(tmp_path / "a", digest)


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links and pipes")
def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    digest = write_atomically(tmp_path / "a", b"content")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="symbolic link; put a real file in its place"):
        read_verified(tmp_path / "link", digest)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="not a regular file"):
        read_verified(tmp_path / "pipe", digest)


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    for version in (b"1", b"2", b"3"):
        with replaced_folder(tmp_path / "model") as part:
            write_file(part / version.decode(), version)
        assert names(tmp_path) == ["model"]
        assert names(tmp_path / "model") == [version.decode()]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_interrupted_folder_keeps_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    with replaced_folder(tmp_path / "model") as part:
        write_file(part / "a", b"old")
    with pytest.raises(error), replaced_folder(tmp_path / "model") as part:  # noqa: PT012 - the second line raises
        write_file(part / "a", b"new")
        raise error
    assert (tmp_path / "model" / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["model"]


def test_current_folder_finds_the_one_that_stepped_aside(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "model") as part:
        write_file(part / "a", b"old")
    (tmp_path / "model").rename(tmp_path / ".model.old")  # as when the power goes between the two renames
    assert (current_folder(tmp_path / "model") / "a").read_bytes() == b"old"
    with replaced_folder(tmp_path / "model") as part:
        write_file(part / "a", b"new")
    assert (current_folder(tmp_path / "model") / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_remove_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "precious")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")  # nothing there: nothing to do
    assert names(tmp_path) == ["precious"]
    assert names(tmp_path / "precious") == ["file"]


def test_leftovers_go_and_files_stay(tmp_path: Path) -> None:
    for name in ("a", ".hidden", ".a.part", "x.0123abcd.part"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".a.0123abcd.part").write_bytes(b"")
    (tmp_path / ".model.0123abcd.part").mkdir()
    (tmp_path / ".model.0123abcd.part" / "w").write_bytes(b"")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".a.part", ".hidden", "a", "x.0123abcd.part"]


@pytest.mark.parametrize("name", ["a", "A-z_0.9", "model.json", "x" * 64, "-", "_", "a..b", "console"])
def test_plain_names_are_confined(tmp_path: Path, name: str) -> None:
    assert confine(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a\\b", "../a", "/etc/passwd", "a\0", "a\n", "x" * 65, "a b", "%2e%2e", "ä", "a#",
     "a;b", "C:", "con", "NUL.txt", "a\u200b"],
)  # fmt: skip
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used as a name: use 1 to 64 of"):
        confine(tmp_path, name)


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "out").symlink_to(tmp_path)
    (tmp_path / "base" / "loop").symlink_to(tmp_path / "base" / "loop")
    for name in ("out", "loop"):
        with pytest.raises(UsageError, match=f"{name} is a symbolic link that leads elsewhere"):
            confine(tmp_path / "base", name)
    (tmp_path / "alias").symlink_to(tmp_path / "base")  # the base itself may be reached through a link
    assert confine(tmp_path / "alias", "a") == tmp_path / "alias" / "a"
