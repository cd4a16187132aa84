"""Lanes of trees as a worker process holds them: alive between the rungs of a race.

A booster is never trained twice: each rung adds the trees that are still missing. LightGBM keeps
the predictions of training and validation rows up to date as trees are added (on its binned copy
of the rows), so reading them at a checkpoint costs nothing; they equal those of the saved text.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lanewise.models.saved_trees import SavedTrees, SingleTree, digest_of, load_trees, no_rows, response
from lanewise.models.tree_matrix import (
    TokenCounts,
    boosting_matrix,
    frequent_tokens,
    ordered_levels,
    splitting_matrix,
)
from lanewise.models.trees import TreeSpec, boosting_parameters, splitting_parameters
from lanewise.training.trees.fold import Binned, Fold, TreeTask

if TYPE_CHECKING:
    import lightgbm


class TreeLane(ABC):
    """One training of one spec on one fold with one seed."""

    def __init__(self, fold: Fold, spec: TreeSpec, seed: int) -> None:
        self.fold, self.spec, self.seed = fold, spec, seed

    @abstractmethod
    def advance(self, rounds: int, predict_at: Sequence[int]) -> list[np.ndarray]:
        """Train on to ``rounds``; predictions of the validation rows after each of ``predict_at`` rounds."""

    @abstractmethod
    def train_predictions(self, places: np.ndarray | None = None) -> np.ndarray:
        """Predictions of the training rows as the lane stands, or of those at ``places`` among them."""

    @abstractmethod
    def predict(self, rows: np.ndarray, rounds: int | None) -> np.ndarray:
        """Predictions of some rows of the table, with the first ``rounds`` rounds only if stated."""

    @abstractmethod
    def saved(self, rounds: int | None) -> SavedTrees:
        """The lane as text, with the first ``rounds`` rounds only if stated."""

    def digest(self) -> str:
        """What tells whether the lane is another to the last bit."""
        return hashlib.sha256(np.ascontiguousarray(self.train_predictions()).tobytes()).hexdigest()

    def settle(self) -> None:  # noqa: B027  # a lane that keeps no rows has nothing to let go of
        """Let go of the training rows: the lane will grow no more."""

    def _meta(self, text: str, rounds: int, offset: float) -> dict[str, Any]:
        data, task = self.fold.data, self.fold.task
        return {
            "task": task.kind,
            "classes": task.classes,
            "numbers": data.numbers.shape[1],
            "codes": data.codes.shape[1],
            "tokens": data.tokens.width if data.tokens is not None else 0,
            "offset": offset,
            "rounds": rounds,
            "sha256": digest_of(text),
        }


@final
class BoostingLane(TreeLane):
    """A booster that grows round by round."""

    def __init__(self, fold: Fold, spec: TreeSpec, seed: int) -> None:
        super().__init__(fold, spec, seed)
        self._rows: Binned | None = None
        # Iterations kept after each round: LightGBM keeps none where no split was worth it.
        self._kept = [0]
        self._finished = False

    @cached_property
    def booster(self) -> "lightgbm.Booster":
        import lightgbm

        fold = self.fold
        self._rows = fold.binned(self.spec)
        parameters = boosting_parameters(
            self.spec,
            task_kind=fold.task.kind,
            classes=fold.task.classes,
            rows=fold.training_rows,
            deviation=fold.deviation,
            seed=self.seed,
            threads=fold.threads,
        )
        booster = lightgbm.Booster(parameters, self._rows.train)
        return booster if self._rows.valid is None else booster.add_valid(self._rows.valid, "valid")

    def advance(self, rounds: int, predict_at: Sequence[int]) -> list[np.ndarray]:
        checkpoints = {at: self._past(at) for at in predict_at if at < len(self._kept) - 1}
        while True:
            done = len(self._kept) - 1
            if done in predict_at and done not in checkpoints:
                checkpoints[done] = self._current(self.booster.eval_valid, len(self.fold.valid))
            if done >= rounds:
                return [checkpoints[at] for at in predict_at]
            self._grow()

    def train_predictions(self, places: np.ndarray | None = None) -> np.ndarray:
        if places is not None and self.fold.stored is not None:
            return self.predict(self.fold.train[places], None)
        found = self._current(self.booster.eval_train, self.fold.training_rows)
        return found if places is None else found[places]

    def predict(self, rows: np.ndarray, rounds: int | None) -> np.ndarray:
        if not len(rows):
            return no_rows(self.fold.task.kind, self.fold.task.classes)
        values = self.booster.predict(boosting_matrix(*self.fold.rows(rows)), num_iteration=self._iterations(rounds))
        return self._response(np.asarray(values))

    def saved(self, rounds: int | None) -> SavedTrees:
        text = self.booster.model_to_string(num_iteration=self._iterations(rounds))
        done = len(self._kept) - 1 if rounds is None else rounds
        return SavedTrees(kind="lightgbm", text=text, meta=self._meta(text, done, self.fold.offset))

    def digest(self) -> str:
        # Predictions of all rows on disk would take as much memory as the rows do; growing takes longer than this text.
        return super().digest() if self.fold.stored is None else digest_of(self.booster.model_to_string())

    def settle(self) -> None:
        import lightgbm

        self.booster = lightgbm.Booster(model_str=self.booster.model_to_string())
        self._rows = None

    def _grow(self) -> None:
        if not self._finished:
            empty = self.booster.update()
            spec = self.spec
            drawn = spec.extra_trees or spec.bagging_fraction < 1.0 or spec.feature_fraction < 1.0
            # Without draws the next round would look for the same splits and find none again.
            self._finished = empty and not drawn
        self._kept.append(self.booster.current_iteration())

    def _iterations(self, rounds: int | None) -> int:
        kept = self._kept[-1 if rounds is None else rounds]
        if kept == 0:
            message = "the lane has no trees yet: advance it by a round first"
            raise ValueError(message)
        return kept

    def _past(self, rounds: int) -> np.ndarray:
        return self.predict(self.fold.valid, rounds)

    def _current(self, evaluate: Any, rows: int) -> np.ndarray:
        """The predictions that LightGBM keeps up to date, through its hook for metrics of one's own."""
        if not rows:
            return no_rows(self.fold.task.kind, self.fold.task.classes)
        seen: list[np.ndarray] = []

        def look(predictions: np.ndarray, _: object) -> tuple[str, float, bool]:
            seen.append(predictions.copy())
            return "", 0.0, True

        evaluate(look)
        return self._response(seen[0])

    def _response(self, values: np.ndarray) -> np.ndarray:
        return response(values, task_kind=self.fold.task.kind, offset=self.fold.offset)


