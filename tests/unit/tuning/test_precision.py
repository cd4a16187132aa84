"""Races in a lower precision: planned once, stored and gone on with; and modules with an autocast of their own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lanewise
from lanewise.errors import Interrupted, UsageError
from lanewise.models.blueprint import Blueprint
from lanewise.runs.comparing import differences
from lanewise.training.device import CPU
from lanewise.tuning import precision as choosing
from lanewise.tuning.precision import check_casts
from lanewise.tuning.tune import asked

X = torch.randn(240, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] - X[:, 1] > 0).long()
RATES = [{"optimizer": "adamw", "lr": 1e-3}, {"optimizer": "adamw", "lr": 3e-2}, {"optimizer": "momentum", "lr": 0.1}]


class Own(nn.Module):
    """Products under an autocast of its own."""

    dtype = torch.bfloat16

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, rows: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.dtype):
            hidden = self.first(rows).relu()
        return self.last(hidden.float())


class Half(Own):
    dtype = torch.float16


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))


def tune(make: Any = chain, **settings: Any) -> lanewise.TuneResult:
    usual: dict[str, Any] = {"train": (X, Y), "valid": 0.25, "loss": nn.CrossEntropyLoss(), "candidates": RATES}
    return lanewise.tune(make, **{**usual, "budget": "30steps", "workers": 1, **settings})


def test_a_race_in_bfloat16_goes_on_to_the_same_bits_and_says_so(tmp_path: Path) -> None:
    def killed(pulse: Any) -> None:
        killed.looks += 1
        if killed.looks == 3:
            raise Interrupted

    killed.looks = 0
    with pytest.raises(Interrupted):
        tune(precision="bfloat16", home=tmp_path, name="low", watch=killed, policy="racing")
    found = tune(precision="bfloat16", home=tmp_path, name="low", policy="racing")
    again = tune(precision="bfloat16", home=tmp_path / "again", name="low", policy="racing")
    assert list(differences(found.document, again.document)) == []
    assert found.document["model_sha256"] == again.document["model_sha256"]
    assert (found.plan.precision, found.document["hardware"]["precision"]) == ("bfloat16", "bfloat16")
    assert any("products of training are bfloat16" in words for words in found.words)
    assert {own.dtype for own in found.model.parameters()} == {torch.float32}
    plain = tune(policy="racing")
    assert plain.plan.precision == "float32"
    scores = [[own.scores[-1] for own in result.race.traces] for result in (found, plain)]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], rel=0.05)
    killed.looks = 0
    with pytest.raises(Interrupted):
        tune(precision="bfloat16", home=tmp_path, name="next", watch=killed, policy="racing")
    with pytest.raises(UsageError, match="precision"):
        tune(home=tmp_path, name="next", policy="racing")


@pytest.mark.parametrize(("ratio", "taken"), [(2.0, "bfloat16"), (1.1, "float32")])
def test_auto_takes_what_is_clearly_faster(ratio: float, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def seconds(teams: Any, candidates: Any) -> float:
        measured.append(teams.autocast)
        return 1.0 if teams.autocast else ratio

    monkeypatch.setattr(choosing, "_seconds", seconds)
    found = tune(precision="auto")
    assert measured == [None, torch.bfloat16] * 2
    assert found.plan.precision == taken
    assert any(f"{ratio:.2g} times as fast as in float32" in words for words in found.words)


def test_auto_times_steps_and_leaves_a_module_in_float64_alone() -> None:
    found = tune(precision="auto")
    assert found.plan.precision in ("float32", "bfloat16")
    assert tune(lambda: chain().double(), precision="auto", candidates=RATES[:1]).plan.precision == "float64"


@pytest.mark.parametrize("own", [Own, Half])
def test_a_module_with_an_autocast_of_its_own_is_stacked(own: type[Own]) -> None:
    blueprint = Blueprint.of(own, X[:8])
    assert blueprint.casts == own.dtype
    assert Blueprint.of(chain, X[:8]).casts is None
    found = tune(own)
    assert any("stacked" in words for words in found.words)
    assert found.plan.precision == "float32"
    assert found.selection.standing(found.winner.id).score < 0.6


def test_a_step_with_an_autocast_of_its_own_is_stacked() -> None:
    def step(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

    found = tune(loss=None, step=step)
    assert any("stacked" in words for words in found.words)
    assert found.selection.standing(found.winner.id).score < 0.6


def test_what_cannot_be_is_refused_before_the_race() -> None:
    for given, words in (
        ({"precision": "bf16"}, "precision must be one of float32, bfloat16, float16, auto, got 'bf16'"),
        ({"precision": "float16"}, "float16 is for GPUs"),
        ({"precision": "bfloat16", "make": lambda: chain().double()}, "this one's are float64"),
    ):
        with pytest.raises(UsageError, match=words):
            tune(**given)
    posed = asked(chain, train=(X, Y), valid=0.25, loss=nn.CrossEntropyLoss(), candidates=RATES)
    assert posed.teams.device == CPU
    check_casts("bfloat16", posed.teams)
