"""Predictions of rows with one column shuffled, as the importance of columns wants them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lanewise.data.dataset import Dataset
from lanewise.deploy.predictor import Predictor
from lanewise.features.encoding import Encoded
from lanewise.features.reordering import reordered


@dataclass(frozen=True, kw_only=True, eq=False)
class ReorderedRows:
    """The rows of a dataset, encoded once, to be predicted with the cells of one column in other orders."""

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
            mixed = reordered(self.predictor.layout, self._encoded, column, rows[block], order[block])
            found.append(self.predictor.respond(mixed))
        return np.concatenate(found)

    @cached_property
    def _encoded(self) -> Encoded:
        return self.predictor.layout.encode(self.predictor.contract.conform(self.dataset))
