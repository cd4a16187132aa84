import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.errors import StoreError
from lanewise.storage import strict_json
from lanewise.storage.strict_json import MAX_DEPTH, dump_json, load_json, parse_json


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


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@settings(max_examples=40)
@given(value=PLAIN, sort_keys=st.booleans())
def test_the_text_is_that_of_the_standard_library(value: object, *, sort_keys: bool) -> None:
    expected = json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        data = expected.encode()
    except UnicodeEncodeError:
        return
    assert dump_json(value, sort_keys=sort_keys) == data


def test_the_place_of_what_cannot_be_written_is_named_from_the_outside_in() -> None:
    with pytest.raises(StoreError, match=r"cannot write a\.b\[1\]\.c as JSON: it is inf; give a finite number or None"):
        dump_json({"a": {"b": [0, {"d": 1, "c": float("inf")}]}})
    with pytest.raises(StoreError, match=r"cannot write \[0\]\[1\] as JSON: set is not a JSON type"):
        dump_json([[1, set()]])
    with pytest.raises(StoreError, match="cannot write a mapping as JSON: the key None is not text"):
        dump_json({None: 1})


def test_depth_is_bounded_well_below_what_is_read_back() -> None:
    def nested(depth: int) -> object:
        value: object = 1
        for _ in range(depth):
            value = [value]
        return value

    assert parse_json(dump_json(nested(MAX_DEPTH)), source="x") == nested(MAX_DEPTH)
    with pytest.raises(StoreError, match="nested too deeply"):
        dump_json(nested(MAX_DEPTH + 1))
