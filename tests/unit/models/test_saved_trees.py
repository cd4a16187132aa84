"""Trees as text: what is refused, and that the walk through the arrays is scikit-learn's own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lightgbm.basic import LightGBMError
from sklearn.tree import DecisionTreeRegressor

from lanewise.errors import DataError, StoreError
from lanewise.models.saved_trees import SavedTrees, SingleTree, digest_of, load_trees

META = {"task": "regression", "classes": 0, "numbers": 2, "codes": 0, "tokens": 0, "offset": 0.0, "rounds": 1}
STUMP: dict[str, Any] = {
    "feature": [1, -2, -2],
    "threshold": [0.5, -2.0, -2.0],
    "left": [1, -1, -1],
    "right": [2, -1, -1],
    "missing_left": [False, False, False],
    "value": [[0.0], [-1.0], [1.0]],
    "levels": [],
    "token_columns": [],
}
NO_CODES = np.zeros((3, 0), dtype=np.int64)


def saved(arrays: Mapping[str, Any]) -> SavedTrees:
    text = json.dumps(arrays)
    return SavedTrees(kind="tree", text=text, meta={**META, "sha256": digest_of(text)})


def test_a_stump_by_hand() -> None:
    numbers = np.array([[9.0, 0.5], [9.0, 0.6], [9.0, np.nan]])
    np.testing.assert_array_equal(load_trees(saved(STUMP)).predict(numbers, NO_CODES), [-1.0, 1.0, 1.0])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_leaves_are_those_of_scikit_learn(missing: float) -> None:
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(400, 4)).astype(np.float32)
    numbers[rng.random(numbers.shape) < missing] = np.nan
    target = np.where(np.isnan(numbers[:, 0]), 2.0, np.nan_to_num(numbers[:, 0])) + rng.normal(size=400)
    theirs = DecisionTreeRegressor(min_samples_leaf=3, random_state=0).fit(numbers, target)
    tree = theirs.tree_
    arrays = {
        "feature": tree.feature,
        "threshold": np.nan_to_num(tree.threshold),
        "left": tree.children_left,
        "right": tree.children_right,
        "missing_left": tree.missing_go_to_left.astype(bool),
        "value": tree.value[:, 0, :],
        "levels": [],
        "token_columns": [],
    }
    unseen = rng.normal(size=(400, 4)).astype(np.float32)
    unseen[rng.random(unseen.shape) < 0.3] = np.nan  # also where training knew no missing value
    ours = SingleTree(arrays, {**META, "numbers": 4})
    leaves = np.flatnonzero(tree.children_left < 0)[ours.arrays.leaves(unseen)[0]]
    np.testing.assert_array_equal(leaves, theirs.apply(unseen))
    assert tree.node_count > 50


@pytest.mark.parametrize(
    "change",
    [
        {"left": [0, -1, -1]},  # a loop
        {"left": [7, -1, -1]},
        {"right": [1]},
        {"feature": [2, -2, -2]},
        {"value": [[0.0], [1.0]]},
        {"token_columns": [4]},
        {"levels": [[1]]},
        {"threshold": ["low", 0, 0]},
        {"value": None},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: Mapping[str, Any]) -> None:
    with pytest.raises(StoreError, match="export the model again"):
        load_trees(saved({**STUMP, **change}))


def test_an_incomplete_tree_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        load_trees(saved({name: array for name, array in STUMP.items() if name != "left"}))


def test_changed_text_is_refused() -> None:
    good = saved(STUMP)
    with pytest.raises(StoreError, match="digest differs"):
        load_trees(replace(good, text=good.text.replace("0.5", "0.6")))


def test_a_booster_that_is_none_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        load_trees(SavedTrees(kind="lightgbm", text="no model", meta={**META, "sha256": digest_of("no model")}))


@pytest.mark.parametrize("failure", [MemoryError(), LightGBMError("std::bad_alloc"), LightGBMError("bad allocation")])
def test_a_lack_of_memory_is_not_told_as_damage(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise failure

    monkeypatch.setattr("lightgbm.Booster", refuse)
    with pytest.raises(StoreError, match=r"memory ran out .* the model is whole"):
        load_trees(SavedTrees(kind="lightgbm", text="trees", meta={**META, "sha256": digest_of("trees")}))


def test_other_widths_are_refused() -> None:
    with pytest.raises(DataError, match="trained on 2 numbers, 0 categories and 0 tokens, got 3, 0 and 0"):
        load_trees(saved(STUMP)).predict(np.zeros((3, 3)), NO_CODES)
