"""Bytes from files, pipes and standard input; every refusal is one line that says what and where."""

import errno
import gzip
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from lanewise.data import sources
from lanewise.data.sources import load, refuse_device
from lanewise.errors import DataError

LIMIT = 2**24


def refusal(path: str | Path, limit: int = LIMIT) -> str:
    with pytest.raises(DataError) as caught:
        load(path, max_bytes=limit)
    message = str(caught.value)
    assert "\n" not in message
    return message


def written(folder: Path, content: bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_plain_file(tmp_path: Path) -> None:
    payload = load(written(tmp_path, b"a,b\n1,2\n", "Table.CSV"), max_bytes=LIMIT)
    assert payload.content == b"a,b\n1,2\n"
    assert payload.suffix == ".csv"


def test_gzip_is_known_by_its_bytes_and_its_suffix_is_not_the_table_s(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\n") + gzip.compress(b"1\n")
    assert load(written(tmp_path, packed, "table.dat"), max_bytes=LIMIT).content == b"a\n1\n"
    assert load(written(tmp_path, packed, "table.tsv.gz"), max_bytes=LIMIT).suffix == ".tsv"


def test_zstd(tmp_path: Path) -> None:
    from backports import zstd

    assert load(written(tmp_path, zstd.compress(b"a\n1\n")), max_bytes=LIMIT).content == b"a\n1\n"
    assert "allowed 1,000 bytes" in refusal(written(tmp_path, zstd.compress(b"0" * 10**6)), 1000)
    assert "damaged zstd" in refusal(written(tmp_path, zstd.compress(bytes(range(200)))[:-5]))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n1\n")))
    payload = load("-", max_bytes=LIMIT)
    assert (payload.content, payload.name) == (b"a\n1\n", "standard input")


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="this system has no /dev/zero")
def test_a_device_is_refused_by_its_beginning_and_left_to_the_reading_where_it_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError, match=r"^/dev/zero is binary data, not a table"):
        refuse_device("/dev/zero")

    def closed(*given: object) -> None:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))  # as of /dev/tty where there is no terminal

    monkeypatch.setattr(sources, "open", closed, raising=False)
    refuse_device("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"a\n1\n",))
    writer.start()
    assert load(pipe, max_bytes=LIMIT).content == b"a\n1\n"
    writer.join()


def test_no_file_folder_and_bad_path(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.csv") == f"no file {tmp_path / 'none.csv'}: check the path"
    assert "is a folder" in refusal(tmp_path)
    assert "not a usable path" in refusal("a\0b")
    (tmp_path / "flowers.csv").write_text("a\n1\n")
    assert refusal(tmp_path / "flower.cvs").endswith(f"check the path; did you mean {tmp_path / 'flowers.csv'}?")
    assert refusal("iris") == "no file iris: check the path; did you mean example:iris?"
    assert refusal("breast_cancer.csv").endswith("did you mean example:breast-cancer?")
    assert refusal("a\nb.csv") == r"no file 'a\nb.csv': check the path"


def test_empty_file_and_empty_archive(tmp_path: Path) -> None:
    assert "is empty" in refusal(written(tmp_path, b""))
    assert "is empty" in refusal(written(tmp_path, gzip.compress(b"")))


def test_too_large(tmp_path: Path) -> None:
    assert "more than the allowed 10 bytes" in refusal(written(tmp_path, b"x" * 11), 10)


def test_decompression_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert "unpacked, has more than the allowed 1,000,000 bytes" in refusal(written(tmp_path, bomb), 1_000_000)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:20] + b"xx" + packed[22:]])
def test_damaged_gzip(tmp_path: Path, damage) -> None:
    packed = gzip.compress(os.urandom(1000), mtime=0)
    assert "damaged gzip" in refusal(written(tmp_path, damage(packed)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"%PDF-1.7", "PDF"),
        (b"\x89PNG\r\n", "PNG"),
        (b"BZh91AY", "bzip2"),
        (b" <!DOCTYPE html><html></html>", "web page"),
        (b"SQLite format 3\0", "SQLite"),
        (b'[{"a": 1}, {"a": 2}]', "a line for each row"),
        (b'\xef\xbb\xbf[\n  {\n    "a": 1\n  }\n]\n', "a line for each row"),
        (b'{\n  "a": [1, 2]\n}\n', "a line for each row"),
        (gzip.compress(gzip.compress(b"a\n", mtime=0), mtime=0), "packed twice"),
        (bytes(257) + b"ustar" + bytes(250), "tar archive"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(written(tmp_path, content))


def test_an_address_is_told_from_a_missing_file() -> None:
    with pytest.raises(DataError, match=r"http://example.com/x.csv is an address: fetch it to a file first"):
        load("http://example.com/x.csv", max_bytes=100)


def test_a_file_is_not_meant_for_its_ending_alone(tmp_path: Path) -> None:
    for name in ("mixed.csv", "koi8.csv", "sales.csv"):
        (tmp_path / name).write_text("a\n1\n")
    assert refusal(tmp_path / "nofile.csv") == f"no file {tmp_path / 'nofile.csv'}: check the path"
    assert refusal(tmp_path / "sale.csv").endswith(f"did you mean {tmp_path / 'sales.csv'}?")
    assert refusal(tmp_path / "sales.txt").endswith(f"did you mean {tmp_path / 'sales.csv'}?")


def endless(folder: Path, content: bytes) -> Path:
    """A file of which all but the beginning is far more than may be read."""
    path = written(folder, content, "endless")
    os.truncate(path, 2**30)
    return path


@pytest.mark.parametrize("content", [b"", b"\x07\0\0\x01" * 2**12, bytes(range(255)) * 2**14])
def test_binary_data_is_refused_before_all_of_it_is_read(tmp_path: Path, content: bytes) -> None:
    assert "is binary data, not a table (it holds NUL bytes)" in refusal(endless(tmp_path, content), 2**26)


def test_other_formats_are_refused_before_all_of_them_is_read(tmp_path: Path) -> None:
    assert "SQLite" in refusal(endless(tmp_path, b"SQLite format 3\0"), 2**26)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32"])
@pytest.mark.parametrize("row", ["a,1\n", "\u4e2d\u6587,\u00e4\n", "\u4e00\u4e8c\u4e09\u3000,12,3\n"])
def test_nul_bytes_of_wide_letters_are_text(tmp_path: Path, encoding: str, row: str) -> None:
    content = (row * 2**20).encode(encoding)
    assert load(written(tmp_path, content), max_bytes=2**26).content == content
