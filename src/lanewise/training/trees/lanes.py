"""Lanes of trees as a worker process holds them: alive between the rungs of a race.

A booster is never trained twice: each rung adds the trees that are still missing. LightGBM keeps
the predictions of training and validation rows up to date as trees are added (on its binned copy
of the rows), so reading them at a checkpoint costs nothing; they equal those of the saved text.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lanewise.models.saved_trees import SavedTrees, digest_of, no_rows, response
from lanewise.models.tree_matrix import boosting_matrix
from lanewise.models.trees import TreeSpec, boosting_parameters
from lanewise.training.trees.fold import Binned, Fold

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
        """SHA-256 that tells whether two lanes have grown the same: of the predictions of all training rows."""
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
        if self._rows is None:
            return
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
