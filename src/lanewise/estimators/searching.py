"""scikit-learn estimators: the race of ``lanewise.fit`` behind ``fit``, ``predict`` and ``predict_proba``.

Unlike ``lanewise.fit`` they take the data as they are given: every column is a feature, no row is held out for a test
(scikit-learn's own tools do that) and no run is recorded.
"""

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from lanewise.composing import Unrecorded, compose
from lanewise.data.dataset import Dataset
from lanewise.deploy.predictor import Predictor
from lanewise.errors import DataError, Interrupted, UsageError
from lanewise.estimators.rows import (
    as_numbers,
    checked_table,
    checked_target,
    checked_weight,
    pose_rows,
    positive_last,
    read_like_training,
    read_rows,
    task_of,
)
from lanewise.estimators.state import packed, unpacked
from lanewise.fitting.agreement import known_names
from lanewise.fitting.stages import Trained, train
from lanewise.fitting.watcher import Silent
from lanewise.reporting.document import finite_or_null
from lanewise.reporting.report import render
from lanewise.runs.stage_times import StageTimes
from lanewise.search.policy import Policy
from lanewise.settings.budget import parse_budget
from lanewise.settings.fit import FitSettings, checked
from lanewise.task import Task
from lanewise.training.problem import Problem
from lanewise.training.stopping import stop_on_signals
from lanewise.training.watching.pulse import Pulse

SHARED = (
    "budget", "models", "optimizers", "losses", "schedules", "widths", "depths", "activations", "scaling", "search",
    "policy", "candidates", "metric", "folds", "seeds", "ensemble", "device", "workers",
)  # fmt: skip
"""Parameters of both estimators that are settings of the same name."""

FAMILIES = ("lightgbm", "mlp", "linear", "forest", "tree")
"""Families that race where none is named."""


