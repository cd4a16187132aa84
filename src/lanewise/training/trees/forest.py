"""The lane of a forest: trees of scikit-learn that are averaged, grown one after another.

The draws of a tree are keyed by the seed of the lane and by its number, so a forest that is stopped and grown on, or
grown in other portions, is the same to the bit. In a race only the sums of predictions are kept, not the trees.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np

from lanewise.models.saved_trees import PACKED, SavedTrees, averaged, packed_forest
from lanewise.models.split_arrays import Splits
from lanewise.models.trees import TreeSpec, forest_parameters
from lanewise.training.trees.fold import Fold
from lanewise.training.trees.lanes import TreeLane
from lanewise.training.trees.splitting import smoothed_values

if TYPE_CHECKING:
    from sklearn.tree._tree import Tree


@final
class ForestLane(TreeLane):
    """A forest that grows tree by tree. Where the lane ``keeps`` no trees, what asks for them grows them anew.

    ``shown`` are places of training rows whose predictions are kept up to date, as those of the validation rows are.
    """

    def __init__(
        self, fold: Fold, spec: TreeSpec, seed: int, *, keeps: bool = True, shown: np.ndarray | None = None
    ) -> None:
        super().__init__(fold, spec, seed)
        self._keeps, self._places = keeps, shown
        self._grown = 0
        self._trees: list[Splits] = []
        self._hash = hashlib.sha256()

    @cached_property
    def _valid(self) -> "_Sums":
        return _Sums(self.fold.split_rows(self.fold.valid), len(self.fold.splitting.overall))

    @cached_property
    def _shown(self) -> "_Sums | None":
        own = self.fold.splitting
        return None if self._places is None else _Sums(own.matrix[self._places], len(own.overall))

    def advance(self, rounds: int, predict_at: Sequence[int]) -> list[np.ndarray]:
        found = {at: self.predict(self.fold.valid, at) for at in predict_at if at < self._grown}
        while True:
            if self._grown in predict_at:
                found[self._grown] = self._response(self._valid.total, self._grown)
            if self._grown >= rounds:
                return [found[at] for at in predict_at]
            self._add(grown_tree(self.fold, self.spec, self.seed, self._grown))

    def _add(self, tree: "_GrownTree") -> None:
        for sums in (self._valid, self._shown):
            if sums is not None:
                sums.add(tree)
        for name in PACKED:
            self._hash.update(getattr(tree.splits, name).tobytes())
        if self._keeps:
            self._trees.append(tree.splits)
        self._grown += 1

    def train_predictions(self, places: np.ndarray | None = None) -> np.ndarray:
        own = self._shown
        if own is not None and self._places is not None and places is not None and np.array_equal(places, self._places):
            return self._response(own.total, self._grown)
        return self.predict(self.fold.train if places is None else self.fold.train[places], None)

    def predict(self, rows: np.ndarray, rounds: int | None) -> np.ndarray:
        forest = self._forest(rounds)
        return self._response(forest.total(self.fold.split_rows(rows)), len(forest.roots))

    def digest(self) -> str:
        """SHA-256 of all trees so far."""
        return self._hash.hexdigest()

    def saved(self, rounds: int | None) -> SavedTrees:
        forest, own = self._forest(rounds), self.fold.splitting
        arrays = {
            **packed_forest(forest),
            "center": own.center,
            "scale": own.scale,
            "levels": own.levels,
            "token_columns": own.token_columns,
        }
        text = json.dumps(arrays, allow_nan=False)
        return SavedTrees(kind="forest", text=text, meta=self._meta(text, len(forest.roots), 0.0))

    def _forest(self, rounds: int | None) -> Splits:
        count = self._grown if rounds is None else rounds
        if not 1 <= count <= self._grown:
            message = f"the forest has {self._grown} trees: advance it to {max(count, 1)} first"
            raise ValueError(message)
        return Splits.joined(self._trees[:count] if self._keeps else list(self._anew(count)))

    def _anew(self, count: int) -> Iterator[Splits]:
        for number in range(count):
            yield grown_tree(self.fold, self.spec, self.seed, number).splits

    def _response(self, total: np.ndarray, trees: int) -> np.ndarray:
        own = self.fold.splitting
        return averaged(total, trees, task_kind=self.fold.task.kind, center=own.center, scale=own.scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class _GrownTree:
    """A tree, and scikit-learn's own of it, which finds leaves faster than `Splits.leaves`."""

    splits: Splits
    theirs: "Tree"

    def leaves(self, matrix: np.ndarray) -> np.ndarray:
        """Numbers ``[N]`` of the leaves that rows reach, from 0 up."""
        return (np.cumsum(self.theirs.children_left < 0) - 1)[self.theirs.apply(matrix)]


@final
class _Sums:
    """Sums ``[n, C]`` of the leaves that some rows reach, over the trees so far."""

    def __init__(self, matrix: np.ndarray, outputs: int) -> None:
        self._matrix = matrix
        self.total = np.zeros((len(matrix), outputs))

    def add(self, tree: _GrownTree) -> None:
        self.total += tree.splits.value[tree.leaves(self._matrix)]


def grown_tree(fold: Fold, spec: TreeSpec, seed: int, number: int) -> _GrownTree:
    """Tree ``number`` of a forest, thresholds and values in float32 as they are kept.

    A random forest draws the rows of each tree with replacement; extremely randomized trees see all of them.
    """
    from sklearn import config_context
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

    own = fold.splitting
    families = {
        "extra": (ExtraTreeRegressor, ExtraTreeClassifier),
        "random": (DecisionTreeRegressor, DecisionTreeClassifier),
    }
    family = families[spec.forest][fold.task.is_classification]
    draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    parameters = forest_parameters(spec, task_kind=fold.task.kind, rows=len(own.target), outputs=len(own.overall))
    estimator = family(**parameters, random_state=int(draws.integers(2**31)))
    weight = own.weight
    if spec.forest == "random":
        rows = len(own.target)
        times = np.bincount(draws.integers(rows, size=rows), minlength=rows) * own.weight
        weight = times if times.any() else weight  # where nearly all rows have weight zero
    with config_context(skip_parameter_validation=True):  # a third of the time of a small tree
        grown = estimator.fit(own.matrix, own.target, sample_weight=weight).tree_
    classes = estimator.classes_.astype(int) if fold.task.is_classification else np.zeros(1, dtype=int)
    nodes = {
        "feature": grown.feature,
        "threshold": grown.threshold,
        "left": grown.children_left,
        "right": grown.children_right,
        "missing_left": grown.missing_go_to_left,
        "value": smoothed_values(grown, classes, own.overall, spec.leaf_smoothing),
    }
    return _GrownTree(splits=in_single(Splits.of_nodes(nodes)), theirs=grown)


def in_single(tree: Splits) -> Splits:
    """The same tree in the types of `PACKED`: ``x <= t`` is the same for a float32 ``x`` and the next ``t`` below."""
    nearest = tree.threshold.astype(np.float32)
    below = np.where(nearest > tree.threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    parts = {name: np.asarray(getattr(tree, name), dtype=kind) for name, kind in PACKED.items()}
    return Splits(**{**parts, "threshold": below.astype(np.float32)})
