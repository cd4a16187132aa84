"""Forests: the trees are scikit-learn's, keyed by their number, and kept only where they are needed."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import ExtraTreeClassifier, ExtraTreeRegressor

from lanewise.models.saved_trees import load_trees
from lanewise.models.trees import TreeSpec, tree_spec
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.fold import Fold, TreeTask
from lanewise.training.trees.forest import ForestLane, in_single

ROWS, TRAIN = 300, 220


def fold_of(kind: Any, *, weight: np.ndarray | None = None) -> Fold:
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(ROWS, 4))
    signal = numbers[:, 0] + np.abs(numbers[:, 1]) + 0.3 * draw.normal(size=ROWS)
    target = {"regression": 1e6 + signal, "multiclass": np.digitize(signal, [0.0, 1.0]), "binary": signal > 0.5}[kind]
    data = TreeData(
        numbers=numbers, codes=np.zeros((ROWS, 0), dtype=np.int64), target=target.astype(float), weight=weight
    )
    classes = {"binary": 2, "multiclass": 3}.get(kind, 0)
    rows = np.arange(ROWS)
    return Fold(data, TreeTask(kind=kind, classes=classes), rows[:TRAIN], rows[TRAIN:], threads=1)


def spec_of(**settings: Any) -> TreeSpec:
    return tree_spec("forest", {"trees": 20, **settings})


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_a_forest_is_the_mean_of_trees_of_scikit_learn(kind: Any) -> None:
    fold = fold_of(kind)
    lane = ForestLane(fold, spec_of(leaf_smoothing=0.0, max_features=0.5, min_samples_leaf=3), 5)
    (found,) = lane.advance(20, [20])
    family = ExtraTreeRegressor if kind == "regression" else ExtraTreeClassifier
    train, valid = (fold.data.numbers[rows].astype(np.float32) for rows in (fold.train, fold.valid))
    trees = []
    for number in range(20):
        draws = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(number,)))
        tree = family(max_features=0.5, min_samples_leaf=3, random_state=int(draws.integers(2**31)))
        tree.fit(train, fold.splitting.target)
        trees.append(tree.predict(valid) if kind == "regression" else tree.predict_proba(valid))
    expected = np.mean(trees, axis=0) * fold.splitting.scale + fold.splitting.center
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("forest", "theirs"), [("extra", ExtraTreesRegressor), ("random", RandomForestRegressor)])
def test_it_predicts_as_well_as_scikit_learns_forest(forest: str, theirs: Any) -> None:
    fold = fold_of("regression")
    (found,) = ForestLane(fold, spec_of(forest=forest, trees=60, min_samples_leaf=1), 0).advance(60, [60])
    model = theirs(60, max_features=0.5, random_state=0).fit(fold.data.numbers[fold.train], fold.target)
    actual = np.asarray(fold.data.target)[fold.valid]
    ours, other = (np.mean((own - actual) ** 2) for own in (found, model.predict(fold.data.numbers[fold.valid])))
    assert ours == pytest.approx(other, rel=0.15)
    assert ours < 0.5 * actual.var()


@pytest.mark.parametrize("forest", ["extra", "random"])
def test_what_keeps_no_trees_tells_the_same_of_them(forest: str) -> None:
    places = np.arange(0, TRAIN, 7)
    kept, light = (
        ForestLane(fold_of("multiclass"), spec_of(forest=forest), 1, keeps=keeps, shown=shown)
        for keeps, shown in ((True, None), (False, places))
    )
    for marks in ([3], [9, 20]):
        for ours, theirs in zip(kept.advance(marks[-1], marks), light.advance(marks[-1], marks), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(kept.train_predictions(places), light.train_predictions(places))
        assert kept.digest() == light.digest()
    np.testing.assert_array_equal(kept.train_predictions(), light.train_predictions())
    for rounds in (5, None):
        assert kept.saved(rounds) == light.saved(rounds)
    other = ForestLane(fold_of("multiclass"), spec_of(forest=forest), 2)
    other.advance(20, [])
    assert other.digest() != kept.digest()


def test_no_class_is_ever_impossible() -> None:
    lane = ForestLane(fold_of("multiclass"), spec_of(trees=2, min_samples_leaf=1), 0)
    (found,) = lane.advance(2, [2])
    assert 0.0 < found.min() < 0.02
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    assert lane.saved(None).meta["rounds"] == 2


def test_a_forest_of_no_trees_is_not_saved() -> None:
    with pytest.raises(ValueError, match="has 0 trees"):
        ForestLane(fold_of("binary"), spec_of(), 0).saved(None)


def test_rows_may_nearly_all_weigh_nothing() -> None:
    weight = np.zeros(ROWS)
    weight[3] = 1.0
    fold = fold_of("binary", weight=weight)
    (found,) = ForestLane(fold, spec_of(forest="random"), 0).advance(20, [20])
    assert set(found.argmax(axis=1)) == {int(fold.target[3])}


def test_a_threshold_in_single_precision_sends_every_row_where_it_went() -> None:
    draw = np.random.default_rng(0)
    lane = ForestLane(fold_of("regression"), spec_of(), 0)
    lane.advance(1, [])
    tree = load_trees(lane.saved(None)).arrays  # pyright: ignore[reportAttributeAccessIssue]  a forest has them
    count = len(tree.threshold)
    sharp = draw.normal(size=count) * 10.0 ** draw.integers(-40, 38, count)
    sharp[:2] = np.inf, -0.0
    rounded = in_single(type(tree)(**{**vars(tree), "threshold": sharp})).threshold
    near = np.float32(sharp)
    for value in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        np.testing.assert_array_equal(value <= sharp, value <= rounded)
    assert rounded.dtype == np.float32
