"""A candidate whose loss blows up for good goes on in its race as a slower one: told, resumed and repeated so."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lanewise
import lanewise.training.race
from lanewise.errors import Interrupted
from lanewise.runs.comparing import differences
from lanewise.runs.store import RunStore
from lanewise.training.watching.guard import RATE_FACTOR
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.lane_alone import train_alone
from lanewise.tuning.tune import asked

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(240, 6, generator=DRAW)
Y = X[:, :1] * X[:, 1:2] + X[:, 2:3]
BLOWN = {"optimizer": "momentum", "lr": 2.0, "schedule": "constant"}  # to weights 1e15 times as large, all finite
QUESTION: dict[str, Any] = {
    "train": (X[:160], Y[:160]),
    "valid": (X[160:], Y[160:]),
    "loss": nn.MSELoss(),
    "candidates": [{"optimizer": "adamw", "lr": 3e-3}, {"optimizer": "momentum", "lr": 0.01}, BLOWN],
    "budget": "240steps",
    "batch_size": 16,
    "policy": "racing",
    "workers": 1,
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home: Path) -> lanewise.TuneResult:
    return lanewise.tune(network, name="whole", home=home, **QUESTION)


def test_it_is_told_with_step_and_cause_and_counts_as_diverged(found: lanewise.TuneResult) -> None:
    (first, *_) = [words for words in found.events if "momentum at 2 " in words]
    assert first.startswith("step 75: momentum at 2 diverged by step 75 (a loss of ")
    assert first.endswith(" times as large); went back to step 0 and on at 0.3 times the rate")
    (trace,) = [own for own in found.race.traces if own.lane.candidate.settings["lr"] == BLOWN["lr"]]
    assert trace.fate == "diverged"
    assert [(event.fraction, event.rate_factor) for event in trace.events] == [(75 / 240, RATE_FACTOR)]


def test_where_nobody_is_pruned_it_stays_and_is_told(found: lanewise.TuneResult) -> None:
    stays = lanewise.tune(network, **{**QUESTION, "policy": "never"})
    assert [trace.fractions[-1] for trace in stays.race.traces] == [1.0, 1.0, 1.0]
    causes = [event.cause for trace in stays.race.traces for event in trace.events]
    assert all(re.fullmatch(r"diverged by step \d+", cause) for cause in causes)  # where it is no longer finite
    assert any("momentum at 2 went on, but its updates explode" in words for words in stays.events)


def test_a_race_that_was_killed_after_it_goes_on_to_the_same(
    found: lanewise.TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanewise.training.race, "SAVE_EVERY_SECONDS", 0.0)

    def kill(pulse: Pulse) -> None:
        if pulse.phase == "screen":
            raise Interrupted

    with pytest.raises(Interrupted):
        lanewise.tune(network, name="whole", home=tmp_path, watch=kill, **QUESTION)
    again = lanewise.tune(network, name="whole", home=tmp_path, **QUESTION)
    assert list(differences(again.document, found.document)) == []
    assert again.events == found.events


def test_its_lane_alone_is_set_back_too(found: lanewise.TuneResult, home: Path) -> None:
    place = next(place for place, trace in enumerate(found.race.traces) if trace.events)
    with RunStore(home) as store:
        run = store.get("last")
    alone = train_alone(run, asked(network, **QUESTION), place)
    assert alone.same, alone.words
    assert alone.allowed < 1.0
