"""A streamed table: its sample, its other rows and the facts of those are the same however the rows are stored."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from lanewise.data import streaming, table_files
from lanewise.data.column_facts import ColumnFacts
from lanewise.data.reading import read
from lanewise.data.streaming import is_too_large, read_streamed, with_target_of_rest
from lanewise.errors import DataError

RNG = np.random.default_rng(0)
ROWS = 400
TABLE = pl.DataFrame(
    {
        "size": [None if n % 11 == 0 else n for n in RNG.normal(size=ROWS).round(2)],
        "count": RNG.integers(0, 9, ROWS),
        "colour": RNG.choice(["red", "NA", " blue", "n/a", "green"], ROWS),
        "state": RNG.choice(["NA", "EU", "AF"], ROWS),
        "flag": RNG.random(ROWS) > 0.5,
        "when": [datetime(2020, 1, 1 + int(n)) for n in RNG.integers(0, 28, ROWS)],
        "nested": [[n] for n in range(ROWS)],
    }
).with_columns(pl.when(pl.col("count") == 8).then(float("inf")).otherwise(pl.col("size")).alias("size"))


@pytest.fixture
def small(monkeypatch):
    """A sample of 100 rows, read 64 rows at a time."""
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 100)
    monkeypatch.setattr(table_files.TableFiles, "batch_rows", 64)


def written(folder, frame, files):
    folder.mkdir()
    size = -(-frame.height // files)
    for place in range(files):
        frame[place * size : (place + 1) * size].write_parquet(folder / f"part-{place}.parquet")
    found = table_files.table_files(folder)
    assert found is not None
    return found


@pytest.mark.usefixtures("small")
def test_sample_and_rest_are_the_rows_read_into_memory(tmp_path):
    found = read_streamed(written(tmp_path / "one", TABLE, 1))
    again = read_streamed(written(tmp_path / "many", TABLE, 7))
    whole = read(TABLE)
    rest = found.rest
    assert rest is not None
    assert again.rest is not None
    assert found.frame.equals(again.frame)
    assert rest.fingerprint == again.rest.fingerprint
    assert (rest.rows, found.kinds, rest.kinds) == (300, whole.kinds, whole.kinds)
    names = list(whole.kinds)
    others = np.setdiff1d(np.arange(ROWS), rest.sample)
    assert found.frame.equals(whole.frame[rest.sample])
    assert pl.concat([batch.frame for batch in rest.batches(names)]).equals(whole.frame[others])
    for name in names:
        own, told = ColumnFacts.of(whole.frame[name][others], whole.kinds[name]), rest.facts[name]
        assert (own.missing, own.low, own.high) == (told.missing, told.low, told.high)
        assert own.levels.equals(told.levels)
    assert any(finding.code == "nested_column" for finding in found.findings)
    assert any(finding.code == "streamed_rows" and finding.count == 300 for finding in found.findings)


def test_a_table_no_longer_than_the_sample_is_all_in_memory(tmp_path):
    told = list[str]()
    found = read_streamed(written(tmp_path / "table", TABLE, 3), asked=True, tell=told.append)
    assert found.rest is not None
    assert found.rest.rows == 0
    assert found.frame.equals(read(TABLE).frame)
    assert told == []
    assert [one.message for one in found.findings if one.code == "streamed_rows"] == [
        "the 400 rows all fit into memory, so that none is left to stream"
    ]


@pytest.mark.usefixtures("small")
def test_a_marker_that_only_the_rest_makes_a_level_is_one_everywhere(tmp_path):
    # "None" is a level where a few others exist; the sample alone would see no other.
    words = pl.DataFrame({"a": ["None"] * 399 + ["Full"], "n": range(400)})
    found = read_streamed(written(tmp_path / "table", words, 2))
    assert found.rest is not None
    assert 399 not in found.rest.sample
    assert found.frame["a"].null_count() == 0
    assert found.rest.facts["a"].missing == 0


@pytest.mark.usefixtures("small")
def test_the_target_is_told_with_the_levels_and_the_range_of_the_rest(tmp_path):
    frame = pl.DataFrame({"y": ["a", "b"] * 199 + ["c", "c"], "n": [1.0] * 399 + [7.5]})
    found = read_streamed(written(tmp_path / "table", frame, 1))
    assert set(found.frame["y"]) == {"a", "b"}
    assert set(with_target_of_rest(found, "y").frame["y"]) == {"a", "b", "c"}
    assert with_target_of_rest(found, "n").frame["n"].max() == 7.5


def test_whole_numbers_beyond_64_bits_are_refused_in_words(tmp_path):
    frame = pl.DataFrame({"a": pl.Series([1, 2**64 - 1], dtype=pl.UInt64), "b": [1, 2]})
    with pytest.raises(DataError, match="column 'a' holds whole numbers beyond 64 bits"):
        read_streamed(written(tmp_path / "table", frame, 1))


def test_a_table_is_too_large_where_the_free_memory_does_not_hold_it(tmp_path, monkeypatch):
    files = written(tmp_path / "table", TABLE, 1)
    assert not is_too_large(files, most_bytes=10**6)
    assert is_too_large(files, most_bytes=10**4)
    monkeypatch.setattr(streaming, "free_bytes", lambda: 100_000)
    assert is_too_large(files, most_bytes=10**6)
    told = list[str]()
    read_streamed(files, tell=told.append)
    assert "the table needs about 0.2 GB of memory, and 100 kB are free: rows are streamed from disk" in told[0]
