"""Lanes whose workers train apart: each is what a plain loop over its workers makes of it, whatever its neighbours."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_averaging import trained_apart
from torch import nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training import apart_team
from lanewise.training.apart_team import ApartTeam
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.teams import ModuleTeams, Way
from lanewise.training.planning.plan import Lengths
from lanewise.training.team import Team

STEPS, BATCH, ROWS = 30, 12, 60
X = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
Y = X.sum(1, keepdim=True).tanh()
TRAIN = torch.arange(50)
DILOCO = {"outer_lr": 0.7, "outer_momentum": 0.9}
STACKED = Way(looped=False, loss_looped=False, width=8, words="")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def lane(name: str, rule: str, every: int, *, seed: int = 0, over: int = 2, **settings: float) -> Lane:
    own = {
        "lr": 0.05,
        "batch_size": BATCH,
        "schedule": "linear",
        "average_every": every,
        "average_over": over,
        **settings,
    }
    return Lane(candidate=Candidate(id=name, model="module", optimizer=rule, settings=own), fold=0, seed=seed)


LANES = [
    lane("every step", "sgd", 1),
    lane("four", "sgd", 4, seed=1),
    lane("seven", "adam", 7, **DILOCO),
    lane("a diloco of momentum", "momentum", 4, **DILOCO),
    lane("never", "adamw", 1000, seed=1, weight_decay=0.1),
    lane("half way", "adamw", 4, outer_lr=0.5, weight_decay=0.0),
]
RULES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda own, lr: torch.optim.SGD(own, lr=lr, momentum=0.9),
    "adam": torch.optim.Adam,
}


def teams(make: Any = network) -> ModuleTeams:
    fold = FoldData(
        dense=X, codes=torch.zeros(ROWS, 0, dtype=torch.int64), target=Y, train=TRAIN, valid=torch.arange(50, ROWS)
    )
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)
    return ModuleTeams(
        blueprint=Blueprint.of(make, X[:4]),
        data=data,
        loss=nn.functional.mse_loss,
        score=None,
        lengths=Lengths(rows_seen=STEPS * BATCH),
        ways={BATCH: STACKED},
    )


def formed(lanes: list[Lane]) -> Team:
    (team,) = teams().form(lanes, "screen")
    return team


def weights(team: Team, own: Lane) -> dict[str, torch.Tensor]:
    return dict(team.export(own.id).tensors or {})


def truth(own: Lane, start: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model, candidate = network(), own.candidate
    model.load_state_dict(start)
    workers, stream = int(candidate.number("average_over")), RowStream(own.seed, TRAIN, ROWS)
    steps = [stream.take(step * BATCH, BATCH).chunk(workers) for step in range(STEPS)]
    decay = candidate.number("weight_decay")

    def inner(params: Any) -> torch.optim.Optimizer:
        if candidate.optimizer == "adamw":
            return torch.optim.AdamW(params, lr=0.05, weight_decay=decay)
        return RULES[candidate.optimizer](params, lr=0.05)

    momentum = candidate.number("outer_momentum")
    outer = {"lr": candidate.number("outer_lr", 1.0), "momentum": momentum, "nesterov": momentum > 0}
    shown = [[(X[rows[place]], Y[rows[place]]) for rows in steps] for place in range(workers)]
    every, factor = int(candidate.number("average_every")), lambda step: 1 - step / STEPS
    trained, _ = trained_apart(model, shown, every=every, inner=inner, outer=outer, factor=factor)
    return dict(trained.state_dict())


def hold(lanes: list[Lane], looks: tuple[float, ...] = (0.4, 1.0)) -> None:
    team = formed(lanes)
    starts = {own.id: weights(team, own) for own in lanes}
    for look in looks:
        team.advance(look)
    for own in lanes:
        torch.testing.assert_close(weights(team, own), truth(own, starts[own.id]), rtol=1e-10, atol=1e-10, msg=own.id)


def test_every_lane_is_the_plain_loop_over_its_workers():
    hold(LANES)


def test_more_workers_and_one_lane_alone():
    hold([lane("three", "adam", 5, over=3, **DILOCO)], looks=(0.1, 0.3, 1.0))


def test_averaged_at_every_step_it_is_the_synchronous_lane():
    apart, plain = lane("apart", "sgd", 1), lane("plain", "sgd", 0)
    one, other = teams().form([apart, plain], "screen")
    for team in (one, other):
        team.advance(1.0)
    torch.testing.assert_close(weights(one, apart), weights(other, plain), rtol=1e-10, atol=1e-10)


def test_lanes_that_are_left_and_gone_on_with_do_not_notice():
    team = formed(LANES)
    team.advance(0.4)
    kept = [own for own in LANES if own.candidate.id in ("four", "seven")]
    team.evidence()
    team.keep([own.id for own in kept])
    again = formed(kept)
    again.restore(*saved(team))
    for own in (team, again):
        own.advance(1.0)
    alone = formed(kept)
    alone.advance(1.0)
    for own in kept:
        assert all(torch.equal(one, other) for one, other in pairs(weights(team, own), weights(again, own)))
        torch.testing.assert_close(weights(team, own), weights(alone, own), rtol=1e-10, atol=1e-10)


def test_it_is_saved_between_any_two_steps_of_any_worker():
    whole = formed(LANES)
    whole.advance(1.0)
    for stop in (3, 40, 55):
        team, calls = formed(LANES), []

        class Killed(Exception):
            pass

        def between(team: Team = team, calls: list[Any] = calls, stop: int = stop) -> None:
            calls.append(saved(team))
            if len(calls) == stop:
                raise Killed

        with pytest.raises(Killed):
            team.advance(1.0, between)
        again = formed(LANES)
        again.restore(*calls[-1])
        again.advance(1.0)
        for own in LANES:
            assert all(torch.equal(one, other) for one, other in pairs(weights(whole, own), weights(again, own)))


def saved(team: Team) -> Any:
    tensors, rest = team.state()
    return {name: tensor.clone() for name, tensor in tensors.items()}, rest


def pairs(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(one[name], other[name]) for name in one]


def test_evidence_is_of_the_mean_of_the_workers():
    own = lane("four", "sgd", 4)
    team = formed([own])
    team.advance(0.5)  # between two averagings
    tensors, _ = team.state()
    rows = [tensors[f"part0/worker{place}/average"] for place in range(2)]
    assert not torch.equal(*rows)
    (shown,) = team.evidence()
    model = network()
    model.load_state_dict(weights(team, own))
    assert shown.valid[:, 0].tolist() == pytest.approx(
        (model(X[50:]) - Y[50:]).square()[:, 0].tolist(), rel=1e-12, abs=1e-12
    )
    assert 0 < shown.train_loss < 1


def test_a_lane_of_which_a_worker_diverged_is_lost_and_no_other():
    well, ill = lane("well", "sgd", 4), lane("ill", "sgd", 4, lr=1e150)
    team, alone = formed([well, ill]), formed([well])
    for own in (team, alone):
        own.advance(1.0)
    assert [item.lane.candidate.id for item in team.evidence()] == ["well"]
    assert team.lost()[ill.id].cause.startswith("a worker diverged by step ")
    assert team.repairs() == {}
    torch.testing.assert_close(weights(team, well), weights(alone, well), rtol=1e-10, atol=1e-10)


def test_what_cannot_be_averaged_is_said():
    with pytest.raises(Exception, match="a batch of 12 rows does not split evenly over average_over=5 workers; set"):
        formed([lane("five", "sgd", 4, over=5)]).advance(1.0)

    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()

    with pytest.raises(Exception, match="workers cannot train apart on parts of a batch: 1 normalizes by the mean"):
        teams(normed).form([lane("normed", "sgd", 4)], "screen")[0].advance(1.0)


def _plant(patch: pytest.MonkeyPatch, bug: str) -> None:
    average, step = ApartTeam._average, apart_team.outer_step
    if bug == "never averaged":
        patch.setattr(ApartTeam, "_average", lambda self, due: None)
    elif bug == "all averaged when one is due":
        patch.setattr(ApartTeam, "_average", lambda self, due: average(self, range(len(self.lanes)) if due else ()))
    elif bug == "one step late":
        patch.setattr(apart_team, "_next", lambda at, every: (at // every + 1) * every + 1)
    elif bug == "momentum's sign":
        patch.setattr(
            apart_team, "outer_step", lambda theta, **own: step(theta, **{**own, "momentum": -own["momentum"]})
        )
    elif bug == "velocity forgotten":
        patch.setattr(
            apart_team,
            "outer_step",
            lambda theta, **own: step(theta, **{**own, "velocity": own["velocity"].clone().zero_()}),
        )
    else:
        axes = apart_team.axes_apart
        patch.setattr(
            "lanewise.training.modules.teams.axes_apart", lambda workers, *own: [axes(workers, *own)[0]] * workers
        )


@pytest.mark.parametrize(
    "bug",
    [
        "never averaged",
        "all averaged when one is due",
        "one step late",
        "momentum's sign",
        "velocity forgotten",
        "all workers read one part",
    ],
)
def test_planted_bugs_are_caught(bug, monkeypatch):
    _plant(monkeypatch, bug)
    with pytest.raises(AssertionError):
        hold(LANES)
