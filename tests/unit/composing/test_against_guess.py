"""Whether any candidate beats a guess out of fold, by more than chance among so many."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lanewise.composing.against_guess import (
    few_groups_ahead,
    few_test_groups,
    more_groups,
    over_guess,
    some_beat_guess,
)
from lanewise.composing.on_test import evaluations, guess_at_half
from lanewise.composing.stage import Stage
from lanewise.metrics import METRICS
from lanewise.selection import Contender
from lanewise.statistics import Difference
from lanewise.task import Task
from lanewise.training.problem import Problem

ROWS = 300


class Weighed(SimpleNamespace):
    """What is asked of a problem, whose rows have weights or none."""

    weights_of = Problem.weights_of


def stage_of(*slopes: float, weighted: bool = False, ensemble: float | None = None) -> Stage:
    """A race in which each candidate, and an ensemble, knows so much of the target: 0 is a guess with noise, 1 all."""
    rng = np.random.default_rng(0)
    y, rows = rng.normal(size=ROWS), np.arange(ROWS)
    contenders = tuple(
        Contender(id=f"{place}", prediction=slope * y + 0.1 * rng.normal(size=ROWS), cost=1.0, is_default=not place)
        for place, slope in enumerate(slopes)
    )
    problem: Any = Weighed(
        y=y,
        train=rows,
        weight=np.ones(ROWS) if weighted else None,
        clusters=None,
        metric=METRICS["rmse"],
        task=Task(target="y", kind="regression", metric="rmse"),
    )
    mixed = None if ensemble is None else SimpleNamespace(crossed=ensemble * y + 0.1 * rng.normal(size=ROWS))
    choice = SimpleNamespace(rows=rows, contenders=contenders, ensemble=mixed, is_ensemble=mixed is not None)
    settings = SimpleNamespace(seed=0)
    return cast(Stage, SimpleNamespace(problem=problem, choice=choice, settings=settings))


def lead(low: float) -> Difference:
    return Difference(mean=low + 1.0, standard_error=0.5, low=low, high=low + 2.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_one_that_knows_something_is_enough(weighted: bool) -> None:
    assert some_beat_guess(stage_of(0.0, 0.3, 0.0, weighted=weighted), lead(-0.1))
    assert not some_beat_guess(stage_of(0.0, 0.0, 0.0, weighted=weighted), lead(-0.1))
    assert some_beat_guess(stage_of(0.3), lead(math.nan))


def test_nothing_is_asked_where_the_model_beats_it_on_the_test_rows() -> None:
    assert not some_beat_guess(stage_of(0.3), lead(0.1))
    assert not some_beat_guess(stage_of(0.3), None)


def test_an_ensemble_is_asked_by_what_it_says_of_rows_that_did_not_weigh_it() -> None:
    assert some_beat_guess(stage_of(0.0, 0.0, ensemble=0.3), lead(-0.1))
    assert not some_beat_guess(stage_of(0.0, 0.0, ensemble=0.0), lead(-0.1))


def rare_of(knows: float, *, metric: str, threshold: str, at: float) -> Stage:
    """A model of a class that 1 row in 10 has, whose probabilities stay below 0.5; it answers yes from ``at`` on."""
    rng = np.random.default_rng(1)
    y, rows = (np.arange(2 * ROWS) % 10 == 0).astype(int), np.arange(2 * ROWS)
    p = 0.1 + 0.2 * (knows * y + (1 - knows) * rng.random(2 * ROWS))
    both = np.column_stack([1 - p, p])
    problem: Any = Weighed(
        y=y,
        train=rows[:ROWS],
        test=rows[ROWS:],
        weight=None,
        clusters=None,
        metric=METRICS[metric],
        task=Task(target="y", kind="binary", metric=metric, classes=("no", "yes")),
    )
    default = Contender(id="a", prediction=both[:ROWS], cost=1.0, is_default=True)
    choice = SimpleNamespace(
        rows=rows[:ROWS], contenders=(default,), weights={"b": 1.0}, ensemble=None, is_ensemble=False
    )
    stage = SimpleNamespace(
        problem=problem,
        choice=choice,
        default=SimpleNamespace(id="a"),
        plan=SimpleNamespace(candidates=[SimpleNamespace(id="a", is_default=True)]),
        refitted={name: SimpleNamespace(test=both[ROWS:]) for name in "ab"},
        predictor=SimpleNamespace(threshold=at),
        settings=SimpleNamespace(seed=0, threshold=threshold),
    )
    return cast(Stage, stage)


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy"])
def test_a_model_is_held_against_a_guess_at_the_threshold_that_it_answers_at(metric: str) -> None:
    knowing, never = (rare_of(0.6, metric=metric, threshold="", at=at) for at in (0.2, 0.5))
    lead_of_answers, lead_of_none = over_guess(knowing), over_guess(never)
    assert lead_of_answers is not None
    assert lead_of_none is not None
    assert lead_of_answers.low > 0 >= lead_of_none.low
    assert some_beat_guess(never, lead_of_none)  # at thresholds that other rows chose


@pytest.mark.parametrize("metric", ["f1", "recall", "precision", "balanced_accuracy"])
def test_always_yes_is_no_more_than_a_guess(metric: str) -> None:
    knows_nothing = rare_of(0.0, metric=metric, threshold="", at=0.05)
    shown = over_guess(knows_nothing)
    assert shown is not None
    assert not shown.low > 0
    assert not some_beat_guess(knows_nothing, shown)


def test_the_default_is_scored_at_a_threshold_of_its_own_and_a_guess_at_its_best() -> None:
    found = evaluations(rare_of(0.6, metric="f1", threshold="", at=0.5))
    assert found["model"].scores["f1"].value == 0
    assert found["default"].scores["f1"].value > 0.9
    assert found["dummy"].scores["f1"].value == pytest.approx(2 * 0.1 / 1.1)
    assert found["dummy"].scores["accuracy"].value == pytest.approx(0.9)
    stated = rare_of(0.6, metric="f1", threshold="0.25", at=0.25)
    assert evaluations(stated)["default"].scores["f1"] == evaluations(stated)["model"].scores["f1"]
    assert guess_at_half(stated) == 0


SIZES = [((4,) * 30, 0), ((5, 5, 5), 3), ((60, 5, 5, 5), 4), ((20,), 1), ((1, 1), 0)]


@pytest.mark.parametrize(("sizes", "few"), SIZES)
def test_groups_of_test_rows_are_few_where_no_score_has_an_interval(sizes: tuple[int, ...], few: int) -> None:
    rows = sum(sizes)
    problem: Any = Weighed(
        y=np.zeros(rows + 9), weight=None, clusters=np.append(np.repeat(np.arange(len(sizes)), sizes), [99] * 9)
    )
    problem.test = np.arange(rows)
    assert few_test_groups(problem) == few
    problem.clusters = None
    assert few_test_groups(problem) == 0


def grouped(y: np.ndarray, clusters: np.ndarray | None, *classes: str, weight: np.ndarray | None = None) -> Any:
    """A problem whose rows are all test rows."""
    kind = "binary" if classes else "regression"
    task = Task(target="y", kind=kind, metric="log_loss" if classes else "rmse", classes=classes)
    return Weighed(y=y, weight=weight, clusters=clusters, test=np.arange(len(y)), task=task)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((5, 5, 5), "3 groups of 'patient'"),
        ((60, 5, 5, 5), "4 unequal groups of 'patient'"),
        ((20,), "1 group of 'patient'"),
        ((5, 5, 5, 5), ""),
        ((1, 1), ""),
    ],
)
def test_test_rows_of_too_few_groups_are_told_of_before_the_race(sizes: tuple[int, ...], words: str) -> None:
    rows = sum(sizes)
    problem = grouped(np.zeros(rows + 9), np.append(np.repeat(np.arange(len(sizes)), sizes), np.arange(9) + 10))
    problem.test = np.arange(rows)
    told = f"the test rows are of {words}: their scores will have no interval, which takes 4 of like size; a larger "
    assert few_groups_ahead(problem, "patient") == (f"{told}--test-fraction has more" if words else "")
    assert few_groups_ahead(problem, None) == ""  # groups that nobody named, of rows that are alike
    problem.clusters = None
    assert few_groups_ahead(problem, "patient") == ""


@pytest.mark.parametrize(("train", "helps"), [(2, False), (3, True)])
def test_more_test_rows_are_not_advised_where_all_rows_have_too_few_groups(train: int, helps: bool) -> None:
    clusters = np.repeat(np.arange(3 + train), 5)
    problem = grouped(np.zeros(len(clusters)), clusters)
    problem.test = np.arange(15)
    more, none = "a larger --test-fraction has more", "all rows together have too few"
    assert more_groups(problem) == helps
    assert few_groups_ahead(problem, "patient").endswith(more if helps else none)
    groups = np.arange(60) // 3
    rare = grouped(np.isin(groups, [0, 1, 2, *range(20 - train, 20)]).astype(int), groups, "no", "yes")
    rare.test = np.arange(30)
    words = few_groups_ahead(rare, "patient")
    assert "('yes' in 3 of 10)" in words
    assert words.endswith(more if helps else none)


def test_a_class_in_too_few_groups_is_told_of_before_the_race() -> None:
    clusters = np.repeat(np.arange(9), 4)
    y = np.where(clusters < 3, 1, 0)
    assert few_groups_ahead(grouped(y, clusters, "no", "yes"), "patient") == (
        "too few groups of 'patient' in the test rows have each class ('yes' in 3 of 9): scores that count classes "
        "apart, such as recall or ROC AUC, will hardly be known; all rows together have too few"
    )
    assert few_groups_ahead(grouped(np.where(clusters < 4, 1, 0), clusters, "no", "yes"), "patient") == ""
    light = np.where(clusters == 3, 0.0, 1.0)
    words = few_groups_ahead(grouped(np.where(clusters < 4, 1, 0), clusters, "no", "yes", weight=light), "patient")
    assert "('yes' in 3 of 8)" in words
    assert few_groups_ahead(grouped(0 * y, clusters, "no", "yes"), "patient") == ""  # none has it: a warning of its own
