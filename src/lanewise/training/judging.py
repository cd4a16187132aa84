"""What the looks at lanes have shown: scores of single lanes, and out-of-fold predictions of whole candidates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import final

import numpy as np

from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.training.calibration import MARGIN_LOSSES, Calibration, cross_calibrated, fit_calibration
from lanewise.training.data import TrainingData
from lanewise.training.team import Evidence

PARTS = 5
"""Parts of the rows of a single fold, of which each is judged where the candidate was best on the other four."""

FEWEST_PARTED = 2 * PARTS
"""Rows of a single fold below which none can choose for each other."""

Groups = Mapping[tuple[int, int], Sequence[Evidence]]
"""The looks at the lanes of one candidate, in order, by fold and seed."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A candidate that ran its full length on all folds and seeds.

    ``predictions [N, K]`` are out of fold, averaged over seeds, or ``[N, K, S]`` where these are apart, each fold
    stopped at the fraction that was best on the *other* folds; NaN for rows that no fold held out. Rows of a single
    fold are judged at the full length, or with early stopping each part of them where it was best on the other parts;
    by a metric of all rows together all of them at ``stop``.
    ``stop`` is the fraction that was best over all of them: where a refit stops. ``calibration``, of a support vector
    machine only, is what makes probabilities of the margins of its refit; it was fitted on all out-of-fold margins at
    ``stop``.
    ``curve`` and ``train_curve`` are mean scores over the folds at each look, on validation rows and on training rows.
    ``judged`` are the scores at each look of predictions averaged over seeds, on all rows together that judge; empty
    where none do.
    """

    candidate: Candidate
    predictions: np.ndarray
    stop: float
    curve: tuple[float, ...]
    seconds: float
    calibration: Calibration | None = None
    train_curve: tuple[float, ...] = ()
    judged: tuple[float, ...] = ()


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Scores evidence by ``metric``, against ``y [N]`` in its own units, rows weighted by ``weight [N]`` or None.

    ``clusters [N]`` label rows that belong together, or None. Trainings of a candidate with several seeds are ``apart``
    where the mean of their scores counts, not the score of their mean. With ``early`` the candidates of a race with a
    single fold are judged where they were best, not at their full length.
    """

    metric: Metric
    y: np.ndarray
    weight: np.ndarray | None
    data: TrainingData
    clusters: np.ndarray | None = None
    apart: bool = False
    early: bool = False

    def score(self, item: Evidence) -> float:
        """The score of one lane on its fold's validation rows, in the units of the metric.

        The margins of a support vector machine become probabilities first: each half of the rows by the other.
        """
        return self.metric.sign * self.loss(item)

    def loss(self, item: Evidence) -> float:
        """The same, oriented so that smaller is better."""
        return self._loss(self._valid(item), self._held(item.lane.fold))

    def unit_losses(self, item: Evidence) -> np.ndarray | None:
        """The loss of every unit of the fold's validation rows, weights included; None where rows have none.

        A unit is a row, or the rows of one of the ``clusters``; the mean over units orders lanes as :meth:`loss` does.
        """
        pointwise = self.metric.pointwise
        if pointwise is None:
            return None
        rows = self._held(item.lane.fold)
        predicted = self._form(self._valid(item))
        if not np.isfinite(predicted).all():
            predicted = np.full_like(predicted, np.nan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            losses = self.metric.sign * pointwise(self.y[rows], predicted)
        weight = self._weight(rows)
        if weight is not None:
            losses = losses * weight / weight.mean()
        if self.clusters is None:
            return losses
        units, place = np.unique(self.clusters[rows], return_inverse=True)
        return np.bincount(place, weights=losses) * len(units) / len(rows)

    def all_losses(self, items: Sequence[Evidence]) -> np.ndarray | None:
        """The :meth:`unit_losses` ``[M, N]`` of lanes of one fold; None where rows have none."""
        found = [self.unit_losses(item) for item in items]
        known = [losses for losses in found if losses is not None]
        return np.stack(known) if len(known) == len(found) else None

    def _valid(self, item: Evidence) -> np.ndarray:
        """Predictions of one lane for its validation rows, margins made probabilities."""
        if not self._margins(item.lane.candidate):
            return item.valid
        rows = self._held(item.lane.fold)
        return cross_calibrated(item.valid, self.y[rows], self._weight(rows))

    def train_score(self, item: Evidence) -> float:
        """The score of one lane on the sample of its training rows, in the units of the metric; NaN where unknown."""
        if item.train is None:
            return float("nan")
        part = self.data.folds[item.lane.fold]
        rows, train = part.train.cpu().numpy()[part.shown], item.train
        if self._margins(item.lane.candidate):
            held = self._held(item.lane.fold)
            train = fit_calibration(item.valid, self.y[held], self._weight(held)).apply(train)
        return self.metric.sign * self._loss(train, rows)

    def confirmed(
        self,
        candidate: Candidate,
        groups: Groups,
        grid: Sequence[float],
        *,
        seconds: float,
        judging: np.ndarray | None = None,
    ) -> Confirmed | None:
        """What a complete confirmation has shown; None if what it would be judged by is not finite, or its square.

        ``judging`` are the numbers of the rows that candidates are chosen by, if that is known.
        """
        folds, looks = sorted({fold for fold, _ in groups}), range(len(grid))
        means, calibrations = self._means(candidate, groups, folds, looks)
        scores = np.array([[self._joint_loss(valid, self._held(fold)) for valid in means[fold]] for fold in folds])
        predictions = np.full((len(self.y), *means[folds[0]][0].shape[1:]), np.nan)
        overall = scores.mean(0)
        stop = best_look(overall)
        for place, fold in enumerate(folds):
            others = [other for other in range(len(folds)) if other != place]
            if others:
                found = means[fold][best_look(scores[others].mean(0))]
            elif not self.early:
                found = means[fold][-1]
            elif self.metric.pointwise is None:  # ranks among those of several looks would mean nothing
                found = means[fold][stop]
            else:
                found = self._each_part(means[fold], self._held(fold))
            if not _usable(found):
                return None
            predictions[self._held(fold)] = found
        return Confirmed(
            candidate=candidate,
            predictions=predictions,
            stop=grid[stop],
            curve=tuple(float(value) * self.metric.sign for value in overall),
            seconds=seconds,
            calibration=calibrations[stop] if calibrations else None,
            train_curve=tuple(fmean(items[look].train_score for items in groups.values()) for look in looks),
            judged=() if judging is None else tuple(self._together(means, look, judging) for look in looks),
        )

    def _each_part(self, looks: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Predictions ``[n, K]`` of ``rows``, each part of them as at the one of the ``looks`` best on the other parts.

        So no row chooses the look that it is judged at. The parts are the same for all candidates.
        """
        part = np.random.default_rng(0).permutation(len(rows)) % PARTS
        found = looks[-1].copy()
        for own in range(PARTS):
            judged, chooses = part == own, part != own
            scores = np.array([self._joint_loss(valid[chooses], rows[chooses]) for valid in looks])
            found[judged] = looks[best_look(scores)][judged]
        return found

    def _together(self, means: Mapping[int, Sequence[np.ndarray]], look: int, rows: np.ndarray) -> float:
        """The score at a look of predictions ``[fold][look] -> [n, K]`` on ``rows`` of several folds together."""
        whole = np.full((len(self.y), next(iter(means.values()))[look].shape[1]), np.nan)
        for fold, predicted in means.items():
            whole[self._held(fold)] = predicted[look]
        return self.metric.sign * self._loss(whole[rows], rows)

    def _means(
        self, candidate: Candidate, groups: Groups, folds: Sequence[int], looks: Sequence[int]
    ) -> tuple[dict[int, list[np.ndarray]], list[Calibration]]:
        """Predictions ``[fold][look] -> [n, K]``, averaged over seeds, and what calibrates them on all folds."""
        own = {fold: [key for key in groups if key[0] == fold] for fold in folds}
        if not self._margins(candidate):
            plain = {
                fold: [self._joint([groups[key][look].valid for key in own[fold]]) for look in looks] for fold in folds
            }
            return plain, []
        means: dict[int, list[np.ndarray]] = {fold: [] for fold in folds}
        calibrations = []
        for look in looks:
            for fold in folds:
                others = [key for key in groups if key[0] != fold] or own[fold]
                fitted = self._fitted(groups, others, look)
                means[fold].append(np.mean([fitted.apply(groups[key][look].valid) for key in own[fold]], axis=0))
            calibrations.append(self._fitted(groups, list(groups), look))
        return means, calibrations

    def _fitted(self, groups: Groups, keys: Sequence[tuple[int, int]], look: int) -> Calibration:
        rows = np.concatenate([self._held(fold) for fold, _ in keys])
        return fit_calibration(
            np.concatenate([groups[key][look].valid for key in keys]), self.y[rows], self._weight(rows)
        )

    def _margins(self, candidate: Candidate) -> bool:
        return self.data.task.is_classification and candidate.text("loss") in MARGIN_LOSSES

    def _held(self, fold: int) -> np.ndarray:
        return self.data.folds[fold].valid.cpu().numpy()

    def _weight(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.weight is None else self.weight[rows]

    def _loss(self, valid: np.ndarray, rows: np.ndarray) -> float:
        return self.metric.sign * self.metric.score(self.y[rows], self._form(valid), self._weight(rows))

    def _joint(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """Those of several seeds together: their mean, or apart ``[n, K, S]``.

        A single one is as it is, for a thousand candidates have ten thousand looks.
        """
        if len(predictions) == 1:
            return predictions[0]
        return np.stack(predictions, axis=-1) if self.apart else np.mean(predictions, axis=0)

    def _joint_loss(self, valid: np.ndarray, rows: np.ndarray) -> float:
        """The loss of what :meth:`_joint` gives."""
        if valid.ndim < 3:
            return self._loss(valid, rows)
        return fmean(self._loss(one, rows) for one in np.moveaxis(valid, -1, 0))

    def _form(self, valid: np.ndarray) -> np.ndarray:
        """Predictions in the form that metrics read: probabilities ``[n, K]``, or means ``[n]``."""
        return valid if self.data.task.is_classification else valid[:, 0]


def looks_by_candidate(items: Iterable[Evidence]) -> dict[str, dict[tuple[int, int], list[Evidence]]]:
    """Looks in their order, by the id of the candidate, then by fold and seed."""
    found: dict[str, dict[tuple[int, int], list[Evidence]]] = {}
    for item in items:
        found.setdefault(item.lane.candidate.id, {}).setdefault(item.lane.group, []).append(item)
    return found


def as_read(predictions: np.ndarray) -> np.ndarray:
    """Predictions as metrics read them: means ``[n, 1]`` as ``[n]``, others as they are."""
    return predictions[:, 0] if predictions.shape[1:] == (1,) else predictions


def _usable(predictions: np.ndarray) -> bool:
    """Whether all are finite, and their squares: nobody knows how uncertain a score is whose variance overflows."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.square(predictions)).all())


def best_look(scores: np.ndarray) -> int:
    """The last look unless an earlier one is better: a full training is the simpler story."""
    best = int(np.nanargmin(scores)) if not np.isnan(scores).all() else len(scores) - 1
    return best if scores[best] < scores[-1] or np.isnan(scores[-1]) else len(scores) - 1
