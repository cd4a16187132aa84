"""The drop-ins against ``torch.optim`` in float64, and what a ``torch.optim.Optimizer`` must be able to do."""

import math
from collections.abc import Callable, Iterator
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
    "sgd with dampening": (
        lambda p: lanes.SGD(p, lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.1),
    ),
    "dampened momentum": (
        lambda p: lanes.Momentum(p, lr=0.1, momentum=0.8, dampening=0.8),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.8),
    ),
    "rmsprop with momentum": (
        lambda p: lanes.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.7, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.7, weight_decay=0.1),
    ),
    "centred rmsprop": (
        lambda p: lanes.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True, weight_decay=0.1),
    ),
    "centred rmsprop with momentum": (
        lambda p: lanes.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True, momentum=0.7),
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True, momentum=0.7),
    ),
    "adagrad": (
        lambda p: lanes.Adagrad(p, lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.3),
        lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.3),
    ),
    "adagrad ascending": (
        lambda p: lanes.Adagrad(p, lr=0.1, maximize=True),
        lambda p: torch.optim.Adagrad(p, lr=0.1, maximize=True),
    ),
    "adadelta": (
        lambda p: lanes.Adadelta(p, lr=0.7, rho=0.8, eps=1e-4, weight_decay=0.1),
        lambda p: torch.optim.Adadelta(p, lr=0.7, rho=0.8, eps=1e-4, weight_decay=0.1),
    ),
    "rprop": (
        lambda p: lanes.Rprop(p, lr=0.1, etas=(0.4, 1.3), step_sizes=(0.05, 0.15)),
        lambda p: torch.optim.Rprop(p, lr=0.1, etas=(0.4, 1.3), step_sizes=(0.05, 0.15)),
    ),
    "rprop ascending": (
        lambda p: lanes.Rprop(p, lr=0.1, maximize=True),
        lambda p: torch.optim.Rprop(p, lr=0.1, maximize=True),
    ),
    "amsgrad": (
        lambda p: lanes.AMSGrad(p, lr=0.05, betas=(0.8, 0.7), weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.7), weight_decay=0.1, amsgrad=True),
    ),
    "adam with amsgrad": (
        lambda p: lanes.Adam(p, lr=0.05, betas=(0.8, 0.7), amsgrad=True),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.7), amsgrad=True),
    ),
    "adamw with amsgrad": (
        lambda p: lanes.AdamW(p, lr=0.05, betas=(0.8, 0.7), weight_decay=0.3, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.7), weight_decay=0.3, amsgrad=True),
    ),
    "adamax": (
        lambda p: lanes.Adamax(p, lr=0.05, betas=(0.8, 0.7), eps=1e-2, weight_decay=0.1),
        lambda p: torch.optim.Adamax(p, lr=0.05, betas=(0.8, 0.7), eps=1e-2, weight_decay=0.1),
    ),
    "nadam": (
        lambda p: lanes.NAdam(p, lr=0.05, betas=(0.8, 0.9), momentum_decay=0.3, weight_decay=0.1),
        lambda p: torch.optim.NAdam(p, lr=0.05, betas=(0.8, 0.9), momentum_decay=0.3, weight_decay=0.1),
    ),
    "nadam at the usual settings": (lanes.NAdam, torch.optim.NAdam),
    "nadam, its momentum constant": (
        lambda p: lanes.NAdam(p, lr=0.05, momentum_decay=0.0),
        lambda p: torch.optim.NAdam(p, lr=0.05, momentum_decay=0.0),
    ),
    "nadam, decoupled": (
        lambda p: lanes.NAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
        lambda p: torch.optim.NAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
    ),
    "nadamw": (
        lambda p: lanes.NAdamW(p, lr=0.05, weight_decay=0.3),
        lambda p: torch.optim.NAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
    ),
    "radam, adaptive from the sixth step": (
        lambda p: lanes.RAdam(p, lr=0.05, eps=1e-2, weight_decay=0.1),
        lambda p: torch.optim.RAdam(p, lr=0.05, eps=1e-2, weight_decay=0.1),
    ),
    "radam, never adaptive": (
        lambda p: lanes.RAdam(p, lr=0.05, betas=(0.8, 0.6)),
        lambda p: torch.optim.RAdam(p, lr=0.05, betas=(0.8, 0.6)),
    ),
    "radam, decoupled": (
        lambda p: lanes.RAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
        lambda p: torch.optim.RAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
    ),
    "asgd": (
        lambda p: lanes.ASGD(p, lr=0.1, lambd=0.3, alpha=0.6, t0=2, weight_decay=0.1),
        lambda p: torch.optim.ASGD(p, lr=0.1, lambd=0.3, alpha=0.6, t0=2, weight_decay=0.1),
    ),
    "polyak": (
        lambda p: lanes.PolyakSGD(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    ),
}

RATE_IS_LATE = {"asgd"}
"""Where torch takes the rate of the step before."""

