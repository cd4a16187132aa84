"""Trained trees as text, and predictions from the text alone.

Boosted trees are kept as LightGBM's own text, single trees and forests as JSON of their arrays. Nothing is
pickled. A predictor gives the very numbers that the worker process gave, bit for bit.
"""

import base64
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lanewise.errors import DataError, StoreError
from lanewise.models.split_arrays import Splits, damaged
from lanewise.models.tree_matrix import TokenCounts, boosting_matrix, splitting_matrix
from lanewise.task import TaskKind


@dataclass(frozen=True, kw_only=True)
class SavedTrees:
    """A trained model as text.

    ``meta`` is a JSON object: the kind of task, the number of classes, the widths of the inputs,
    the offset that is added to predictions, the rounds trained and the digest of ``text``.
    """

    kind: str
    text: str
    meta: Mapping[str, Any]


class TreePredictor(ABC):
    """A loaded model. Rows are independent of each other, whatever the number of threads."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._widths = (int(meta["numbers"]), int(meta["codes"]), int(meta["tokens"]))

    def predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None = None) -> np.ndarray:
        """Probabilities ``[N, C]`` for classes (two columns for a binary task), else means ``[N]``.

        ``numbers [N, Dn]`` with NaN for missing, ``codes [N, Kc]`` with 0 for missing and a
        negative code for unseen, as in training. Raises ``DataError`` for other widths.
        """
        widths = (numbers.shape[1], codes.shape[1], tokens.width if tokens is not None else 0)
        if widths != self._widths:
            message = (
                f"the trees were trained on {self._widths[0]} numbers, {self._widths[1]} categories and "
                f"{self._widths[2]} tokens, got {widths[0]}, {widths[1]} and {widths[2]}: "
                "prepare the rows as in training"
            )
            raise DataError(message)
        return self._predict(numbers, codes, tokens)

    @abstractmethod
    def splits(self) -> np.ndarray:
        """Splits on each number, category and token, in this order: ``[Dn + Kc + tokens]``; 0: it is not read."""

    @abstractmethod
    def _predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None) -> np.ndarray: ...


@final
class BoostedTrees(TreePredictor):
    """LightGBM's booster, read from its text."""

    def __init__(self, saved: SavedTrees, *, threads: int) -> None:
        import lightgbm

        super().__init__(saved.meta)
        self._task_kind: TaskKind = saved.meta["task"]
        self._offset = float(saved.meta["offset"])
        self._classes = int(saved.meta["classes"])
        self._threads = threads
        try:
            self._booster = lightgbm.Booster(model_str=saved.text)
        except lightgbm.basic.LightGBMError as error:
            if _ran_out(error):
                raise MemoryError from error
            message = f"the saved trees cannot be read ({error}); export the model again"
            raise StoreError(message) from error

    def splits(self) -> np.ndarray:
        return self._booster.feature_importance("split")

    def _predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None) -> np.ndarray:
        matrix = boosting_matrix(numbers, codes, None if tokens is None else tokens.matrix())
        if matrix.shape[0] == 0:  # pyright: ignore[reportOptionalSubscript] a matrix has a shape
            return no_rows(self._task_kind, self._classes)
        import lightgbm

        try:
            values = self._booster.predict(matrix, num_threads=self._threads)
        except lightgbm.basic.LightGBMError as error:
            if _ran_out(error):
                raise MemoryError from error
            raise
        return response(np.asarray(values), task_kind=self._task_kind, offset=self._offset)


def _ran_out(error: Exception) -> bool:
    """Whether LightGBM says, in the words of C++, that the system gave it no memory."""
    return any(words in str(error) for words in ("bad_alloc", "bad allocation"))


class SplitTrees(TreePredictor):
    """Trees of scikit-learn as arrays: ``levels`` and ``token_columns`` say what their columns are made of."""

    def __init__(self, splits: Splits, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        super().__init__(meta)
        self.task_kind: TaskKind = meta["task"]
        self.arrays = splits
        self.levels = [[int(code) for code in column] for column in arrays["levels"]]
        self.token_columns = [int(column) for column in arrays["token_columns"]]
        sound = (
            len(self.levels) == self._widths[1]
            and all(code >= 0 for column in self.levels for code in column)
            and all(0 <= column < self._widths[2] for column in self.token_columns)
        )
        if not sound:
            raise damaged()
        splits.check(self._widths[0] + len(self.levels) + len(self.token_columns))

    def splits(self) -> np.ndarray:
        first = self._widths[0] + self._widths[1]
        places = np.array([*range(first), *(first + column for column in self.token_columns)], dtype=np.int64)
        return np.bincount(places[self.arrays.feature], minlength=sum(self._widths))

    def _predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None) -> np.ndarray:
        counts = None if tokens is None else tokens.matrix()
        matrix = splitting_matrix(numbers, codes, counts, levels=self.levels, token_columns=self.token_columns)
        return self.response(self.arrays.total(matrix))

    @abstractmethod
    def response(self, total: np.ndarray) -> np.ndarray:
        """Predictions, of the sums ``[N, C]`` of the values of the leaves."""


