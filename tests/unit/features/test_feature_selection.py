"""Selection: the columns that matter come first, from training rows alone, and equal seeds agree."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from sklearn import linear_model

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.errors import UsageError
from lanewise.features import selection
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import prepare_rows
from lanewise.features.selection import FeatureMask, SlowRanking, l1_path_mask, mask_columns, permutation_mask
from lanewise.task import Task

ROWS = 2400
TRAIN = np.arange(0, ROWS, 2)
KINDS: dict[str, ColumnKind] = {
    "noise": "number", "signal": "number", "few": "category", "many": "category", "junk": "category", "text": "text",
    "constant": "number",
}  # fmt: skip
METHODS = [l1_path_mask, permutation_mask]
Method = Callable[..., FeatureMask]


@pytest.fixture(scope="module")
def case() -> SimpleNamespace:
    draw = np.random.default_rng(0)
    few, many, signal = draw.integers(0, 3, ROWS), draw.integers(0, 40, ROWS), draw.normal(size=ROWS)
    words = np.array(["lorem", "ipsum", "dolor", "sit"])
    columns = {
        "noise": draw.normal(size=ROWS),
        "signal": signal,
        "few": np.array(["a", "b", "c"])[few],
        "many": [f"level {level}" for level in many],
        "junk": [f"level {level}" for level in draw.integers(0, 40, ROWS)],
        "text": [" ".join(draw.choice(words, 3)) for _ in range(ROWS)],
        "constant": np.ones(ROWS),
    }
    data = Dataset(frame=pl.DataFrame(columns), kinds=KINDS, source="table.csv")
    layout = Layout.fit(data, list(KINDS), np.arange(ROWS), settings=LayoutSettings(text_buckets=128))
    encoded = layout.encode(data)
    preparation = Preparation.fit(layout, encoded, [TRAIN], settings=PreparationSettings())
    dense, codes = prepare_rows(preparation, encoded, np.arange(ROWS))
    score = 1.5 * signal + 2.0 * (few == 1) + 1.5 * np.sin(many) + draw.normal(0, 0.3, ROWS)
    targets = {
        "regression": score,
        "count": draw.poisson(np.exp(score / 2)).astype(float),
        "binary": (score > 0.7).astype(np.int64),
        "multiclass": np.digitize(score, [-0.5, 1.5]),
    }
    return SimpleNamespace(layout=layout, dense=dense[0].numpy(), codes=codes[0].numpy(), targets=targets)


def task_of(kind) -> Task:
    classes = {"binary": ("no", "yes"), "multiclass": ("low", "middle", "high")}.get(kind, ())
    return Task(target="y", kind=kind, metric="log_loss", classes=classes)


def select(method: Method, case: SimpleNamespace, kind: str, *, rows=TRAIN, fraction=0.43, seed=0, **changed):
    inputs = {"dense": case.dense, "codes": case.codes, "target": case.targets[kind]} | changed
    return method(case.layout, **inputs, rows=rows, task=task_of(kind), keep_fraction=fraction, seed=seed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["regression", "count", "binary", "multiclass"])
def test_columns_that_matter_are_kept(case: SimpleNamespace, method: Method, kind: str) -> None:
    mask = select(method, case, kind, fraction=3 / 7)
    assert set(mask.columns) == {"signal", "few", "many"}
    assert mask.dense.tolist() == [name in mask.columns for name in case.layout.feature_columns]
    assert mask.codes.tolist() == [True, False]
    assert len(mask.importance) == 7
    assert mask.importance[6] == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_all_kept_columns_stand_by_importance(case: SimpleNamespace, method: Method) -> None:
    mask = select(method, case, "regression", fraction=1.0)
    assert sorted(mask.columns) == sorted(KINDS)
    importance = dict(zip(KINDS, mask.importance, strict=True))
    assert [importance[name] for name in mask.columns] == sorted(mask.importance, reverse=True)
    assert mask.dense.all()
    assert mask.codes.all()


@pytest.mark.parametrize("method", METHODS)
def test_rows_outside_the_fold_are_not_read(case: SimpleNamespace, method: Method) -> None:
    held = np.setdiff1d(np.arange(ROWS), TRAIN)
    dense, codes, target = case.dense.copy(), case.codes.copy(), case.targets["regression"].copy()
    dense[held], codes[held], target[held] = np.nan, -1, np.nan
    spoilt = select(method, case, "regression", dense=dense, codes=codes, target=target)
    assert_same(spoilt, select(method, case, "regression"))


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_agree_and_rows_are_bounded(case: SimpleNamespace, method: Method, monkeypatch) -> None:
    monkeypatch.setattr("lanewise.features.selection.MOST_ROWS", 200)
    first, again, other = (select(method, case, "regression", seed=seed) for seed in (4, 4, 5))
    assert_same(first, again)
    assert first.importance != other.importance
    assert {"signal", "few"} <= set(first.columns)


@pytest.mark.parametrize("method", METHODS)
def test_at_least_one_column_is_kept(case: SimpleNamespace, method: Method) -> None:
    assert len(select(method, case, "regression", fraction=0.01).columns) == 1


@pytest.mark.parametrize("method", METHODS)
def test_target_without_variation_keeps_the_first_columns(case: SimpleNamespace, method: Method) -> None:
    mask = select(method, case, "regression", target=np.ones(ROWS))
    assert mask.importance == (0.0,) * 7
    assert mask.columns == ("noise", "signal", "few", "many")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"fraction": 1.5}, "above 0 and at most 1, got 1.5"),
        ({"rows": np.arange(9)}, "at least 10 training rows, got 9"),
    ],
)
def test_unusable_arguments(case: SimpleNamespace, method: Method, options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        select(method, case, "regression", **options)


def test_repeats_are_checked(case: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match="repeats must be 1 or more, got 0"):
        permutation_mask(
            case.layout, case.dense, case.codes, case.targets["regression"], TRAIN,
            task=task_of("regression"), keep_fraction=0.5, seed=0, repeats=0,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "seconds"),
    [(l1_path_mask, 5), (permutation_mask, 5), (permutation_mask, 61)],
    ids=["path", "training", "shuffling"],
)
def test_a_ranking_that_takes_too_long_is_given_up(
    case: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, method: Method, seconds: int
) -> None:
    monkeypatch.setattr(selection, "_TOGETHER", 1)
    ticks = itertools.count()  # every look at this clock finds a second gone
    monkeypatch.setattr(selection, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    select(method, case, "regression", most_seconds=100)
    assert next(ticks) >= 1 + 50 + (method is permutation_mask) * 13
    ticks = itertools.count()
    with pytest.raises(SlowRanking):
        select(method, case, "regression", most_seconds=seconds)
    assert next(ticks) == seconds + 2


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_the_path_of_a_small_table_is_asked_for_in_few_calls_and_is_the_same(
    case: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls = []
    usual = linear_model.enet_path

    def counted(*args: Any, **given: Any) -> Any:
        calls.append(len(given["alphas"]))
        return usual(*args, **given)

    monkeypatch.setattr(linear_model, "enet_path", counted)
    together = select(l1_path_mask, case, kind)
    assert sum(calls) == 50
    assert len(calls) <= 13
    calls.clear()
    monkeypatch.setattr(selection, "_TOGETHER", 1)
    assert_same(select(l1_path_mask, case, kind), together)
    assert calls == [1] * 50


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_columns_are_shuffled_together_on_few_rows_to_the_same_importance(
    case: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls = []
    usual = lightgbm.Booster.predict

    def counted(self: lightgbm.Booster, rows: np.ndarray) -> Any:
        calls.append(len(rows))
        return usual(self, rows)

    monkeypatch.setattr(lightgbm.Booster, "predict", counted)
    rows = TRAIN[:160]
    together = select(permutation_mask, case, kind, rows=rows)
    assert len(calls) == 2
    columns = calls[1] // (3 * calls[0])
    assert columns > 2
    calls.clear()
    monkeypatch.setattr(selection, "_TOGETHER", 1)
    assert_same(select(permutation_mask, case, kind, rows=rows), together)
    assert calls == [40, *[120] * columns]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("regression", TRAIN), ("binary", TRAIN[:20]), ("multiclass", TRAIN)],
    ids=["tall", "wide", "many"],
)
def test_the_path_is_the_same_where_scikit_learn_checks_what_it_is_given(
    case: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str, rows: np.ndarray
) -> None:
    checked = []
    usual = linear_model.enet_path

    def careful(*arrays: Any, check_input: bool, precompute: Any, **given: Any) -> Any:
        checked.append(not check_input)
        return usual(*arrays, precompute="auto" if precompute is False else precompute, **given)

    quick = select(l1_path_mask, case, kind, rows=rows)
    monkeypatch.setattr(linear_model, "enet_path", careful)
    assert_same(select(l1_path_mask, case, kind, rows=rows), quick)
    assert all(checked)
    assert checked


def test_a_wide_table_is_tried_in_part_before_all_of_it_is_binned(case: SimpleNamespace, monkeypatch) -> None:
    whole = select(permutation_mask, case, "binary")
    monkeypatch.setattr(selection, "_WIDE", 1)
    assert_same(select(permutation_mask, case, "binary"), whole)
    monkeypatch.setattr(selection, "_PROBED", 10**9)
    with pytest.raises(SlowRanking):
        select(permutation_mask, case, "binary", most_seconds=60)


def test_mask_of_named_columns(case: SimpleNamespace) -> None:
    dense, codes = mask_columns(case.layout, ["few", "junk"])
    assert [name for name, kept in zip(case.layout.feature_names, dense, strict=True) if kept] == [
        f"few={level}" for level in case.layout.categories[0].levels
    ]
    assert codes.tolist() == [False, True]


def assert_same(one: FeatureMask, other: FeatureMask) -> None:
    assert one.columns == other.columns
    assert one.importance == other.importance
    np.testing.assert_array_equal(one.dense, other.dense)
    np.testing.assert_array_equal(one.codes, other.codes)