@final
class SplittingLane(TreeLane):
    """A single tree: one round and it is done."""

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
        numbers, codes, tokens = self.fold.rows(rows)
        counts = None
        if tokens is not None:
            counts = TokenCounts(
                data=tokens.data, indices=tokens.indices, indptr=tokens.indptr, width=self._saved.meta["tokens"]
            )
        return self._predictor.predict(numbers, codes, counts)

    def saved(self, rounds: int | None) -> SavedTrees:
        return self._saved


def open_lane(fold: Fold, spec: TreeSpec, seed: int) -> TreeLane:
    """A lane that has not trained yet."""
    return BoostingLane(fold, spec, seed) if spec.kind == "lightgbm" else SplittingLane(fold, spec, seed)


def _grow_tree(fold: Fold, spec: TreeSpec, seed: int) -> dict[str, Any]:
    """Train scikit-learn's tree; its arrays with leaf values drawn towards the overall mean.

    ``value = (w mean + s overall) / (w + s)`` with ``w`` the weight of the leaf and ``s`` the
    smoothing: a pure leaf of five rows then does not claim certainty, which log loss punishes
    without bound.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    numbers, codes, tokens = fold.rows(fold.train)
    weight = np.ones(len(fold.train)) if fold.weight is None else fold.weight
    fitted, centre, scale = _standardised(fold)
    answer = np.eye(fold.task.classes)[fitted.astype(int)] if fold.task.is_classification else fitted[:, None]
    levels = [ordered_levels(column, answer, weight) for column in codes.T]
    token_columns = [] if tokens is None else frequent_tokens(tokens)
    matrix = splitting_matrix(numbers, codes, tokens, levels=levels, token_columns=token_columns)
    overall = np.average(answer, axis=0, weights=weight)
    impurity = _impurity(fold.task, fitted, weight, overall)
    parameters = splitting_parameters(spec, task_kind=fold.task.kind, rows=len(fitted), impurity=impurity, seed=seed)
    family = DecisionTreeClassifier if fold.task.is_classification else DecisionTreeRegressor
    grown = family(**parameters).fit(matrix, fitted, sample_weight=fold.weight).tree_
    means = np.zeros((grown.node_count, answer.shape[1]))
    means[:, np.unique(fitted).astype(int) if fold.task.is_classification else [0]] = grown.value[:, 0, :]
    mass = grown.weighted_n_node_samples[:, None]
    value = (mass * means + spec.leaf_smoothing * overall) / (mass + spec.leaf_smoothing)
    return {
        "feature": grown.feature.tolist(),
        # A split between missing and all others has an infinite threshold, which JSON cannot hold.
        "threshold": np.nan_to_num(grown.threshold).tolist(),
        "left": grown.children_left.tolist(),
        "right": grown.children_right.tolist(),
        "missing_left": grown.missing_go_to_left.astype(bool).tolist(),
        "value": (value * scale + centre).tolist(),
        "levels": levels,
        "token_columns": token_columns,
    }


def _standardised(fold: Fold) -> tuple[np.ndarray, float, float]:
    """A regression target with mean 0 and deviation 1, for scikit-learn takes small impurities for none."""
    if fold.task.kind != "regression":
        return fold.target, 0.0, 1.0
    centre, scale = float(fold.target.mean()), float(fold.target.std()) or 1.0
    return (fold.target - centre) / scale, centre, scale


def _impurity(task: TreeTask, target: np.ndarray, weight: np.ndarray, overall: np.ndarray) -> float:
    """What scikit-learn calls the impurity of all rows: variance, Gini index, or half the Poisson deviance."""
    if task.is_classification:
        return float(1.0 - np.square(overall).sum())
    mean = float(overall[0])
    if task.kind == "count":
        positive = target > 0.0
        ratio = np.log(target[positive] / mean) if mean > 0.0 else np.zeros(0)
        return float((weight[positive] * target[positive] * ratio).sum() / weight.sum())
    return float(np.average(np.square(target - mean), weights=weight))
