"""``lanewise.tune`` with candidates that are proposed on the way: they race like others, and again the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.distributed.data_axis import DataAxis
from lanewise.errors import Interrupted, UsageError
from lanewise.training.entering import Tried
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning import TuneResult, only, tune
from lanewise.tuning.bayesian import searched
from lanewise.tuning.from_files import repeat, repeat_lane, tune_files
from lanewise.tuning.planning import Wanted, _in_batches
from lanewise.tuning.posing import with_ways
from lanewise.tuning.proposing import drawn
from lanewise.tuning.racing import everywhere
from lanewise.tuning.tune import asked


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    return X, X[:, :1] * X[:, 1:2] + 0.1 * torch.randn(count, 1, generator=draw, dtype=torch.float64)


TRAIN, VALID = rows(160, 0), rows(80, 1)
SPACE = {"optimizer": ["adamw", "sgd"], "lr": (1e-4, 0.3), "width": [4, 8], "batch_size": (16, 64)}


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1)).double()


def race(**settings: Any) -> TuneResult:
    usual: dict[str, Any] = {
        "train": TRAIN, "valid": VALID, "loss": nn.MSELoss(), "space": SPACE, "candidates": 14, "search": "bayesian",
        "budget": "60steps", "workers": 2,
    }  # fmt: skip
    return tune(network, **(usual | settings))


@pytest.fixture(scope="module")
def found() -> TuneResult:
    return race()


def test_the_defaults_begin_and_the_others_are_proposed_in_their_space(found) -> None:
    raced = found.plan.candidates
    assert len(raced) == 14
    assert {own.optimizer for own in raced[:2]} == {"adamw", "sgd"}
    assert raced[0].is_default
    assert len({(own.optimizer, *sorted(own.settings.items())) for own in raced}) == 14
    assert all(1e-4 <= own.number("lr") <= 0.3 and own.settings["width"] in (4, 8) for own in raced[1:])
    assert {own.settings["batch_size"] for own in raced[5:]} <= {16, 32, 64}
    assert "3 batches of candidates were proposed" in "\n".join(found.words)
    assert set(found.plan.costs) == {own.id for own in raced}
    assert len(found.table) == 14


def test_who_was_proposed_trains_and_is_judged_as_if_it_had_been_listed(found) -> None:
    """The oracle of a race with entrants: the same candidates, all there from the start, give the same race."""
    listed = [{"optimizer": own.optimizer, **own.settings} for own in found.plan.candidates]
    again = race(candidates=listed, search="sobol", space=None)
    assert again.score == pytest.approx(found.score, rel=1e-9)
    assert again.winner.settings == found.winner.settings
    seen = {tuple(t.fractions): t.scores for t in found.race.traces if t.phase == "screen"}
    for one, other in zip(sorted(found.race.traces, key=_place), sorted(again.race.traces, key=_place), strict=True):
        assert one.fractions == other.fractions
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9)
    assert seen


def _place(trace: Any) -> tuple[str, int]:
    return trace.phase, int(trace.lane.candidate.id.split("-")[1])


def test_it_goes_on_after_a_kill_and_repeats_to_the_same_bits(found, tmp_path: Path) -> None:
    def kill(pulse: Pulse) -> None:
        looks.append(pulse)
        if len(looks) == 7:
            raise Interrupted

    looks: list[Pulse] = []
    with pytest.raises(Interrupted):
        race(home=tmp_path, name="mine", watch=kill)
    again = race(home=tmp_path, name="mine")
    assert again.selection == found.selection
    assert again.plan.candidates == found.plan.candidates
    for one, other in zip(found.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_from_the_shell_it_is_repeated_by_its_plan_and_one_lane_alone(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "def make(width=4):\n    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))\n"
        "def data():\n"
        "    X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))\n"
        "    return (X[:80], X[:80, :1] * 2), (X[80:], X[80:, :1] * 2)\n"
        "space = {'optimizer': 'sgd', 'width': (2, 30)}\n"
    )
    monkeypatch.chdir(tmp_path)
    names = {name: f"{file}:{own}" for name, own in (("model", "make"), ("data", "data"), ("space", "space"))}
    settings = {"loss": "mse", "candidates": "9", "search": "bayesian", "budget": "20steps", "workers": 1}
    found = tune_files(command="lanewise tune ...", **names, **settings)
    assert found.run is not None
    again = repeat(found.run)
    assert again.document["repeats"]["same"] is True
    curves = found.document["race"]["curves"]
    last = next(curve["lane"] for curve in curves if curve["candidate"] == found.plan.candidates[-1].id)
    assert repeat_lane(found.run, last).same


def test_conditions_and_constraints_hold_for_what_is_proposed() -> None:
    space = {
        "optimizer": ["momentum", "sgd"],
        "schedule": ["linear", "constant"],
        "warmup": only((0.1, 0.4), schedule="linear"),
    }
    found = race(
        space=space, candidates=12, where=lambda one: one["lr"] < 0.2 or one["schedule"] == "constant", budget="20steps"
    )
    for own in found.plan.candidates:
        assert own.number("lr") < 0.2 or own.text("schedule") == "constant"
        assert (0.1 <= own.number("warmup") <= 0.4) == (own.text("schedule") == "linear")


def test_a_candidate_is_told_at_the_coordinates_that_give_it() -> None:
    """Whatever the scale, the settings at the coordinates of a candidate are its own."""
    width = {"optimizer": ["adamw", "sgd"], "batch_size": [16, 32], "lr": (1e-4, 0.3), "schedule": ["cosine", "linear"]}
    given: dict[str, Any] = {"model": "module", "batch_size": 16, "seed": 0, "where": None}
    space = searched(width, 12, arguments={}, fixed={"depth": 2}, **given)
    for own in drawn(width, space.first, **given):
        told = space.told(Tried(candidate=own, loss=1.0))
        again = space.candidate(0, own.optimizer, space.settings(own.optimizer, told.point))
        assert again.settings["depth"] == 2
        for name, value in own.settings.items():
            same = again.settings[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-6))
            assert same, name


def test_a_budget_in_seconds_reckons_with_the_batches() -> None:
    found = race(candidates=14, budget="60steps").plan
    wanted = Wanted(candidates=found.candidates[:5], policy=None, seeds=(0,), workers=1, proposed=9)  # type: ignore[arg-type]  # no policy is asked
    assert _in_batches([(14, 0.1), (5, 0.9)], wanted) == [(5, 0.1), (3, 0.1), (3, 0.1), (3, 0.1), (5, 0.9)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": "never"}, "learns from the first look of the policy, and never looks at nobody"),
        ({"candidates": 4}, "begins with 4 candidates and learns from them; candidates is 4: give at least 5"),
        ({"search": "tpe"}, "search must be one of sobol, random, grid, bayesian"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        race(**settings)


def test_what_enters_on_the_way_shares_batches_as_all_others_do() -> None:
    X, y = torch.randn(64, 3), torch.randn(64, 1)

    def made(width: int = 4) -> nn.Module:
        return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1))

    first = {"optimizer": "sgd", "batch_size": 8, "lr": 0.1}
    own = asked(
        made, train=(X, y), valid=(X, y), loss=nn.functional.mse_loss, candidates=[first], budget="20steps", workers=1
    )
    axis = DataAxis(place=0, size=2, sums=lambda message: None, sends=lambda sent: sent)
    teams = everywhere(with_ways(own.teams, own.question, own.wanted.candidates), axis=axis)
    (known,) = own.wanted.candidates
    larger = replace(known, id="larger", settings={**known.settings, "batch_size": 16})
    wider = replace(known, id="wider", settings={**known.settings, "width": 8})
    found = own.grow(teams, [larger, wider])
    assert set(found.ways) == {8, 16}
    assert [part.axis for part in (found, *found.others.values())] == [axis, axis]
