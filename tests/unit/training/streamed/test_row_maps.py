"""Rows in files: those of a table in memory, bit for bit; of a larger one the rest, prepared by all rows."""

import json
import os
import socket
from collections import namedtuple

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.data import streaming, table_files
from lanewise.data.reading import ReadOptions, read
from lanewise.data.streaming import read_streamed
from lanewise.distributed.place import Place
from lanewise.errors import DataError, UsageError
from lanewise.features.prepared import prepare_rows
from lanewise.fitting.agreement import check_streamed
from lanewise.lanes import windows
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.settings.fit import checked
from lanewise.training.batches import Batches
from lanewise.training.data import ALL_ROWS
from lanewise.training.posing import Request, pose
from lanewise.training.problem import prepare
from lanewise.training.streamed import row_maps
from lanewise.training.streamed.row_maps import Writing, needed_bytes, prepare_streamed, store_rows
from lanewise.training.streamed.row_windows import Reader

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


def epoch(data, fold):
    """The training rows of a fold in the order of one epoch."""
    assert data.windows is not None
    places = data.windows.stream(fold, 0).take(0, data.training_rows(fold))
    return Reader(data.windows, [fold]).rows(fold, places)


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
        for name in ("dense", "codes", "target", "train", "valid"):
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
    assert data.rows == 200
    numbers = read(TABLE).frame["a"].to_numpy()
    for place, fold in enumerate(problem.folds):
        part = data.folds[place]
        assert part.train.tolist() == fold.train.tolist()
        assert int(part.valid.max()) < 200
        trains = np.append(dataset.rest.sample[fold.train], others)
        assert data.training_rows(place) == len(trains)
        np.testing.assert_allclose(preparation.centre[place, 0], np.nanmean(numbers[trains]), rtol=1e-12)
        np.testing.assert_allclose(preparation.divisor[place, 0], np.nanstd(numbers[trains]), rtol=1e-12)
        y = TABLE["y"].to_numpy()[trains]
        assert (part.center, part.scale) == (pytest.approx(y.mean(), rel=1e-12), pytest.approx(y.std(), rel=1e-12))
        seen = epoch(data, place)
        np.testing.assert_allclose(seen.target.sort().values, np.sort((y - y.mean()) / y.std()), rtol=1e-5, atol=1e-6)
        own = np.where(np.isnan(numbers[trains]), preparation.impute[place, 0].item(), numbers[trains])
        scaled = (own - np.nanmean(numbers[trains])) / np.nanstd(numbers[trains])
        np.testing.assert_allclose(seen.dense[:, 0].sort().values, np.sort(scaled), rtol=1e-5, atol=1e-6)
        at = seen.target.argsort()  # no two targets are equal: rows are whole
        np.testing.assert_allclose(seen.dense[at, 0], scaled[np.argsort(y)], rtol=1e-5, atol=1e-6)
    assert data.near.windows is None
    whole, _ = prepare_streamed(problem, refit=True, folder=None)
    assert whole.training_rows(ALL_ROWS) == len(epoch(whole, ALL_ROWS).target) == problem.training_rows


