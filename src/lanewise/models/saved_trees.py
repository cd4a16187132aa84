"""Trained trees as text, and predictions from the text alone.

Boosted trees are kept as LightGBM's own text, a single tree as JSON of its arrays. Nothing is
pickled. A predictor gives the very numbers that the worker process gave, bit for bit.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lanewise.errors import DataError, StoreError
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
            message = f"the saved trees cannot be read ({error}); export the model again"
            raise StoreError(message) from error

    def splits(self) -> np.ndarray:
        return self._booster.feature_importance("split")

    def _predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None) -> np.ndarray:
        matrix = boosting_matrix(numbers, codes, None if tokens is None else tokens.matrix())
        if matrix.shape[0] == 0:  # pyright: ignore[reportOptionalSubscript] a matrix has a shape
            return no_rows(self._task_kind, self._classes)
        values = self._booster.predict(matrix, num_threads=self._threads)
        return response(np.asarray(values), task_kind=self._task_kind, offset=self._offset)


@final
class SingleTree(TreePredictor):
    """A binary tree as arrays, walked with numpy.

    ``arrays``: ``feature``, ``threshold``, ``left``, ``right``, ``missing_left`` (all ``[nodes]``;
    a leaf has ``left = -1``), ``value [nodes, C]``, ``levels`` and ``token_columns``. A row goes
    left where its value is at most the threshold, or is missing and ``missing_left`` says so.
    """

    def __init__(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        super().__init__(meta)
        self._task_kind: TaskKind = meta["task"]
        self._feature = np.asarray(arrays["feature"], dtype=np.int64)
        self._threshold = np.asarray(arrays["threshold"], dtype=np.float64)
        self._left = np.asarray(arrays["left"], dtype=np.int64)
        self._right = np.asarray(arrays["right"], dtype=np.int64)
        self._missing_left = np.asarray(arrays["missing_left"], dtype=bool)
        self._value = np.asarray(arrays["value"], dtype=np.float64)
        self._levels = [[int(code) for code in column] for column in arrays["levels"]]
        self._token_columns = [int(column) for column in arrays["token_columns"]]
        self._check(len(self._feature))

    def _check(self, nodes: int) -> None:
        """Children come after their parent, so that every walk ends; columns exist."""
        inner = self._left >= 0
        here = np.arange(nodes)[inner]
        sound = (
            nodes > 0
            and {len(self._threshold), len(self._left), len(self._right), len(self._missing_left)} == {nodes}
            and self._value.ndim == 2
            and len(self._value) == nodes
            and all(bool(np.all((side[inner] > here) & (side[inner] < nodes))) for side in (self._left, self._right))
            and bool(np.all((self._feature[inner] >= 0) & (self._feature[inner] < self._columns)))
            and len(self._levels) == self._widths[1]
            and all(code >= 0 for column in self._levels for code in column)
            and all(0 <= column < self._widths[2] for column in self._token_columns)
        )
        if not sound:
            message = "the saved tree is damaged: its arrays do not fit together; export the model again"
            raise StoreError(message)

    @property
    def _columns(self) -> int:
        return self._widths[0] + len(self._levels) + len(self._token_columns)

    def splits(self) -> np.ndarray:
        first = self._widths[0] + self._widths[1]
        places = np.array([*range(first), *(first + column for column in self._token_columns)], dtype=np.int64)
        return np.bincount(places[self._feature[self._left >= 0]], minlength=sum(self._widths))

    def _predict(self, numbers: np.ndarray, codes: np.ndarray, tokens: TokenCounts | None) -> np.ndarray:
        counts = None if tokens is None else tokens.matrix()
        matrix = splitting_matrix(numbers, codes, counts, levels=self._levels, token_columns=self._token_columns)
        value = self._value[self.leaves(matrix)]
        return value if self._task_kind in ("binary", "multiclass") else value[:, 0]

    def leaves(self, matrix: np.ndarray) -> np.ndarray:
        """Index ``[N]`` of the leaf of each row of ``matrix [N, columns]`` (float32)."""
        node = np.zeros(len(matrix), dtype=np.int64)
        walking = np.arange(len(matrix))
        while (walking := walking[self._left[node[walking]] >= 0]).size:
            here = node[walking]
            value = matrix[walking, self._feature[here]]
            left = np.where(np.isnan(value), self._missing_left[here], value <= self._threshold[here])
            node[walking] = np.where(left, self._left[here], self._right[here])
        return node


def load_trees(saved: SavedTrees, *, threads: int = 1) -> TreePredictor:
    """A predictor from the saved text; ``threads`` for LightGBM (0: all cores).

    Raises ``StoreError`` where the text is not the one that was saved.
    """
    if digest_of(saved.text) != saved.meta.get("sha256"):
        message = "the saved trees are damaged: their digest differs from the recorded one; export the model again"
        raise StoreError(message)
    try:
        if saved.kind == "tree":
            return SingleTree(json.loads(saved.text), saved.meta)
        return BoostedTrees(saved, threads=threads)
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
