"""Confirmed candidates in pairs: by how much one is better on the same out-of-fold rows, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanewise.metrics import Metric
from lanewise.statistics import affordable_draws, bootstrap_counts, paired_errors, resampled_scores, sample_of
from lanewise.training.judging import Confirmed, as_read

DRAWS = 1000
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """How far one candidate is ahead of another, positive where better; ``error`` is None where it is unknown."""

    ahead: float
    error: float | None

    @property
    def in_errors(self) -> float | None:
        """The lead in standard errors; None where there is no error to count in."""
        return self.ahead / self.error if self.error else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Compares confirmed candidates on the ``rows [n]`` that some fold held out.

    ``y``, ``weight`` and ``clusters`` (or None) belong to these rows.
    """

    rows: NDArray[np.intp]
    y: NDArray
    weight: NDArray | None
    clusters: NDArray | None
    metric: Metric
    seed: int

    def loss(self, item: Confirmed) -> float:
        """The score oriented so that smaller is better; NaN where a prediction is missing or not finite."""
        weight = np.ones(len(self.y)) if self.weight is None else self.weight
        return self.metric.sign * float(self.metric.scores(self.y, self._predictions(item), weight[None])[0])

    def leads(self, chosen: Confirmed, others: Sequence[Confirmed]) -> dict[str, Lead]:
        """How far ``chosen`` is ahead of each of ``others``, by id; pairs without both scores are left out.

        The error is the spread of the difference over bootstrap draws of the rows, the same draws as those
        of ``lanewise.selection.select`` for the same rows and seed.
        """
        members = [chosen, *others]
        stack = np.stack([self._predictions(item) for item in members])
        sample = sample_of(self.y, stack, self.weight, self.clusters, seed=self.seed)
        units = sample.units.count
        losses = self.metric.sign * resampled_scores(self.metric, sample, np.ones((1, units)))[0]
        errors = np.full(len(members), np.nan)
        if units > 1:
            counts = bootstrap_counts(units, affordable_draws(self.metric, sample, DRAWS), seed=self.seed)
            errors = paired_errors(resampled_scores(self.metric, sample, counts))[0]
        return {
            item.candidate.id: Lead(ahead=float(losses[m] - losses[0]), error=_known(errors[m]))
            for m, item in enumerate(members)
            if m and np.isfinite(losses[m] - losses[0])
        }

    def _predictions(self, item: Confirmed) -> Array:
        return as_read(item.predictions)[self.rows]


def judge_of(
    confirmed: Sequence[Confirmed],
    *,
    y: ArrayLike,
    metric: Metric,
    seed: int,
    weight: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Judge:
    """The judge of these candidates; ``y``, ``weight`` and ``clusters`` are ``[N]``, as long as their predictions.

    Rows that no candidate predicts are left out: with folds in order of time, no fold holds out the earliest.
    """
    known = [np.isfinite(item.predictions).all(axis=tuple(range(1, item.predictions.ndim))) for item in confirmed]
    rows = np.flatnonzero(np.any(known, axis=0)) if known else np.zeros(0, dtype=np.intp)
    return Judge(
        rows=rows,
        y=np.asarray(y)[rows],
        weight=None if weight is None else np.asarray(weight)[rows],
        clusters=None if clusters is None else np.asarray(clusters)[rows],
        metric=metric,
        seed=seed,
    )


def _known(error: float) -> float | None:
    return float(error) if np.isfinite(error) else None
