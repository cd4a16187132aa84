"""Whether any candidate beats a guess out of fold, by more than chance among so many."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lanewise.composing.against_guess import few_test_groups, some_beat_guess
from lanewise.composing.stage import Stage
from lanewise.metrics import METRICS
from lanewise.selection import Contender
from lanewise.statistics import Difference
from lanewise.task import Task

ROWS = 300


def stage_of(*slopes: float, weighted: bool = False, ensemble: float | None = None) -> Stage:
    """A race in which each candidate, and an ensemble, knows so much of the target: 0 is a guess with noise, 1 all."""
    rng = np.random.default_rng(0)
    y, rows = rng.normal(size=ROWS), np.arange(ROWS)
    contenders = tuple(
        Contender(id=f"{place}", prediction=slope * y + 0.1 * rng.normal(size=ROWS), cost=1.0, is_default=not place)
        for place, slope in enumerate(slopes)
    )
    problem: Any = SimpleNamespace(
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


SIZES = [((4,) * 30, 0), ((5, 5, 5), 3), ((60, 5, 5, 5), 4), ((20,), 1), ((1, 1), 0)]


@pytest.mark.parametrize(("sizes", "few"), SIZES)
def test_groups_of_test_rows_are_few_where_no_score_has_an_interval(sizes: tuple[int, ...], few: int) -> None:
    rows = sum(sizes)
    problem: Any = SimpleNamespace(
        y=np.zeros(rows + 9), weight=None, clusters=np.append(np.repeat(np.arange(len(sizes)), sizes), [99] * 9)
    )
    problem.test = np.arange(rows)
    assert few_test_groups(problem) == few
    problem.clusters = None
    assert few_test_groups(problem) == 0
