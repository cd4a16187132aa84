"""Tuning races whose confirmation goes on from the screen: who does, and whole documents as if nobody had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lanewise
from lanewise.distributed.ranks import Lone
from lanewise.errors import Interrupted
from lanewise.runs.comparing import differences
from lanewise.runs.store import RunStore
from lanewise.training.planning.plan import GRID
from lanewise.training.stack import Stack
from lanewise.training.team import nothing
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning import going_on, planning
from lanewise.tuning.lane_alone import train_alone
from lanewise.tuning.planned import Planned
from lanewise.tuning.planning import plan_race
from lanewise.tuning.posing import with_ways
from lanewise.tuning.tune import asked

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(240, 12, generator=DRAW)
Y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).long()
RATES = [
    {"optimizer": rule, "lr": lr * share}
    for lr in (0.01, 0.1, 0.001, 0.03, 1e-4, 1e9)
    for rule in ("sgd", "adamw", "nesterov")
    for share in (1.0, 1.5)
]
GIVEN: dict[str, Any] = {
    "train": (X[:160], Y[:160]),
    "valid": (X[160:], Y[160:]),
    "loss": nn.CrossEntropyLoss(),
    "candidates": RATES,
    "budget": "30steps",
    "batch_size": 16,
    "workers": 1,
}


def convolving() -> nn.Module:
    """Lanes of it are trained one by one on a CPU."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 12)), nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2)
    )


def stacked() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16))


def kept(make: Any = convolving, *, steps: int | None = 60, **more: Any) -> tuple[float, ...]:
    posed = asked(make, **{**GIVEN, **more}, ranks=Lone())
    teams = with_ways(posed.teams, question=posed.question, candidates=posed.wanted.candidates, seconds=None)
    return replace(posed.wanted, steps=steps).kept_looks(teams)


def begun(found: lanewise.TuneResult) -> set[float]:
    return {trace.begun for trace in found.race.traces if trace.phase == "confirm"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home: Path) -> lanewise.TuneResult:
    return lanewise.tune(convolving, name="whole", home=home, **GIVEN)


@pytest.fixture
def from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "kept_looks", lambda *positional, **named: ())


@pytest.mark.usefixtures("from_the_start")
def test_the_document_is_that_of_a_race_that_trains_everybody_from_the_start(found: lanewise.TuneResult) -> None:
    anew = lanewise.tune(convolving, **GIVEN)
    assert begun(found) == {10 / 30}
    assert begun(anew) == {0.0}
    raced = {name: found.document[name] for name in anew.document}  # without what was said of it as a stored run
    assert list(differences(raced, anew.document)) == []
    for name, own in found.model.state_dict().items():
        assert torch.equal(own, anew.model.state_dict()[name])


def test_killed_three_times_and_gone_on_with_it_ends_in_the_same_document(
    found: lanewise.TuneResult, tmp_path: Path
) -> None:
    for look in (14, 8, 8):  # all of them in the screen
        left = look

        def watch(pulse: Pulse) -> None:
            nonlocal left
            left -= 1
            if not left:
                assert pulse.phase == "screen"
                raise Interrupted

        with pytest.raises(Interrupted):
            lanewise.tune(convolving, name="whole", home=tmp_path, watch=watch, **GIVEN)
    again = lanewise.tune(convolving, name="whole", home=tmp_path, **GIVEN)
    assert begun(again) == begun(found)
    assert list(differences(again.document, found.document)) == []


def test_a_lane_that_went_on_is_the_same_alone(found: lanewise.TuneResult, home: Path) -> None:
    place = next(place for place, trace in enumerate(found.race.traces) if trace.begun)
    with RunStore(home) as store:
        run = store.get("last")
    alone = train_alone(run, asked(convolving, **GIVEN), place)
    assert (alone.difference, alone.bits) == (0.0, True), alone.words


def test_lanes_that_are_trained_one_by_one_go_on_in_any_race_of_one_fold_and_seed() -> None:
    assert kept() == (0.1, 0.2, 0.3)
    assert kept(candidates=RATES[:16]) == (0.1,)
    assert kept(policy="never") == ()
    assert kept(seeds=2) == ()
    assert kept(folds=3, valid=None) == ()
    assert kept(policy="population") == ()
    assert kept(candidates=[*RATES, {"optimizer": "sgd", "lr": 0.1, "average_every": 4}]) == ()


