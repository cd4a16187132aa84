"""A linear support vector machine in a race: proposed, stepped, calibrated, saved with what calibrates it."""

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lanewise.composing import Choice, as_scored
from lanewise.data.reading import read
from lanewise.fitting import stages
from lanewise.fitting.watcher import Silent
from lanewise.runs.stage_times import StageTimes
from lanewise.settings.fit import FitSettings, checked
from lanewise.training.planning.plan import Plan
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem
from lanewise.training.race import Result
from lanewise.training.stopping import Stop


def hinge_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = stages.choose

    def choose(problem: Problem, plan: Plan, result: Result, settings: FitSettings) -> Choice:
        hinge = next(item.candidate.id for item in result.confirmed if item.candidate.settings["loss"] == "hinge")
        return replace(usual(problem, plan, result, settings), weights={hinge: 1.0})

    monkeypatch.setattr(stages, "choose", choose)


def test_support_vector_machines_race_with_probabilities_that_mean_something(monkeypatch: pytest.MonkeyPatch) -> None:
    hinge_wins(monkeypatch)
    draw = np.random.default_rng(0)
    columns = draw.normal(size=(500, 5))
    score = columns @ np.array([2.0, -1.5, 1.0, 0.5, 0.0]) + draw.logistic(size=500)
    frame = pl.DataFrame({f"c{place}": columns[:, place] for place in range(5)} | {"y": np.where(score > 0, "a", "b")})
    problem = pose(read(frame), Request(target="y", folds=3))
    wishes = {"target": "y", "models": "linear", "optimizers": "nesterov", "budget": "400steps", "seeds": 1}
    settings = checked({**wishes, "workers": 1, "candidates": 3, "ensemble": "never"})
    trained = stages.train(problem, settings, watcher=Silent(), stop=Stop(), times=StageTimes(time.monotonic()))
    by_loss = {item.candidate.settings["loss"]: item for item in trained.result.confirmed}
    assert {"logistic", "hinge"} <= set(by_loss)
    assert by_loss["hinge"].calibration is not None
    assert by_loss["logistic"].calibration is None
    # No better model is there than the linear one, so calibrated margins do about as well as the logistic loss.
    assert by_loss["hinge"].curve[-1] < by_loss["logistic"].curve[-1] + 0.03
    (member,) = trained.predictor.members
    assert member.fitted.loss == "hinge"
    assert member.fitted.calibration == by_loss["hinge"].calibration
    parts = [weight * trained.refitted[name].test for name, weight in trained.choice.weights.items()]
    expected = as_scored(problem, np.sum(parts, axis=0))
    found = np.concatenate(list(trained.predictor.responses(problem.dataset)))[problem.test]
    np.testing.assert_allclose(found, expected, atol=1e-6)
