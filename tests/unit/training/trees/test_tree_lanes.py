"""Lanes of trees inside the worker: rungs, bits, degenerate tables."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.models.saved_trees import digest_of, load_trees
from lanewise.models.tree_matrix import TokenCounts
from lanewise.models.trees import TreeSpec, tree_spec
from lanewise.task import TASK_KINDS, TaskKind
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.fold import Fold, TreeTask
from lanewise.training.trees.kinds import open_lane
from lanewise.training.trees.lanes import TreeLane

ROWS, TRAIN = 240, 180
FEWER: dict[str, Any] = {"forest": {"trees": 30}}


def table(
    kind: TaskKind, *, seed: int = 0, tokens: bool = False, weight: bool = False, precision: type = np.float64
) -> TreeData:
    """Numbers with gaps and two categories; some levels and gaps occur in the validation rows only."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(ROWS, 3)).astype(precision)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    numbers[:TRAIN, 2] = np.nan_to_num(numbers[:TRAIN, 2])
    codes = rng.integers(-1, 9, size=(ROWS, 2))
    codes[TRAIN:, 1] += 3
    signal = 2 * np.nan_to_num(numbers[:, 0]) + rng.normal(size=12)[codes[:, 0]] + 0.2 * rng.normal(size=ROWS)
    target = {
        "regression": 50 + 7 * signal,
        "count": rng.poisson(np.exp(np.clip(signal, -3, 2))),
        "binary": signal > 0,
        "multiclass": np.digitize(signal, [-1, 1]),
    }[kind]
    dense = (rng.random((ROWS, 20)) < 0.3) * rng.integers(1, 4, size=(ROWS, 20))
    return TreeData(
        numbers=numbers,
        codes=codes,
        target=target.astype(float),
        tokens=sparse(dense) if tokens else None,
        weight=rng.uniform(0.1, 5.0, ROWS) if weight else None,
    )


def sparse(dense: np.ndarray) -> TokenCounts:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(dense)
    return TokenCounts(data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, width=dense.shape[1])


def fold_of(data: TreeData, kind: TaskKind, *, train: int = TRAIN) -> Fold:
    classes = {"binary": 2, "multiclass": 3}.get(kind, 0)
    rows = np.arange(data.rows)
    return Fold(data, TreeTask(kind=kind, classes=classes), rows[:train], rows[train:], threads=1)


def trained(fold: Fold, spec: TreeSpec, *, seed: int = 0) -> TreeLane:
    lane = open_lane(fold, spec, seed)
    lane.advance(spec.full_length, [])
    return lane


def explained(lane: TreeLane) -> float:
    """Share of the training target's variance that the lane explains."""
    target = lane.fold.target
    return 1.0 - float(np.mean((lane.train_predictions() - target) ** 2) / np.var(target))


@pytest.mark.parametrize("kind", TASK_KINDS)
@given(
    spec=st.builds(
        TreeSpec,
        kind=st.sampled_from(["lightgbm", "forest", "tree"]),
        rounds=st.just(12),
        trees=st.just(12),
        forest=st.sampled_from(["extra", "random"]),
        num_leaves=st.integers(2, 40),
        min_child_samples=st.integers(1, 40),
        max_depth=st.sampled_from([0, 3]),
        bagging_fraction=st.sampled_from([1.0, 0.6]),
        feature_fraction=st.sampled_from([1.0, 0.5]),
        lambda_l1=st.sampled_from([0.0, 0.3]),
        max_bin=st.sampled_from([255, 15]),
        extra_trees=st.booleans(),
        tree_loss=st.sampled_from(["squared", "huber", "absolute"]),
    ),
    seed=st.integers(0, 2**40),
    tokens=st.booleans(),
    weight=st.booleans(),
    precision=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=12)