@pytest.mark.usefixtures("small")
def test_every_kind_of_column_comes_back_from_the_disk_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "FEWEST_PLACED", 70)
    monkeypatch.setattr(windows, "PLACED_BYTES", 0)
    words = RNG.choice([f"w{n}" for n in range(80)], (ROWS, 6))
    frame = TABLE.select("a", "many", "c").with_columns(
        short=pl.Series(RNG.integers(-9, 9, ROWS), dtype=pl.Int16),
        day=pl.Series(RNG.integers(0, 9000, ROWS)).cast(pl.Date),
        said=pl.Series([" ".join(row[: n % 7]) for n, row in enumerate(words)]),
        y=pl.Series(np.arange(ROWS) / 7),
    )
    dataset = streamed(tmp_path, frame)
    problem = pose(dataset, Request(target="y", folds=2))
    assert problem.encoded.tokens is not None
    assert problem.rest is not None
    stored = store_rows(problem, tmp_path)
    assert stored is not None
    assert stored.form.narrow.sum() == 1
    data, preparation = prepare_streamed(problem, refit=True, folder=tmp_path, stored=stored)
    seen = epoch(data, ALL_ROWS)
    assert dataset.rest is not None
    train = np.append(dataset.rest.sample[problem.train], np.setdiff1d(np.arange(ROWS), dataset.rest.sample))
    rows = problem.layout.encode(read(frame[train], options=ReadOptions(kinds=dataset.kinds)))
    dense, codes = prepare_rows(preparation, rows, np.arange(len(train)))
    order, expected = seen.target.argsort(), np.argsort(frame["y"].to_numpy()[train])
    assert torch.equal(seen.dense[order], dense[0][expected])
    assert torch.equal(seen.codes[order], codes[0][expected])


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
    whole, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    for own, fold in ((data, 0), (data, 1), (whole, ALL_ROWS)):
        assert epoch(own, fold).dense[:, level].sum() == 20
    held = np.bincount(problem.y[problem.test].astype(int), minlength=3)
    counts = dict(frame["kind"].value_counts().iter_rows())
    seen = epoch(whole, ALL_ROWS)
    assert seen.target.bincount().tolist() == [counts[name] - held[n] for n, name in enumerate(problem.task.classes)]


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


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("by_class", [None, "balanced"])
def test_weights_are_those_of_the_same_table_in_memory(tmp_path, by_class):
    heavy = pl.Series([None if n % 40 == 7 else float(value) for n, value in enumerate(RNG.integers(0, 5, ROWS))])
    rare = pl.Series(np.where(np.arange(ROWS) % 9 == 0, "rare", "usual"))
    frame = TABLE.select("a", "b", "y").with_columns(y=pl.Series(np.arange(ROWS) / 7), heavy=heavy, kind=rare)
    request = Request(target="kind", weight="heavy", class_weights=by_class, folds=2)
    problem = pose(streamed(tmp_path, frame), request)
    data, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    place = problem.layout.feature_names.index("y")
    assert data.windows is not None
    seen = epoch(data, ALL_ROWS)
    assert seen.weight is not None
    assert float(seen.weight.double().mean()) == pytest.approx(1.0, rel=1e-6)
    rest = problem.dataset.rest
    assert rest is not None
    held = rest.sample[problem.test]
    train = np.setdiff1d(np.flatnonzero(heavy.is_not_null().to_numpy()), held)
    own = heavy.to_numpy()[train]
    if by_class:
        classes = (rare == "usual").to_numpy()[train].astype(int)
        counts = np.bincount(classes)
        own = own * (len(train) / (2 * counts))[classes]
    order = seen.dense[:, place].argsort()
    np.testing.assert_allclose(seen.weight[order], own / own.mean(), rtol=1e-5)
    with pytest.raises(DataError, match="'heavy' has"):
        pose(streamed(tmp_path, frame.with_columns(heavy=heavy - 1), "below"), request)


@pytest.mark.usefixtures("small")
def test_a_test_set_of_the_users_own_judges_and_the_rest_trains(tmp_path):
    dataset = streamed(tmp_path)
    problem = pose(dataset, Request(target="kind", folds=2), test=read(TABLE[:50]))
    assert len(problem.test) == 50
    assert problem.dataset.rest is dataset.rest
    data, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    assert data.training_rows(ALL_ROWS) == problem.training_rows == len(epoch(data, ALL_ROWS).target)
    assert problem.training_rows > 500
    assert data.folds[ALL_ROWS].valid.tolist() == list(range(200, 250))


