"""The predictor of a race: the models that were chosen, with the threshold or widths that out-of-fold rows tell."""

from collections.abc import Mapping

import numpy as np

from lanewise.composing import Choice, cutoff_of
from lanewise.deploy.predictor import Interval, Member, Predictor, with_floor
from lanewise.evaluation import Cutoff, interval_half_width, local_half_widths
from lanewise.features.preparation import Preparation
from lanewise.settings.fit import FitSettings
from lanewise.training.problem import Problem
from lanewise.training.refit import Refitted

LEVEL = 0.9
"""Share of new rows that a prediction interval is to hold."""


def assembled(
    problem: Problem, preparation: Preparation, choice: Choice, refitted: Mapping[str, Refitted], settings: FitSettings
) -> tuple[Predictor, Cutoff | None]:
    """What predicts by ``choice``, and how its decision threshold came about where there are two classes."""
    members = tuple(
        Member(fitted=fitted, weight=weight / len(refitted[name].members))
        for name, weight in choice.weights.items()
        for fitted in refitted[name].members
    )
    out_of_fold = _mixed(choice)
    cutoff, interval = None, None
    if problem.task.kind == "binary":
        cutoff = cutoff_of(problem, choice.rows, out_of_fold, settings)
    elif not problem.task.is_classification:
        interval = _interval(problem, choice.rows, out_of_fold)
    predictor = Predictor(
        task=problem.task,
        contract=problem.contract,
        preparation=preparation,
        members=members,
        threshold=cutoff.value if cutoff else 0.5,
        interval=interval,
    )
    return predictor, cutoff


def _mixed(choice: Choice) -> np.ndarray:
    """Out-of-fold predictions of the chosen model, in the form of the metrics."""
    by_id = {contender.id: contender.prediction for contender in choice.contenders}
    return np.sum([weight * by_id[name] for name, weight in choice.weights.items()], axis=0)


def _interval(problem: Problem, rows: np.ndarray, out_of_fold: np.ndarray) -> Interval | None:
    """One width, or where that is found wrong one that follows the prediction; None where the rows are too few."""
    y = problem.y[rows]
    half = interval_half_width(y, out_of_fold, level=LEVEL)
    if not np.isfinite(half):
        return None
    clusters = None if problem.clusters is None else problem.clusters[rows]
    local = local_half_widths(y, out_of_fold, LEVEL, half=half, clusters=clusters)
    edges, half_widths = ((), ()) if local is None else (local.edges, local.half_widths)
    interval = Interval(level=LEVEL, half_width=half, edges=edges, half_widths=half_widths)
    counts = problem.task.kind == "count"  # of which everybody knows
    return interval if counts else with_floor(interval, y, out_of_fold.reshape(len(y), -1)[:, 0])
