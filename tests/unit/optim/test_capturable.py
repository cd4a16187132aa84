"""``capturable=True``: the same steps with the count as a tensor, and compiled once."""

from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.optim import Optimizer

import lanewise.optim as ours
from lanewise.errors import UsageError
from lanewise.optim.drop_in import DropIn

REFUSED = {
    "DoG": "sums over all weights",
    "Prodigy": "sums over all weights",
    "ScheduleFreeAdamW": "sums over all weights",
    "ScheduleFreeSGD": "sums over all weights",
    "SGLD": "draws random numbers",
    "Shampoo": "decides on the host",
    "SOAP": "decides on the host",
}
"""Why a rule cannot be captured."""

NAMES = [
    name
    for name in ours.__all__
    if isinstance(own := getattr(ours, name), type) and issubclass(own, DropIn) and name not in {"SAM", *REFUSED}
]


def make(name: str, params: list[nn.Parameter], **settings: Any) -> Optimizer:
    """An optimizer whose class may leave ``capturable`` to the groups."""
    captured = settings.pop("capturable", False)
    return getattr(ours, name)([{"params": params, "capturable": captured}], **{"lr": 0.05, **settings})


def weights(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    shapes = ((4, 3), (5,), ())
    return [nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)) for shape in shapes]


def draw_gradients(params: list[nn.Parameter], step: int) -> None:
    """Gradients; the second parameter has none in steps 3 to 5."""
    draw = torch.Generator().manual_seed(100 + step)
    for at, param in enumerate(params):
        drawn = torch.randn(param.shape, generator=draw, dtype=torch.float64).to(param.dtype)
        param.grad = None if at == 1 and 3 <= step <= 5 else drawn


def largest_difference(found: list[nn.Parameter], expected: list[nn.Parameter]) -> float:
    return max(float((one - other).detach().abs().max()) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "maximize": True}], ids=str)
def test_the_steps_are_those_without(name: str, settings: dict[str, Any]) -> None:
    found, expected = weights(), weights()
    captured, plain = make(name, found, capturable=True, **settings), make(name, expected, **settings)
    for step in range(1, 8):
        for params, optimizer in ((found, captured), (expected, plain)):
            draw_gradients(params, step)
            optimizer.step()
    assert largest_difference(found, expected) <= 1e-10
    assert {float(state["step"]) for state in captured.state.values()} == {4.0, 7.0}


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "NAdam"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex128], ids=str)
def test_short_and_complex_numbers_too(name: str, dtype: torch.dtype) -> None:
    found, expected = weights(dtype), weights(dtype)
    captured, plain = make(name, found, capturable=True), make(name, expected)
    for step in (1, 2):
        for params, optimizer in ((found, captured), (expected, plain)):
            draw_gradients(params, step)
            optimizer.step()
    assert largest_difference(found, expected) <= (1e-2 if dtype is torch.bfloat16 else 1e-10)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # torch's, of that release
@pytest.mark.parametrize("name", ["AdamW", "RAdam", "AdEMAMix", "Adafactor"])
def test_a_compiled_step_is_compiled_twice_and_no_more(name: str) -> None:
    """Once for the first step, which makes the state, and once for all others, whatever the rate."""
    torch._dynamo.reset()  # pyright: ignore[reportPrivateImportUsage]  # as its docs have it
    found, expected = weights()[::2], weights()[::2]
    rate = torch.tensor(0.05, dtype=torch.float64)
    captured, plain = make(name, found, capturable=True, lr=rate), make(name, expected)
    counter = CompileCounter()
    compiled = torch.compile(captured.step, backend=counter, fullgraph=True)
    for step in range(6):
        for params in (found, expected):
            draw = torch.Generator().manual_seed(step)
            for param in params:
                param.grad = torch.randn(param.shape, generator=draw, dtype=torch.float64)
        compiled()
        plain.step()
        rate.mul_(0.9)
        plain.param_groups[0]["lr"] *= 0.9
    assert largest_difference(found, expected) <= 1e-10
    assert counter.frame_count == 2


@pytest.mark.parametrize("name", ["Adam", "Adagrad"])
def test_states_are_loaded_by_either_kind(name: str) -> None:
    results = []
    for first, second in ((False, False), (True, True), (False, True)):
        params = weights()
        before = make(name, params, capturable=first)
        draw_gradients(params, 1)
        before.step()
        after = make(name, params, capturable=second)
        kept = before.state_dict()
        kept["param_groups"][0]["capturable"] = second
        after.load_state_dict(kept)
        draw_gradients(params, 2)
        after.step()
        results.append(params)
    assert largest_difference(results[0], results[1]) <= 1e-10
    assert largest_difference(results[0], results[2]) <= 1e-10


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_is_refused(name: str) -> None:
    params = weights()
    optimizer = make(name, params, capturable=True)
    draw_gradients(params, 1)
    with pytest.raises(UsageError, match=f"{REFUSED[name]}.* cannot be captured: leave capturable at False"):
        optimizer.step()


def test_a_sparse_gradient_is_refused() -> None:
    table = nn.Parameter(torch.ones(3, 2))
    optimizer = ours.Adagrad([table], lr=0.1, capturable=True)
    table.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 2), (3, 2), check_invariants=True)
    with pytest.raises(UsageError, match="cannot capture a sparse gradient"):
        optimizer.step()