EVERY: dict[str, type[Optimizer]] = {
    name: own for name in lanes.__all__ if isinstance(own := getattr(lanes, name), type) and issubclass(own, Optimizer)
}


@pytest.fixture(autouse=True)
def _numbers_of_torch_are_float64() -> Iterator[None]:
    """torch keeps the rate of ASGD and the product of NAdam in the default dtype, and rounds them to it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


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


@pytest.mark.parametrize("name", [name for name in AGAINST_TORCH if name not in RATE_IS_LATE])
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
    monkeypatch.setattr("lanewise.optim.batches.BLOCK", 4)
    test_seven_steps_equal_torch(name)


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_groups_of_many_tensors_go_in_runs_and_equal_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.optim.batches.RUN", 1)
    test_seven_steps_equal_torch(name)


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_the_rule_itself_equals_the_fused_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.optim.drop_in._fuse", lambda *_: False)
    test_seven_steps_equal_torch(name)


@pytest.mark.parametrize("begin", [0, 3])
def test_asgd_is_judged_by_the_average_that_torch_keeps(begin: int) -> None:
    found, expected = weights(), weights()
    mine, reference = (kind(p, lr=0.1, t0=begin) for kind, p in ((lanes.ASGD, found), (torch.optim.ASGD, expected)))
    assert isinstance(mine, lanes.ASGD)
    for step in range(1, 8):
        for params, optimizer in ((found, mine), (expected, reference)):
            draw_gradients(params, step)
            optimizer.step()
    mine.eval()
    assert_same(found, [nn.Parameter(reference.state[param]["ax"]) for param in expected])
    mine.train()
    assert_same(found, expected)


def test_the_rate_of_asgd_is_not_rounded_to_the_default_dtype_as_in_torch() -> None:
    """Float64 weights follow the formula whatever the default dtype is; torch's follow it to seven digits."""
    lr, lambd, alpha = 0.1, 0.01, 0.75
    torch.set_default_dtype(torch.float32)
    weight, other = (nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in range(2))
    mine = lanes.ASGD([weight], lr=lr, lambd=lambd, alpha=alpha)
    reference = torch.optim.ASGD([other], lr=lr, lambd=lambd, alpha=alpha)
    expected = 1.0
    for step in range(12):
        for param, optimizer in ((weight, mine), (other, reference)):
            param.grad = torch.tensor(math.sin(step), dtype=torch.float64)
            optimizer.step()
        rate = lr / (1 + lambd * lr * step) ** alpha
        expected -= rate * (lambd * expected + math.sin(step))
    assert abs(weight.item() - expected) < 1e-15
    assert 1e-10 < abs(other.item() - expected) < 1e-7


def test_a_change_of_rate_reaches_asgd_at_once() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = lanes.ASGD([weight], lr=0.1, lambd=0.0)
    moves = []
    for rate in (0.1, 0.4):
        optimizer.param_groups[0]["lr"] = rate
        before, weight.grad = weight.item(), torch.ones_like(weight)
        optimizer.step()
        moves.append(before - weight.item())
    assert moves == pytest.approx([0.1, 0.4], rel=1e-12)


@pytest.mark.parametrize(("power", "burn_in"), [(0.0, 0.0), (0.0, 3.0), (2.0, 0.0)])
def test_polyak_is_judged_by_the_mean_of_its_weights(power: float, burn_in: float) -> None:
    found, expected = weights()[:1], weights()[:1]
    mine, plain = lanes.PolyakSGD(found, lr=0.1, power=power, burn_in=burn_in), torch.optim.SGD(expected, lr=0.1)
    path = []
    for step in range(1, 8):
        for params, optimizer in ((found, mine), (expected, plain)):
            draw_gradients(params, step)
            optimizer.step()
        path.append(expected[0].detach().clone())
    mine.eval()
    kept = path[int(burn_in) :]
    # with p = 2 the weight of step n is n (n + 1), up to a factor
    counts = [at * (at + 1.0) if power else 1.0 for at in range(1, len(kept) + 1)]
    mean = sum(count * one for count, one in zip(counts, kept, strict=True)) / sum(counts)
    assert_same(found, [nn.Parameter(mean)])  # pyright: ignore[reportArgumentType]  # never empty, so no 0
    mine.train()
    assert torch.equal(found[0], expected[0])


def test_torch_too_adds_sparse_gradients_up_in_adagrad() -> None:
    results = []
    for kind in (lanes.Adagrad, torch.optim.Adagrad):
        table = nn.Parameter(torch.ones(5, 2, dtype=torch.float64))
        optimizer = kind([table], lr=0.1, lr_decay=0.3, initial_accumulator_value=0.5)
        for step in range(1, 8):
            rows = torch.tensor([[step % 5, 1, step % 5]])
            values = torch.full((3, 2), 0.3 * step, dtype=torch.float64)
            table.grad = torch.sparse_coo_tensor(rows, values, (5, 2), check_invariants=True)
            with torch.sparse.check_sparse_tensor_invariants():
                optimizer.step()
        results.append([table])
    assert_same(*results)


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
