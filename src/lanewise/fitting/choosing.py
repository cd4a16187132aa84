"""What the evidence of a race decides: the winner, its corrected score, and whether an ensemble takes its place."""

from typing import Any

import numpy as np

from lanewise.composing import Choice, as_scored
from lanewise.data.target_tails import extreme_rows
from lanewise.selection import Contender, compare_ensemble, corrected_score, select
from lanewise.settings.fit import FitSettings
from lanewise.statistics import keyed_generator
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.usual_cost import usual_cost
from lanewise.training.problem import Problem
from lanewise.training.race import Result as RaceResult

MOST_DRAWN = 10_000
"""Rows above which they are drawn in groups: to choose on 36,000 rows takes a third of the time then."""

FEWEST_FOLDS = 3
"""Folds from which the one that the screen looked at is left out where candidates are judged."""


def choose(problem: Problem, plan: Plan, result: RaceResult, settings: FitSettings) -> Choice:
    """The winner by evidence, its corrected score, and whether an ensemble takes its place."""
    rows = judged_rows(problem, plan)
    contenders = tuple(
        Contender(
            id=item.candidate.id,
            prediction=as_scored(problem, item.predictions[rows]),
            cost=usual_cost(item.candidate),  # what was measured is not the same twice
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    )
    evidence: dict[str, Any] = {
        "y": problem.y[rows],
        "metric": problem.metric,
        "seed": settings.seed,
        "weight": problem.weights_of(rows),
        "clusters": drawn_together(problem, rows, seed=settings.seed),
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


def drawn_together(problem: Problem, rows: np.ndarray, *, seed: int) -> np.ndarray | None:
    """Labels of the ``rows`` that the draws of a bootstrap take together, or None: each is drawn by itself.

    Clusters are; of more rows than 10,000 so many groups at random. A standard error has the same expectation then, and
    1,000 draws make it vary by 2%, whatever the number of groups.
    """
    if problem.clusters is not None:
        return problem.clusters[rows]
    if len(rows) <= MOST_DRAWN:
        return None
    return keyed_generator(seed, "drawn together").permutation(len(rows)) % MOST_DRAWN


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
