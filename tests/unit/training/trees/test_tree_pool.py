"""The pool of tree workers as the race sees it."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.errors import TrainingError, UsageError
from lanewise.features.encoding import Encoded
from lanewise.lanes.windows import Placing
from lanewise.models.trees import TreeSpec, load_trees
from lanewise.task import Task, TaskKind
from lanewise.training.streamed.row_store import RowForm, RowStore
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.pool import TreePool
from lanewise.training.trees.stored import StoredPart
from lanewise.training.workers.nurseries import CAN_FORK

ROWS = np.arange(400)
TRAIN, VALID = ROWS[:300], ROWS[300:]
TASK = Task(target="y", kind="binary", metric="log_loss", classes=("no", "yes"))
SPEC = TreeSpec(rounds=20)


def make_data() -> TreeData:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 3))
    codes = rng.integers(0, 5, size=(400, 1))
    return TreeData(numbers=numbers, codes=codes, target=(numbers[:, 0] + (codes[:, 0] == 2) > 0.3).astype(float))


@pytest.fixture(scope="module")
def pool() -> Iterator[TreePool]:
    with TreePool(make_data(), TASK, workers=2, threads_per_worker=1) as pool:
        yield pool


def open_lane(pool: TreePool, name: str, spec: TreeSpec = SPEC, **changes: Any) -> None:
    pool.open(name, spec, **({"train_rows": TRAIN, "valid_rows": VALID, "seed": 0} | changes))


@pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux")
def test_workers_are_forked_from_one_process_that_has_loaded_the_libraries(pool: TreePool) -> None:
    pool.ready()
    commands = {Path(f"/proc/{process}/cmdline").read_bytes() for process in pool.process_ids()}
    assert len(commands) == 1
    assert b"\0lanewise.training.workers.nursery\0" in commands.pop()


def test_a_lane_from_rung_to_export(pool: TreePool) -> None:
    open_lane(pool, "whole")
    (first,) = pool.advance("whole", 5, predict_at=[5])
    middle, last = pool.advance("whole", 20, predict_at=[10, 20])
    assert first.shape == middle.shape == last.shape == (100, 2)
    data = make_data()
    truth = data.target[VALID].astype(int)
    loss = [-np.log(p[np.arange(100), truth]).mean() for p in (first, middle, last)]
    assert loss[0] > loss[1] > loss[2]
    saved = pool.export("whole")
    predictor = load_trees(saved)
    np.testing.assert_array_equal(predictor.predict(data.numbers[VALID], data.codes[VALID]), last)
    np.testing.assert_array_equal(pool.predict("whole", VALID), last)
    np.testing.assert_array_equal(pool.predict("whole", VALID, rounds=5), first)
    np.testing.assert_array_equal(pool.train_predictions("whole"), pool.predict("whole", TRAIN))
    assert pool.digest("whole") == sha256(pool.train_predictions("whole").tobytes()).hexdigest()
    assert saved.meta["rounds"] == 20
    pool.drop("whole")


def test_workers_and_neighbours_do_not_change_a_lane(pool: TreePool) -> None:
    specs = [TreeSpec(rounds=10, num_leaves=leaves, bagging_fraction=0.7) for leaves in (4, 8, 16, 31)]
    names = [f"lane {spec.num_leaves}" for spec in specs]
    for name, spec in zip(names, specs, strict=True):
        open_lane(pool, name, spec, seed=5)
    assert {pool.worker_of(name) for name in names} == {0, 1}
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: pool.advance(name, 10), names))
    together = [pool.export(name).meta["sha256"] for name in names]
    for name in names:
        pool.drop(name)
    with TreePool(make_data(), TASK, workers=1, threads_per_worker=1) as alone:
        for name, spec in zip(names, specs, strict=True):
            open_lane(alone, name, spec, seed=5)
            alone.advance(name, 4)
            alone.advance(name, 10)
            alone.drop(name) if name != names[-1] else None
        assert alone.export(names[-1]).meta["sha256"] == together[-1]
    assert len(set(together)) == 4


def test_lanes_go_to_the_least_loaded_worker(pool: TreePool) -> None:
    for name, rounds in (("a", 100), ("b", 40), ("c", 40), ("d", 40)):
        open_lane(pool, name, TreeSpec(rounds=rounds))
    assert [pool.worker_of(name) for name in "abcd"] == [0, 1, 1, 1]
    pool.drop("a")
    open_lane(pool, "e")
    assert pool.worker_of("e") == 0
    for name in "bcde":
        pool.drop(name)


def test_a_dropped_name_may_be_used_again_even_for_the_same_fold(pool: TreePool) -> None:
    digests = []
    for _ in range(2):
        open_lane(pool, "again")
        pool.advance("again", 3)
        digests.append(pool.digest("again"))
        pool.drop("again")
    assert digests[0] == digests[1]


def test_a_single_tree_has_one_round(pool: TreePool) -> None:
    open_lane(pool, "single", TreeSpec(kind="tree"))
    with pytest.raises(UsageError, match="rounds of lane 'single' must be from 1 to 1, got 2"):
        pool.advance("single", 2)
    (predicted,) = pool.advance("single", 1, predict_at=[1])
    data = make_data()
    saved = pool.export("single")
    np.testing.assert_array_equal(load_trees(saved).predict(data.numbers[VALID], data.codes[VALID]), predicted)
    assert np.mean(predicted.argmax(axis=1) == data.target[VALID]) > 0.9
    pool.drop("single")


def test_wrong_calls_are_named(pool: TreePool) -> None:
    open_lane(pool, "given")
    for call, words in (
        (lambda: open_lane(pool, "given"), "already open"),
        (lambda: open_lane(pool, "x", train_rows=[400]), "train_rows must be indices from 0 to 399"),
        (lambda: open_lane(pool, "x", valid_rows=[-1]), "valid_rows must be indices"),
        (lambda: open_lane(pool, "x", train_rows=[]), "needs training rows"),
        (lambda: open_lane(pool, "x", seed=-1), "seed must not be negative"),
        (lambda: pool.advance("x", 1), "no open lane 'x'"),
        (lambda: pool.advance("given", 21), "from 1 to 20, got 21"),
        (lambda: pool.advance("given", 5, predict_at=[6]), "predict_at must lie from 1 to 5"),
        (lambda: pool.advance("given", 5, predict_at=[0]), "predict_at must lie from 1 to 5"),
        (lambda: pool.export("given"), "advance it first"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    pool.drop("given")


@pytest.mark.parametrize(
    ("kind", "classes", "target", "words"),
    [
        ("binary", ("a", "b"), [0, 1, 2], "class indices from 0 to 1"),
        ("multiclass", ("a", "b", "c"), [0, 0.5, 1], "class indices from 0 to 2"),
        ("count", (), [0, -1, 2], "counts must not be negative, got -1"),
    ],
)
def test_a_target_that_is_none_of_the_task_is_refused(kind: TaskKind, classes: Any, target: Any, words: str) -> None:
    data = TreeData(numbers=np.ones((3, 1)), codes=np.zeros((3, 0), dtype=int), target=np.array(target, dtype=float))
    with pytest.raises(UsageError, match=words):
        TreePool(data, Task(target="y", kind=kind, metric="", classes=classes), workers=1, threads_per_worker=1)


def test_the_message_of_the_library_comes_through_as_one_line() -> None:
    data = TreeData(numbers=np.ones((30, 1)), codes=np.zeros((30, 0), dtype=int), target=np.zeros(30))
    task = Task(target="y", kind="count", metric="poisson_deviance")
    with TreePool(data, task, workers=1, threads_per_worker=1) as pool:
        pool.open("zeros", TreeSpec(), train_rows=np.arange(20), valid_rows=np.arange(20, 30), seed=0)
        with pytest.raises(
            TrainingError, match=r"lane 'zeros' could not be trained: \[poisson\]: sum of labels is zero$"
        ):
            pool.advance("zeros", 5)


def test_the_folder_is_private_and_goes_with_the_pool(tmp_path: Path) -> None:
    with TreePool(make_data(), TASK, workers=1, threads_per_worker=1, folder=tmp_path) as pool:
        assert pool.folder.parent == tmp_path
        assert pool.folder.stat().st_mode & 0o077 == 0
        assert {path.suffix for path in pool.folder.iterdir()} == {".npy", ".log"}
    assert not list(tmp_path.iterdir())
    with pytest.raises(TrainingError, match="no folder for the trees' workers"):
        TreePool(make_data(), TASK, workers=1, threads_per_worker=1, folder=tmp_path / "absent")


def test_the_worker_loads_no_torch_and_scikit_learn_only_for_single_trees() -> None:
    script = (
        "import sys; from lanewise.models.loaded_alone import OFFERED, load_alone, load_lightgbm; load_lightgbm(); "
        "light = [name for name in ('sklearn',) if name in sys.modules]; load_alone('sklearn.tree', OFFERED); "
        "print(light + [name for name in (*OFFERED, 'torch', 'polars', 'pickle5') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def shared_table(folder: Path, name: str, target: str, kind: TaskKind, rows: int) -> tuple[TreeData, Task]:
    path = folder / name
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    frame = pl.read_csv(raw, null_values=["?"], infer_schema_length=None).sample(rows, seed=0)
    words = [column for column in frame.columns if frame[column].dtype == pl.String and column != target]
    numbers = frame.drop(*words, target).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    codes = np.zeros((rows, 0), dtype=np.int64)
    if words:
        codes = np.stack([frame[word].rank("dense").fill_null(0).cast(pl.Int64).to_numpy() for word in words], axis=1)
    answer, classes = frame[target], ()
    if kind != "regression":
        classes = tuple(sorted(map(str, answer.unique())))
        answer = answer.rank("dense").cast(pl.Int64) - 1
    data = TreeData(numbers=numbers, codes=codes, target=answer.cast(pl.Float64).to_numpy())
    return data, Task(target=target, kind=kind, metric="", classes=classes)


@pytest.mark.parametrize(
    ("name", "target", "kind"),
    [
        ("adult_train.csv.gz", "class", "binary"),
        ("letter_recognition.csv", "letter", "multiclass"),
        ("california_housing.csv.gz", "median_house_value", "regression"),
    ],
)
def test_the_default_is_lightgbm_at_its_defaults(shared_data: Path, name: str, target: str, kind: TaskKind) -> None:
    import lightgbm

    rows = 4000
    data, task = shared_table(shared_data, name, target, kind, rows)
    train, valid = np.arange(3000), np.arange(3000, rows)
    with TreePool(data, task, workers=1, threads_per_worker=1) as pool:
        pool.open("default", TreeSpec(), train_rows=train, valid_rows=valid, seed=0)
        pool.advance("default", 30)
        (ours,) = pool.advance("default", 100, predict_at=[100])
    table = np.hstack([data.numbers, data.codes])
    categories = list(range(data.numbers.shape[1], table.shape[1]))
    family = lightgbm.LGBMRegressor if kind == "regression" else lightgbm.LGBMClassifier
    theirs: Any = family(n_jobs=1, verbosity=-1, deterministic=True, force_row_wise=True)
    theirs.fit(table[train], data.target[train], categorical_feature=categories)
    booster = theirs.booster_
    expected = booster.predict(table[valid])
    if kind == "binary":
        expected = np.stack([1 - expected, expected], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


def stored_rows(folder: Path) -> tuple[RowStore, TreeData]:
    """Rows in three windows of two parts on disk, and the same in memory, in the order in which they lie."""
    rng = np.random.default_rng(1)
    placing, rows = Placing(windows=3, seed=0), 600
    # Few values, each in all thirds of the rows: bins found on a third are those of all.
    numbers = rng.integers(0, 12, size=(rows, 2)).astype(float)
    numbers[rng.random(rows) < 0.1, 1] = np.nan
    codes = rng.integers(0, 5, size=(rows, 1)).astype(np.int32)
    target = (numbers[:, 0] + 3 * (codes[:, 0] == 2) + rng.normal(size=rows) > 6).astype(float)
    weight, parts = rng.uniform(0.5, 2.0, rows), rng.integers(0, 2, rows)
    cells = placing.of(0, rows) * 2 + parts
    held = np.bincount(cells, minlength=6).reshape(3, 2)
    form = RowForm(narrow=np.array([True, False]), codes=1)
    store = RowStore(folder, form, placing, held, np.zeros_like(held))
    store.write(0, Encoded(numbers=numbers, codes=codes, tokens=None), target, weight, parts)
    order = np.argsort(cells, kind="stable")
    by_class = np.array([1.0, 3.0])[target.astype(int)]
    return store, TreeData(
        numbers=numbers[order], codes=codes[order] - 1, target=target[order], weight=(weight * by_class)[order]
    )


def test_rows_on_disk_grow_the_trees_of_the_same_rows_in_memory(tmp_path: Path) -> None:
    store, rows = stored_rows(tmp_path)
    table = store.described(shift=1, by_class=np.array([1.0, 3.0]), weighed=True)
    for path in tmp_path.iterdir():
        path.unlink()  # as a fit does: only who has them open has them
    sample = np.arange(0, 600, 3)
    own = TreeData(
        numbers=rows.numbers[sample], codes=rows.codes[sample], target=rows.target[sample], weight=np.ones(200)
    )
    cells = np.arange(6).repeat(np.diff(store.cells))
    with (
        TreePool(rows, TASK, workers=1, threads_per_worker=1) as memory,
        TreePool(own, TASK, workers=1, threads_per_worker=1, stored=table) as disk,
    ):
        for name, windows, trains in (("all", 3, (True, True)), ("some", 2, (False, True))):
            whole = StoredPart(table=table, windows=windows, trains=trains)
            wanted = np.flatnonzero(np.isin(cells, [w * 2 + p for w in range(windows) for p in (0, 1) if trains[p]]))
            assert whole.rows == len(wanted)
            spec = TreeSpec(rounds=20, bagging_fraction=0.8)
            memory.open(name, spec, train_rows=wanted, valid_rows=sample[100:], seed=3)
            disk.open(name, spec, train_rows=np.arange(200), valid_rows=np.arange(100, 200), seed=3, whole=whole)
            found = [pool.advance(name, 20, predict_at=[7, 20]) for pool in (memory, disk)]
            np.testing.assert_array_equal(*found)
            text = disk.export(name).text
            assert load_trees(memory.export(name)).predict(rows.numbers, rows.codes).tolist() == (
                load_trees(disk.export(name)).predict(rows.numbers, rows.codes).tolist()
            )
            digest = disk.digest(name)
            disk.settle(name)
            assert disk.export(name).text == text  # it still is what it was, without its rows
            assert disk.digest(name) == digest
            np.testing.assert_array_equal(disk.predict(name, np.arange(100, 200)), found[1][-1])
            shown = disk.train_predictions(name, np.array([5, 0]))
            np.testing.assert_array_equal(shown, disk.predict(name, np.array([5, 0])))
        os.kill(disk.process_ids()[0], signal.SIGKILL)
        assert disk.export("some").text == text  # grown again, on the same rows
