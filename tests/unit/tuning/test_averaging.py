"""Races over the interval at which workers average: settings, what they exchange, and for which loss."""

from typing import Any

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.tuning import TuneResult, tune

X = torch.randn(240, 5, generator=torch.Generator().manual_seed(0))
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [1.0]])).tanh()
PARAMETERS = 5 * 8 + 8 + 8 + 1
SGD = {"optimizer": "sgd", "lr": 0.1}
DILOCO = {"outer_lr": 0.7, "outer_momentum": 0.9}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def race(candidates: Any, **settings: Any) -> TuneResult:
    usual = {"loss": nn.MSELoss(), "budget": "60steps", "policy": "never", "batch_size": 16, "workers": 1}
    data = {"train": (X[:160], Y[:160]), "valid": (X[160:], Y[160:])}
    return tune(network, candidates=candidates, **{**usual, **data, **settings})


@pytest.fixture(scope="module")
def found() -> TuneResult:
    apart = {**SGD, "average_over": 4}
    return race([SGD, {**apart, "average_every": 1}, {**apart, "average_every": 25, **DILOCO}])


def test_every_step_is_synchronous_and_rarer_costs_loss(found: TuneResult) -> None:
    every, rarer = found.averaged
    assert (every.same, rarer.same) == (True, True)
    assert abs(every.difference) < 1e-5
    assert abs(rarer.difference) > 1e-4
    with torch.no_grad():
        scores = dict(zip(found.table["candidate"], found.table["score"], strict=True))
    assert scores[rarer.id] - scores["sgd-00"] == pytest.approx(rarer.difference, abs=1e-6)


def test_bytes_are_those_of_the_formula(found: TuneResult) -> None:
    every, rarer = found.averaged
    assert every.bytes == every.synchronous_bytes == 60 * PARAMETERS * 4
    assert rarer.bytes == 3 * PARAMETERS * 4  # after 25, 50 and 60 steps


def test_it_is_said_in_words_and_in_the_document(found: TuneResult) -> None:
    words = found.averaged[1].words(found.metric)
    assert "4 ranks that average every 25 steps give 684 B each to sums, 20 times less than 13.7 kB" in words
    assert "that of the same trained synchronously (standard error" in words
    often = found.averaged[0].words(found.metric)
    assert "4 ranks that average every step give 13.7 kB each to sums; its " in often
    assert "times less" not in often
    assert words in found.words
    assert f"{words}." in found.document["summary"]
    assert [own["every"] for own in found.document["averaged"]] == [1, 25]


def test_the_interval_is_drawn_from_a_space_and_races_in_halving() -> None:
    space = {"optimizer": "sgd", "lr": 0.1, "average_every": [0, 2, 8, 32], "average_over": 2}
    raced = race(None, space=space, search="grid", policy="halving", budget="40steps")
    assert {own.number("average_every") for own in raced.plan.candidates} == {0, 2, 8, 32}
    assert raced.score < 0.5
    assert "averaged" not in race([SGD]).document


def test_without_a_synchronous_candidate_there_is_nothing_to_compare_with() -> None:
    (own,) = race([{**SGD, "average_every": 4}], budget="20steps").averaged
    assert own.workers == 2
    assert own.reference is None
    assert "no candidate trained synchronously was confirmed" in own.words(race([SGD], budget="20steps").metric)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({"average_every": 2.5}, "average_every must be a whole number, at least 0, got 2.5"),
        ({"average_every": -1}, "average_every must be a number that is finite and not negative"),
        ({"average_every": 4, "average_over": 0}, "average_over must be a whole number, at least 1, got 0"),
        ({"average_every": 4, "average_over": 3}, "does not split evenly over average_over=3 workers; set batch_size"),
        ({"average_over": 4}, "average_over is for candidates with average_every"),
        ({"outer_lr": 0.7}, "outer_lr is for candidates with average_every"),
        ({"average_every": 4, "outer_lr": 0}, "the outer lr must be positive, got 0"),
        ({"average_every": 4, "outer_momentum": 1}, "the outer momentum must be from 0 to below 1, got 1"),
        ({"average_every": 4, "optimizer": "schedule_free_sgd"}, "schedule_free_sgd keeps a second set of weights"),
    ],
)
def test_settings_that_cannot_be_used_are_said(candidate: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        race([{**SGD, **candidate}])


def test_a_module_that_normalizes_by_batch_is_refused() -> None:
    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))

    with pytest.raises(UsageError, match="workers cannot train apart on parts of a batch: 1 normalizes by the mean"):
        tune(normed, train=(X, Y), valid=0.2, loss=nn.MSELoss(), candidates=[{**SGD, "average_every": 4}], workers=1)
