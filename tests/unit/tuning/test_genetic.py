"""``lanewise.tune`` as a genetic algorithm: children are candidates that are confirmed, handed over and resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import Interrupted
from lanewise.search.genetic import Genetic
from lanewise.training.genes import settings_now
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning import TuneResult, tune


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    return X, X[:, :1] * X[:, 1:2] + 0.1 * torch.randn(count, 1, generator=draw, dtype=torch.float64)


TRAIN, VALID = rows(200, 0), rows(80, 1)
RATES = [{"optimizer": "adamw", "lr": lr} for lr in (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 0.03)]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def race(**settings: Any) -> TuneResult:
    policy = Genetic(share=0.4, looks=(0.3, 0.6), survivors=8)
    usual: dict[str, Any] = {"candidates": RATES, "budget": "60steps", "loss": nn.MSELoss(), "workers": 2}
    return tune(network, train=TRAIN, valid=VALID, policy=policy, **(usual | settings))


@pytest.fixture(scope="module")
def found() -> TuneResult:
    return race()


def test_children_are_confirmed_as_what_they_were_in_the_screen(found) -> None:
    screened = {t.lane.candidate.id: t for t in found.race.traces if t.phase == "screen"}
    again = {t.lane.candidate.id: t for t in found.race.traces if t.phase == "confirm"}
    children = [name for name in again if "-copy" in name]
    assert len(children) >= 2
    assert any(event.changes for name in children for event in again[name].lane.candidate.events)
    for name, trace in again.items():
        shared = dict(zip(screened[name].fractions, screened[name].scores, strict=True))
        seen = dict(zip(trace.fractions, trace.scores, strict=True))
        for fraction in set(shared) & set(seen):
            assert shared[fraction] == pytest.approx(seen[fraction], rel=1e-9), (name, fraction)


def test_a_race_that_was_killed_ends_in_the_same_bits(found, tmp_path: Path) -> None:
    looks: list[Pulse] = []

    def kill(pulse: Pulse) -> None:
        looks.append(pulse)
        if len(looks) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        race(home=tmp_path, name="mine", watch=kill)
    again = race(home=tmp_path, name="mine")
    assert again.selection == found.selection
    for one, other in zip(found.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_child_says_what_changed_and_when(found) -> None:
    won = next(own.candidate for own in found.race.confirmed if any(event.changes for event in own.candidate.events))
    changed = TuneResult(**{**{name: getattr(found, name) for name in found.__dataclass_fields__}, "winner": won})
    assert changed.changes
    for step, settings in changed.changes:
        assert step in (18, 36)
        assert set(settings) <= {"weight_decay", "beta1", "beta2"}
    events = [event["words"] for event in found.document["events"]]
    assert any("took over from" in words and ("beta" in words or "decay" in words) for words in events)


def test_children_keep_to_the_constraint() -> None:
    """A child whose changes it forbids has the settings that its first parent has by then, and comes to its score."""

    def calm(one: Mapping[str, Any]) -> bool:
        return one["lr"] <= 1e-2 and one["beta1"] >= 0.9

    space = {"optimizer": "adamw", "lr": (1e-4, 1e-2), "beta1": 0.9}
    own, free = (race(candidates=8, space=space, where=where) for where in (calm, None))
    children = {
        name: [t.lane.candidate for t in found.race.traces if "-copy" in t.lane.candidate.id]
        for name, found in (("own", own), ("free", free))
    }
    assert not all(calm(settings_now(child)) for child in children["free"]), "else there is nothing to forbid"
    assert children["own"]
    assert all(calm(settings_now(child)) for child in children["own"])
    screened = {t.lane.candidate.id: t.scores[-1] for t in own.race.traces if t.phase == "screen"}
    again = {t.lane.candidate.id: t.scores[-1] for t in own.race.traces if t.phase == "confirm"}
    for name in again.keys() & {child.id for child in children["own"]}:
        assert again[name] == pytest.approx(screened[name], rel=1e-9)
