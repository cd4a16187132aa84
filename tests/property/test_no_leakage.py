"""A target that is pure noise shows chance level everywhere; a planted leak is seen by the very same checks.

Every check is a statistic of several races that is known where nothing can be learnt, within three standard errors:

- association: predictions and target, as a sum of products. With the rows exchangeable its variance over permutations
  of the target is known exactly. For two classes it is the correlation of probability and class.
- cross-validated score: how much better than a guess the corrected score is, in the standard errors of its interval.
- claims: how many races end with "predicts y best" although there is nothing to predict.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

import lanewise.stages
import lanewise.training.problem
from lanewise.composing import Stage, Unrecorded, as_scored, compose
from lanewise.data.reading import read
from lanewise.data.splits import Fold
from lanewise.evaluation import dummy_prediction
from lanewise.selection import select
from lanewise.settings import checked
from lanewise.stages import Silent, Trained, train
from lanewise.statistics import CorrectedScore, bootstrap_interval
from lanewise.training.problem import Problem, Request, pose
from lanewise.training.stopping import Stop

SURE = 3.0
"""Standard errors beyond which chance is ruled out."""

Table = Callable[[np.random.Generator], pl.DataFrame]


@dataclass(frozen=True, kw_only=True, eq=False)
class Raced:
    """A race that is over, and the first sentence of its report."""

    problem: Problem
    trained: Trained
    headline: str


def race(frame: pl.DataFrame, seed: int, *, models: str = "linear", candidates: int = 4, **request: Any) -> Raced:
    problem = pose(read(frame), Request(target="y", folds=4, seed=seed, **request))
    settings = checked(
        {
            "target": "y",
            "models": models,
            "budget": "60steps",
            "candidates": candidates,
            "seeds": 1,
            "seed": seed,
            "workers": 1,
        }
    )
    trained = train(problem, settings, watcher=Silent(), stop=Stop(), started=time.monotonic())
    stage = Stage(
        run=Unrecorded(created="", command="test"),
        settings=settings,
        problem=problem,
        plan=trained.plan,
        result=trained.result,
        choice=trained.choice,
        refitted=trained.refitted,
        predictor=trained.predictor,
        cutoff=trained.cutoff,
        sha256="",
        seconds=0.0,
    )
    return Raced(problem=problem, trained=trained, headline=compose(stage)["summary"][0])


def races(table: Table, seeds: int, **settings: Any) -> list[Raced]:
    return [race(table(np.random.default_rng([seed, 7])), seed, **settings) for seed in range(seeds)]
