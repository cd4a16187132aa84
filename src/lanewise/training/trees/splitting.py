"""The lane of a single tree: one round and it is done."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lanewise.models.saved_trees import SavedTrees, SingleTree, load_trees
from lanewise.models.trees import TreeSpec, splitting_parameters
from lanewise.training.trees.fold import Fold, Splitting, TreeTask
from lanewise.training.trees.lanes import TreeLane

if TYPE_CHECKING:
    from sklearn.tree._tree import Tree


@final
class SplittingLane(TreeLane):
    """A single tree of scikit-learn."""

    @cached_property
    def _saved(self) -> SavedTrees:
        text = json.dumps(_grow_tree(self.fold, self.spec, self.seed), allow_nan=False)
        return SavedTrees(kind="tree", text=text, meta=self._meta(text, 1, 0.0))

    @cached_property
    def _predictor(self) -> SingleTree:
        predictor = load_trees(self._saved)
        assert isinstance(predictor, SingleTree)
        return predictor

    def advance(self, rounds: int, predict_at: Sequence[int]) -> list[np.ndarray]:
        return [self.predict(self.fold.valid, None) for _ in predict_at]

    def train_predictions(self, places: np.ndarray | None = None) -> np.ndarray:
        return self.predict(self.fold.train if places is None else self.fold.train[places], None)

    def predict(self, rows: np.ndarray, rounds: int | None) -> np.ndarray:
        return self._predictor.response(self._predictor.arrays.total(self.fold.split_rows(rows)))

    def saved(self, rounds: int | None) -> SavedTrees:
        return self._saved


def _grow_tree(fold: Fold, spec: TreeSpec, seed: int) -> dict[str, Any]:
    """Train scikit-learn's tree; its arrays with leaf values drawn towards the overall mean."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    own = fold.splitting
    impurity = _impurity(fold.task, own)
    parameters = splitting_parameters(
        spec, task_kind=fold.task.kind, rows=len(own.target), impurity=impurity, seed=seed
    )
    family = DecisionTreeClassifier if fold.task.is_classification else DecisionTreeRegressor
    grown = family(**parameters).fit(own.matrix, own.target, sample_weight=fold.weight).tree_
    classes = np.unique(own.target).astype(int) if fold.task.is_classification else np.zeros(1, dtype=int)
    value = smoothed_values(grown, classes, own.overall, spec.leaf_smoothing)
    return {
        "feature": grown.feature.tolist(),
        # A split between missing and all others has an infinite threshold, which JSON cannot hold.
        "threshold": np.nan_to_num(grown.threshold).tolist(),
        "left": grown.children_left.tolist(),
        "right": grown.children_right.tolist(),
        "missing_left": grown.missing_go_to_left.astype(bool).tolist(),
        "value": (value * own.scale + own.center).tolist(),
        "levels": own.levels,
        "token_columns": own.token_columns,
    }


def smoothed_values(grown: "Tree", classes: np.ndarray, overall: np.ndarray, smoothing: float) -> np.ndarray:
    """Values ``[nodes, C]`` of a tree that knew ``classes``, drawn towards the ``overall`` mean ``[C]``.

    ``value = (w mean + s overall) / (w + s)`` with ``w`` the weight of the node and ``s`` the
    smoothing: a pure leaf of five rows then does not claim certainty, which log loss punishes
    without bound.
    """
    means = np.zeros((grown.node_count, len(overall)))
    means[:, classes] = grown.value[:, 0, :]
    mass = grown.weighted_n_node_samples[:, None]
    return (mass * means + smoothing * overall) / (mass + smoothing)


def _impurity(task: TreeTask, own: Splitting) -> float:
    """What scikit-learn calls the impurity of all rows: variance, Gini index, or half the Poisson deviance."""
    if task.is_classification:
        return float(1.0 - np.square(own.overall).sum())
    mean = float(own.overall[0])
    if task.kind == "count":
        positive = own.target > 0.0
        ratio = np.log(own.target[positive] / mean) if mean > 0.0 else np.zeros(0)
        return float((own.weight[positive] * own.target[positive] * ratio).sum() / own.weight.sum())
    return float(np.average(np.square(own.target - mean), weights=own.weight))
