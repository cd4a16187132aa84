"""Rows that several lanes of trees share in a worker, and LightGBM's binned copy of them."""

import weakref
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lanewise.data.target_tails import robust_units
from lanewise.models.tree_matrix import boosting_matrix, frequent_tokens, ordered_levels, splitting_matrix
from lanewise.models.trees import TreeSpec, binning_parameters
from lanewise.task import TaskKind
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.stored import PIECE_ROWS, StoredPart

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
        stored: StoredPart | None = None,
    ) -> None:
        self.data, self.task, self.train, self.valid, self.threads = data, task, train, valid, threads
        self.kept, self.stored = kept or None, stored
        # Of rows on disk the binned copy goes with the last booster that grows on it.
        known = {} if stored is None else weakref.WeakValueDictionary[int, "Binned"]()
        self._binned: MutableMapping[int, Binned] = known

    @property
    def training_rows(self) -> int:
        return len(self.train) if self.stored is None else self.stored.rows

    @property
    def target(self) -> np.ndarray:
        if self.stored is not None:
            return self.stored.target
        return np.asarray(self.data.target[self.train], dtype=np.float64)

    @property
    def weight(self) -> np.ndarray | None:
        """Weights of the training rows with mean 1: penalties then do not depend on their scale."""
        own = self.data.weight if self.stored is None else self.stored.weight
        if own is None:
            return None
        weight = np.asarray(own[self.train] if self.stored is None else own, dtype=np.float64)
        total = float(weight.sum())
        if total <= 0.0:
            message = "all training rows of a fold have weight zero: give some of them weight"
            raise ValueError(message)
        return weight * (len(weight) / total)

    @cached_property
    def deviation(self) -> float:
        """The unit of Huber's bend and of L1 penalties: robust where a few rows make up the standard deviation."""
        if self.task.kind != "regression":
            return 1.0  # nothing is measured in it
        target = self.target
        deviation = float(target.std())
        robust = robust_units(target, deviation)
        return deviation if robust is None else robust[1]

    @cached_property
    def offset(self) -> float:
        """What is taken off a regression target before LightGBM sees it; zero unless detail would be lost."""
        if self.task.kind != "regression":
            return 0.0
        target = self.target
        spread, mean = float(target.std()), float(target.mean())
        return mean if abs(mean) > _FAR_FROM_ZERO * spread > 0.0 else 0.0

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
        weight = np.ones(len(self.train)) if (own := self.weight) is None else own
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
        target = self.target
        center, scale = float(target.mean()), float(target.std()) or 1.0
        return (target - center) / scale, center, scale

    def split_rows(self, index: np.ndarray) -> np.ndarray:
        """Some rows ``[n, columns]`` (float32) as :attr:`splitting` has the training rows."""
        own = self.splitting
        return splitting_matrix(*self.rows(index), levels=own.levels, token_columns=own.token_columns)

    def binned(self, spec: TreeSpec) -> "Binned":
        """The fold in histogram bins: found on its training rows in memory alone, and built once."""
        found = self._binned.get(spec.max_bin)
        if found is None:
            import lightgbm

            parameters = binning_parameters(spec, threads=self.threads)
            first = self.data.numbers.shape[1]
            here = self.stored is None
            train = lightgbm.Dataset(
                boosting_matrix(*self.rows(self.train)),
                label=self.target - self.offset if here else np.zeros(len(self.train)),
                weight=self.weight if here else None,
                categorical_feature=list(range(first, first + self.data.codes.shape[1])),
                params=parameters,
                free_raw_data=True,
            ).construct()
            if self.stored is not None:
                train = self._from_disk(self.stored, train, parameters)
            valid = None
            if len(self.valid):
                valid = lightgbm.Dataset(
                    boosting_matrix(*self.rows(self.valid)), reference=train, params=parameters, free_raw_data=True
                ).construct()
            found = self._binned[spec.max_bin] = Binned(train=train, valid=valid)
        return found

    def _from_disk(
        self, stored: StoredPart, reference: "lightgbm.Dataset", parameters: dict[str, Any]
    ) -> "lightgbm.Dataset":
        """The stored rows, a piece after another, in the bins of ``reference``."""
        import lightgbm

        class Piece(lightgbm.Sequence):
            batch_size = PIECE_ROWS

            def __init__(self, start: int, end: int) -> None:
                self._start, self._end = start, end

            def __len__(self) -> int:
                return self._end - self._start

            def __getitem__(self, place: Any) -> np.ndarray:
                assert place == slice(0, len(self), None)  # LightGBM asks for single rows only to find bins
                return stored.matrix(self._start, self._end)

        return lightgbm.Dataset(
            [Piece(start, end) for start, end in stored.pieces()],
            label=self.target - self.offset,
            weight=self.weight,
            reference=reference,
            params=parameters,
            free_raw_data=True,
        ).construct()


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Binned:
    """LightGBM's copy of a fold's training rows, and of those it holds out if there are any."""

    train: "lightgbm.Dataset"
    valid: "lightgbm.Dataset | None"


def _without(tokens: "csr_matrix", kept: np.ndarray) -> "csr_matrix":
    """Tokens without the entries of the columns that are left out; of the same width."""
    tokens = tokens.copy()
    tokens.data *= kept[tokens.indices].astype(tokens.data.dtype)
    tokens.eliminate_zeros()
    return tokens