class _Estimator(BaseEstimator, ABC):
    """What the classifier and the regressor share: reading, racing, predicting, and being copied."""

    predictor_: Predictor
    document_: Mapping[str, Any]
    n_features_in_: int
    feature_names_in_: np.ndarray

    @property
    def report_(self) -> str:
        """The report as one HTML page."""
        check_is_fitted(self)
        return render(self.document_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.non_deterministic = not _counts_steps(self.get_params(deep=False)["budget"])
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(cast(Any, super().__getstate__()))
        if "predictor_" in state:
            state["predictor_"] = packed(state["predictor_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "predictor_" in state:
            state = {**state, "predictor_": unpacked(state["predictor_"])}
        super().__setstate__(state)

    @abstractmethod
    def _settings(self, target: str, seed: int) -> FitSettings:
        """The parameters as settings of a fit."""

    def _race(self, dataset: Dataset, y: np.ndarray, weight: np.ndarray | None, task: Task, seed: int) -> None:
        """Train on rows that were read and checked; ``y [N]`` holds class indices or numbers."""
        times = StageTimes(time.monotonic())
        settings = self._settings(task.target, seed)
        problem = pose_rows(dataset, y, weight, task, settings)
        given = self.get_params(deep=False)["policy"]
        own = given if isinstance(given, Policy) else None
        watcher = _Lines() if self.get_params(deep=False)["verbose"] else Silent()
        with stop_on_signals() as stop:
            try:
                trained = train(problem, settings, watcher=watcher, stop=stop, times=times, policy=own)
            except Interrupted:
                # A search over parameters takes exceptions for failed fits and goes on: Ctrl-C must end it.
                raise KeyboardInterrupt from None
        self.predictor_ = trained.predictor
        self.document_ = _document(problem, trained, settings, command=repr(self), seconds=times.elapsed())

    def _responses(self, X: Any) -> np.ndarray:
        """Means ``[N, 1]`` or class probabilities ``[N, K]``."""
        check_is_fitted(self)
        dataset = read_like_training(checked_table(self, X, reset=False), self.predictor_.contract)
        return np.concatenate(list(self.predictor_.responses(dataset)))


class LanewiseClassifier(ClassifierMixin, _Estimator):
    """A classifier that races optimizers and models in one stacked run and keeps the best, or an ensemble.

    Args:
        budget: time as ``"30s"`` or ``"10min"``, or steps as ``"2000steps"``, with which a fit is repeatable; one to
            five minutes, by the size of the table, if None.
        models: families to race, of ``lightgbm``, ``mlp``, ``linear``, ``forest`` and ``tree``; all unless stated.
        optimizers: optimizers to race; all that suit a family if empty.
        losses: losses of linear models and networks, that of the default first: ``logistic`` (of three classes and more
            ``softmax``), ``hinge``, ``squared_hinge``; those that suit if empty.
        schedules: schedules of the learning rate, that of the default first, such as ``linear``, ``cosine`` and
            ``constant``; those that suit if empty.
        widths: units of a hidden layer that networks may have, one number or several; usual ones if empty.
        depths: their numbers of hidden layers, likewise.
        activations: their activations, ``relu``, ``silu``, ``gelu`` or ``tanh``; usual ones if empty.
        scaling: how numbers are scaled for linear models and networks: ``auto``, ``standard``, ``robust`` or
            ``quantile``.
        search: how candidates are drawn: ``halving``, ``grid`` or ``random``.
        policy: how losers are dropped: ``halving``, ``hyperband``, ``racing``, ``never``, or a ``Policy`` of yours.
        candidates: candidates per family; as many as the budget allows if None.
        metric: what decides the race; log loss if None.
        folds: folds of cross-validation; 10 for few rows, 3 for many, if None.
        seeds: seeds per confirmed candidate; more for few rows if None.
        ensemble: whether candidates are averaged: ``auto`` (where that helps), ``always`` or ``never``.
        threshold: two classes only: the probability from which the positive one is predicted, or the metric to choose
            it for; the likelier class if None.
        pos_label: two classes only: the positive one, which precision, recall, F1, PR AUC and ``threshold`` are of; the
            second of ``classes_`` if None.
        class_weight: ``balanced``, or the weight of each class.
        device: where networks train: ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is the processor.
        workers: trainings side by side, in processes where that pays; all cores, at most 8, if None.
        random_state: seed of every random number, or a generator to draw it from.
        verbose: whether progress is written to stderr.

    Attributes:
        classes_: labels in the order of the columns of ``predict_proba``.
        n_features_in_: number of columns.
        feature_names_in_: their names, where all are text.
        document_: what the race found, as ``lanewise show --json`` prints it for a run.
        report_: the same as an HTML page.
        predictor_: the model.

    ``X`` is an array, or a table of pandas or polars with numbers, categories, text and dates; cells may be missing.
    Every column is a feature.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LanewiseClassifier(budget="30steps", models="linear", candidates=2, folds=3, seeds=1)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    classes_: np.ndarray

    def __init__(
        self,
        *,
        budget: str | None = "30s",
        models: Any = FAMILIES,
        optimizers: Any = (),
        losses: Any = (),
        schedules: Any = (),
        widths: Any = (),
        depths: Any = (),
        activations: Any = (),
        scaling: str = "auto",
        search: str = "halving",
        policy: str | Policy = "halving",
        candidates: int | None = None,
        metric: str | None = None,
        folds: int | None = None,
        seeds: int | None = None,
        ensemble: str = "auto",
        threshold: float | str | None = None,
        pos_label: Any = None,
        class_weight: Any = None,
        device: str = "auto",
        workers: int | None = None,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.budget = budget
        self.models = models
        self.optimizers = optimizers
        self.losses = losses
        self.schedules = schedules
        self.widths = widths
        self.depths = depths
        self.activations = activations
        self.scaling = scaling
        self.search = search
        self.policy = policy
        self.candidates = candidates
        self.metric = metric
        self.folds = folds
        self.seeds = seeds
        self.ensemble = ensemble
        self.threshold = threshold
        self.pos_label = pos_label
        self.class_weight = class_weight
        self.device = device
        self.workers = workers
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Race on rows ``X [N, D]`` with labels ``y [N]`` and weights ``sample_weight [N]`` that are not negative.

        Rows of weight 0 are left out. Raises ``ValueError`` (``DataError``) for unusable rows, ``TrainingError``
        where no candidate could be trained.
        """
        X = checked_table(self, X, y, reset=True)
        y = checked_target(X, y)
        check_classification_targets(y)
        used, weight = checked_weight(sample_weight, X)
        dataset = read_rows(X, used)
        self.classes_, codes = np.unique(y[used], return_inverse=True)
        if len(self.classes_) < 2:
            message = f"y has 1 class, {self.classes_.tolist()[0]!r}; a classifier needs at least 2 classes"
            raise DataError(message)
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y[used])
            weight = by_class if weight is None else weight * by_class
        kind = "binary" if len(self.classes_) == 2 else "multiclass"
        labels, codes = positive_last(self.classes_.tolist(), codes.astype(np.int64), self.pos_label)
        task = task_of(dataset, kind, self.metric, classes=labels)
        self._race(dataset, codes, weight, task, _seed(self.random_state))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Labels ``[N]``: the likelier class, or by ``threshold`` where there are two."""
        probabilities = self.predict_proba(X)
        if self.threshold is None or len(self.classes_) != 2:
            return self.classes_[probabilities.argmax(axis=1)]
        positive = 0 if self._turned() else 1
        above = probabilities[:, positive] >= self.predictor_.threshold
        return self.classes_[np.where(above, positive, 1 - positive)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``[N, K]`` of the classes, in the order of ``classes_``."""
        responses = self._responses(X)
        return responses[:, ::-1].copy() if self._turned() else responses

    def _turned(self) -> bool:
        """Whether the model was trained with the first of two ``classes_`` as the positive one, its last."""
        return self.predictor_.task.classes[0] != str(self.classes_.tolist()[0])

    def _settings(self, target: str, seed: int) -> FitSettings:
        # A number is stated for two classes, so that none is sought: `predict` then takes the likelier class.
        usual = 0.5 if len(self.classes_) == 2 else None
        return _settings(self, target, seed, threshold=usual if self.threshold is None else self.threshold)


class LanewiseRegressor(RegressorMixin, _Estimator):
    """A regressor that races optimizers and models in one stacked run and keeps the best, or an ensemble.

    ``task`` is ``"regression"``, or ``"count"`` for whole numbers from zero up (Poisson loss; RMSE or Poisson deviance
    decides). ``losses`` may be ``squared`` and ``huber``, of counts ``poisson``. The other parameters and attributes
    are those of :class:`LanewiseClassifier`, classes apart.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LanewiseRegressor(budget="30steps", models="linear", candidates=2, folds=3, seeds=1)
    >>> bool(model.fit(X, y).score(X, y) > 0.4)
    True
    """

    def __init__(
        self,
        *,
        task: str = "regression",
        budget: str | None = "30s",
        models: Any = FAMILIES,
        optimizers: Any = (),
        losses: Any = (),
        schedules: Any = (),
        widths: Any = (),
        depths: Any = (),
        activations: Any = (),
        scaling: str = "auto",
        search: str = "halving",
        policy: str | Policy = "halving",
        candidates: int | None = None,
        metric: str | None = None,
        folds: int | None = None,
        seeds: int | None = None,
        ensemble: str = "auto",
        device: str = "auto",
        workers: int | None = None,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.task = task
        self.budget = budget
        self.models = models
        self.optimizers = optimizers
        self.losses = losses
        self.schedules = schedules
        self.widths = widths
        self.depths = depths
        self.activations = activations
        self.scaling = scaling
        self.search = search
        self.policy = policy
        self.candidates = candidates
        self.metric = metric
        self.folds = folds
        self.seeds = seeds
        self.ensemble = ensemble
        self.device = device
        self.workers = workers
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Race on rows ``X [N, D]`` with numbers ``y [N]`` and weights ``sample_weight [N]`` that are not negative.

        Rows of weight 0 are left out. Raises ``ValueError`` (``DataError``) for unusable rows, ``TrainingError``
        where no candidate could be trained.
        """
        X = checked_table(self, X, y, reset=True)
        y = as_numbers(checked_target(X, y))
        if self.task not in ("regression", "count"):
            message = f"task must be 'regression' or 'count', got {self.task!r}"
            raise UsageError(message)
        if self.task == "count" and np.any((y < 0) | (y != np.floor(y))):
            message = "y holds numbers below zero or with fractions, and counts are whole; use task='regression'"
            raise DataError(message)
        used, weight = checked_weight(sample_weight, X)
        dataset = read_rows(X, used)
        task = task_of(dataset, self.task, self.metric)
        self._race(dataset, y[used], weight, task, _seed(self.random_state))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Means ``[N]``."""
        return self._responses(X)[:, 0]

    def _settings(self, target: str, seed: int) -> FitSettings:
        return _settings(self, target, seed)


def _counts_steps(budget: object) -> bool:
    """Whether a budget, which may be anything before it is checked, is one of steps."""
    try:
        return isinstance(budget, str) and parse_budget(budget)[1] is not None
    except UsageError:
        return False


def _settings(estimator: BaseEstimator, target: str, seed: int, **more: Any) -> FitSettings:
    """The parameters of an estimator as settings; ``ConfigError`` names all that are off."""
    given = estimator.get_params(deep=False)
    stated = [name for name in SHARED if not isinstance(given[name], Policy)]
    values = {"target": target, "seed": seed, **{name: given[name] for name in stated}, **more}
    return checked(values, known=known_names(values))


def _seed(random_state: Any) -> int:
    """A whole number is the seed itself, so that it means what ``seed`` means to ``lanewise.fit``."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def _document(
    problem: Problem, trained: Trained, settings: FitSettings, *, command: str, seconds: float
) -> dict[str, Any]:
    run = Unrecorded(created=datetime.now(UTC).isoformat(timespec="milliseconds"), command=command)
    return finite_or_null(compose(trained.stage(run, problem, settings, sha256="", seconds=seconds)))


class _Lines:
    """Progress as plain lines on stderr, one per phase and tenth of it."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def announce(self, text: str) -> None:
        print(text, file=sys.stderr)

    def pulse(self, pulse: Pulse) -> None:
        at = (pulse.phase, int(10 * pulse.done))
        if at != self._last:
            self._last = at
            lead = f": {pulse.leader} {pulse.score:.4g}" if math.isfinite(pulse.score) else ""  # a refit has no score
            print(f"{pulse.phase} {pulse.done:.0%}{lead}", file=sys.stderr)
