"""The test rows' groups, and the final model and the candidates beside a guess, the same answer for every row."""

import numpy as np

from lanewise.composing.stage import Stage, model_prediction
from lanewise.evaluation import dummy_prediction, lead_over_guess
from lanewise.statistics import Difference, sample_of, too_few_groups
from lanewise.training.problem import Problem


def guess_on_test(stage: Stage) -> np.ndarray:
    """The answer without a model for every test row."""
    problem = stage.problem
    own = None if problem.weight is None else problem.weight[problem.train]
    return dummy_prediction(problem.task, problem.y[problem.train], own, len(problem.test))


def groups_on_test(problem: Problem) -> np.ndarray | None:
    """The groups of the test rows; a test set of the user's own has no part in those of the training table."""
    known = problem.clusters is not None and len(problem.clusters) == len(problem.y)
    return problem.clusters[problem.test] if known and problem.clusters is not None else None


def few_test_groups(problem: Problem) -> int:
    """The groups of the test rows, where they are too few for an interval of any score; else 0."""
    groups = groups_on_test(problem)
    if groups is None or not len(groups):
        return 0
    y = problem.y[problem.test]
    weight = None if problem.weight is None else problem.weight[problem.test]
    sample = sample_of(y, np.zeros((1, len(y))), weight, groups, seed=0)
    weights = sample.units.totals(sample.weight[:, None])
    return int(np.count_nonzero(weights)) if too_few_groups(sample) else 0


def over_guess(stage: Stage) -> Difference | None:
    """The paired lead of the final model over a guess on the test rows, in the deciding metric."""
    problem = stage.problem
    if not len(problem.test):
        return None
    return lead_over_guess(
        problem.y[problem.test],
        model_prediction(stage),
        guess_on_test(stage),
        problem.metric,
        weight=None if problem.weight is None else problem.weight[problem.test],
        groups=groups_on_test(problem),
        seed=stage.settings.seed,
    )


def some_beat_guess(stage: Stage, lead: Difference | None) -> bool:
    """Whether a candidate beats a guess out of fold, where the final model with that ``lead`` may not on the test rows.

    An ensemble is asked by what it says of rows that had no part in its weights. The chance that one of several does
    so by luck is kept at 2.5% for all of them together (Bonferroni).
    """
    if lead is None or lead.low > 0:
        return False
    problem, choice = stage.problem, stage.choice
    rows, weight = choice.rows, problem.weight
    known = None if weight is None else weight[problem.train]
    guess = dummy_prediction(problem.task, problem.y[problem.train], known, len(rows))
    asked = [contender.prediction for contender in choice.contenders]
    if choice.is_ensemble and choice.ensemble is not None:
        asked.append(choice.ensemble.crossed)
    for prediction in asked:
        found = lead_over_guess(
            problem.y[rows],
            prediction,
            guess,
            problem.metric,
            weight=None if weight is None else weight[rows],
            groups=None if problem.clusters is None else problem.clusters[rows],
            seed=stage.settings.seed,
            level=1 - 0.05 / len(asked),
        )
        if found.low > 0:
            return True
    return False