@final
class SingleTree(SplitTrees):
    """A tree kept as JSON of its arrays over nodes (`Splits.of_nodes`); its values are predictions as they are."""

    def __init__(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        super().__init__(Splits.of_nodes(arrays), arrays, meta)

    def response(self, total: np.ndarray) -> np.ndarray:
        return total if self.task_kind in ("binary", "multiclass") else total[:, 0]


@final
class Forest(SplitTrees):
    """Trees that are averaged, kept as JSON with the bytes of their arrays in base 64 (`packed_forest`).

    Values of leaves are in units of the target: ``prediction = center + scale * mean``. Class probabilities are scaled
    to a sum of 1, which float32 values meet nearly.
    """

    def __init__(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        super().__init__(unpacked_forest(arrays), arrays, meta)
        self.center, self.scale = float(arrays["center"]), float(arrays["scale"])

    def response(self, total: np.ndarray) -> np.ndarray:
        return averaged(total, len(self.arrays.roots), task_kind=self.task_kind, center=self.center, scale=self.scale)


def averaged(total: np.ndarray, trees: int, *, task_kind: TaskKind, center: float, scale: float) -> np.ndarray:
    """Predictions of a forest of so many ``trees``, of the sums ``[N, C]`` of the values of the leaves."""
    if task_kind in ("binary", "multiclass"):
        return total / total.sum(axis=1, keepdims=True)
    return center + scale * (total[:, 0] / trees)


PACKED = {
    "feature": "<i4",
    "threshold": "<f4",
    "left": "<i4",
    "right": "<i4",
    "missing_left": "|b1",
    "roots": "<i4",
    "value": "<f4",
}
"""The arrays of a forest and how their numbers are kept."""


def packed_forest(splits: Splits) -> dict[str, Any]:
    """The arrays of a forest fit for JSON: the bytes of each in base 64, and ``outputs``, the columns of ``value``."""
    packed = {
        name: base64.b64encode(np.ascontiguousarray(getattr(splits, name), dtype=kind).tobytes()).decode()
        for name, kind in PACKED.items()
    }
    return {**packed, "outputs": splits.value.shape[1]}


def unpacked_forest(arrays: Mapping[str, Any]) -> Splits:
    """The arrays that `packed_forest` made JSON of; ``ValueError`` where these are no such bytes."""
    found = {
        name: np.frombuffer(base64.b64decode(arrays[name], validate=True), dtype=kind) for name, kind in PACKED.items()
    }
    return Splits(**{**found, "value": found["value"].reshape(-1, int(arrays["outputs"]))})


SPLIT_TREES: dict[str, type[SingleTree | Forest]] = {"tree": SingleTree, "forest": Forest}
"""Kinds of trees that are kept as arrays."""


def load_trees(saved: SavedTrees, *, threads: int = 1) -> TreePredictor:
    """A predictor from the saved text; ``threads`` for LightGBM (0: all cores).

    Raises ``StoreError`` where the text is not the one that was saved, or where memory does not suffice for it.
    """
    if digest_of(saved.text) != saved.meta.get("sha256"):
        message = "the saved trees are damaged: their digest differs from the recorded one; export the model again"
        raise StoreError(message)
    try:
        if saved.kind in SPLIT_TREES:
            return SPLIT_TREES[saved.kind](json.loads(saved.text), saved.meta)
        return BoostedTrees(saved, threads=threads)
    except MemoryError as error:
        message = (
            f"memory ran out while the trees of the model were loaded ({len(saved.text) / 1e6:,.1f} MB of text): the "
            "model is whole; free memory, or raise the limit of this process, and try again"
        )
        raise StoreError(message) from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        message = f"the saved trees cannot be read ({error}); export the model again"
        raise StoreError(message) from error


def digest_of(text: str) -> str:
    """SHA-256 of a model's text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def no_rows(task_kind: TaskKind, classes: int) -> np.ndarray:
    """The prediction for an empty table, which LightGBM refuses to make."""
    return np.empty((0, classes) if task_kind in ("binary", "multiclass") else 0)


def response(values: np.ndarray, *, task_kind: TaskKind, offset: float) -> np.ndarray:
    """LightGBM's predictions in the form every model of ours answers in: ``[N, C]`` or ``[N]``."""
    if task_kind == "binary":
        return np.stack([1.0 - values, values], axis=1)
    if task_kind == "multiclass":
        return np.ascontiguousarray(values)
    return values + offset