def test_nothing_is_kept_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    width = 4 * 3 + 4 + 4 + 4 + 80 + 2 + 9  # weights, and the statistics of a normalization
    rows = 36 + 2 * 13
    monkeypatch.setattr(going_on, "MOST_KEPT", 4 * width * rows)
    assert kept() == (0.1, 0.2, 0.3)
    monkeypatch.setattr(going_on, "MOST_KEPT", 4 * width * rows - 1)
    assert kept() == ()


def test_stacked_lanes_go_on_only_where_they_have_the_same_bits_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_of: list[int] = []

    def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
        asked_of.append(len(one))
        return len(asked_of) < 5

    monkeypatch.setattr(going_on, "_same_bits", same_bits)
    assert kept(stacked, steps=400) == ()
    assert asked_of == [2 * (12 * 32 + 32 + 32 * 16 + 16)] * 5  # weights and gradients
    monkeypatch.setattr(going_on, "_same_bits", lambda one, other: True)
    assert kept(stacked, steps=400) == (0.1, 0.2, 0.3)
    assert kept(stacked, steps=None) == (0.1, 0.2, 0.3)
    assert kept(stacked, steps=100) == ()  # too few steps to be worth the trial


@pytest.mark.parametrize("name", ["values", "gradients"])
def test_lanes_of_stacks_are_compared_by_what_training_makes_of_them(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of gradients that differ in their last bits a small rate leaves nothing to be seen in the weights."""
    advance = Stack.advance

    def rounded(self: Stack, fraction: float, between: Any = nothing) -> None:
        advance(self, fraction, between)
        getattr(self.buffer, name).mul_(1 + torch.finfo(torch.float32).eps * len(self.lanes))

    monkeypatch.setattr(Stack, "advance", rounded)
    assert kept(stacked, steps=400) == ()


def test_full_stacks_are_tried_as_one_process_and_as_several_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(self: Stack, fraction: float, between: Any = nothing) -> None:
        del fraction, between
        sizes.append(len(self.lanes))

    monkeypatch.setattr(Stack, "advance", counted)
    kept(stacked, steps=400, workers=4)
    assert [sizes[place : place + 6] for place in range(sizes.index(36), len(sizes), 6)] == [[36, 9, 5, 3, 2, 1]] * 3


def test_nobody_goes_on_where_there_is_no_room_to_try_it(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Stack.advance

    def refused(self: Stack, fraction: float, between: Any = nothing) -> None:
        if len(self.lanes) > 2:  # two are tried to see whether they can be stacked
            raise MemoryError
        advance(self, fraction, between)

    monkeypatch.setattr(Stack, "advance", refused)
    assert kept(stacked, steps=400) == ()


def test_a_budget_in_seconds_buys_longer_trainings_where_lanes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "timed", lambda *positional: (1e-3, 0.0))
    posed = asked(convolving, **{**GIVEN, "budget": "20s"}, ranks=Lone())
    teams = with_ways(posed.teams, question=posed.question, candidates=posed.wanted.candidates, seconds=None)
    long, short = (plan_race(posed.wanted, teams, goes_on=goes_on).lengths.rows_seen for goes_on in (True, False))
    rungs = plan_race(posed.wanted, teams).rungs
    assert rungs == pytest.approx((1 / 9, 1 / 3))
    assert long / short == pytest.approx((36 / 9 + 13 * 2 / 9 + 5) / (36 / 9 + 13 * 2 / 9 + 5 * 2 / 3), rel=1e-3)


def test_what_was_used_before_the_plan_is_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "timed", lambda *positional: (1e-3, 0.0))
    posed = asked(convolving, **{**GIVEN, "budget": "20s"}, ranks=Lone())
    teams = with_ways(posed.teams, question=posed.question, candidates=posed.wanted.candidates, seconds=None)
    whole, half = (plan_race(posed.wanted, teams, used=used).lengths.rows_seen for used in (0.0, 10.0))
    assert half == pytest.approx(whole / 2, rel=0.01)
    assert plan_race(posed.wanted, teams, used=3600.0).lengths.rows_seen == pytest.approx(whole / 4, rel=0.01)


def test_a_plan_keeps_at_which_looks(found: lanewise.TuneResult) -> None:
    own = Planned(plan=found.plan, ways={}, shared_out=False, kept_looks=GRID[:3])
    assert Planned.from_json(own.to_json()).kept_looks == GRID[:3]
    before = {name: value for name, value in own.to_json().items() if name != "kept_looks"}
    assert Planned.from_json(before).kept_looks == ()
