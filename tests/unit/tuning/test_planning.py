"""How many candidates a small budget has room for, where nobody says how many there are to be."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import lanewise
from lanewise.distributed.ranks import Lone
from lanewise.errors import Interrupted, UsageError
from lanewise.tuning import planning
from lanewise.tuning.planning import plan_with_room
from lanewise.tuning.posing import with_ways
from lanewise.tuning.tune import asked

X = torch.randn(240, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).long()
GIVEN: dict[str, Any] = {
    "train": (X[:160], Y[:160]), "valid": (X[160:], Y[160:]), "loss": nn.CrossEntropyLoss(), "workers": 1
}  # fmt: skip
FIVE = ["adamw", "adam", "sgd", "momentum", "lion"]


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 2))


def planned(monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """The plan where a step takes 50 ms for each lane, and all candidates that it was made of."""
    monkeypatch.setattr(planning, "timed", lambda own, teams, batch, width: (0.05 * width, 0.0))
    wanted = (posed := asked(network, **{**GIVEN, **more}, ranks=Lone())).wanted
    teams = with_ways(posed.teams, question=posed.question, candidates=wanted.candidates, seconds=None)
    plan, _ = plan_with_room(wanted, teams, used=lambda: 0.0)
    return plan, wanted.candidates


@pytest.mark.parametrize(
    ("budget", "more", "count"),
    [("60s", {}, 16), ("10s", {}, 12), ("6s", {}, 4), ("8s", {"space": {"optimizer": FIVE}}, 5)],
)
def test_fewer_are_raced_where_nobody_says_how_many(
    budget: str, more: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, drawn = planned(monkeypatch, budget=budget, **more)
    assert plan.candidates == drawn[:count]
    assert plan.candidates[0].is_default
    assert {own.optimizer for own in plan.candidates} == {own.optimizer for own in drawn}
    assert plan.words[0].startswith(f"{count} candidates, ")
    said = [line for line in plan.words if line.startswith("of the 16 candidates that are drawn where nobody says how")]
    assert len(said) == (count < 16)


@pytest.mark.parametrize(
    "more",
    [{"candidates": 16}, {"search": "grid", "space": {"lr": (1e-3, 0.1, 4)}}, {"candidates": [{"lr": 0.1}] * 6}],
    ids=["a number", "a grid", "a list"],
)
def test_candidates_that_were_named_all_race_or_are_refused(more: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"are the least that says anything; give at least \d+s, or fewer candidates"):
        planned(monkeypatch, budget="6s", **more)


def test_fewer_than_the_fewest_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"3 steps for each of 4 candidates, .* give at least 6s, or fewer"):
        planned(monkeypatch, budget="1s")


def test_a_race_of_fewer_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    seconds = planning.timed
    monkeypatch.setattr(planning, "timed", lambda *positional: (0.05 * positional[-1], seconds(*positional)[1]))
    given = {**GIVEN, "budget": "8s", "space": {"width": [2, 3, 4, 5, 6, 7]}, "home": tmp_path, "name": "mine"}

    def stop(pulse: Any) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        lanewise.tune(network, watch=stop, **given)
    monkeypatch.undo()
    found = lanewise.tune(network, **given)
    assert 4 <= len(found.plan.candidates) < 16
    assert found.document["candidates"] == len(found.plan.candidates)


def test_models_that_are_run_in_another_way_are_counted() -> None:
    posed = asked(network, **GIVEN, space={"width": [2, 3, 4]}, candidates=9, budget="30steps", ranks=Lone())
    teams = with_ways(posed.teams, question=posed.question, candidates=posed.wanted.candidates, seconds=None)
    same = plan_with_room(posed.wanted, teams, used=lambda: 0.0)[0].words
    assert [line for line in same if "in one pass" in line] == ["batch size 16: stacked, up to 64 lanes in one pass"]
    form, other = next(iter(teams.others.items()))
    alone = replace(other, ways={16: replace(other.ways[16], width=1, words="lanes are trained one by one")})
    apart = replace(teams, others={**teams.others, form: alone})
    words = plan_with_room(posed.wanted, apart, used=lambda: 0.0)[0].words
    assert "batch size 16, 2 of 3 models: stacked, up to 64 lanes in one pass" in words
    assert "batch size 16, 1 of 3 models: lanes are trained one by one" in words