def test_rungs_saved_text_and_predictions_are_the_same_bits(
    *, kind: TaskKind, spec: TreeSpec, seed: int, tokens: bool, weight: bool, precision: type
) -> None:
    data = table(kind, seed=seed % 1000, tokens=tokens, weight=weight, precision=precision)
    fold = fold_of(data, kind)
    marks = [1] if spec.kind == "tree" else [4, 7, 12]
    whole = open_lane(fold, spec, seed)
    at_marks = whole.advance(marks[-1], marks)
    stepwise = open_lane(fold_of(data, kind), spec, seed)
    for mark, expected in zip(marks, at_marks, strict=True):
        np.testing.assert_array_equal(stepwise.advance(mark, [mark])[0], expected)
        saved = whole.saved(mark)
        counts = None
        if data.tokens is not None:
            rows = data.tokens.matrix()[fold.valid]
            counts = TokenCounts(data=rows.data, indices=rows.indices, indptr=rows.indptr, width=data.tokens.width)
        predictor = load_trees(saved)
        np.testing.assert_array_equal(
            predictor.predict(data.numbers[fold.valid], data.codes[fold.valid], counts), expected
        )
        np.testing.assert_array_equal(whole.predict(fold.valid, mark), expected)
    np.testing.assert_array_equal(whole.advance(marks[-1], marks[:1])[0], at_marks[0])  # a rung of the past
    np.testing.assert_array_equal(whole.train_predictions(), whole.predict(fold.train, None))
    assert digest_of(stepwise.saved(None).text) == digest_of(whole.saved(None).text)


def test_lanes_of_a_fold_share_its_bins_and_do_not_disturb_each_other() -> None:
    fold = fold_of(table("multiclass"), "multiclass")
    specs = [TreeSpec(rounds=10), TreeSpec(rounds=10, num_leaves=5, min_child_samples=3, bagging_fraction=0.7)]
    together = [open_lane(fold, spec, 3) for spec in specs]
    for rounds in (3, 6, 10):
        for lane in together:
            lane.advance(rounds, [])
    assert fold.binned(specs[0]) is fold.binned(specs[1])
    for lane, spec in zip(together, specs, strict=True):
        alone = trained(fold_of(table("multiclass"), "multiclass"), spec, seed=3)
        assert alone.saved(None).text == lane.saved(None).text


def test_seeds_matter_where_rows_are_drawn() -> None:
    fold = fold_of(table("regression"), "regression")
    drawn = TreeSpec(rounds=5, bagging_fraction=0.5)
    assert trained(fold, drawn, seed=1).saved(None).text != trained(fold, drawn, seed=2).saved(None).text


@cache
def explained_as_it_is(kind: Any) -> float:
    return explained(trained(fold_of(table("regression"), "regression"), tree_spec(kind, FEWER.get(kind, {}))))


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "tree"])
@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0.0), (1e20, 0.0), (1.0, 1e9), (1e-3, -1e7)])
def test_the_target_may_have_any_unit(kind: Any, scale: float, shift: float) -> None:
    """LightGBM keeps targets in single precision and scikit-learn stops at tiny impurities."""
    data = table("regression")
    moved = TreeData(numbers=data.numbers, codes=data.codes, target=data.target * scale + shift)
    share = explained(trained(fold_of(moved, "regression"), tree_spec(kind, FEWER.get(kind, {}))))
    assert share == pytest.approx(explained_as_it_is(kind), abs=0.02)
    assert share > 0.8


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_every_loss_of_regression_learns(loss: Any) -> None:
    assert explained(trained(fold_of(table("regression"), "regression"), TreeSpec(tree_loss=loss))) > 0.8


def test_robust_losses_shrug_off_outliers() -> None:
    data = table("regression")
    target = data.target.copy()
    target[:TRAIN:20] += 1e4
    spoilt = TreeData(numbers=data.numbers, codes=data.codes, target=target)
    clean = np.setdiff1d(np.arange(TRAIN), np.arange(0, TRAIN, 20))

    def error(loss: Any) -> float:
        lane = trained(fold_of(spoilt, "regression"), TreeSpec(tree_loss=loss, rounds=50))
        return float(np.median(np.abs(lane.train_predictions()[clean] - data.target[clean])))

    assert error("absolute") < error("squared") / 3


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "tree"])
@pytest.mark.parametrize(("rows", "accuracy"), [(12, 0.9), (30, 0.9), (100, 0.9)])
def test_small_tables_are_learned(kind: Any, rows: int, accuracy: float) -> None:
    data = table("multiclass")
    target = np.digitize(np.nan_to_num(data.numbers[:, 1]), [-0.4, 0.4]).astype(float)
    clear = TreeData(numbers=data.numbers, codes=data.codes, target=target)
    lane = trained(fold_of(clear, "multiclass", train=rows), tree_spec(kind, FEWER.get(kind, {})))
    assert np.mean(lane.train_predictions().argmax(axis=1) == target[:rows]) >= accuracy


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "tree"])
def test_nothing_to_learn_gives_the_mean(kind: Any) -> None:
    data = table("regression")
    for numbers in (np.zeros_like(data.numbers), np.full_like(data.numbers, np.nan)):
        blank = TreeData(numbers=numbers, codes=np.full_like(data.codes, -1), target=data.target)
        lane = trained(fold_of(blank, "regression"), tree_spec(kind, FEWER.get(kind, {})))
        np.testing.assert_allclose(lane.train_predictions(), data.target[:TRAIN].mean(), rtol=1e-6)
        assert load_trees(lane.saved(None)).predict(numbers, blank.codes).shape == (ROWS,)


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "tree"])
def test_a_class_without_rows_keeps_its_column(kind: Any) -> None:
    data = table("multiclass")
    absent = TreeData(numbers=data.numbers, codes=data.codes, target=np.where(data.target == 1, 2.0, data.target))
    spec = tree_spec(kind, {"rounds": 20})
    lane = trained(fold_of(absent, "multiclass"), spec)
    predicted = lane.advance(spec.full_length, [spec.full_length])[0]
    assert predicted.shape == (ROWS - TRAIN, 3)
    np.testing.assert_allclose(predicted.sum(axis=1), 1.0, rtol=1e-12)
    assert predicted[:, 1].max() < 0.01


