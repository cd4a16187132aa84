"""Predictions of rows with one column shuffled, as the importance of columns wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lanewise.data.dataset import Dataset
from lanewise.deploy.predictor import Predictor
from lanewise.features.encoding import Encoded
from lanewise.features.reordering import reordered
from lanewise.training.fitted import Features, tokens_of

MOST_BYTES = 512 * 2**20
"""Prepared rows that are kept at most; where they are more, they are prepared anew for every column."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReorderedRows:
    """The rows of a dataset, prepared once, to be predicted with the cells of one column in other orders."""

    predictor: Predictor
    dataset: Dataset

    def responses(self, column: str, orders: Sequence[np.ndarray]) -> np.ndarray:
        """What the predictor says of the rows once per order ``[n]`` of ``column``: ``[len(orders) * n, K]``.

        The bits are those of `Predictor.responses` for the tables so shuffled, one below the other.
        """
        rows = np.tile(np.arange(self.dataset.rows), len(orders))
        order, size = np.concatenate(orders), self.predictor.block_rows
        found = []
        for start in range(0, max(len(rows), 1), size):
            block = slice(start, start + size)
            found.append(self.predictor.respond_to(self._features(column, rows[block], order[block])))
        return np.concatenate(found)

    def _features(self, column: str, rows: np.ndarray, order: np.ndarray) -> Features:
        """The prepared ``rows``, with what ``column`` says from the rows ``order``: each depends on its own cells."""
        layout, grown = self.predictor.layout, any(one.fitted.trees is not None for one in self.predictor.members)
        if self._prepared is None:
            return self.predictor.features(reordered(layout, self._encoded, column, rows, order))
        dense, codes = self._places
        ready = replace(
            self._prepared,
            dense=_mixed(self._prepared.dense, rows, order, dense.get(column)),
            codes=_mixed(self._prepared.codes, rows, order, codes.get(column)),
        )
        if not grown:  # only trees read the cells as they were encoded
            return ready
        mixed = reordered(layout, self._encoded, column, rows, order)
        return replace(ready, encoded=mixed, tokens=tokens_of(mixed, layout))

    @cached_property
    def _encoded(self) -> Encoded:
        return self.predictor.layout.encode(self.predictor.contract.conform(self.dataset))

    @cached_property
    def _prepared(self) -> Features | None:
        if self.dataset.rows * self.predictor.layout.dense_width * 8 > MOST_BYTES:
            return None
        return self.predictor.features(self._encoded)

    @cached_property
    def _places(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Where the dense features of every column lie, and its embedded codes."""
        layout = self.predictor.layout
        return _places(layout.feature_columns), _places(layout.embedded_names)


def _places(names: Sequence[str]) -> dict[str, Tensor]:
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return {name: torch.tensor(places) for name, places in found.items()}


def _mixed(prepared: Tensor, rows: np.ndarray, order: np.ndarray, places: Tensor | None) -> Tensor:
    """``prepared [N, D]`` at ``rows``, but at the ``places`` among the features at the rows ``order``."""
    mixed = prepared[torch.from_numpy(rows)]
    if places is not None and mixed.shape[1]:
        mixed[:, places] = prepared[torch.from_numpy(order)[:, None], places]
    return mixed
