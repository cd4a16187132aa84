"""JSON lines: keys may be absent, values keep their types, bad lines are counted."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.data.reading import read, read_like
from lanewise.errors import DataError


def read_text(folder: Path, text: str, name: str = "t.json") -> Dataset:
    path = folder / name
    path.write_text(text)
    return read(path)


def test_values_and_absent_keys(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, '{"a": 1, "b": "x"}\n\n{"b": null, "c": true}\n{"a": 2.5, "b": "01"}\n')
    assert dataset.frame.rows() == [(1.0, "x", None), (None, None, "true"), (2.5, "01", None)]
    assert dataset.kinds == {"a": "number", "b": "category", "c": "category"}


def test_odd_values(tmp_path: Path) -> None:
    text = '{"n": NaN, "i": Infinity, "big": 123456789012345678901234, "m": 1, "l": [1]}\n'
    dataset = read_text(tmp_path, text + '{"n": 1, "i": 1, "big": 1, "m": "x", "l": []}\n')
    assert dataset.frame.row(0) == (None, None, "123456789012345678901234", "1")
    assert {finding.code for finding in dataset.findings} == {
        "infinite_values",
        "beyond_64_bit",
        "mixed_types",
        "nested_column",
    }


def test_few_bad_lines_are_set_aside_and_many_refuse_the_file(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, '{"a": 1}\n' * 50 + "[1]\n")
    assert dataset.rows == 50
    assert (
        dataset.findings[0].message == "1 line of 51 set aside, being no JSON object, or one with a key twice: line 51"
    )
    with pytest.raises(
        DataError, match="has 2 of 4 lines that are no JSON object, or one with a key twice, first line 2"
    ):
        read_text(tmp_path, '{"a": 1}\n{"a": \n[]\n{"a": 2}\n')


def test_a_key_that_is_there_twice_is_not_settled_in_silence(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, '{"a": 1, "b": 1}\n' * 50 + '{"a": 1, "a": 2, "b": 1}\n')
    assert dataset.rows == 50
    assert "1 line of 51 set aside" in dataset.findings[0].message


def test_whole_numbers_beyond_64_bits_are_called_so(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, '{"a": 1}\n{"a": 123456789012345678901234567890123456789012}\n')
    assert dataset.frame["a"].to_list() == ["1", "123456789012345678901234567890123456789012"]
    assert dataset.findings[0].code == "beyond_64_bit"


@pytest.mark.parametrize("text", ["[1, 2]\n", "1\n", "{" * 100_000 + "\n", '{"a":' + "[" * 100_000 + "\n"])
def test_no_objects_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="no JSON object"):
        read_text(tmp_path, text, "t.jsonl")


def test_dates_are_dates_as_json_has_no_type_for_them(tmp_path: Path) -> None:
    one = '{{"day": "2024-03-{0:02}", "odd": "2024-02-{0:02}", "at": "{0}/03/2024"}}'
    rows = [one.format(day) for day in (1, 2, 30)]
    dataset = read_text(tmp_path, "\n".join([*rows, '{"day": "NA", "at": "1/4/2024"}']))
    assert dataset.kinds == {"day": "date", "odd": "category", "at": "category"}
    assert dataset.frame["day"].to_list() == [datetime(2024, 3, 1), datetime(2024, 3, 2), datetime(2024, 3, 30), None]


def test_dates_that_are_levels_of_a_model_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"day": "2024-03-01"}\n{"day": "2024-03-02"}\n')
    assert read_like(path, {"day": "category"}).frame["day"].to_list() == ["2024-03-01", "2024-03-02"]
    words = read_like(pl.DataFrame({"day": ["2024-03-01", "2024-03-02"]}), {"day": "date"})
    assert words.kinds == {"day": "date"}
    assert not words.findings


def test_lines_may_end_in_carriage_returns_alone(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\r{"a": 2}\r')
    assert read(tmp_path / "t.jsonl").frame["a"].to_list() == [1, 2]
