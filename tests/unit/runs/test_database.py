import shutil
import sqlite3
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from lanewise.errors import StoreError
from lanewise.runs import database
from lanewise.runs.database import Database, journal_mode
from lanewise.storage.filesystem import is_full

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
me@far: /mnt/far fuse.sshfs rw 0 0
/dev/vdc /mnt/twice ext4 rw 0 0
far:/ /mnt/twice nfs rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/var/x/runs.db", "wal"),
        ("/home/ann/runs.db", "delete"),
        ("/homework/runs.db", "wal"),
        ("/home/local/runs.db", "wal"),
        ("/mnt/my share/runs.db", "delete"),
        ("/mnt/far/runs.db", "delete"),
        ("/mnt/twice/runs.db", "delete"),
    ],
)
def test_journal_mode_follows_the_mount(path: str, mode: str) -> None:
    assert journal_mode(Path(path), MOUNTS) == mode
    assert journal_mode(Path(path), "") == "wal"


def pragma(base: Database, name: str) -> object:
    with base.reading() as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_durable_settings_and_private_files(tmp_path: Path) -> None:
    base = Database(tmp_path / "store" / "runs.db")
    with base.transaction() as connection:
        connection.execute("INSERT INTO runs(id, created, status, command, config) VALUES ('a', '', 'done', '', '')")
    assert pragma(base, "journal_mode") == "wal"
    assert pragma(base, "synchronous") == 2  # FULL
    assert pragma(base, "user_version") == database.SCHEMA_VERSION
    if sys.platform != "win32":
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()}
        assert "runs.db-wal" in modes
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert (tmp_path / "store" / ".gitignore").read_text() == "*\n"
    base.close()
    base.close()


def test_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    base = Database(tmp_path / "runs.db")
    statement = "INSERT INTO runs(id, created, status, command, config) VALUES ('a', '', ?, '', '')"
    with pytest.raises(StoreError, match="CHECK constraint failed"), base.transaction() as connection:  # noqa: PT012  # the block is the transaction
        connection.execute(statement, ("done",))
        connection.execute(statement.replace("'a'", "'b'"), ("lost",))
    with pytest.raises(KeyboardInterrupt), base.transaction() as connection:  # noqa: PT012  # the block is the transaction
        connection.execute(statement, ("done",))
        raise KeyboardInterrupt
    with base.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM runs").fetchone() == (0,)
    base.close()


@pytest.mark.parametrize("to_read", [False, True])
def test_newer_schema_is_refused_untouched(tmp_path: Path, *, to_read: bool) -> None:
    Database(tmp_path / "runs.db").close()
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreError, match=r"written by a newer Lanewise \(schema 7, this one reads up to 1\); upgrade"):
        Database(tmp_path / "runs.db", to_read=to_read)


@pytest.mark.parametrize(
    "content", [b"This is no database, it is a letter. " * 100, b"SQLite format 3\0" + b"\1" * 4096]
)
def test_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"the run store .*runs\.db failed .*: it is damaged; restore it") as caught:
        Database(tmp_path / "runs.db")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "runs.db").read_bytes() == content


def test_delete_mode_takes_writers_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "journal_mode", lambda path, mounts: "delete")
    problems: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            base = Database(tmp_path / "runs.db")
            assert pragma(base, "journal_mode") == "delete"
            for number in range(25):
                with base.transaction() as connection:
                    connection.execute(
                        "INSERT INTO runs(id, created, status, command, config) VALUES (?, '', 'done', '', '')",
                        (f"{writer} {number}",),
                    )
            base.close()
        except BaseException as error:  # a thread would lose it
            problems.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    base = Database(tmp_path / "runs.db")
    with base.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM runs").fetchone() == (100,)
    base.close()


def test_what_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    base = Database(path)
    with base.transaction() as connection:
        connection.execute("INSERT INTO runs(id, created, status, command, config) VALUES ('a', '', 'done', '', '')")
    base.close()

    def full(path: Path) -> sqlite3.Connection:
        message = "the disk is full"
        raise StoreError(message)

    monkeypatch.setattr(database, "_connect", full)
    with pytest.raises(StoreError, match="the disk is full"):
        Database(path)
    reader = Database(path, to_read=True)
    with reader.reading() as connection:
        assert connection.execute("SELECT id FROM runs").fetchall() == [("a",)]
    with pytest.raises(StoreError, match="may not be written to"), reader.transaction() as connection:
        connection.execute("DELETE FROM runs")
    reader.close()
    path.write_bytes(b"no database at all" * 99)
    with pytest.raises(StoreError, match="the disk is full"):
        Database(path, to_read=True)


@pytest.mark.parametrize(("free", "words"), [(0, "the disk is full"), (2**30, "check the disk")])
def test_an_error_of_a_disk_without_room_is_told_as_a_full_disk(
    free: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Database(tmp_path / "runs.db")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    message = "disk I/O error"  # SQLite's words where its log finds no room
    with pytest.raises(StoreError, match=words) as caught, base.reading():
        raise sqlite3.OperationalError(message)
    base.close()
    assert is_full(caught.value) == (free == 0)
