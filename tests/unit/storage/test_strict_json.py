from pathlib import Path

import numpy as np
import pytest

from lanewise.errors import StoreError
from lanewise.storage import strict_json
from lanewise.storage.strict_json import dump_json, load_json


def test_file_round_trip(tmp_path: Path) -> None:
    value = {"z": [1, 2.5, None, True], "a": {"name": "Größe ✓"}}
    (tmp_path / "plan.json").write_bytes(dump_json(value))
    assert load_json(tmp_path / "plan.json") == value
    assert list(load_json(tmp_path / "plan.json")) == ["z", "a"]
    assert "Größe ✓".encode() in (tmp_path / "plan.json").read_bytes()


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "plan.json").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk, and would not fit into memory
    with pytest.raises(StoreError, match=r"plan\.json has 1,099,511,627,776 bytes, at most 67,108,864 are read"):
        load_json(tmp_path / "plan.json")
    (tmp_path / "small.json").write_bytes(b"[1, 2]")
    assert load_json(tmp_path / "small.json", limit=6) == [1, 2]
    with pytest.raises(StoreError, match="has 6 bytes, at most 5 are read"):
        load_json(tmp_path / "small.json", limit=5)


def test_what_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_BYTES", 10)
    with pytest.raises(StoreError, match="cannot write JSON of 15 bytes: at most 10 are read back"):
        dump_json("x" * 12)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*plan\.json: no such file or folder"):
        load_json(tmp_path / "plan.json")


def test_types_and_keys() -> None:
    assert dump_json((1, np.float64(0.5))) == b"[\n  1,\n  0.5\n]\n"
    with pytest.raises(StoreError, match=r"cannot write a\[0\] as JSON: int64 is not a JSON type"):
        dump_json({"a": [np.int64(1)]})
    with pytest.raises(StoreError, match="cannot write a as JSON: the key 1 is not text; use text keys"):
        dump_json({"a": {1: 2}})


def test_endless_and_impossible_values() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(StoreError, match="nested too deeply or contains itself"):
        dump_json(endless)
    with pytest.raises(StoreError, match=r"cannot write JSON: .*surrogates not allowed"):
        dump_json("\ud800")
    with pytest.raises(StoreError, match="cannot write JSON: "):
        dump_json(10**5000)
