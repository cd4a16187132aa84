"""What the final model, the default and a guess score on the test rows, each at its own decision threshold."""

import math

from lanewise.composing.against_guess import groups_on_test, guess_on_test, thresholds_of_guess
from lanewise.composing.cutoffs import default_threshold
from lanewise.composing.stage import Stage, as_scored, model_prediction
from lanewise.evaluation import Evaluation, evaluate


def evaluations(stage: Stage) -> dict[str, Evaluation]:
    """The final model, the default and a guess on the untouched test rows; nothing where no row is held out."""
    problem = stage.problem
    if not len(problem.test):
        return {}
    y = problem.y[problem.test]
    weight = problem.weights_of(problem.test)
    default = next(c.id for c in stage.plan.candidates if c.is_default)
    predictions = {"model": model_prediction(stage), "dummy": guess_on_test(stage)}
    thresholds = {"model": stage.predictor.threshold}
    if default in stage.refitted:
        predictions["default"] = as_scored(problem, stage.refitted[default].test)
        thresholds["default"] = default_threshold(stage)
    groups, own = groups_on_test(problem), thresholds_of_guess(problem)
    return {
        name: evaluate(
            problem.task,
            y,
            predicted,
            weight,
            seed=stage.settings.seed,
            threshold=thresholds.get(name, 0.5),
            thresholds=own if name == "dummy" else None,
            groups=groups,
        )
        for name, predicted in predictions.items()
    }


def guess_at_half(stage: Stage) -> float:
    """The score of a guess on the test rows at a threshold of 0.5, as the looks of a race are taken."""
    problem = stage.problem
    if not len(problem.test):
        return math.nan
    weight = problem.weights_of(problem.test)
    y = problem.y[problem.test]
    known = problem.metric.says_something(y, weight)
    return problem.metric.score(y, guess_on_test(stage), weight) if known else math.nan
