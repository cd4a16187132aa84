"""The test rows' groups, and the final model and the candidates beside a guess, the same answer for every row."""

import numpy as np

from lanewise.composing.stage import Stage, model_prediction
from lanewise.data.wording import counted, first_of
from lanewise.evaluation import answered, crossed_answers, dummy_prediction, guess_thresholds, lead_over_guess
from lanewise.explain.words import GROUPS_OF_A_TABLE, GROUPS_OF_AN_INTERVAL
from lanewise.statistics import LEAST_FREEDOM, Difference, Sample, freedom_of, sample_of, too_few_groups
from lanewise.training.problem import Problem


def guess_on_test(stage: Stage) -> np.ndarray:
    """The answer without a model for every test row."""
    return _guess(stage.problem, len(stage.problem.test))


def thresholds_of_guess(problem: Problem) -> dict[str, float]:
    """By metric, the threshold at which a guess answers two classes best."""
    return guess_thresholds(problem.task, problem.y[problem.train], problem.weights_of(problem.train))


def _guess(problem: Problem, rows: int) -> np.ndarray:
    return dummy_prediction(problem.task, problem.y[problem.train], problem.weights_of(problem.train), rows)


def _judges_answers(problem: Problem) -> bool:
    """Whether the deciding metric is of the answers to two classes, which depend on a threshold."""
    return problem.task.kind == "binary" and problem.metric.uses_threshold


def groups_on_test(problem: Problem) -> np.ndarray | None:
    """The groups of the test rows; a test set of the user's own has no part in those of the training table."""
    known = problem.clusters is not None and len(problem.clusters) == len(problem.y)
    return problem.clusters[problem.test] if known and problem.clusters is not None else None


def few_test_groups(problem: Problem) -> int:
    """The groups of the test rows, where they are too few for an interval of any score; else 0."""
    sample = _in_groups(problem)
    return _heavy(sample.weight, sample) if sample is not None and too_few_groups(sample) else 0


def more_groups(problem: Problem, label: int | None = None) -> bool:
    """Whether all rows, or those of a class, have groups enough for an interval of a larger share of test rows."""
    if problem.clusters is None:
        return True
    own = slice(None) if label is None else problem.y == label
    return len(np.unique(problem.clusters[own])) >= GROUPS_OF_A_TABLE


def few_groups_ahead(problem: Problem, column: str | None) -> str:
    """What the test rows' groups of ``column`` are too few to tell, to be said before the race; empty if they are not.

    A class is named that lies in so few groups that they alone would not give an interval.
    """
    sample = _in_groups(problem)
    if column is None or sample is None:
        return ""
    found = _heavy(sample.weight, sample)
    if too_few_groups(sample):
        kind = "unequal group" if found >= GROUPS_OF_AN_INTERVAL else "group"
        return (
            f"the test rows are of {counted(found, kind)} of {column!r}: their scores will have no interval, which "
            f"takes {GROUPS_OF_AN_INTERVAL} of like size; {_advice(more=more_groups(problem))}"
        )
    if not problem.task.is_classification:
        return ""
    rare, more = [], False
    for place, label in enumerate(problem.task.classes):
        weight = sample.weight * (sample.y == place)
        if freedom_of(sample.units.totals(weight[:, None])[:, 0]) <= LEAST_FREEDOM and weight.any():
            rare.append(f"{label!r} in {_heavy(weight, sample)} of {found}")
            more = more or more_groups(problem, place)
    if not rare:
        return ""
    return (
        f"too few groups of {column!r} in the test rows have each class ({first_of(rare)}): scores that count classes "
        f"apart, such as recall or ROC AUC, will hardly be known; {_advice(more=more)}"
    )


def _advice(*, more: bool) -> str:
    return "a larger --test-fraction has more" if more else "all rows together have too few"


def _in_groups(problem: Problem) -> Sample | None:
    """The test rows by their groups, with a prediction that says nothing; None where they have none."""
    groups = groups_on_test(problem)
    if groups is None or not len(groups):
        return None
    y = problem.y[problem.test]
    weight = problem.weights_of(problem.test)
    return sample_of(y, np.zeros((1, len(y))), weight, groups, seed=0)


def _heavy(weight: np.ndarray, sample: Sample) -> int:
    """How many groups have weight."""
    return int(np.count_nonzero(sample.units.totals(weight[:, None])))


def over_guess(stage: Stage) -> Difference | None:
    """The paired lead of the final model over a guess on the test rows, in the deciding metric.

    Each answers at its own threshold, as it is scored.
    """
    problem = stage.problem
    if not len(problem.test):
        return None
    model, guess = model_prediction(stage), guess_on_test(stage)
    if _judges_answers(problem):
        model = answered(model, stage.predictor.threshold)
        guess = answered(guess, thresholds_of_guess(problem)[problem.metric.name])
    return lead_over_guess(
        problem.y[problem.test],
        model,
        guess,
        problem.metric,
        weight=problem.weights_of(problem.test),
        groups=groups_on_test(problem),
        seed=stage.settings.seed,
    )


def some_beat_guess(stage: Stage, lead: Difference | None) -> bool:
    """Whether a candidate beats a guess out of fold, where the final model with that ``lead`` may not on the test rows.

    An ensemble is asked by what it says of rows that had no part in its weights, and answers to two classes are those
    at thresholds that other rows chose. The chance that one of several does so by luck is kept at 2.5% for all of them
    together (Bonferroni).
    """
    if lead is None or lead.low > 0:
        return False
    problem, choice, seed = stage.problem, stage.choice, stage.settings.seed
    y, weight = problem.y[choice.rows], problem.weights_of(choice.rows)
    clusters = None if problem.clusters is None else problem.clusters[choice.rows]
    guess = _guess(problem, len(choice.rows))
    asked = [contender.prediction for contender in choice.contenders]
    if choice.is_ensemble and choice.ensemble is not None:
        asked.append(choice.ensemble.crossed)
    if _judges_answers(problem):
        guess = answered(guess, thresholds_of_guess(problem)[problem.metric.name])
        asked = [crossed_answers(y, one, problem.metric, seed=seed, weight=weight, clusters=clusters) for one in asked]
    level = 1 - 0.05 / len(asked)
    leads = (
        lead_over_guess(y, one, guess, problem.metric, weight=weight, groups=clusters, seed=seed, level=level)
        for one in asked
    )
    return any(found.low > 0 for found in leads)
