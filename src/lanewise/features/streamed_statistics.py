"""Statistics of encoded rows, found a batch at a time: those of two batches add up to those of both."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from lanewise.features.encoding import Encoded
from lanewise.features.fold_statistics import LARGEST_USABLE
from lanewise.features.layout import Layout

BLOCK_ROWS = 8_192


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """How many usable cells each of ``D`` columns has, their mean, and their squared deviations from it: ``[D]`` each.

    ``deviation = sqrt(squares / count)``. Source: Chan, Golub and LeVeque (1983), Algorithms for computing the sample
    variance.
    """

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def none(cls, columns: int) -> Self:
        """Those of no row."""
        return cls(count=np.zeros(columns), mean=np.zeros(columns), squares=np.zeros(columns))

    @classmethod
    def of(cls, numbers: np.ndarray) -> Self:
        """Those of rows ``[N, D]``; what is missing or beyond ``LARGEST_USABLE`` is left out.

        >>> found = Moments.of(np.array([[1.0], [3.0], [np.nan]]))
        >>> found.count.item(), found.mean.item(), found.squares.item()
        (2.0, 2.0, 2.0)
        """
        usable = np.abs(numbers) <= LARGEST_USABLE
        count = usable.sum(axis=0).astype(np.float64)
        parts = np.maximum(count, 1.0)
        cells = np.where(usable, numbers, 0.0)
        mean = (cells / parts).sum(axis=0)
        offsets = np.where(usable, numbers - mean, 0.0)
        correction = (offsets / parts).sum(axis=0)
        mean, offsets = mean + correction, np.where(usable, offsets - correction, 0.0)
        with np.errstate(over="ignore"):
            return cls(count=count, mean=mean, squares=np.square(offsets).sum(axis=0))

    def plus(self, other: "Moments") -> "Moments":
        """Those of the rows of both."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        apart = other.mean - self.mean
        with np.errstate(over="ignore"):
            squares = self.squares + other.squares + np.square(apart) * self.count * share
        return Moments(count=count, mean=self.mean + apart * share, squares=squares)

    @property
    def deviation(self) -> np.ndarray:
        """Population standard deviation ``[D]``; 0 of columns without a cell."""
        return np.sqrt(np.divide(self.squares, self.count, out=np.zeros_like(self.squares), where=self.count > 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedStatistics:
    """What rows of a stream tell a preparation.

    ``moments`` are those of the raw numbers (axis ``Dn``), ``present`` says which codes of each category occur (bool
    ``[Kc, C]``), ``holding`` how many rows hold each bucket of the texts (``[H]``).
    """

    rows: int
    moments: Moments
    present: np.ndarray
    holding: np.ndarray

    @classmethod
    def none(cls, layout: Layout) -> Self:
        """Those of no row."""
        widest = max((column.codes for column in layout.categories), default=0)
        return cls(
            rows=0,
            moments=Moments.none(len(layout.numbers)),
            present=np.zeros((len(layout.categories), widest), dtype=bool),
            holding=np.zeros(layout.tokens_width),
        )

    def seeing(self, encoded: Encoded) -> "StreamedStatistics":
        """Those of the rows so far and of the rows of ``encoded``."""
        present = self.present.copy()
        for place in range(len(present)):
            present[place, np.unique(encoded.codes[:, place])] = True
        moments = self.moments
        for start in range(0, encoded.rows, BLOCK_ROWS):  # whose copies take little memory, and fit into a cache
            moments = moments.plus(Moments.of(encoded.numbers[start : start + BLOCK_ROWS]))
        tokens = encoded.tokens
        more = 0.0 if tokens is None else np.bincount(tokens.indices, minlength=len(self.holding))
        return StreamedStatistics(
            rows=self.rows + encoded.rows,
            moments=moments,
            present=present,
            holding=self.holding + more,
        )

    def plus(self, other: "StreamedStatistics") -> "StreamedStatistics":
        """Those of the rows of both."""
        return StreamedStatistics(
            rows=self.rows + other.rows,
            moments=self.moments.plus(other.moments),
            present=self.present | other.present,
            holding=self.holding + other.holding,
        )
