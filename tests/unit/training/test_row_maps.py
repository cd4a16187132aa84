"""Rows in files: those of a table in memory, bit for bit; of a larger one the rest, prepared by all rows."""

from collections import namedtuple

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.agreement import check_streamed
from lanewise.data import streaming, table_files
from lanewise.data.reading import read
from lanewise.data.streaming import read_streamed
from lanewise.errors import DataError, UsageError
from lanewise.settings import checked
from lanewise.training import row_maps
from lanewise.training.data import ALL_ROWS
from lanewise.training.problem import Request, pose, prepare
from lanewise.training.row_maps import needed_bytes, prepare_streamed

ROWS = 600
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(ROWS, 2))
TABLE = pl.DataFrame(
    {
        "a": [None if value > 1.5 else value for value in NUMBERS[:, 0]],
        "b": np.exp(3 * NUMBERS[:, 1]),
        "c": RNG.choice(["x", "y", "z"], ROWS),
        "many": [f"level {n}" for n in RNG.integers(0, 40, ROWS)],
        "y": [None if n % 50 == 3 else value for n, value in enumerate(NUMBERS.sum(axis=1))],
        "kind": RNG.choice(["no", "yes"], ROWS),
    }
)


def streamed(tmp_path, frame=TABLE, name="table"):
    folder = tmp_path / name
    folder.mkdir()
    half = frame.height // 2
    frame[:half].write_parquet(folder / "0.parquet")
    frame[half:].write_parquet(folder / "1.parquet")
    files = table_files.table_files(folder)
    assert files is not None
    return read_streamed(files, asked=True)


@pytest.fixture
def small(monkeypatch):
    """A sample of 200 rows, read 64 rows at a time."""
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(table_files.TableFiles, "batch_rows", 64)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("target", ["y", "kind"])
def test_a_table_no_larger_than_the_sample_trains_on_the_same_bits(tmp_path, target, refit):
    request = Request(target=target, folds=3)
    expected, _ = prepare(pose(read(TABLE), request), refit=refit)
    found, _ = prepare_streamed(pose(streamed(tmp_path), request), refit=refit, folder=tmp_path)
    assert (found.rows, found.width, list(found.folds)) == (expected.rows, expected.width, list(expected.folds))
    for fold, part in expected.folds.items():
        own = found.folds[fold]
        for name in ("dense", "codes", "target", "train", "valid", "near"):
            assert getattr(own, name).dtype == getattr(part, name).dtype
            assert torch.equal(getattr(own, name).nan_to_num(9e9), getattr(part, name).nan_to_num(9e9)), name
        assert (own.center, own.scale) == (part.center, part.scale)
        np.testing.assert_array_equal(own.shown, part.shown)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]  # the files have no names any more


@pytest.mark.usefixtures("small")
def test_the_rest_trains_in_every_fold_and_judges_in_none(tmp_path):
    dataset = streamed(tmp_path)
    problem = pose(dataset, Request(target="y", folds=3))
    assert dataset.rest is not None
    others = np.setdiff1d(np.arange(ROWS), dataset.rest.sample)
    others = others[TABLE["y"][others].is_not_null().to_numpy()]
    assert problem.rest is not None
    assert problem.rest.rows == len(others)
    assert problem.training_rows == len(problem.train) + len(others)
    data, preparation = prepare_streamed(problem, refit=False, folder=None)
    assert data.rows == 200 + len(others)
    numbers = read(TABLE).frame["a"].to_numpy()
    for place, fold in enumerate(problem.folds):
        part = data.folds[place]
        assert part.train.tolist() == [*fold.train.tolist(), *range(200, data.rows)]
        assert int(part.valid.max()) < 200
        assert part.near.tolist() == fold.train.tolist()
        trains = np.append(dataset.rest.sample[fold.train], others)
        np.testing.assert_allclose(preparation.centre[place, 0], np.nanmean(numbers[trains]), rtol=1e-12)
        np.testing.assert_allclose(preparation.divisor[place, 0], np.nanstd(numbers[trains]), rtol=1e-12)
        y = TABLE["y"].to_numpy()[trains]
        assert (part.center, part.scale) == (pytest.approx(y.mean(), rel=1e-12), pytest.approx(y.std(), rel=1e-12))
        np.testing.assert_allclose(part.target[part.train], (y - y.mean()) / y.std(), rtol=1e-5, atol=1e-6)
        own = np.where(np.isnan(numbers[others]), preparation.impute[place, 0].item(), numbers[others])
        scaled = (own - np.nanmean(numbers[trains])) / np.nanstd(numbers[trains])
        np.testing.assert_allclose(part.dense[200:, 0], scaled, rtol=1e-5, atol=1e-6)
    assert data.near.rows <= 200
    whole, _ = prepare_streamed(problem, refit=True, folder=None)
    assert len(whole.folds[ALL_ROWS].train) == problem.training_rows


