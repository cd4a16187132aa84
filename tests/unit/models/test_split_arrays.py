"""Trees as arrays: joined, walked, refused where they are damaged."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.tree import ExtraTreeRegressor

from lanewise.errors import StoreError
from lanewise.models import split_arrays
from lanewise.models.split_arrays import Splits

LEAF = {"feature": [-2], "threshold": [0.0], "left": [-1], "right": [-1], "missing_left": [False], "value": [[7.0]]}


def grown(seed: int, matrix: np.ndarray) -> tuple[Splits, ExtraTreeRegressor]:
    target = np.nan_to_num(matrix[:, 0]) + np.random.default_rng(seed).normal(size=len(matrix))
    theirs = ExtraTreeRegressor(random_state=seed).fit(matrix, target)
    tree = theirs.tree_
    nodes = {
        "feature": tree.feature,
        "threshold": tree.threshold,
        "left": tree.children_left,
        "right": tree.children_right,
        "missing_left": tree.missing_go_to_left,
        "value": tree.value[:, 0, :],
    }
    return Splits.of_nodes(nodes), theirs


def rows(count: int, *, gaps: bool, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(count, 3)).astype(np.float32)
    matrix[draw.random(matrix.shape) < (0.2 if gaps else 0.0)] = np.nan
    return matrix


@pytest.mark.parametrize("gaps", [False, True])
def test_trees_that_are_joined_answer_as_each_by_itself(gaps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_arrays, "WALKED", 100)  # so that a block ends amid a tree
    monkeypatch.setattr(split_arrays, "ROWS_AT_ONCE", 64)
    single = Splits.of_nodes(LEAF)
    trees = [grown(seed, rows(150, gaps=gaps)) for seed in range(4)]
    joined = Splits.joined([trees[0][0], single, *[ours for ours, _ in trees[1:]], single])
    joined.check(3)
    unseen = rows(150, gaps=gaps, seed=1)
    assert len(joined.roots) == 6
    expected = sum(theirs.predict(unseen) for _, theirs in trees) + 14.0
    np.testing.assert_allclose(joined.total(unseen)[:, 0], expected, rtol=1e-12)
    np.testing.assert_array_equal(joined.leaves(unseen)[2], trees[1][0].leaves(unseen)[0] + len(trees[0][0].value) + 1)
    assert joined.total(unseen[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"left": np.array([0])},  # a loop
        {"right": np.array([-3])},  # a leaf that there is not
        {"right": np.array([1])},
        {"feature": np.array([3])},
        {"threshold": np.array([])},
        {"roots": np.array([], dtype=int)},
        {"roots": np.array([0, 0])},
        {"value": np.zeros((0, 1))},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    stump = Splits(
        feature=np.array([2]),
        threshold=np.array([0.5]),
        left=np.array([-1]),
        right=np.array([-2]),
        missing_left=np.array([True]),
        roots=np.array([0]),
        value=np.array([[1.0], [2.0]]),
    )
    stump.check(3)
    with pytest.raises(StoreError, match="do not fit together"):
        replace(stump, **change).check(3)