@pytest.mark.usefixtures("small")
def test_a_disk_without_room_is_told_of_before_anything_is_written(tmp_path, monkeypatch):
    problem = pose(streamed(tmp_path), Request(target="y", folds=3))
    usage = namedtuple("Usage", "free")
    with monkeypatch.context() as full:
        full.setattr(row_maps.shutil, "disk_usage", lambda place: usage(free=needed_bytes(problem) - 1))
        with pytest.raises(
            DataError, match=r"the prepared rows need 0.00 GB on disk at .*, and 0.00 GB are free; make room"
        ):
            prepare_streamed(problem, refit=False, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    stored = store_rows(problem, tmp_path)
    assert stored is not None
    written = stored.bytes
    for refit in (False, True):
        data, _ = prepare_streamed(problem, refit=refit, folder=tmp_path, stored=stored)
        written += sum(part.dense.nbytes + part.codes.nbytes for part in data.folds.values())
    assert written == needed_bytes(problem)


@pytest.mark.usefixtures("small")
def test_an_epoch_reads_the_store_once_however_many_folds_and_seeds_share_it(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "FEWEST_PLACED", 50)
    monkeypatch.setattr(windows, "PLACED_BYTES", 0)
    data, _ = prepare_streamed(pose(streamed(tmp_path), Request(target="y", folds=2)), refit=False, folder=tmp_path)
    assert data.windows is not None
    store = data.windows.store
    assert len(store.edges) > 9
    own = Candidate(id="a", model="mlp", optimizer="adam", settings={"batch_size": 16})
    lanes = [Lane(candidate=own, fold=fold, seed=seed) for fold in (0, 1) for seed in (0, 1)]
    batches = Batches(data, Roster.of(lanes), batch_size=16, dtype=torch.float32, compute=None)
    steps = 3 * data.training_rows(0) // 16
    for at in range(steps):
        batches.batch(batches.rows(at))
    batches.settle()
    data.windows.close()
    largest = np.diff(store.edges).max() * store.bytes / store.rows
    assert 2.8 * store.bytes - 2 * largest < store.bytes_read < 3 * store.bytes + 3 * largest


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"device": "cuda"}, "rows that are streamed from disk train on processors only, got device cuda"),
    ],
)
def test_what_streamed_rows_cannot_have_is_refused(tmp_path, asked, words):
    with pytest.raises(UsageError, match=words):
        check_streamed(streamed(tmp_path), checked({"target": "y", **asked}))
    check_streamed(read(TABLE), checked({"target": "y", **asked}))


class Told:
    """What ranks say to each other, of which the last is this one: the others have written in ``folders`` or not."""

    def __init__(self, place, folders):
        self.place, self.rank, self.folders = place, place.rank, folders

    def gather(self, own):
        return [json.dumps(told).encode() for told in self.folders] + [own]

    def meet(self):
        pass


def test_a_rank_reads_what_was_written_on_its_host_wherever_the_ranks_of_it_are(tmp_path, monkeypatch):
    """Ranks by node: 0 and 2 on one host, 1 and 3 on the other."""
    monkeypatch.setattr(socket, "gethostname", lambda: "b")
    place = Place(rank=3, size=4, local_rank=1, local_size=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "own").mkdir()
    others = [("a", str(tmp_path / "other")), ("b", str(tmp_path / "own")), ("a", "")]
    with Writing(tmp_path, 0, Told(place, others)) as files:
        assert not files.writes
        files.share()
        assert files.folder == tmp_path / "own"
    # A host of the same name does not have what was written there.
    with Writing(tmp_path, 0, Told(place, [("b", "/nowhere"), *others])) as files:
        files.share()
        assert files.folder == tmp_path / "own"
    with Writing(tmp_path, 0, Told(place, others[:1])) as files, pytest.raises(DataError, match="rank 3 finds no rows"):
        files.share()
    assert (tmp_path / "own").is_dir()  # who reads removes nothing


def test_a_table_that_changes_while_it_is_read_is_told_of(tmp_path, small):
    dataset = streamed(tmp_path)
    problem = pose(dataset, Request(target="y"))
    path = tmp_path / "table" / "1.parquet"
    TABLE[ROWS // 2 :].with_columns(pl.col("a") * 2.5).write_parquet(path)
    os.utime(path, (1, 1))  # as long after the first as it takes
    with pytest.raises(DataError, match=r"1\.parquet changed while it was read; start again when it is complete"):
        store_rows(problem, tmp_path)