def test_leaves_of_a_single_tree_never_claim_certainty() -> None:
    lane = trained(fold_of(table("binary"), "binary"), TreeSpec(kind="tree", min_samples_leaf=1, ccp_alpha=0.0))
    predicted = lane.train_predictions()
    assert predicted.min() > 0.0
    assert np.mean(predicted.argmax(axis=1) == lane.fold.target) > 0.95


def test_pruning_is_in_units_of_the_whole_tables_impurity() -> None:
    data = table("regression")
    sizes = []
    for scale in (1.0, 1e6):
        scaled = TreeData(numbers=data.numbers, codes=data.codes, target=data.target * scale)
        lane = trained(fold_of(scaled, "regression"), TreeSpec(kind="tree", ccp_alpha=0.02))
        sizes.append(len(np.unique(lane.train_predictions())))
    assert sizes[0] == sizes[1] > 2
    stump = trained(fold_of(data, "regression"), TreeSpec(kind="tree", ccp_alpha=1.0))
    assert len(np.unique(stump.train_predictions())) == 1


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "tree"])
def test_weights_count_by_their_ratio(kind: Any) -> None:
    data = table("binary", weight=True)
    assert data.weight is not None
    parts: dict[str, Any] = {"numbers": data.numbers, "codes": data.codes, "target": data.target}
    spec = tree_spec(kind, {"rounds": 10, "trees": 10, "lambda_l2": 1.0, "min_samples_leaf": 10})
    plain, weighted, scaled = (
        trained(fold_of(TreeData(**parts, weight=weight), "binary"), spec).train_predictions()
        for weight in (None, data.weight, data.weight * 2.0**30)
    )
    np.testing.assert_array_equal(weighted, scaled)
    assert not np.array_equal(plain, weighted)
    heavy = trained(fold_of(TreeData(**parts, weight=1.0 + 99.0 * data.target), "binary"), spec).train_predictions()
    assert heavy[:, 1].mean() > plain[:, 1].mean() + 0.2


def test_weights_of_zero_are_refused() -> None:
    data = table("binary")
    blank = TreeData(numbers=data.numbers, codes=data.codes, target=data.target, weight=np.zeros(ROWS))
    with pytest.raises(ValueError, match="weight zero"):
        trained(fold_of(blank, "binary"), TreeSpec())


def test_training_stops_early_where_no_split_is_left() -> None:
    data = table("regression")
    flat = TreeData(numbers=data.numbers, codes=data.codes, target=np.full(ROWS, 3.0))
    spec = TreeSpec(rounds=100)
    lane = open_lane(fold_of(flat, "regression"), spec, 0)
    at = lane.advance(100, [1, 50, 100])
    for predicted in at:
        np.testing.assert_array_equal(predicted, 3.0)
    assert lane.saved(None).text.count("Tree=") == 1


def test_no_validation_rows_are_needed() -> None:
    for spec in (TreeSpec(rounds=3), TreeSpec(kind="tree")):
        lane = open_lane(fold_of(table("multiclass"), "multiclass", train=ROWS), spec, 0)
        assert lane.advance(spec.full_length, [spec.full_length])[0].shape == (0, 3)
