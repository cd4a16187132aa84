"""Rules against Optax in float64, where it has them."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from plain_rules import STEPS, Weights, gradients, start
from torch import nn
from torch.optim import Optimizer

import lanewise.optim as ours
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn

peers: Any = SimpleNamespace()
"""``optax``, ``contrib`` and ``jax``, whose import takes seconds that who only collects these tests need not pay."""

CASES: dict[str, tuple[Callable[[Any], Optimizer], Callable[[], Any]]] = {
    "adamw": (
        lambda p: ours.AdamW(p, lr=0.03, betas=(0.8, 0.9), weight_decay=0.2),
        lambda: peers.optax.adamw(0.03, b1=0.8, b2=0.9, weight_decay=0.2),
    ),
    "lion": (
        lambda p: ours.Lion(p, lr=0.03, betas=(0.8, 0.9), weight_decay=0.2),
        lambda: peers.optax.lion(0.03, b1=0.8, b2=0.9, weight_decay=0.2),
    ),
    "schedule_free_sgd": (
        lambda p: ours.ScheduleFreeSGD(p, lr=0.3, momentum=0.8, weight_decay=0.1),
        lambda: peers.contrib.schedule_free_sgd(0.3, b1=0.8, weight_decay=0.1),
    ),
    "schedule_free_adamw": (
        lambda p: ours.ScheduleFreeAdamW(p, lr=0.03, betas=(0.8, 0.9), weight_decay=0.1),
        lambda: peers.contrib.schedule_free_adamw(0.03, b1=0.8, b2=0.9, weight_decay=0.1),
    ),
    "ademamix": (
        lambda p: ours.AdEMAMix(p, lr=0.03, betas=(0.8, 0.9, 0.99), alpha=3.0, alpha_warmup=5, weight_decay=0.1),
        lambda: peers.contrib.ademamix(
            0.03,
            b1=0.8,
            b2=0.9,
            b3=0.99,
            # its count is that of the steps before, and an int32 divided is a float32
            alpha=lambda count: 3.0 * peers.jax.numpy.minimum((count.astype("float64") + 1) / 5, 1.0),
            weight_decay=0.1,
        ),
    ),
    "prodigy": (
        lambda p: ours.Prodigy(p, lr=0.9, betas=(0.8, 0.9), first=0.05, bias_correction=True, weight_decay=0.1),
        lambda: peers.contrib.prodigy(0.9, betas=(0.8, 0.9), estim_lr0=0.05, weight_decay=0.1),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _float64() -> Iterator[None]:
    peers.optax = pytest.importorskip("optax", reason="optax is not installed")
    peers.jax = pytest.importorskip("jax")
    peers.contrib = pytest.importorskip("optax.contrib")
    before = peers.jax.config.jax_enable_x64
    peers.jax.config.update("jax_enable_x64", True)  # its own signature
    yield
    peers.jax.config.update("jax_enable_x64", before)


def by_optax(make: Callable[[], Any]) -> Weights:
    transform = make()
    params = {name: peers.jax.numpy.asarray(weight.numpy()) for name, weight in start().items()}
    state = transform.init(params)
    for step in range(1, STEPS + 1):
        now = {name: torch.from_numpy(np.array(param)) for name, param in params.items()}
        grads = {name: peers.jax.numpy.asarray(grad.numpy()) for name, grad in gradients(now, step).items()}
        updates, state = transform.update(grads, state, params)
        params = peers.optax.apply_updates(params, updates)
    if hasattr(state, "z"):
        params = peers.contrib.schedule_free_eval_params(state, params)
    return {name: torch.from_numpy(np.array(param)) for name, param in params.items()}


@pytest.mark.parametrize("name", CASES)
def test_seven_steps_equal_optax(name: str) -> None:
    mine, theirs = CASES[name]
    params = {key: nn.Parameter(value) for key, value in start().items()}
    optimizer = mine(params.values())
    for step in range(1, STEPS + 1):
        for key, grad in gradients({key: param.detach() for key, param in params.items()}, step).items():
            params[key].grad = grad
        optimizer.step()
    if isinstance(optimizer, EvaluatingDropIn):
        optimizer.eval()
    for key, expected in by_optax(theirs).items():
        assert expected.dtype == torch.float64
        assert float((expected - start()[key]).abs().max()) > 1e-3
        gap = float((params[key].detach() - expected).abs().max())
        assert gap <= 1e-10 * max(1.0, float(expected.abs().max())), f"{key} differs by {gap}"
