"""L1 with a gradient rule: exact zeros reach the model, what is said of it, and the export."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lanewise.composing import Choice, Unrecorded, compose
from lanewise.data.reading import read
from lanewise.deploy.onnx_export import onnx_model
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.fitting import stages
from lanewise.fitting.watcher import Silent
from lanewise.runs.stage_times import StageTimes
from lanewise.settings.fit import FitSettings, checked
from lanewise.training.planning import proposals
from lanewise.training.planning.plan import Plan
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem
from lanewise.training.race import Result
from lanewise.training.stopping import Stop


@pytest.fixture
def sparsest_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = stages.choose

    def choose(problem: Problem, plan: Plan, result: Result, settings: FitSettings) -> Choice:
        found = usual(problem, plan, result, settings)
        best = max(result.confirmed, key=lambda item: item.candidate.number("l1")).candidate.id
        return replace(found, weights={best: 1.0}, selection=replace(found.selection, winner=best))

    monkeypatch.setattr(stages, "choose", choose)
    # Strong enough that noise of so few rows is zero whatever the order of the batches.
    monkeypatch.setattr(proposals, "STEPPED_L1", (0.0, 0.05))


@pytest.mark.usefixtures("sparsest_wins")
def test_zeros_are_exact_in_the_model_and_told(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the export needs onnx")
    draw = np.random.default_rng(0)
    columns = draw.normal(size=(1000, 7))
    score = columns @ np.append([2.0, -1.5], np.zeros(5)) + draw.logistic(size=1000)
    frame = pl.DataFrame({f"c{place}": columns[:, place] for place in range(7)} | {"y": np.where(score > 0, "a", "b")})
    problem = pose(read(frame), Request(target="y", folds=2))
    wishes = {"target": "y", "models": "linear", "optimizers": "adam", "losses": "logistic", "budget": "400steps"}
    settings = checked({**wishes, "seeds": 1, "workers": 1, "candidates": 4, "ensemble": "never", "policy": "never"})
    times = StageTimes(time.monotonic())
    trained = stages.train(problem, settings, watcher=Silent(), stop=Stop(), times=times)
    sha256 = save_predictor(tmp_path / "model", trained.predictor)
    (member,) = load_predictor(tmp_path / "model").members
    assert member.fitted.candidate.optimizer == "adam"
    assert member.fitted.tensors is not None
    weight = member.fitted.tensors["weight"].numpy()
    assert weight.shape == (1, 7)
    assert (weight[0, :2] != 0).all()
    gone = [f"c{place}" for place in range(7) if weight[0, place] == 0]
    assert gone
    run = Unrecorded(created="", command="")
    document = compose(trained.stage(run, problem, settings, sha256=sha256, seconds=1.0))
    said = f"Its L1 penalty set the weights of {len(gone)} of 7 columns to exactly zero; it does not read "
    assert any(line.startswith(said) and gone[0] in line for line in document["summary"])
    assert any(f"the L1 penalty removed {len(gone)} of 7 columns" in line for line in document["diagnosis"]["advice"])
    stored = [onnx.numpy_helper.to_array(one) for one in onnx_model(trained.predictor).graph.initializer]
    same = [one for one in stored if one.size == 7 and np.array_equal(np.sort(one.ravel()), np.sort(weight.ravel()))]
    assert any((one == 0).sum() == len(gone) for one in same)
