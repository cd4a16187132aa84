"""Every rule that ``torch.optim`` has too: a lane among others equals torch's optimizer alone, in float64."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.execution import LaneOptimizer

LAYOUT = BufferLayout.of(
    [
        Parameter(name="weight", shape=(3, 4), fan_in=4),
        Parameter(name="bias", shape=(3,), fan_in=4, penalised=False),
    ]
)
STEPS, DECAY, L1 = 9, 0.1, 0.02

Groups = list[dict[str, Any]]
Case = tuple[dict[str, float], Callable[[Groups], Optimizer]]

CASES: dict[str, Case] = {
    "dampened_momentum": (
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.3),
    ),
    "rmsprop_momentum": (
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.7},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.7),
    ),
    "centred_rmsprop": (
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-3},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True),
    ),
    "centred_rmsprop_momentum": (
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "momentum": 0.7},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True, momentum=0.7),
    ),
    "adagrad": (
        {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.3},
        lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.2, initial_accumulator_value=0.3),
    ),
    "adadelta": ({"lr": 0.7, "rho": 0.8, "eps": 1e-4}, lambda p: torch.optim.Adadelta(p, lr=0.7, rho=0.8, eps=1e-4)),
    "rprop": (
        {"lr": 0.1, "eta1": 0.4, "eta2": 1.3, "step_size1": 0.05, "step_size2": 0.15},
        lambda p: torch.optim.Rprop(p, lr=0.1, etas=(0.4, 1.3), step_sizes=(0.05, 0.15)),
    ),
    "amsgrad": (
        {"lr": 0.05, "beta1": 0.8, "beta2": 0.7},
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.7), amsgrad=True),
    ),
    "amsgradw": (
        {"lr": 0.05, "beta1": 0.8, "beta2": 0.7},
        lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.7), amsgrad=True),
    ),
    "adamax": (
        {"lr": 0.05, "beta1": 0.8, "beta2": 0.7, "eps": 1e-2},
        lambda p: torch.optim.Adamax(p, lr=0.05, betas=(0.8, 0.7), eps=1e-2),
    ),
    "nadam": (
        {"lr": 0.05, "beta1": 0.8, "beta2": 0.9, "momentum_decay": 0.3},
        lambda p: torch.optim.NAdam(p, lr=0.05, betas=(0.8, 0.9), momentum_decay=0.3),
    ),
    "nadamw": (
        {"lr": 0.05, "momentum_decay": 0.0},
        lambda p: torch.optim.NAdam(p, lr=0.05, momentum_decay=0.0, decoupled_weight_decay=True),
    ),
    "radam": ({"lr": 0.05, "eps": 1e-2}, lambda p: torch.optim.RAdam(p, lr=0.05, eps=1e-2)),
    "radamw": ({"lr": 0.05}, lambda p: torch.optim.RAdam(p, lr=0.05, decoupled_weight_decay=True)),
    "asgd": (
        {"lr": 0.1, "lambd": 0.3, "alpha": 0.6, "t0": 2.0},
        lambda p: torch.optim.ASGD(p, lr=0.1, lambd=0.3, alpha=0.6, t0=2),
    ),
}


@pytest.fixture(autouse=True)
def _numbers_of_torch_are_float64() -> Iterator[None]:
    """torch keeps the rate of ASGD and the product of NAdam in the default dtype, and rounds them to it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def start() -> Tensor:
    return torch.randn(LAYOUT.width, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def gradient(weights: Tensor, step: int) -> Tensor:
    """Of a bowl that moves about, so that it depends on the weights and on the step."""
    return weights * 0.5 + torch.sin(torch.arange(weights.shape[-1]) + 3.0 * step)


def alone(name: str) -> tuple[Tensor, Tensor]:
    """Weights, and those to judge by, after torch's steps; decay is for the weight only."""
    views = {key: value[0].clone() for key, value in LAYOUT.views(start()[None]).items()}
    params = {key: nn.Parameter(value) for key, value in views.items()}
    takes_decay = name != "rprop"
    groups: Groups = [{"params": [params["weight"]]}, {"params": [params["bias"]]}]
    if takes_decay:
        groups[0]["weight_decay"], groups[1]["weight_decay"] = DECAY, 0.0
    optimizer = CASES[name][1](groups)
    for step in range(1, STEPS + 1):
        grads = LAYOUT.views(gradient(torch.cat([p.detach().flatten() for p in params.values()]), step)[None])
        for key, param in params.items():
            param.grad = grads[key][0].clone()
        if not takes_decay:
            assert params["weight"].grad is not None
            params["weight"].grad.add_(params["weight"].detach(), alpha=DECAY)
        optimizer.step()
    judged = [optimizer.state[param]["ax"] if name == "asgd" else param.detach() for param in params.values()]
    return torch.cat([p.detach().flatten() for p in params.values()]), torch.cat([one.flatten() for one in judged])


def lane(name: str, at: int = 0, **settings: float) -> Lane:
    own = {"schedule": "constant", "weight_decay": DECAY, **CASES[name][0], **settings}
    return Lane(candidate=Candidate(id=f"{name}{at}", model="linear", optimizer=name, settings=own), fold=0, seed=0)


def everybody() -> list[Lane]:
    """Two lanes of every rule: one with the settings of its torch optimizer, one at another rate."""
    return list(Roster.of([lane(name) for name in CASES] + [lane(name, at=1, lr=0.02) for name in CASES]))


def steps(buffer: LaneBuffer, optimizer: LaneOptimizer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        buffer.gradients.copy_(gradient(buffer.values, step))
        optimizer.step()


def run(lanes: list[Lane]) -> tuple[Tensor, Tensor]:
    """Weights and the weights to judge by, ``[L, P]`` in the order of the roster."""
    buffer = LaneBuffer(LAYOUT, start().repeat(len(lanes), 1))
    optimizer = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    steps(buffer, optimizer, 1, STEPS)
    return buffer.values, optimizer.evaluation(buffer.values)


@pytest.mark.parametrize("name", CASES)
def test_a_lane_among_others_equals_torch_alone(name: str) -> None:
    lanes = everybody()
    at = next(row for row, one in enumerate(lanes) if one.candidate.id == f"{name}0")
    for found, expected in zip(run(lanes), alone(name), strict=True):
        assert float((found[at] - expected).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max()))


def test_a_lane_has_the_same_bits_alone() -> None:
    lanes = everybody()
    together = run(lanes)
    for at, one in enumerate(lanes):
        for own, whole in zip(run([one]), together, strict=True):
            assert torch.equal(own[0], whole[at]), one.candidate.id


def test_lanes_go_on_from_their_state_and_judging_changes_nothing() -> None:
    lanes = everybody()
    whole = run(lanes)
    buffer = LaneBuffer(LAYOUT, start().repeat(len(lanes), 1))
    optimizer = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    steps(buffer, optimizer, 1, 4)
    optimizer.evaluation(buffer.values)
    later = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    later.restore(optimizer.state())
    later.taken = optimizer.taken
    stay = list(range(0, len(lanes), 2))
    buffer.keep(torch.tensor(stay))
    later.keep(stay, Roster.of(lanes).keep(stay), buffer)
    steps(buffer, later, 5, STEPS)
    assert torch.equal(buffer.values, whole[0][stay])
    assert torch.equal(later.evaluation(buffer.values), whole[1][stay])


@pytest.mark.parametrize("name", ["adagrad", "centred_rmsprop", "amsgrad", "nadam", "radam"])
def test_l1_is_measured_in_the_metric_of_the_rule(name: str) -> None:
    """One weight, one step: it moves on by the rate that a unit of gradient has in that coordinate."""
    layout = BufferLayout.of([Parameter(name="weight", shape=(1,), fan_in=1)])
    results = []
    for penalty in (0.0, L1):
        own = {"schedule": "constant", "weight_decay": 0.0, "l1": penalty, **CASES[name][0]}
        candidate = Candidate(id=name, model="linear", optimizer=name, settings=own)
        buffer = LaneBuffer(layout, torch.tensor([[5.0]]))
        optimizer = LaneOptimizer(Roster.of([Lane(candidate=candidate, fold=0, seed=0)]), buffer, length=STEPS)
        buffer.gradients.fill_(2.0)
        optimizer.step()
        results.append(float(buffer.values))
    moved = results[0] - results[1]
    expected = {
        "adagrad": 0.1 / (math.sqrt(4.3) + 1e-10),
        "centred_rmsprop": 0.01 / (math.sqrt(0.1 * 4 - 0.2**2) + 1e-3),
        "amsgrad": 0.05 / (2 + 1e-8),
        "nadam": 0.05 / (2 + 1e-8),
        "radam": 0.05,
    }[name]
    assert moved == pytest.approx(L1 * expected, rel=1e-9)
