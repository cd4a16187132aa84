"""Candidates that overfit: judged where they were best, stopped there, and told of where nobody asked for that."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lanewise
from lanewise.errors import Interrupted, UsageError
from lanewise.reporting.report import render
from lanewise.training.watching.pulse import Pulse

STEPS = 100
"""After less than half of them the training rows are known by heart."""

RATES = [{"optimizer": "adamw", "lr": rate} for rate in (0.01, 0.02, 0.04)]


def rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes that a tenth of the numbers tell apart, with some wrong labels."""
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 20, generator=draw, dtype=torch.float64)
    return X, (X[:, 0] + X[:, 1] + 0.5 * torch.randn(count, generator=draw, dtype=torch.float64) > 0).long()


TRAIN, VALID = rows(60, 0), rows(200, 1)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 2)).double()


def tune(**settings: Any) -> lanewise.TuneResult:
    usual: dict[str, Any] = {
        "train": TRAIN, "valid": VALID, "loss": nn.CrossEntropyLoss(), "candidates": RATES, "batch_size": 60,
        "budget": f"{STEPS}steps", "policy": "never", "workers": 1, "early_stopping": True,
    }  # fmt: skip
    return lanewise.tune(network, **usual | settings)


@pytest.fixture(scope="module")
def stopped() -> lanewise.TuneResult:
    return tune()


def loss_of(model: nn.Module) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(VALID[0]), VALID[1]))


def test_the_model_is_the_winner_where_it_was_best(stopped: lanewise.TuneResult) -> None:
    (curve,) = [own.curve for own in stopped.race.confirmed if own.candidate.id == stopped.winner.id]
    best = int(np.argmin(curve))
    assert best < len(curve) - 1
    assert stopped.stop == pytest.approx((best + 1) / 10)
    assert stopped.steps == (best + 1) * STEPS // 10
    assert loss_of(stopped.model) == pytest.approx(curve[best], abs=1e-10)
    assert curve[best] <= stopped.score < curve[-1]  # rows choose for each other, not each for itself
    assert f"up to {stopped.stop:.0%} of the steps, where the rows held out were judged best" in str(stopped)
    assert any(line.startswith("The model is the winner trained once more") for line in stopped.document["summary"])
    assert stopped.document["race"]["order"] == ""
    assert f"judged there: winner at {stopped.stop:.0%}" in render(stopped.document)
    board = {row["id"]: row["stop"] for row in stopped.document["race"]["leaderboard"]}
    assert board[stopped.winner.id] == pytest.approx(stopped.stop)


def test_a_loop_of_one_s_own_that_stops_there_has_the_same_averaged_weights(stopped: lanewise.TuneResult) -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = stopped.optimizer(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, stopped.schedule)
    assert stopped.schedule.steps == STEPS
    averaged, every = copy.deepcopy(model), STEPS // 100
    for step in range(1, stopped.steps + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(TRAIN[0]), TRAIN[1]).backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
                mean.lerp_(now, every / (0.2 * step + every))
    for own, theirs in zip(stopped.model.parameters(), averaged.parameters(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-9)


def test_without_it_the_end_decides_and_a_word_tells_that_it_was_too_late(stopped: lanewise.TuneResult) -> None:
    found = tune(early_stopping=False)
    assert found.stop == 1.0
    assert found.steps == STEPS
    (curve,) = [own.curve for own in found.race.confirmed if own.candidate.id == found.winner.id]
    assert found.score == pytest.approx(curve[-1])
    assert found.score > stopped.score + 0.05
    assert not any("train longer" in line for own in (found, stopped) for line in own.warnings)
    (words,) = [line for line in found.words if "Training was too long" in line]
    assert "early_stopping=True" in words
    assert f"{words}." in found.document["summary"]
    assert not any("Training was too long" in line for line in stopped.words)
    assert all("stop" not in row for row in found.document["race"]["leaderboard"])


def test_nothing_is_told_of_trainings_that_get_better_to_the_end() -> None:
    slow = [{"optimizer": "sgd", "lr": rate} for rate in (0.01, 0.02)]
    found = tune(candidates=slow, early_stopping=False)
    assert not any("Training was too long" in line for line in found.words)
    early = tune(candidates=slow)
    assert early.stop == 1.0
    assert early.score == pytest.approx(found.score)
    assert not any("trained once more" in line for line in early.words)


@pytest.mark.parametrize("policy", ["halving", "population", "genetic"])
def test_after_a_screen_too(policy: str) -> None:
    rates = [{"optimizer": "adamw", "lr": 0.01 * 1.2**n} for n in range(12)]
    found = tune(policy=policy, candidates=rates, seed=1)
    (curve,) = [own.curve for own in found.race.confirmed if own.candidate.id == found.winner.id]
    assert found.stop < 1
    assert loss_of(found.model) == pytest.approx(min(curve), abs=1e-8)


def test_a_stored_race_goes_on_and_ends_in_the_same_bits(tmp_path: Path, stopped: lanewise.TuneResult) -> None:
    def kill(pulse: Pulse) -> None:
        if pulse.phase == "refit":
            raise Interrupted

    with pytest.raises(Interrupted):
        tune(home=tmp_path, name="mine", watch=kill)
    with pytest.raises(UsageError, match="early_stopping"):
        tune(home=tmp_path, name="mine", early_stopping=False)
    again = tune(home=tmp_path, name="mine")
    for own, theirs in zip(stopped.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(own, theirs)
    assert again.stop == stopped.stop


def test_folds_stop_early_by_themselves() -> None:
    both = [tune(train=TRAIN, valid=None, folds=3, early_stopping=early) for early in (False, True)]
    assert both[0].stop == both[1].stop < 1
    assert both[0].steps == round(both[0].stop * STEPS) < STEPS
    assert both[0].schedule.steps == STEPS


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(UsageError, match="early_stopping must be True or False, got 'yes'"):
        tune(early_stopping="yes")


def test_too_few_rows_to_choose_by_are_refused() -> None:
    few = VALID[0][:9], VALID[1][:9]
    with pytest.raises(UsageError, match=r"early_stopping takes at least 10 validation rows, .* got 9; give more, or"):
        tune(valid=few)


@pytest.mark.parametrize("row", [8, 9])
def test_nothing_is_told_of_the_end_where_nobody_knows_the_error_of_a_score(row: int) -> None:
    found = tune(valid=(VALID[0][row : row + 1], VALID[1][row : row + 1]), early_stopping=False)
    (curve,) = [own.curve for own in found.race.confirmed if own.candidate.id == found.winner.id]
    assert curve[-1] > 2 * min(curve)
    assert not any("Training was too long" in line for line in found.words)
