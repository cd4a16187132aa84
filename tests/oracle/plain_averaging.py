"""Workers that train apart and are averaged at intervals: nothing but ``torch.optim`` and a loop over the workers.

Algorithm 1 of Douillard et al. 2023 (arXiv:2311.08105): each worker copies the outer weights, takes H inner steps on
its own data; the outer gradient is what the workers moved, averaged; the outer optimizer takes a step with it. Plain
averaging is the outer step of SGD at rate 1. The last round may be shorter.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Shown = Sequence[Sequence[tuple[Tensor, Tensor]]]
"""Inputs and targets that each worker is shown at each of its steps."""

Inner = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def trained_apart(
    start: nn.Module,
    shown: Shown,
    *,
    every: int,
    inner: Inner,
    outer: dict[str, Any],
    factor: Callable[[int], float] = lambda step: 1.0,
    shares: Sequence[float] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
) -> tuple[nn.Module, list[float]]:
    """The outer model at the end, and the mean loss of the workers at each step before it.

    ``outer`` are the settings of ``torch.optim.SGD``, ``factor`` what multiplies the inner rate; ``shares`` weigh the
    workers, None: they count alike.
    """
    count, steps = len(shown), len(shown[0])
    weights = [1 / count] * count if shares is None else list(shares)
    model = copy.deepcopy(start)
    workers = [copy.deepcopy(start) for _ in shown]
    optimizers = [inner(worker.parameters()) for worker in workers]
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    outer_optimizer = torch.optim.SGD(model.parameters(), **outer)
    losses = [0.0] * steps
    for begin in range(0, steps, every):
        for worker, optimizer, peak, share, batches in zip(workers, optimizers, peaks, weights, shown, strict=True):
            for step in range(begin, min(begin + every, steps)):
                optimizer.param_groups[0]["lr"] = peak * factor(step)
                inputs, targets = batches[step]
                optimizer.zero_grad()
                value = loss(worker(inputs), targets)
                value.backward()
                optimizer.step()
                losses[step] += share * value.item()
        with torch.no_grad():
            for place, own in enumerate(model.parameters()):
                arrived = [list(worker.parameters())[place] for worker in workers]
                own.grad = sum(share * (own - there) for share, there in zip(weights, arrived, strict=True))
        outer_optimizer.step()
        for worker in workers:
            worker.load_state_dict(model.state_dict())
    return model, losses
