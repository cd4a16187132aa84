"""Everything that a fit has when its model is saved: what the run document is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lanewise.data.dataset import Dataset
from lanewise.deploy.predictor import Predictor
from lanewise.evaluation import Cutoff
from lanewise.explain import Cost, Usage
from lanewise.lanes.candidate import Candidate
from lanewise.runs.run import Run
from lanewise.selection import Contender, EnsembleComparison, Selection
from lanewise.settings.fit import FitSettings
from lanewise.statistics import CorrectedScore
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.race import Result as RaceResult
from lanewise.training.refit import Refitted


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What the evidence of a race decided: the winner, or the ensemble in its place.

    ``weights`` are those of the model's members by candidate id; ``rows`` the rows whose out-of-fold
    predictions decided.
    """

    contenders: tuple[Contender, ...]
    selection: Selection
    corrected: CorrectedScore
    ensemble: EnsembleComparison | None
    weights: Mapping[str, float]
    rows: np.ndarray

    @property
    def is_ensemble(self) -> bool:
        return len(self.weights) > 1


def families_left_out(plan: Plan, settings: FitSettings) -> list[str]:
    """The model families that were asked for and of which the plan has no candidate."""
    raced = {candidate.model for candidate in plan.candidates}
    return [model for model in settings.models if model not in raced]


def families_without_room(plan: Plan, settings: FitSettings) -> list[str]:
    """Those of them that a budget in seconds had no room for; no optimizer trains the others."""
    return [model for model in families_left_out(plan, settings) if model in plan.left_out]


@dataclass(frozen=True, kw_only=True)
class Unrecorded:
    """Stands for the run of a fit that no run store keeps, as those of the scikit-learn estimators."""

    created: str
    command: str
    id: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """Everything that a fit has when its model is saved.

    ``before`` is what the process had used when the fit began, ``race_cost`` what the race used, ``solo_costs`` what
    a lane of each candidate costs alone, ``elsewhere`` what other ranks used for all of it, ``replaced`` what was told
    of worker processes that died.
    """

    run: Run | Unrecorded
    settings: FitSettings
    problem: Problem
    plan: Plan
    result: RaceResult
    choice: Choice
    refitted: Mapping[str, Refitted]
    predictor: Predictor
    cutoff: Cutoff | None
    sha256: str
    seconds: float
    before: Usage | None = None
    race_cost: Cost | None = None
    solo_costs: Mapping[str, float] = field(default_factory=dict)
    elsewhere: tuple[Cost, ...] = ()
    replaced: Sequence[str] = ()

    @property
    def default(self) -> Candidate:
        """The documented candidate that the winner had to beat."""
        return next(candidate for candidate in self.plan.candidates if candidate.is_default)

    def candidate(self, id: str) -> Candidate:
        """The confirmed candidate of that id."""
        return next(item.candidate for item in self.result.confirmed if item.candidate.id == id)

    @property
    def winner(self) -> Candidate:
        """The single candidate that won, whether or not an ensemble took its place."""
        return self.candidate(self.choice.selection.winner)


def as_scored(problem: Problem, predictions: np.ndarray) -> np.ndarray:
    """Predictions in the form of the metrics: ``[N, K]`` for classes, ``[N]`` for numbers."""
    return predictions if problem.task.is_classification else predictions[:, 0]


def respond(stage: Stage, dataset: Dataset) -> np.ndarray:
    """What the final model says of the rows of a dataset, in the form of the metrics."""
    return as_scored(stage.problem, np.concatenate(list(stage.predictor.responses(dataset))))


def model_prediction(stage: Stage) -> np.ndarray:
    """Predictions of the final model for the test rows, in the form of the metrics."""
    parts = [weight * stage.refitted[name].test for name, weight in stage.choice.weights.items()]
    return as_scored(stage.problem, np.sum(parts, axis=0))
