"""What a race tells of itself: phases, events, settings that mattered, cost, and how late its order moved."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.tuning import TuneResult, tune
from lanewise.tuning.answer.story import unspent


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 5, generator=draw)
    return X, (X[:, :1] - X[:, 1:2]) + 0.3 * torch.randn(count, 1, generator=draw)


RATES = [0.03, *(10 ** (-4 + place / 6) for place in range(18)), 1e6]
DATA = {"train": rows(256, 0), "valid": rows(128, 1), "loss": nn.MSELoss()}


def model() -> nn.Module:
    return nn.Linear(5, 1)


@pytest.fixture(scope="module")
def found() -> TuneResult:
    candidates = [{"optimizer": "sgd", "lr": rate} for rate in RATES]
    return tune(model, candidates=candidates, budget="90steps", full_length=900, **DATA)


def test_the_phases_are_counted(found) -> None:
    screen, confirm = found.document["race"]["phases"]
    assert (screen["name"], screen["candidates"], screen["lanes"]) == ("screen", 20, 20)
    assert confirm["name"] == "confirm"
    assert confirm["lanes"] == len([trace for trace in found.race.traces if trace.phase == "confirm"])
    assert confirm["seconds"] > 0


def test_a_good_part_of_a_budget_that_was_left_is_explained(found) -> None:
    plan = replace(found.plan, predicted_seconds=12.0)
    assert unspent(plan, budget=20.0, seconds=11.0, raced=7.0) == (
        "9 s of the budget were left: the race was planned for 12 s, with three tenths of what there was kept back in "
        "case the machine turns slower, and took 7 s"
    )
    assert unspent(plan, budget=20.0, seconds=16.0, raced=12.0) == ""
    assert unspent(plan, budget=None, seconds=1.0, raced=1.0) == ""


def test_events_are_told_in_plain_words(found) -> None:
    events = found.document["events"]
    first = events[0]
    assert first["words"].startswith("sgd at 1e+06 diverged by step ")
    assert "and on at 0.3 times the rate" in first["words"]
    assert 0 < first["step"] <= 90
    assert found.race.traces[first["lane"]].lane.candidate.id == "sgd-19"
    repairs = [event for event in events if "diverged" in event["words"] or "given up" in event["words"]]
    assert all(event["words"].startswith("sgd at 1e+06") for event in repairs)


def test_who_was_dropped_when_is_in_the_report(found, tmp_path) -> None:
    page = found.report(tmp_path / "race.html").read_text()
    assert found.document["race"]["rungs"] == ["after 11% of the full length the best 7 of 20 went on"]
    assert "On the way: after 11% of the full length the best 7 of 20 went on" in page
    assert "Planned before training: 20 candidates, 90 steps each" in page


def test_a_training_that_stood_still_is_told_where_another_came_further() -> None:
    rates = [{"optimizer": "sgd", "lr": lr} for lr in (0.03, 1e-9, 0.01)]
    raced = tune(model, candidates=rates, budget="60steps", policy="never", seeds=2, **DATA)
    still = [event for event in raced.document["events"] if "stood still" in event["words"]]
    (event,) = still
    assert event["words"].startswith("sgd at 1e-09 stood still: its validation loss was ")
    assert event["step"] == 60
    alone = tune(model, candidates=rates[1:2], budget="60steps", **DATA)
    (event,) = alone.document["events"]  # nobody shows that there was something to learn
    assert "updates vanish" in event["words"]


def test_who_is_given_up_is_so_at_the_step_of_the_cause() -> None:
    candidates = [{"optimizer": "adamw", "lr": 1e-3}, {"optimizer": "sgd", "lr": 1e10}]
    raced = tune(model, candidates=candidates, budget="160steps", policy="never", **DATA)
    told = [event for event in raced.document["events"] if event["label"].endswith("sgd, lr 1e+10")]
    assert "was given up: diverged by step" in told[-1]["words"]
    assert all(f"diverged by step {event['step']}" in event["words"] for event in told)
    assert told[-1]["step"] > told[-2]["step"]


def test_copies_are_events_too() -> None:
    candidates = [{"optimizer": "sgd", "lr": rate} for rate in (0.03, 1e-4, 2e-4, 3e-4, 0.01, 0.02, 0.05, 0.1)]
    raced = tune(model, candidates=candidates, budget="60steps", policy="population", **DATA)
    copies = [event for event in raced.document["events"] if "times its rate" in event["words"]]
    assert copies
    assert all(0 < event["step"] <= 60 for event in copies)


def test_the_rate_is_seen_to_matter(found) -> None:
    (effect,) = found.document["effects"]
    assert effect["hyperparameter"] == "learning rate"
    assert all(value["low"] < value["score"] < value["high"] for value in effect["values"])
    assert "the learning rate made the largest difference to the loss" in found.document["summary"][-1]
    assert found.effects.effects[0].evident
    (series,) = found.sensitivity
    assert series.optimizer == "sgd"


def test_the_cost_is_that_of_the_whole_call(found) -> None:
    hardware = found.document["hardware"]
    assert hardware["seconds"] >= sum(found.race.seconds.values())
    assert hardware["cpu_seconds"] > 0
    assert hardware["precision"] == "float32"


def test_a_race_far_shorter_than_the_training_says_so(found, tmp_path) -> None:
    (warning,) = [line for line in found.document["warnings"] if "rankings flip late" in line]
    assert warning.startswith("The race trained for 90 steps, 10% of the 900 that you train for")
    assert "rank correlation of" in warning
    page = found.report(tmp_path / "race.html").read_text()
    assert "rankings flip late" in page
    for section in ("decisions", "race", "leaderboard", "sensitivity", "cost"):
        assert f'id="{section}"' in page
    assert "sgd at 1e+06 diverged by step" in page


def test_without_the_full_length_the_order_stands_beside_the_curves(tmp_path) -> None:
    candidates = [{"optimizer": "sgd", "lr": rate} for rate in (0.1, 0.01, 0.3)]
    found = tune(model, candidates=candidates, budget="60steps", full_length=100, **DATA)
    assert not found.document["warnings"]
    assert found.document["race"]["order"].startswith("From 50% of the length to its end the order of 3 candidates")
    assert re.search(r"the leader then, \w+ at [\d.e-]+", found.document["race"]["order"]), "as the verdict calls it"
    assert "the order of 3 candidates" in found.report(tmp_path / "race.html").read_text()


def test_a_length_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="full_length must be at least 1, got 0"):
        tune(model, budget="60steps", full_length=0, **DATA)


def test_a_winning_rate_that_is_the_largest_tried_is_told_with_what_to_try() -> None:
    rates = [{"optimizer": "sgd", "lr": lr} for lr in (1e-4, 3e-4, 1e-3)]
    raced = tune(model, candidates=rates, budget="40steps", policy="never", **DATA)
    (edge,) = raced.document["race"]["edges"]
    assert (edge["setting"], edge["value"], edge["side"], edge["tried"]) == ("lr", 1e-3, "largest", 3)
    assert edge["words"].endswith(
        "is the largest of the 3 tried with sgd: a larger one might be better; try 0.003 and 0.01."
    )
    assert edge["words"] in raced.document["summary"]
    assert edge["words"] in raced.words


def test_the_seconds_of_a_race_are_those_of_the_clock_everywhere(found) -> None:
    assert found.document["seconds"] == found.document["hardware"]["seconds"]
