"""Dead units and updates that vanish or explode are noticed at looks, once each, and healthy lanes get no notice."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn

import lanewise.training.race
from lanewise.errors import Interrupted
from lanewise.models.module import StackedModule
from lanewise.training.stack import Stack
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning import TuneResult, tune

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(160, 6, generator=DRAW)
Y = X[:, :1] - X[:, 1:2] + 0.1 * torch.randn(160, 1, generator=DRAW)
DATA = {"train": (X[:96], Y[:96]), "valid": (X[96:], Y[96:]), "loss": nn.MSELoss(), "policy": "never", "workers": 1}
HEALTHY = [{"optimizer": "adamw", "lr": 3e-3}, {"optimizer": "momentum", "lr": 0.01}, {"optimizer": "sgd", "lr": 0.03}]


class Network(nn.Module):
    """Two layers, the rectifier between them called as a function; ``bias`` is where the hidden units start."""

    def __init__(self, bias: float = 0.0, dead: int = 16) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(6, 16), nn.Linear(16, 1)
        with torch.no_grad():
            self.hidden.bias[:dead] += bias

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(inputs)))


def notices(found: TuneResult) -> dict[str, list[tuple[str, float, str]]]:
    """By candidate, of all its lanes."""
    own: dict[str, list[tuple[str, float, str]]] = {}
    for trace in found.race.traces:
        for notice in trace.notices:
            own.setdefault(trace.lane.candidate.id, []).append((notice.kind, notice.fraction, notice.cause))
    return own


@pytest.mark.parametrize("make", [Network, lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))])
def test_nothing_is_noticed_of_healthy_lanes(make) -> None:
    schedules = [{**one, "schedule": "cosine", "warmup": 0.1} for one in HEALTHY]
    found = tune(make, candidates=[*HEALTHY, *schedules], budget="60steps", **DATA)
    assert notices(found) == {}
    assert found.events == ()
    assert found.warnings == ()


def test_training_that_has_converged_is_not_called_vanishing() -> None:
    exact = X[:, :1] * 2
    data = {**DATA, "train": (X[:96], exact[:96]), "valid": (X[96:], exact[96:])}
    found = tune(lambda: nn.Linear(6, 1), candidates=[{"optimizer": "sgd", "lr": 0.3}], budget="400steps", **data)
    assert found.score < 1e-10
    assert notices(found) == {}


def test_units_behind_a_large_negative_bias_are_dead() -> None:
    candidates = [{"lr": 3e-3, "bias": 0.0}, {"lr": 3e-3, "bias": -50.0}]
    found = tune(Network, candidates=candidates, budget="40steps", **DATA)
    healthy, dead = (candidate.id for candidate in found.plan.candidates)
    ((kind, fraction, cause),) = notices(found)[dead]
    assert (kind, fraction) == ("dead", 0.1)
    assert cause == "units are dead: 16 of the 16 units of its rectifier give zero for each of 64 rows"
    assert healthy not in notices(found)
    assert found.events == (f"step 4: adamw at 0.003 went on, but its {cause}",)
    assert "noticed on the way: units are dead in 1 of the candidates (adamw at 0.003)" in found.words


def test_the_winner_is_handed_over_with_what_was_noticed_of_it(tmp_path) -> None:
    found = tune(lambda: Network(-50.0, dead=9), candidates=[{"lr": 3e-3}], budget="40steps", **DATA)
    (warning,) = found.warnings
    assert warning.startswith("the winner's units are dead: 9 of the 16 units of its rectifier give zero")
    assert warning in repr(found)
    page = found.report(tmp_path / "race.html").read_text()
    assert "went on, but its units are dead: 9 of the 16 units" in page
    assert "winner&#39;s units are dead" in page


def test_fewer_than_half_of_the_units_are_no_matter() -> None:
    found = tune(lambda: Network(-50.0, dead=7), candidates=[{"lr": 3e-3}], budget="40steps", **DATA)
    assert notices(found) == {}


def test_what_the_loss_rectifies_is_not_a_unit() -> None:
    def hinge(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.relu(1e-3 * model(batch[0]).pow(2) - 10).expand(-1, 16).mean(1) + 1e-3 * model(batch[0]).pow(2).mean(1)

    step = {name: own for name, own in DATA.items() if name != "loss"}
    found = tune(Network, step=hinge, candidates=[{"lr": 3e-3}], budget="20steps", **step)
    assert notices(found) == {}
    found = tune(lambda: Network(-50.0), step=hinge, candidates=[{"lr": 3e-3}], budget="20steps", **step)
    assert [kind for kind, _, _ in notices(found)[found.winner.id]] == ["dead"]


@dataclass
class Outputs:
    numbers: Tensor


class Structured(Network):
    def forward(self, inputs: Tensor) -> Outputs:
        return Outputs(super().forward(inputs))


def mean_of_outputs(outputs: Outputs, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.numbers, targets)


def mean_of_step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def mean_that_vmap_refuses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0] * float(batch[0].abs().max() >= 0)), batch[1])


@pytest.mark.parametrize(
    ("make", "judge"),
    [
        (Structured, {"loss": mean_of_outputs}),
        (Network, {"step": mean_of_step}),
        (Network, {"step": mean_that_vmap_refuses}),
    ],
)
def test_units_are_those_of_all_rows_where_a_mean_has_rows_judged_one_by_one(make, judge) -> None:
    data = {**{name: own for name, own in DATA.items() if name != "loss"}, **judge}
    found = tune(lambda: make(-50.0, dead=7), candidates=[{"lr": 3e-3}], budget="20steps", **data)
    assert notices(found) == {}
    found = tune(lambda: make(-50.0, dead=9), candidates=[{"lr": 3e-3}], budget="20steps", **data)
    assert [cause for _, _, cause in notices(found)[found.winner.id]] == [
        "units are dead: 9 of the 16 units of its rectifier give zero for each of 64 rows"
    ]


def test_channels_of_lanes_that_are_looped_are_seen_too() -> None:
    def make(bias: float = 0.0) -> nn.Module:
        network = nn.Sequential(nn.Conv1d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 1))
        with torch.no_grad():
            network[0].bias[:4] += bias
        return network

    data = {**DATA, "train": (X[:96, None], Y[:96]), "valid": (X[96:, None], Y[96:])}
    found = tune(make, candidates=[{"lr": 3e-3}, {"lr": 3e-3, "bias": -50.0}], budget="20steps", **data)
    (own,) = notices(found).values()
    assert [cause for _, _, cause in own] == [
        "units are dead: 4 of the 8 units of its rectifier give zero for each of 64 rows"
    ]


def test_updates_too_small_to_learn_vanish() -> None:
    candidates = [HEALTHY[0], {"optimizer": "adamw", "lr": 1e-9}, {"optimizer": "sgd", "lr": 1e-9}]
    found = tune(Network, candidates=candidates, budget="60steps", seeds=2, **DATA)
    own = notices(found)
    assert sorted(own) == ["adamw-01", "sgd-02"]
    assert {kind for seen in own.values() for kind, _, _ in seen} == {"vanishing"}
    assert all(len(seen) == 2 for seen in own.values())  # once for each of the two lanes
    assert own["sgd-02"][0][2].startswith("updates vanish: in 3 steps they moved the weights by ")
    told = [event for event in found.events if "vanish" in event]
    assert len(told) == 2  # once for each candidate


def test_a_batch_with_a_wild_row_is_a_spike() -> None:
    wild = Y[:96].clone()
    wild[40] = 300.0
    found = tune(
        Network,
        candidates=[{"optimizer": "sgd", "lr": 1e-5}],
        budget="48steps",
        batch_size=4,
        **{**DATA, "train": (X[:96], wild)},
    )
    (said,) = [(at, cause) for kind, at, cause in notices(found)["sgd-00"] if kind == "spike"]
    step = round(said[0] * 48)
    assert any(words.startswith("the winner's loss spikes") for words in found.warnings)
    assert said[1].startswith(f"the loss spikes: that of the batch of step {step} was ")
    assert any("sgd at 1e-05 went on, but its loss spikes: that of" in event for event in found.events)
    plain = tune(Network, candidates=HEALTHY, budget="48steps", batch_size=4, **DATA)
    assert notices(plain) == {}


def test_weights_that_grow_tenfold_without_a_better_loss_explode() -> None:
    # A line by gradient descent beyond its edge: each step multiplies the error, and stays finite for long.
    candidates = [{"optimizer": "sgd", "lr": 0.01}, {"optimizer": "sgd", "lr": 1.3, "schedule": "constant"}]
    found = tune(lambda: nn.Linear(6, 1), candidates=candidates, budget="100steps", batch_size=96, **DATA)
    own = notices(found)
    assert sorted(own) == ["sgd-01"]
    assert own["sgd-01"][0][0] == "exploding"
    assert any("its updates explode: by step " in event for event in found.events)


def test_weights_that_grow_as_the_loss_falls_do_not_explode() -> None:
    large = {**DATA, "train": (X[:96], 1000 * Y[:96]), "valid": (X[96:], 1000 * Y[96:])}
    found = tune(lambda: nn.Linear(6, 1), candidates=[{"optimizer": "sgd", "lr": 0.1}], budget="60steps", **large)
    assert notices(found) == {}
    assert max(float(own.detach().norm()) for own in found.model.parameters()) > 1000


def test_notices_outlive_a_kill(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lanewise.training.race, "SAVE_EVERY_SECONDS", 0.0)
    asked = {"candidates": [{"lr": 3e-3}, {"lr": 1e-9}], "budget": "40steps", **DATA}
    pulses: list[Pulse] = []

    def killing(pulse: Pulse) -> None:
        pulses.append(pulse)
        if len(pulses) == 5:
            raise Interrupted

    whole = tune(Network, **asked)
    (noticed,) = notices(whole)["adamw-01"]
    assert noticed[1] < 0.4  # before the kill
    with pytest.raises(Interrupted):
        tune(Network, name="killed", home=tmp_path, watch=killing, **asked)
    looks: list[float] = []
    looked = Stack.evidence
    monkeypatch.setattr(Stack, "evidence", lambda own: looks.append(own.fraction) or looked(own))
    again = tune(Network, name="killed", home=tmp_path, **asked)
    assert looks[-1] == 1.0
    assert min(own for own in looks if own > 0) >= 0.4  # those before are remembered
    assert notices(again) == notices(whole)
    assert again.events == whole.events != ()


def test_who_cannot_be_looked_into_is_told(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        message = "no mode goes with this. It says more."
        raise RuntimeError(message)

    monkeypatch.setattr(StackedModule, "silent", refuse)
    found = tune(Network, candidates=[{"lr": 3e-3}], budget="20steps", **DATA)
    ((kind, _, cause),) = notices(found)[found.winner.id]
    assert (kind, cause) == ("unseen", "units could not be looked at: RuntimeError: no mode goes with this")
    assert found.warnings[-1] == f"the winner's {cause}; nobody knows whether some are dead"
