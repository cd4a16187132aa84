"""Binary trees laid end to end as arrays, walked with numpy: a tree, or the trees of a forest.

A split has a number from 0 up, a leaf the number ``~leaf`` below 0. A row goes left where its value is at most the
threshold, or is missing and ``missing_left`` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from lanewise.errors import StoreError

WALKED, ROWS_AT_ONCE = 1 << 15, 1 << 12
"""Pairs of a row and a tree that are walked at once, which then stay in the cache, and rows whose leaves are held."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Trees: ``feature``, ``threshold``, ``left``, ``right``, ``missing_left [splits]``, ``roots [T]``, ``value``.

    ``left``, ``right`` and ``roots`` are numbers of splits or leaves, ``value [leaves, C]`` is what a leaf says.
    Children come after their parent, and the splits of a tree, its root first, before those of the next one.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    roots: np.ndarray
    value: np.ndarray

    @classmethod
    def of_nodes(cls, nodes: Mapping[str, Any]) -> "Splits":
        """One tree of arrays ``[nodes]`` over splits and leaves alike, the root first; a leaf has ``left = -1``.

        Raises ``StoreError`` where they do not fit together.
        """
        feature, left, right = (np.asarray(nodes[name], dtype=np.int64) for name in ("feature", "left", "right"))
        threshold, value = (np.asarray(nodes[name], dtype=np.float64) for name in ("threshold", "value"))
        missing_left = np.asarray(nodes["missing_left"], dtype=bool)
        inner = left >= 0
        lengths = {len(one) for one in (feature, threshold, left, right, missing_left, value)}
        if lengths != {len(inner)} or not len(inner):
            raise damaged()
        if right[inner].min(initial=0) < 0 or max(left.max(), right[inner].max(initial=0)) >= len(inner):
            raise damaged()
        number = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
        return cls(
            feature=feature[inner],
            threshold=threshold[inner],
            left=number[left[inner]],
            right=number[right[inner]],
            missing_left=missing_left[inner],
            roots=number[:1],
            value=value[~inner],
        )

    @classmethod
    def joined(cls, trees: "Sequence[Splits]") -> "Splits":
        """All trees in their order."""
        splits = np.cumsum([0, *(len(one.feature) for one in trees)])
        leaves = np.cumsum([0, *(len(one.value) for one in trees)])

        def moved(name: str) -> np.ndarray:
            """Numbers of splits and leaves, of which the trees before have some already."""
            ends = [getattr(one, name) for one in trees]
            return np.concatenate(
                [np.where(end >= 0, end + splits[k], end - leaves[k]).astype(np.int32) for k, end in enumerate(ends)]
            )

        numbers = {name: moved(name) for name in ("left", "right", "roots")}
        rest = [one.name for one in fields(cls) if one.name not in numbers]
        return cls(**numbers, **{name: np.concatenate([getattr(one, name) for one in trees]) for name in rest})

    def check(self, columns: int) -> None:
        """Every walk ends at a leaf that there is, and reads columns that there are; else ``StoreError``."""
        here = np.arange(len(self.feature))
        sound = (
            {len(self.threshold), len(self.left), len(self.right), len(self.missing_left)} == {len(here)}
            and self.value.ndim == 2
            and len(self.value) > 0
            and len(self.roots) > 0
            and bool(np.all(np.diff(self.roots[self.roots >= 0], prepend=-1) > 0))
            and all(bool(np.all((side > here) | (side < 0))) for side in (self.left, self.right))
            and all(
                -len(self.value) <= end.min(initial=0) and end.max(initial=-1) < len(here)
                for end in (self.left, self.right, self.roots)
            )
            and bool(np.all((self.feature >= 0) & (self.feature < columns)))
        )
        if not sound:
            raise damaged()

    @cached_property
    def _children(self) -> np.ndarray:
        """``right`` and ``left`` in turn, ``[2 * splits]``."""
        return np.stack([self.right, self.left], axis=1).astype(np.int32).ravel()

    def leaves(self, matrix: np.ndarray) -> np.ndarray:
        """Numbers ``[T, N]`` of the leaves that the rows of ``matrix [N, columns]`` (float32) reach, from 0 up."""
        rows, columns = matrix.shape
        cells, gaps = np.ascontiguousarray(matrix).ravel(), bool(np.isnan(matrix).any())
        ends = np.repeat(self.roots.astype(np.int32), rows)
        for start in range(0, len(ends), WALKED):
            part = ends[start : start + WALKED]
            place = np.flatnonzero(part >= 0)
            node = part[place]
            row = columns * ((start + place) % rows)
            while place.size:
                value = cells.take(row + self.feature.take(node))
                left = value <= self.threshold.take(node)
                if gaps:
                    left |= np.isnan(value) & self.missing_left.take(node)
                node = self._children.take(2 * node + left)
                part[place] = node
                on = np.flatnonzero(node >= 0)
                if len(on) < len(place):
                    place, node, row = place.take(on), node.take(on), row.take(on)
        return ~ends.reshape(len(self.roots), rows)

    def total(self, matrix: np.ndarray) -> np.ndarray:
        """Sums ``[N, C]`` of the values of the leaves over the trees, added one tree after another."""
        sums = np.zeros((len(matrix), self.value.shape[1]))
        for start in range(0, len(matrix), ROWS_AT_ONCE):
            for leaf in self.leaves(matrix[start : start + ROWS_AT_ONCE]):
                sums[start : start + ROWS_AT_ONCE] += self.value[leaf]
        return sums


def damaged() -> StoreError:
    """The error for arrays that are not those of trees."""
    message = "the saved tree is damaged: its arrays do not fit together; export the model again"
    return StoreError(message)
