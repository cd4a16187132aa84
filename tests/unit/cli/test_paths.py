"""A file that cannot be written is found before any work is done, and the look leaves no trace."""

import errno
import os
from pathlib import Path

import pytest

from lanewise.cli.paths import check_output, copy_report
from lanewise.errors import UsageError


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        check_output(path)
    assert str(error.value).startswith(f"cannot write {path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_look_leaves_nothing_behind_and_an_existing_file_as_it_is(tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("content")
    before = kept.stat()
    for name in ("new.csv", "kept.csv", "é" * 80, "x" * 200):
        check_output(tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["kept.csv"]
    assert kept.read_text() == "content"
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_copied_report_may_be_read_as_any_other_file(tmp_path):
    report, copy = tmp_path / "report.html", tmp_path / "copy.html"
    report.touch(mode=0o600)
    (tmp_path / "plain").write_text("")
    copy_report(report, copy)
    assert copy.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_path_without_a_folder_is_one_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_output(Path("report.html"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_place_for_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert "it is a folder" in refused(tmp_path)
    assert "there is no folder" in refused(tmp_path / "none" / "r.html")
    assert "is a file, not a folder" in refused(tmp_path / "file" / "r.html")
    assert "too long" in refused(tmp_path / ("x" * 300))


def test_the_table_that_is_read_is_not_written_over_by_whatever_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("a\n1\n")
    os.link("rows.csv", "same.csv")
    for output, source in (
        ("rows.csv", "rows.csv"),
        ("./rows.csv", str(tmp_path / "rows.csv")),
        ("same.csv", "rows.csv"),
    ):
        with pytest.raises(UsageError, match=r"cannot write .*\.csv: it is the table that is read; name another file$"):
            check_output(Path(output), reads=source)
    for source in ("other.csv", "-", "example:iris", "a\0b", "x" * 5000, None):
        check_output(Path("rows.csv"), reads=source)
    assert Path("rows.csv").read_text() == "a\n1\n"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is there on Linux only")
def test_a_folder_of_the_kernel_takes_no_files():
    """A permission does not tell: to root, /proc looks writable."""
    assert "/proc takes no files" in refused(Path("/proc/r.html"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no devices among its files")
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    assert "a device or a pipe" in refused(Path(os.devnull))
    os.mkfifo(tmp_path / "pipe")
    assert "a device or a pipe" in refused(tmp_path / "pipe")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("target", ["file.html", "nowhere.html", "/proc/self/fd/1"])
def test_a_link_is_not_replaced_by_a_file(tmp_path, target):
    """To write durably is to rename: as root, that would put a file in the place of the link /dev/stdout itself."""
    (tmp_path / "file.html").write_text("")
    (tmp_path / "link").symlink_to(target)
    assert "symbolic link" in refused(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "permission denied" in refused(tmp_path / "locked" / "r.html")


def test_a_full_disk_is_found_and_nothing_left_there(tmp_path, monkeypatch):
    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lanewise.cli.paths.os.write", full)
    assert "no space left" in refused(tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []
