"""Feature selection as a setting of a candidate: which columns its lanes read, decided on their own training rows.

A candidate names a way to rank the columns (``features``) and the share of them that it keeps (``feature_share``). The
ranking is taken per fold, on the training rows of that fold alone, and once for all candidates that ask for it.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol, final

import numpy as np
import torch

from lanewise.errors import UsageError
from lanewise.features.layout import Layout
from lanewise.features.selection import FeatureMask, SlowRanking, l1_path_mask, mask_columns, permutation_mask
from lanewise.lanes.candidate import Candidate
from lanewise.task import Task
from lanewise.training.data import Kept, TrainingData

ALL = "all"
FEATURES, SHARE = "features", "feature_share"


class Ranking(Protocol):
    """A way to rank the columns of a table: see :mod:`lanewise.features.selection`."""

    def __call__(
        self,
        layout: Layout,
        dense: np.ndarray,
        codes: np.ndarray,
        target: np.ndarray,
        rows: np.ndarray,
        *,
        task: Task,
        keep_fraction: float,
        seed: int,
        most_seconds: float,
    ) -> FeatureMask: ...


WORTH = 0.03
"""Share of a race's time per fold that one ranking of the columns may take; a slower one is not offered."""

LEAST_SECONDS = 0.02
"""What the quickest ranking takes, about: where less may be spent none is tried."""

DOUBTFUL = 2.0
"""What a tenth of the rows makes expect is believed without trying when it exceeds what may be spent by this factor."""

PROBED_ROWS = 2000
"""Rows from which a ranking is tried on a tenth of them first."""

RANKINGS: Mapping[str, Ranking] = MappingProxyType({"l1-path": l1_path_mask, "permutation": permutation_mask})
"""What ``features`` may say beside "all"."""


def load_rankings() -> None:
    """Import what columns are ranked with: the first time it takes seconds, which no ranking costs."""
    import lightgbm
    import sklearn.linear_model

    del lightgbm, sklearn


def selects(candidate: Candidate) -> bool:
    """Whether a candidate leaves columns out."""
    return candidate.text(FEATURES, ALL) != ALL


def share_read(candidate: Candidate) -> float:
    """The share of the columns that a candidate reads."""
    return candidate.number(SHARE, 1.0) if selects(candidate) else 1.0


def reads_all(candidate: Candidate) -> Candidate:
    """The candidate as it is where it leaves no column out."""
    settings = {name: value for name, value in candidate.settings.items() if name not in (FEATURES, SHARE)}
    return replace(candidate, settings=settings)


def columns_read(candidate: Candidate, columns: int) -> int:
    """How many of ``columns`` a candidate reads, at least one.

    >>> one = Candidate(id="a", model="tree", optimizer="", settings={"features": "l1-path", "feature_share": 0.25})
    >>> columns_read(one, 10)
    3
    """
    return max(1, math.ceil(share_read(candidate) * columns))


@final
@dataclass(kw_only=True, eq=False)
class Selections:
    """The columns that the candidates of a race read, per fold, each ranking made when it is first asked for.

    A ranking depends on the rows of ``data`` that the fold trains on and on ``seed``, and on nothing else. ``seconds``
    holds what each one took, by fold and way.
    """

    data: TrainingData
    layout: Layout
    seed: int
    seconds: dict[tuple[int, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ranked: dict[tuple[int, str], tuple[str, ...]] = {}

    def ranked(self, fold: int, way: str, *, most_seconds: float = math.inf) -> tuple[str, ...]:
        """All columns, the most important first.

        Raises ``UsageError`` for a way that there is not, ``SlowRanking`` where it would take over ``most_seconds``.
        """
        if way not in RANKINGS:
            message = f"features must be {ALL}, {' or '.join(RANKINGS)}, got {way!r}"
            raise UsageError(message)
        if (fold, way) not in self._ranked:
            started = time.perf_counter()
            self._ranked[fold, way] = self._rank(fold, way, self.data.folds[fold].train.numpy(), most_seconds)
            self.seconds[fold, way] = time.perf_counter() - started
        return self._ranked[fold, way]

    def too_slow(self, fold: int, way: str, most_seconds: float) -> bool:
        """Whether :meth:`ranked` takes over ``most_seconds``; hardly more than those are spent on finding out.

        Of many rows every tenth is tried first.
        """
        load_rankings()
        rows = self.data.folds[fold].train.numpy()
        try:
            if (fold, way) not in self._ranked and len(rows) >= PROBED_ROWS:
                self._rank(fold, way, rows[::10], DOUBTFUL * most_seconds / 10)
            self.ranked(fold, way, most_seconds=most_seconds)
        except SlowRanking:
            return True
        return self.seconds[fold, way] > most_seconds

    def _rank(self, fold: int, way: str, rows: np.ndarray, most_seconds: float) -> tuple[str, ...]:
        part = self.data.folds[fold]
        found = RANKINGS[way](
            self.layout,
            part.dense.float().numpy(),
            part.codes.numpy(),
            part.target.numpy(),
            rows,
            task=self.data.task,
            keep_fraction=1.0,
            seed=self.seed,
            most_seconds=most_seconds,
        )
        return found.columns

    def kept(self, candidate: Candidate, fold: int) -> Kept | None:
        """The columns that the lanes of a candidate read in a fold; None: all."""
        if not selects(candidate):
            return None
        columns = self.ranked(fold, candidate.text(FEATURES))[: columns_read(candidate, len(self.layout.columns))]
        dense, codes = mask_columns(self.layout, columns)
        chosen = set(columns)
        numbers = [number.column in chosen for number in self.layout.numbers]
        buckets = [(column.name in chosen, column.buckets) for column in self.layout.texts]
        return Kept(
            columns=columns,
            dense=torch.from_numpy(dense).to(self.data.folds[fold].dense.dtype),
            codes=torch.from_numpy(codes).to(torch.int64),
            numbers=np.array(numbers, dtype=np.uint8),
            categories=np.array([name in chosen for name in self.layout.category_names], dtype=np.uint8),
            tokens=np.repeat(
                np.array([read for read, _ in buckets], dtype=np.uint8),
                np.array([width for _, width in buckets], dtype=np.int64),
            ),
        )

    def narrowed(self, candidate: Candidate, folds: frozenset[int]) -> TrainingData:
        """The data as the lanes of a candidate read it in ``folds``."""
        if not selects(candidate):
            return self.data
        narrow = {
            fold: replace(part, kept=self.kept(candidate, fold)) if fold in folds else part
            for fold, part in self.data.folds.items()
        }
        return replace(self.data, folds=narrow)


def affordable(
    pools: Mapping[str, list[Candidate]], selections: Selections | None, available: float
) -> tuple[dict[str, list[Candidate]], dict[str, float]]:
    """The candidates whose ranking of the columns is quick enough, and the seconds that each ranking takes on a fold.

    ``available`` are processor seconds per fold. Ways are measured on the first fold, which keeps what it found.
    """
    ways = dict.fromkeys(one.text(FEATURES) for pool in pools.values() for one in pool if selects(one))
    seconds: dict[str, float] = {}
    most = WORTH * available
    for way in ways if most >= LEAST_SECONDS else ():
        assert selections is not None, "candidates that select columns need selections"
        if not selections.too_slow(0, way, most):
            seconds[way] = selections.seconds[0, way]
    left = {
        model: [one for one in pool if not selects(one) or one.text(FEATURES) in seconds]
        for model, pool in pools.items()
    }
    return left, seconds
