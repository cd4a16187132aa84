"""The decision thresholds of the final model and of the default, each by its own out-of-fold predictions."""

import numpy as np

from lanewise.composing.stage import Stage
from lanewise.evaluation import Cutoff, threshold_of
from lanewise.formatting.plain_text import shorten
from lanewise.metrics import resolve_metric
from lanewise.settings.fit import FitSettings, threshold_value
from lanewise.training.problem import Problem


def default_threshold(stage: Stage) -> float:
    """The threshold of the default, had it been chosen: beside the final model it is scored as that is."""
    if stage.problem.task.kind != "binary":
        return 0.5
    if list(stage.choice.weights) == [stage.default.id]:
        return stage.predictor.threshold
    prediction = next(one.prediction for one in stage.choice.contenders if one.is_default)
    return cutoff_of(stage.problem, stage.choice.rows, prediction, stage.settings).value


def cutoff_of(problem: Problem, rows: np.ndarray, out_of_fold: np.ndarray, settings: FitSettings) -> Cutoff:
    """The decision threshold: as stated, or chosen on out-of-fold rows for the stated metric, else that of the race."""
    y, weight = problem.y[rows], problem.weights_of(rows)
    asked = settings.threshold or problem.metric.name
    value = threshold_value(asked)
    if value is None:
        metric = resolve_metric(asked, problem.task.kind)
        clusters = None if problem.clusters is None else problem.clusters[rows]
        return threshold_of(
            y,
            out_of_fold[:, 1],
            metric,
            seed=settings.seed,
            positive=problem.task.positive,
            weight=weight,
            clusters=clusters,
        )
    words = f"The threshold for {shorten(problem.task.positive, 28)!r} was stated: {value:g}."
    return Cutoff(value=value, metric="", words=words, curve=())
