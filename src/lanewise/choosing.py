"""What the evidence of a race decides: the winner, its corrected score, and whether an ensemble takes its place."""

from typing import Any

import numpy as np

from lanewise.composing import Choice, as_scored
from lanewise.data.target_tails import extreme_rows
from lanewise.selection import Contender, compare_ensemble, corrected_score, select
from lanewise.settings import FitSettings
from lanewise.training.planning.amending import original_of
from lanewise.training.planning.plan import Plan
from lanewise.training.problem import Problem
from lanewise.training.race import Result as RaceResult

FEWEST_FOLDS = 3
"""Folds from which the one that the screen looked at is left out where candidates are judged."""


def choose(problem: Problem, plan: Plan, result: RaceResult, settings: FitSettings) -> Choice:
    """The winner by evidence, its corrected score, and whether an ensemble takes its place."""
    rows = judged_rows(problem, plan)
    contenders = tuple(
        Contender(
            id=item.candidate.id,
            prediction=as_scored(problem, item.predictions[rows]),
            cost=plan.costs[original_of(item.candidate.id)],
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    )
    evidence: dict[str, Any] = {
        "y": problem.y[rows],
        "metric": problem.metric,
        "seed": settings.seed,
        "weight": None if problem.weight is None else problem.weight[rows],
        "clusters": None if problem.clusters is None else problem.clusters[rows],
    }
    selection = select(contenders, **evidence)
    rest = problem.training_rows - len(problem.train)
    trained_rows = float(np.mean([len(fold.train) + rest for fold in problem.folds[: plan.folds]]))
    corrected = corrected_score(contenders, trained_rows=trained_rows, **evidence)
    weights = {selection.winner: 1.0}
    ensemble = None
    if settings.ensemble != "never" and len(contenders) > 1:
        units = len(rows) if problem.clusters is None else len(np.unique(problem.clusters[rows]))
        ensemble = compare_ensemble(contenders, **evidence, parts=min(5, units))
        if np.count_nonzero(ensemble.weights) < 2:
            ensemble = None  # the best average is one candidate alone: there is nothing to tell
        elif settings.ensemble == "always" or ensemble.worthwhile:
            weights = {
                contender.id: float(weight)
                for contender, weight in zip(contenders, ensemble.weights, strict=True)
                if weight > 0
            }
    return Choice(
        contenders=contenders, selection=selection, corrected=corrected, ensemble=ensemble, weights=weights, rows=rows
    )


def judged_rows(problem: Problem, plan: Plan) -> np.ndarray:
    """The rows that candidates are chosen and scored on: held out by a fold, not by the one that the screen looked at.

    Who survives a screen did well on its fold by luck too, so the scores there are too good. It counts all the same
    where there was no screen, where only two folds are, or where a class would be missing without it. Single targets
    far out of all scale are luck for whoever is near them, and would decide alone.
    """
    far = extreme_rows(problem.y, problem.task, problem.train)
    every = [fold.valid[~np.isin(fold.valid, far)] for fold in problem.folds[: plan.folds]]
    rows = np.sort(np.concatenate(every))
    if not plan.rungs or len(every) < FEWEST_FOLDS:
        return rows
    unseen = np.sort(np.concatenate(every[1:]))
    if problem.task.is_classification and len(np.unique(problem.y[unseen])) < len(np.unique(problem.y[rows])):
        return rows
    return unseen
