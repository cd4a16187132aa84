"""The drop-ins against ``torch.optim`` in float64, and what a ``torch.optim.Optimizer`` must be able to do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import lanewise.optim as lanes

Make = Callable[[Any], Optimizer]

AGAINST_TORCH: dict[str, tuple[Make, Make]] = {
    "gd": (lambda p: lanes.GradientDescent(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "sgd": (
        lambda p: lanes.SGD(p, lr=0.1, weight_decay=0.2),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2),
    ),
    "sgd ascending": (
        lambda p: lanes.SGD(p, lr=0.1, weight_decay=0.2, maximize=True),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2, maximize=True),
    ),
    "sgd with momentum": (
        lambda p: lanes.SGD(p, lr=0.1, momentum=0.8),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8),
    ),
    "sgd with nesterov": (
        lambda p: lanes.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    ),
    "momentum": (
        lambda p: lanes.Momentum(p, lr=0.1, momentum=0.7, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, weight_decay=0.1),
    ),
    "momentum ascending": (
        lambda p: lanes.Momentum(p, lr=0.1, maximize=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, maximize=True),
    ),
    "nesterov": (
        lambda p: lanes.Nesterov(p, lr=0.1, momentum=0.7, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, weight_decay=0.1, nesterov=True),
    ),
    "rmsprop": (
        lambda p: lanes.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1),
    ),
    "adam": (
        lambda p: lanes.Adam(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0.1),
    ),
    "adam ascending": (
        lambda p: lanes.Adam(p, lr=0.05, eps=1e-3, maximize=True),
        lambda p: torch.optim.Adam(p, lr=0.05, eps=1e-3, maximize=True),
    ),
    "adamw": (
        lambda p: lanes.AdamW(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0.3),
    ),
    "adamw ascending": (
        lambda p: lanes.AdamW(p, lr=0.05, weight_decay=0.3, maximize=True),
        lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.3, maximize=True),
    ),
}

EVERY: dict[str, type[Optimizer]] = {
    name: own for name in lanes.__all__ if isinstance(own := getattr(lanes, name), type) and issubclass(own, Optimizer)
}


def weights(dtype: torch.dtype = torch.float64, seed: int = 0) -> list[nn.Parameter]:
    """A matrix, a vector, a number, a transposed matrix and an empty tensor."""
    draw = torch.Generator().manual_seed(seed)
    shapes = ((4, 3), (5,), (), (0, 2))
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for shape in shapes]
    tensors.insert(3, torch.randn(3, 4, generator=draw, dtype=torch.float64).to(dtype).t())
    return [nn.Parameter(tensor) for tensor in tensors]


def draw_gradients(params: list[nn.Parameter], step: int) -> None:
    """Gradients; without one: the third at every other step, one layer in steps 3 to 5."""
    draw = torch.Generator().manual_seed(100 + step)
    for at, param in enumerate(params):
        drawn = torch.randn(param.shape, generator=draw, dtype=torch.float64).to(param.dtype)
        missing = (at == 2 and step % 2 == 1) or (at == 1 and 3 <= step <= 5)
        param.grad = None if missing else drawn


def assert_same(found: list[nn.Parameter], expected: list[nn.Parameter], tolerance: float = 1e-10) -> None:
    largest = max([1.0, *(float(param.detach().abs().max()) for param in expected if param.numel())])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert float((one - other).detach().abs().sum()) <= tolerance * largest


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_seven_steps_equal_torch(name: str) -> None:
    ours, theirs = AGAINST_TORCH[name]
    found, expected = weights(), weights()
    mine, reference = ours(found), theirs(expected)
    for step in range(1, 8):
        for params, optimizer in ((found, mine), (expected, reference)):
            draw_gradients(params, step)
            optimizer.step()
    assert_same(found, expected)


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_groups_of_their_own_rates_under_a_scheduler_equal_torch(name: str) -> None:
    results = []
    for make in AGAINST_TORCH[name]:
        params = weights()
        optimizer = make([{"params": params[:2], "lr": 0.02}, {"params": params[2:]}, {"params": []}])
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.7)
        for step in range(1, 8):
            draw_gradients(params, step)
            optimizer.step()
            schedule.step()
        results.append(params)
    assert_same(*results)


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_large_tensors_go_in_blocks_and_equal_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.optim.drop_in.BLOCK", 4)
    test_seven_steps_equal_torch(name)


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_the_rule_itself_equals_the_fused_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.optim.drop_in._fuse", lambda *_: False)
    test_seven_steps_equal_torch(name)


@pytest.mark.parametrize("name", [name for name in AGAINST_TORCH if "ascending" not in name])
def test_complex_parameters_are_pairs_of_numbers_as_in_torch(name: str) -> None:
    results = []
    for make in AGAINST_TORCH[name]:
        param = nn.Parameter(torch.complex(torch.ones(3, dtype=torch.float64), torch.arange(3.0, dtype=torch.float64)))
        optimizer = make([param])
        for step in range(1, 8):
            param.grad = param.detach() * step
            optimizer.step()
        results.append([nn.Parameter(torch.view_as_real(param.detach()))])
    assert_same(*results)