@pytest.mark.usefixtures("small")
def test_classes_levels_and_missing_cells_of_the_rest_are_known(tmp_path):
    frame = pl.DataFrame({"a": np.arange(400.0) % 7, "c": ["x", "y"] * 200, "kind": ["no", "yes"] * 200})
    sample = streamed(tmp_path, frame, "first").rest
    assert sample is not None
    odd = np.setdiff1d(np.arange(400), sample.sample)[:20]
    rare = pl.Series([n in odd for n in range(400)])
    frame = frame.with_columns(
        a=pl.when(rare).then(None).otherwise("a"),
        c=pl.when(rare).then(pl.lit("z")).otherwise("c"),
        kind=pl.when(rare).then(pl.lit("maybe")).otherwise("kind"),
    )
    problem = pose(streamed(tmp_path, frame), Request(target="kind", folds=3))
    assert problem.task.classes == ("maybe", "no", "yes")
    assert set(problem.layout.feature_names) == {"a", "a missing", "c=x", "c=y", "c=z"}
    assert problem.contract.columns[0].missing_rate == pytest.approx(20 / problem.training_rows)
    assert problem.contract.columns[1].levels == ("x", "y", "z")
    data, preparation = prepare_streamed(problem, refit=False, folder=tmp_path)
    level = problem.layout.feature_names.index("c=z")
    assert bool(preparation.one_hot_active.all())
    for part in data.folds.values():
        assert part.dense[:, level].sum() == 20
        counts = dict(frame["kind"].value_counts().iter_rows())
        assert part.target.bincount().tolist() == [counts[name] for name in problem.task.classes]


@pytest.mark.usefixtures("small")
def test_twins_of_judged_rows_do_not_train_unless_rows_repeat_by_nature(tmp_path):
    dataset = streamed(tmp_path)
    assert dataset.rest is not None
    first = int(dataset.rest.sample[0])
    others = np.setdiff1d(np.arange(ROWS), dataset.rest.sample)
    order = np.arange(ROWS)
    order[others[:30]] = first
    order[dataset.rest.sample[1]] = first  # so that the sample has a twin of its own, and groups
    copied = TABLE[order].with_columns(y=pl.Series(RNG.normal(size=ROWS)))
    problem = pose(streamed(tmp_path, copied, "copied"), Request(target="y"))
    assert problem.rest is not None
    assert problem.rest.rows == 400 - 30
    assert [finding.count for finding in problem.findings if finding.code == "twins_left_out"] == [30]
    by_nature = TABLE.select("c", "kind", y=pl.Series(RNG.normal(size=ROWS)))
    kept = pose(streamed(tmp_path, by_nature, "nature"), Request(target="y"))
    assert kept.rest is not None
    assert kept.rest.rows == 400


def test_a_disk_without_room_is_told_of_before_anything_is_written(tmp_path, monkeypatch):
    problem = pose(streamed(tmp_path), Request(target="y", folds=3))
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(row_maps.shutil, "disk_usage", lambda place: usage(free=needed_bytes(problem, refit=False) - 1))
    with pytest.raises(
        DataError, match=r"the prepared rows need 0.00 GB on disk at .*, and 0.00 GB are free; make room"
    ):
        prepare_streamed(problem, refit=False, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    data, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    part = data.folds[ALL_ROWS]
    written = sum(rows.numel() * rows.element_size() for rows in (part.dense, part.codes, part.target, part.train))
    assert written <= needed_bytes(problem, refit=True) <= 1.5 * written


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"group": "c"}, "group does not work where rows are streamed from disk"),
        ({"class_weights": "balanced"}, "class_weights does not work where rows are streamed from disk"),
        ({"device": "cuda"}, "rows that are streamed from disk train on processors only, got device cuda"),
    ],
)
def test_what_streamed_rows_cannot_have_is_refused(tmp_path, asked, words):
    with pytest.raises(UsageError, match=words):
        check_streamed(streamed(tmp_path), checked({"target": "y", **asked}))
    check_streamed(read(TABLE), checked({"target": "y", **asked}))
