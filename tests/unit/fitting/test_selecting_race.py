"""What feature selection is worth in a race: it wins where most columns are noise, and costs nothing where none is."""

import time
from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.composing import Stage, Unrecorded, compose
from lanewise.data.reading import read
from lanewise.fitting import stages
from lanewise.fitting.watcher import Silent
from lanewise.reporting.report import render
from lanewise.runs.stage_times import StageTimes
from lanewise.settings.fit import checked
from lanewise.training.planning import proposals
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem
from lanewise.training.stopping import Stop


def problem_of(noise: int) -> Problem:
    """Eight columns that add up to the target, among ``noise`` that say nothing."""
    draw = np.random.default_rng(2)
    columns = draw.normal(size=(320, 8 + noise))
    target = columns[:, :8] @ np.linspace(1.5, 1, 8) + 2 * draw.normal(size=320)
    order = draw.permutation(8 + noise)
    frame = {f"c{name}": columns[:, place] for name, place in enumerate(order)}
    return pose(read(pl.DataFrame({**frame, "y": target})), Request(target="y", folds=4))


def raced(problem: Problem, **more: Any) -> tuple[stages.Trained, Stage]:
    settings = checked(
        {
            "target": "y",
            "models": "linear",
            "budget": "200steps",
            "seeds": 1,
            "workers": 1,
            "ensemble": "never",
            "candidates": 12,
            **more,
        }
    )
    trained = stages.train(problem, settings, watcher=Silent(), stop=Stop(), times=StageTimes(time.monotonic()))
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
    return trained, stage


@pytest.fixture(scope="module")
def among_noise() -> tuple[stages.Trained, Stage]:
    return raced(problem_of(120))


def test_wins_among_columns_of_noise(among_noise: tuple[stages.Trained, Stage]) -> None:
    trained, stage = among_noise
    assert stage.winner.settings["features"] != "all"
    best_of_all = next(
        standing
        for standing in trained.choice.selection.standings
        if stage.candidate(standing.id).settings["features"] == "all"
    )
    behind = best_of_all.behind_winner
    assert behind.mean > 2 * behind.standard_error


def test_the_document_and_the_report_say_which_columns_are_read(among_noise: tuple[stages.Trained, Stage]) -> None:
    trained, stage = among_noise
    document = compose(stage)
    kept = document["selection"]["kept"]
    assert document["selection"]["of"] == 128
    assert kept == [name for name in stage.problem.features if name in trained.predictor.members[0].fitted.columns]
    assert 1 <= len(kept) <= 64
    assert f"Done: kept {len(kept)} of 128 columns." in document["diagnosis"]["advice"]
    words = f"It reads {len(kept)} of 128 columns"
    assert any(line.startswith(words) for line in document["summary"])
    assert words in render(document)
    unread = {one["column"]: one["value"] for one in document["importance"] if one["column"] not in kept}
    assert set(unread.values()) <= {0.0}


def test_costs_nothing_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(0)
    with_selection, stage = raced(problem)
    assert stage.winner.settings["features"] == "all"
    assert compose(stage)["selection"] is None
    monkeypatch.setattr(proposals, "FEWEST_COLUMNS", 1000)
    without, _ = raced(problem)
    assert all("features" not in one.settings for one in without.plan.candidates)
    scores = [found.choice.corrected for found in (with_selection, without)]
    assert abs(scores[0].value - scores[1].value) < 0.1 * (scores[1].high - scores[1].low)


def test_training_is_set_beside_validation_at_the_looks_of_the_winner(
    among_noise: tuple[stages.Trained, Stage],
) -> None:
    trained, stage = among_noise
    document = compose(stage)
    winner = next(item for item in trained.result.confirmed if item.candidate.id == stage.winner.id)
    at_stop = winner.train_curve[stage.plan.grid.index(winner.stop)]
    assert document["diagnosis"]["train"] == pytest.approx(at_stop)
    assert at_stop < document["diagnosis"]["valid"]
    shown = [one for one in document["race"]["curves"] if one["candidate"] == winner.candidate.id]
    known = [one for one in shown if np.isfinite(one["train"]).all()]
    assert len(known) == stage.plan.folds
    assert all(len(one["train"]) == len(one["valid"]) for one in shown)
    assert "Training" in render(document)
