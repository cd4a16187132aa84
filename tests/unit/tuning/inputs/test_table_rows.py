"""A table of files as rows on disk: every row whole, read window after window, raced."""

import re

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import lanewise
from lanewise.data import streaming, table_files
from lanewise.errors import DataError, UsageError
from lanewise.lanes import windows
from lanewise.lanes.windows import PlacedRowStream
from lanewise.training.batches import _stream
from lanewise.tuning.inputs.rows import Rows
from lanewise.tuning.inputs.table_rows import table_rows

ROWS = 900
RNG = np.random.default_rng(0)
A = RNG.normal(size=ROWS)
TOWNS = RNG.choice(["Oslo", "Rome", "Bern"], ROWS)
FRAME = pl.DataFrame(
    {
        "id": np.arange(ROWS),
        "a": A,
        "town": [None if n % 90 == 4 else town for n, town in enumerate(TOWNS)],
        "label": [None if n % 100 == 7 else word for n, word in enumerate(np.where(A > 0, "up", "down"))],
        "y": 2 * A + 1,
    }
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A table of two files of which 300 rows are the sample, in windows of about 64 rows."""
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(table_files.TableFiles, "batch_rows", 128)
    monkeypatch.setattr(windows, "FEWEST_PLACED", 64)
    monkeypatch.setattr(windows, "PLACED_BYTES", 0)
    (tmp_path / "table").mkdir()
    FRAME[:400].write_parquet(tmp_path / "table" / "0.parquet")
    FRAME[400:].write_parquet(tmp_path / "table" / "1.parquet")
    return tmp_path / "table"


def test_every_row_with_a_target_is_there_once_and_whole(folder):
    rows = table_rows(folder, target="label", inputs=["id", "a", "town"], folder=folder.parent)
    whole = FRAME.filter(pl.col("label").is_not_null())
    assert (len(rows), rows.names, rows.classes) == (whole.height, ("id", "a"), ("down", "up"))
    assert [path.name for path in folder.parent.iterdir()] == ["table"]  # the files have no names any more
    batches = list(DataLoader(rows, batch_size=100))
    numbers, codes = (torch.cat([batch[0][place] for batch in batches]) for place in (0, 1))
    order = numbers[:, 0].argsort()
    words = (None, None, *rows.levels["town"])
    assert torch.equal(numbers[order].double(), torch.from_numpy(whole["id", "a"].to_numpy()).float().double())
    assert [words[code] for code in codes[order, 0].tolist()] == whole["town"].to_list()
    assert [rows.classes[n] for n in torch.cat([own[1] for own in batches])[order].tolist()] == whole["label"].to_list()
    ids = [part[:, 0] for part in numbers.tensor_split(rows.edges[1:-1])]
    assert len(ids) > 9
    assert all(part.min() < 300 and part.max() > 600 for part in ids)  # a window has rows from all over the table
    held = rows.like(folder / "1.parquet")
    assert sorted(held.X[0][:, 0].tolist()) == sorted(float(n) for n in whole["id"] if n >= 400)
    assert held.X[1].max() == rows.X[1].max()
    alone = table_rows(folder, target="y", inputs=["a"])
    assert [tuple(own.shape) for own in next(iter(DataLoader(alone, batch_size=4)))] == [(4, 1), (4, 1)]
    torch.testing.assert_close(alone.y, 2 * alone.X + 1)


def test_folds_read_window_after_window_every_row_that_trains_once(folder):
    rows = Rows.of(table_rows(folder, target="y", inputs=["a"]), None, folds=3)
    data = rows.data(torch.float32, whole=False)

    for fold, part in data.folds.items():
        stream = _stream(data, fold, 0)
        assert isinstance(stream, PlacedRowStream)
        epoch = stream.take(0, len(part.train))
        assert torch.equal(epoch.sort().values, part.train)
        assert data.edges is not None
        at = torch.searchsorted(data.edges, epoch, right=True)
        assert len(at.unique_consecutive()) == len(data.edges) - 1
        assert not torch.equal(epoch, part.train)


@pytest.mark.parametrize("judged", [{"valid": 0.2}, {"folds": 2}])
def test_a_race_learns_from_rows_on_disk_and_repeats_bit_for_bit(folder, judged):
    def race(**more):
        return lanewise.tune(
            lambda: nn.Linear(1, 1),
            train=table_rows(folder, target="y", inputs=["a"]),
            loss=F.mse_loss,
            candidates=[{"optimizer": "sgd", "lr": 1e-4}, {"optimizer": "sgd", "lr": 0.1}],
            budget="60steps",
            policy="never",
            **judged,
            **more,
        )

    found, again = race(), race()
    assert found.settings["lr"] == 0.1
    weights, same = (own.model.state_dict()["weight"] for own in (found, again))
    assert abs(weights.item() - 2) < 0.2
    assert torch.equal(weights, same)
    assert any(re.search(r"train: 900 rows of .* lie on disk, in \d+ random windows", own) for own in found.plan.words)
    loader = DataLoader(table_rows(folder, target="y", inputs=["a"]), batch_size=32)
    assert Rows.of(loader, 0.2, folds=None).train.edges is not None


@pytest.mark.parametrize(
    ("change", "asked", "words"),
    [
        ({}, {"target": "z"}, "has no column 'z' that can be used"),
        ({}, {"target": "a", "inputs": ["a"]}, "'a' cannot be both target and one of the inputs"),
        ({"a": pl.when(pl.col("id") < 9).then(None).otherwise("a")}, {"target": "y"}, "'a' is missing in 9 rows; fill"),
        ({"a": pl.col("a") * 1e39}, {"target": "y"}, "'a' holds .*e.39, beyond what 32 bits hold"),
        ({"town": pl.format("word {} of {} in {}", "id", "a", "y")}, {"target": "y"}, "'town' is text"),
    ],
)
def test_what_cannot_be_had_is_said(folder, change, asked, words):
    FRAME.with_columns(**change).write_parquet(folder.parent / "other.parquet")
    with pytest.raises((UsageError, DataError), match=words):
        table_rows(folder.parent / "other.parquet", **asked)


def test_all_inputs_that_are_not_there_are_told_at_once_and_names_with_commas(folder):
    FRAME.rename({"town": "town, state"}).write_parquet(folder.parent / "other.parquet")
    with pytest.raises(UsageError) as error:
        table_rows(folder.parent / "other.parquet", target="y", inputs=["aa", "town", "state"])
    lines = str(error.value).splitlines()
    assert [line.split(" that ")[0].strip() for line in lines[1:-1]] == [
        f"{folder.parent / 'other.parquet'} has no column {name!r}" for name in ("aa", "town", "state")
    ]
    assert lines[-1].endswith("a name with a comma stands in double quotes, inputs='\"town, state\"'")


def test_other_files_are_refused(folder):
    FRAME.write_csv(folder.parent / "table.csv")
    with pytest.raises(UsageError, match="neither a Parquet nor an Arrow file"):
        table_rows(folder.parent / "table.csv", target="y")
    with pytest.raises(DataError, match=r"^no file .*nowhere.parquet: check the path$"):
        table_rows(folder.parent / "nowhere.parquet", target="y")
