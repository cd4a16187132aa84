"""The drop-ins unchanged through Accelerate's ``prepare``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from lanewise import optim
from lanewise.optim import schedules

STEPS = 15
MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(optim.AdamW, lr=0.05, weight_decay=0.1),
    "lion": partial(optim.Lion, lr=0.01),
    "muon": partial(optim.Muon, lr=0.02),
}


def accelerated(**settings: Any) -> Any:
    """The import takes a second, which a process that only collects these tests need not pay."""
    accelerate = pytest.importorskip("accelerate", reason="the interop packages are not installed")
    return accelerate.Accelerator(cpu=True, **settings)


@pytest.mark.parametrize("name", MAKERS)
def test_it_trains_as_the_plain_loop_does(name: str, network, plain_loop, assert_same_weights, batches) -> None:
    plain = network()
    optimizer = MAKERS[name](plain.parameters())
    expected = plain_loop(plain, optimizer, schedules.LinearSchedule(optimizer, total_steps=STEPS, warmup=3))

    accelerator = accelerated()
    model = network()
    own = MAKERS[name](model.parameters())
    model, own, schedule = accelerator.prepare(model, own, schedules.LinearSchedule(own, total_steps=STEPS, warmup=3))
    for _ in range(3):
        for inputs, targets in batches:
            own.zero_grad()
            accelerator.backward(nn.functional.mse_loss(model(inputs), targets))
            own.step()
            schedule.step()
    assert_same_weights(model, expected)
    assert schedule.get_last_lr() == [0.0]


def test_accumulation_is_that_of_accelerate(network, batches) -> None:
    accelerator = accelerated(gradient_accumulation_steps=2)
    # In float64: two steps of Adam magnify the rounding of float32, which depends on where in memory a tensor lies.
    model, plain = network().double(), network().double()
    wrapped, own = accelerator.prepare(model, optim.AdamW(model.parameters(), lr=0.05))
    updates = optim.Accumulation(optim.AdamW(plain.parameters(), lr=0.05), every=2)
    for inputs, targets in ((one.double(), other.double()) for one, other in batches[:4]):
        with accelerator.accumulate(wrapped):
            accelerator.backward(nn.functional.mse_loss(wrapped(inputs), targets))
            own.step()
            own.zero_grad()
        nn.functional.mse_loss(plain(inputs), targets).backward()
        updates.step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-10)


def test_sam_takes_a_closure_that_calls_accelerate(network, plain_loop, assert_same_weights, batches) -> None:
    plain = network()
    expected = plain_loop(plain, optim.SAM(plain.parameters(), lr=0.05, base=optim.SGD))

    accelerator = accelerated()
    model = network()
    model, own = accelerator.prepare(model, optim.SAM(model.parameters(), lr=0.05, base=optim.SGD))
    for _ in range(3):
        for inputs, targets in batches:

            def closure(inputs=inputs, targets=targets):
                own.zero_grad()
                loss = nn.functional.mse_loss(model(inputs), targets)
                accelerator.backward(loss)
                return loss

            own.step(closure)
    assert_same_weights(model, expected)


def test_schedule_free_changes_sides_through_the_wrapper(network, plain_loop, assert_same_weights, batches) -> None:
    plain = network()
    optimizer = optim.ScheduleFreeAdamW(plain.parameters(), lr=0.05)
    plain_loop(plain, optimizer)
    optimizer.eval()

    accelerator = accelerated()
    model = network()
    model, own = accelerator.prepare(model, optim.ScheduleFreeAdamW(model.parameters(), lr=0.05))
    own.train()
    for _ in range(3):
        for inputs, targets in batches:
            own.zero_grad()
            accelerator.backward(nn.functional.mse_loss(model(inputs), targets))
            own.step()
    own.eval()
    assert_same_weights(model, [parameter.detach() for parameter in plain.parameters()])
