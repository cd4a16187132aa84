"""Streamed rows of whole groups, and in the order of time: nothing that a fold or the test judges is trained on."""

import numpy as np
import polars as pl
import pytest
import torch

from lanewise.data import streaming, table_files
from lanewise.data.reading import read
from lanewise.data.streaming import read_streamed
from lanewise.errors import DataError
from lanewise.lanes import windows
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.training.batches import Batches
from lanewise.training.data import ALL_ROWS
from lanewise.training.posing import Request, pose
from lanewise.training.streamed.row_maps import prepare_streamed
from lanewise.training.streamed.row_windows import Reader

ROWS = 700


def table(seed):
    """Rows told apart by ``y``, in few groups and at times that repeat; ``level`` names the group and the time."""
    rng = np.random.default_rng(seed)
    size = np.minimum(rng.zipf(1.4, ROWS), 40)
    group, moment = rng.permutation(np.repeat(np.arange(ROWS), size)[:ROWS]), rng.integers(0, 60, ROWS)
    days = pl.Series(moment).cast(pl.Date)
    frame = pl.DataFrame(
        {"a": rng.normal(size=ROWS) + moment, "who": [f"p{n}" for n in group], "number": group / 4, "day": days}
    )
    first = frame["who"].unique(maintain_order=True)[:30]
    return frame.with_columns(
        level=pl.when(pl.col("who").is_in(first.implode())).then("who").otherwise(pl.lit("another")),
        month=pl.Series([f"m{n // 6}" for n in moment]),
        y=pl.Series(np.arange(ROWS) / 7),
    )


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """A table as a sample of 250 rows and the rest, in windows of 60 rows."""
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 250)
    monkeypatch.setattr(table_files.TableFiles, "batch_rows", 64)
    monkeypatch.setattr(windows, "FEWEST_PLACED", 60)
    monkeypatch.setattr(windows, "PLACED_BYTES", 0)

    def written(frame):
        path = tmp_path / "table.parquet"
        frame.write_parquet(path)
        files = table_files.table_files(path)
        assert files is not None
        return read_streamed(files, asked=True)

    return written


def trained(data, fold):
    """The row numbers, ascending, that a fold trains on in an epoch."""
    assert data.windows is not None
    places = data.windows.stream(fold, 0).take(0, data.training_rows(fold))
    seen = Reader(data.windows, [fold]).rows(fold, places).target.double()
    part = data.folds[fold]
    return np.sort(np.round(7 * (seen * part.scale + part.center).numpy()).astype(int))


def allowed(frame, column, judged, *, by_time):
    """The rows that may train where the rows ``judged`` judge."""
    values = frame[column]
    if by_time:
        return (values < values[judged].min()).to_numpy()
    return ~values.is_in(values[judged].unique().implode()).to_numpy()


@pytest.mark.parametrize(("column", "seed"), [("who", 0), ("number", 1), ("day", 0), ("day", 1)])
def test_no_group_and_no_time_that_is_judged_trains(streamed, tmp_path, column, seed):
    frame, by_time = table(seed), column == "day"
    dataset = streamed(frame)
    request = Request(target="y", folds=3, seed=seed, **{"time" if by_time else "group": column})
    problem = pose(dataset, request)
    assert dataset.rest is not None
    assert problem.rest is not None
    sample = dataset.rest.sample
    alone = pose(read(frame[sample]), request)
    for own, other in zip(problem.folds, alone.folds, strict=True):
        np.testing.assert_array_equal(own.train, other.train)
        np.testing.assert_array_equal(own.valid, other.valid)
    np.testing.assert_array_equal(problem.test, alone.test)
    ever = allowed(frame, column, sample[problem.test], by_time=by_time)
    data, preparation = prepare_streamed(problem, refit=False, folder=tmp_path)
    place = problem.layout.number_names.index("a")
    for fold, part in enumerate(problem.folds):
        rows = trained(data, fold)
        may = ever & allowed(frame, column, sample[part.valid], by_time=by_time)
        np.testing.assert_array_equal(rows, np.flatnonzero(may))
        a, y = frame["a"].to_numpy()[rows], frame["y"].to_numpy()[rows]
        assert preparation.centre[fold, place].item() == pytest.approx(a.mean(), rel=1e-10)
        assert data.folds[fold].scale == pytest.approx(y.std(), rel=1e-10)
    whole, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    np.testing.assert_array_equal(trained(whole, ALL_ROWS), np.flatnonzero(ever))
    assert problem.training_rows == problem.contract.rows == ever.sum()
    out = [finding.count for finding in problem.findings if finding.code == "held_out_beyond"]
    assert out == [ROWS - len(sample) - problem.rest.rows]
    level = "month" if by_time else "level"
    known = next(own.levels for own in problem.contract.columns if own.name == level)
    assert set(known) == set(frame[level].filter(pl.Series(ever)))


def test_a_test_set_of_the_users_own_leaves_all_rows_to_the_folds(streamed, tmp_path):
    frame = table(0)
    problem = pose(streamed(frame), Request(target="y", folds=2, time="day"), test=read(frame[:40]))
    assert problem.training_rows == ROWS
    whole, _ = prepare_streamed(problem, refit=True, folder=tmp_path)
    np.testing.assert_array_equal(trained(whole, ALL_ROWS), np.arange(ROWS))


@pytest.mark.parametrize("asked", [{"group": "who"}, {"time": "day"}])
def test_a_group_or_time_that_is_missing_beyond_the_sample_is_an_error(streamed, asked):
    frame = table(0)
    sample = streamed(frame).rest.sample
    others = np.setdiff1d(np.arange(ROWS), sample)[:3]
    (column,) = asked.values()
    gone = pl.when(pl.Series(np.isin(np.arange(ROWS), others))).then(None).otherwise(pl.col(column))
    with pytest.raises(DataError, match=f"and '{column}' is missing in 3 rows beyond the sample; fill it in"):
        pose(streamed(frame.with_columns(gone.alias(column))), Request(target="y", **asked))


def test_folds_of_different_lengths_share_a_stack_and_windows_are_not_prepared_for_all_of_them(
    streamed, tmp_path, monkeypatch
):
    problem = pose(streamed(table(0)), Request(target="y", folds=3, time="day"))
    data, _ = prepare_streamed(problem, refit=False, folder=tmp_path)
    assert data.windows is not None
    asked = []
    prepared = data.windows._prepared
    monkeypatch.setattr(data.windows, "_prepared", lambda window, folds: asked.extend(folds) or prepared(window, folds))
    own = Candidate(id="a", model="mlp", optimizer="adam", settings={"batch_size": 2})
    lanes = [Lane(candidate=own, fold=fold, seed=0) for fold in range(3)]
    batches = Batches(data, Roster.of(lanes), batch_size=2, dtype=torch.float32, compute=None)
    steps = 2 * data.training_rows(2) // 2
    shown = []
    for at in range(steps):
        rows = batches.rows(at)
        shown.append(batches.batch(rows).targets)
    batches.settle()
    data.windows.close()
    for fold in range(3):
        seen = torch.cat([targets[fold] for targets in shown])[: data.training_rows(fold)]
        expected = data.windows.stream(fold, 0).take(0, data.training_rows(fold))
        assert torch.equal(seen, Reader(data.windows, [fold]).rows(fold, expected).target)
    epochs = [2 * steps / data.training_rows(fold) for fold in range(3)]
    assert max(epochs) > 2 * min(epochs)
    count = len(data.windows.store.edges) - 1
    # With so few windows some are made ready for two folds by chance, and are gone before the slower one gets there.
    assert len(asked) < 2 * sum(count * epoch for epoch in epochs)
