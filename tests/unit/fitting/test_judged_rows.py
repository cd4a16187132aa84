"""Which rows candidates are judged on: those that the screen did not look at."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from lanewise.data.reading import read
from lanewise.fitting.choosing import MOST_DRAWN, drawn_together, judged_rows
from lanewise.metrics import METRICS
from lanewise.statistics import bootstrap_counts, resampled_scores, sample_of
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem


@cache
def problem_of(folds: int, *, rare: bool = False) -> Problem:
    draw = np.random.default_rng(0)
    labels = np.array(["a", "b"])[draw.integers(0, 2, 120)]
    if rare:  # one row of a third class, whose fold is the only one that judges it
        labels[7] = "c"
    frame = pl.DataFrame({"x": draw.normal(size=120), "y": labels})
    return pose(
        read(frame), Request(target="y", kind="multiclass" if rare else "binary", folds=folds, test_fraction=0.1)
    )


def plan(folds: int, *, screened: bool) -> Plan:
    return Plan(
        candidates=(),
        rungs=(1 / 3, 1.0) if screened else (),
        confirm={},
        folds=folds,
        seeds=(0,),
        lengths=Lengths(rows_seen=1),
        workers=1,
        costs={},
    )


@pytest.mark.parametrize(
    ("folds", "screened", "left_out"), [(4, True, 1), (3, True, 1), (2, True, 0), (4, False, 0), (2, False, 0)]
)
def test_the_fold_of_the_screen_is_left_out(folds: int, *, screened: bool, left_out: int) -> None:
    problem = problem_of(folds)
    expected = np.sort(np.concatenate([fold.valid for fold in problem.folds[left_out:]]))
    np.testing.assert_array_equal(judged_rows(problem, plan(folds, screened=screened)), expected)


def test_folds_that_a_plan_leaves_out_judge_nobody() -> None:
    problem = problem_of(4)
    expected = np.sort(np.concatenate([fold.valid for fold in problem.folds[:2]]))
    np.testing.assert_array_equal(judged_rows(problem, plan(2, screened=True)), expected)
    expected = np.sort(np.concatenate([fold.valid for fold in problem.folds[1:3]]))
    np.testing.assert_array_equal(judged_rows(problem, plan(3, screened=True)), expected)


def test_no_class_is_left_out_with_it() -> None:
    problem = problem_of(4, rare=True)
    of_rare = [place for place, fold in enumerate(problem.folds) if (problem.y[fold.valid] == 2).any()]
    moved = [problem.folds[of_rare[0]], *(fold for place, fold in enumerate(problem.folds) if place != of_rare[0])]
    object.__setattr__(problem, "folds", tuple(moved))
    assert len(judged_rows(problem, plan(4, screened=True))) == len(problem.train)


def test_single_targets_out_of_all_scale_judge_nobody() -> None:
    draw = np.random.default_rng(0)
    target = draw.normal(size=200)
    target[draw.integers(0, 200)] = 5e8
    problem = pose(
        read(pl.DataFrame({"x": draw.normal(size=200), "y": target})), Request(target="y", folds=2, test_fraction=0.1)
    )
    judged = judged_rows(problem, plan(2, screened=False))
    assert problem.y[judged].max() < 10
    assert len(judged) == len(problem.train) - (problem.y[problem.train] > 10).sum()


def test_many_rows_are_drawn_in_groups_of_equal_size_and_few_by_themselves() -> None:
    problem = problem_of(2)
    assert drawn_together(problem, np.arange(MOST_DRAWN), seed=0) is None
    labels = drawn_together(problem, np.arange(2 * MOST_DRAWN), seed=0)
    assert labels is not None
    assert set(np.bincount(labels)) == {2}
    again = drawn_together(problem, np.arange(2 * MOST_DRAWN), seed=0)
    assert again is not None
    np.testing.assert_array_equal(labels, again)
    clusters, rows = np.arange(2 * MOST_DRAWN) // 3, np.arange(0, 2 * MOST_DRAWN, 2)
    clustered = replace(problem, clusters=clusters)
    np.testing.assert_array_equal(drawn_together(clustered, rows, seed=0), clusters[rows])


def test_a_standard_error_of_groups_is_that_of_the_rows_also_where_groups_are_of_two_sizes() -> None:
    rows = MOST_DRAWN * 3 // 2
    errors = np.random.default_rng(0).lognormal(size=rows)
    labels = drawn_together(problem_of(2), np.arange(rows), seed=0)
    sample = sample_of(np.zeros(rows), errors[None], None, labels, seed=0)
    drawn = resampled_scores(METRICS["mae"], sample, bootstrap_counts(sample.units.count, 1000, seed=0))
    assert drawn.std() == pytest.approx(errors.std() / np.sqrt(rows), rel=0.1)
