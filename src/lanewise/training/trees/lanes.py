"""Lanes of trees as a worker process holds them: alive between the rungs of a race.

A booster is never trained twice: each rung adds the trees that are still missing. LightGBM keeps
the predictions of training and validation rows up to date as trees are added (on its binned copy
of the rows), so reading them at a checkpoint costs nothing; they equal those of the saved text.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lanewise.data.target_tails import robust_units
from lanewise.models.saved_trees import SavedTrees, digest_of, no_rows, response
from lanewise.models.tree_matrix import boosting_matrix, frequent_tokens, ordered_levels, splitting_matrix
from lanewise.models.trees import TreeSpec, binning_parameters, boosting_parameters
from lanewise.task import TaskKind
from lanewise.training.trees.data import TreeData

if TYPE_CHECKING:
    import lightgbm
    from scipy.sparse import csr_matrix

# LightGBM keeps targets as float32: a target this many deviations from zero loses its detail.
_FAR_FROM_ZERO = 1000.0


@dataclass(frozen=True, kw_only=True)
class TreeTask:
    """What a worker needs to know of a task."""

    kind: TaskKind
    classes: int

    @property
    def is_classification(self) -> bool:
        return self.kind in ("binary", "multiclass")


@dataclass(frozen=True, kw_only=True, eq=False)
class Splitting:
    """Rows for scikit-learn's trees: ``matrix [n, columns]`` float32, ``target [n]``, ``weight [n]``.

    ``levels`` and ``token_columns`` say what the columns are made of. A regression target is
    ``center + scale * target``. ``overall [C]`` is the weighted mean of the target, or of class indicators.
    """

    matrix: np.ndarray
    levels: list[list[int]]
    token_columns: list[int]
    target: np.ndarray
    weight: np.ndarray
    overall: np.ndarray
    center: float
    scale: float


@final
class Fold:
    """Training and validation rows that several lanes share, with LightGBM's binned copy of them."""

    def __init__(
        self,
        data: TreeData,
        task: TreeTask,
        train: np.ndarray,
        valid: np.ndarray,
        *,
        threads: int,
        kept: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.data, self.task, self.train, self.valid, self.threads = data, task, train, valid, threads
        self.kept = kept or None
        self._binned: dict[int, tuple[lightgbm.Dataset, lightgbm.Dataset | None]] = {}

    @cached_property
    def target(self) -> np.ndarray:
        return np.asarray(self.data.target[self.train], dtype=np.float64)

    @cached_property
    def weight(self) -> np.ndarray | None:
        """Weights of the training rows with mean 1: penalties then do not depend on their scale."""
        if self.data.weight is None:
            return None
        weight = np.asarray(self.data.weight[self.train], dtype=np.float64)
        total = float(weight.sum())
        if total <= 0.0:
            message = "all training rows of a fold have weight zero: give some of them weight"
            raise ValueError(message)
        return weight * (len(weight) / total)

    @cached_property
    def deviation(self) -> float:
        """The unit of Huber's bend and of L1 penalties: robust where a few rows make up the standard deviation."""
        deviation = float(self.target.std())
        robust = robust_units(self.target, deviation) if self.task.kind == "regression" else None
        return deviation if robust is None else robust[1]

    @cached_property
    def offset(self) -> float:
        """What is taken off a regression target before LightGBM sees it; zero unless detail would be lost."""
        spread = float(self.target.std())
        mean = float(self.target.mean())
        return mean if self.task.kind == "regression" and abs(mean) > _FAR_FROM_ZERO * spread > 0.0 else 0.0

    def rows(self, index: np.ndarray) -> "tuple[np.ndarray, np.ndarray, csr_matrix | None]":
        """Numbers, codes and tokens of some rows, in memory; columns that are left out are constant, so never split."""
        tokens = None if self.data.tokens is None else self.data.tokens.matrix()[index]
        numbers, codes = np.asarray(self.data.numbers[index]), np.asarray(self.data.codes[index])
        if self.kept is not None:
            numbers = np.where(self.kept["numbers"].astype(bool), numbers, 0)
            codes = codes * self.kept["categories"].astype(codes.dtype)
            tokens = None if tokens is None else _without(tokens, self.kept["tokens"])
        return numbers, codes, tokens

    @cached_property
    def splitting(self) -> "Splitting":
        """The training rows as single trees and forests read them."""
        numbers, codes, tokens = self.rows(self.train)
        weight = np.ones(len(self.train)) if self.weight is None else self.weight
        fitted, center, scale = self._standardized()
        answer = np.eye(self.task.classes)[fitted.astype(int)] if self.task.is_classification else fitted[:, None]
        levels = [ordered_levels(column, answer, weight) for column in codes.T]
        token_columns = [] if tokens is None else frequent_tokens(tokens)
        return Splitting(
            matrix=splitting_matrix(numbers, codes, tokens, levels=levels, token_columns=token_columns),
            levels=levels,
            token_columns=token_columns,
            target=fitted,
            weight=weight,
            overall=np.average(answer, axis=0, weights=weight),
            center=center,
            scale=scale,
        )

    def _standardized(self) -> tuple[np.ndarray, float, float]:
        """A regression target with mean 0 and deviation 1, for scikit-learn takes small impurities for none."""
        if self.task.kind != "regression":
            return self.target, 0.0, 1.0
        center, scale = float(self.target.mean()), float(self.target.std()) or 1.0
        return (self.target - center) / scale, center, scale

    def split_rows(self, index: np.ndarray) -> np.ndarray:
        """Some rows ``[n, columns]`` (float32) as :attr:`splitting` has the training rows."""
        own = self.splitting
        return splitting_matrix(*self.rows(index), levels=own.levels, token_columns=own.token_columns)

    def binned(self, spec: TreeSpec) -> "tuple[lightgbm.Dataset, lightgbm.Dataset | None]":
        """The fold in histogram bins: found on its training rows alone, and built once."""
        if spec.max_bin not in self._binned:
            import lightgbm

            parameters = binning_parameters(spec, threads=self.threads)
            first = self.data.numbers.shape[1]
            train = lightgbm.Dataset(
                boosting_matrix(*self.rows(self.train)),
                label=self.target - self.offset,
                weight=self.weight,
                categorical_feature=list(range(first, first + self.data.codes.shape[1])),
                params=parameters,
                free_raw_data=True,
            ).construct()
            valid = None
            if len(self.valid):
                valid = lightgbm.Dataset(
                    boosting_matrix(*self.rows(self.valid)), reference=train, params=parameters, free_raw_data=True
                ).construct()
            self._binned[spec.max_bin] = train, valid
        return self._binned[spec.max_bin]


def _without(tokens: "csr_matrix", kept: np.ndarray) -> "csr_matrix":
    """Tokens without the entries of the columns that are left out; of the same width."""
    tokens = tokens.copy()
    tokens.data *= kept[tokens.indices].astype(tokens.data.dtype)
    tokens.eliminate_zeros()
    return tokens


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
        # Iterations kept after each round: LightGBM keeps none where no split was worth it.
        self._kept = [0]
        self._finished = False

    @cached_property
    def booster(self) -> "lightgbm.Booster":
        import lightgbm

        fold = self.fold
        train, valid = fold.binned(self.spec)
        parameters = boosting_parameters(
            self.spec,
            task_kind=fold.task.kind,
            classes=fold.task.classes,
            rows=len(fold.train),
            deviation=fold.deviation,
            seed=self.seed,
            threads=fold.threads,
        )
        booster = lightgbm.Booster(parameters, train)
        return booster if valid is None else booster.add_valid(valid, "valid")

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
        found = self._current(self.booster.eval_train, len(self.fold.train))
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
