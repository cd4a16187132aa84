"""Slow plain loops of rules that torch lacks, number by number in float64, each written from its paper."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

import lanewise.optim as ours

SHAPES = {"weight": (3, 4), "tall": (5, 2), "bias": (3,)}
STEPS = 7

Weights = dict[str, Tensor]
Case = tuple[Callable[[float], Weights], dict[str, float], type[Optimizer], dict[str, object]]
"""The plain loop by weight decay, the settings of the lane, the drop-in and its settings."""


def start() -> Weights:
    draw = torch.Generator().manual_seed(5)
    return {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in SHAPES.items()}


def gradients(weights: Weights, step: int) -> Weights:
    """Of a bowl that moves about, so that they depend on the weights and on the step."""
    return {name: weight * 0.5 + math.sin(3.0 * step + len(name)) for name, weight in weights.items()}


def zeros() -> Weights:
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in SHAPES.items()}


def penalty(name: str, decay: float) -> float:
    return 0.0 if name == "bias" else decay


def plain_schedule_free_sgd(decay: float) -> Weights:
    base, average = start(), start()
    for step in range(1, STEPS + 1):
        at = {name: 0.2 * base[name] + 0.8 * average[name] for name in base}
        for name, grad in gradients(at, step).items():
            base[name] = base[name] - 0.3 * (grad + penalty(name, decay) * at[name])
            average[name] = (1 - 1 / step) * average[name] + base[name] / step  # the rate is always the same
    return average


def plain_ademamix(decay: float) -> Weights:
    weights = start()
    young, old, square = zeros(), zeros(), zeros()
    for step in range(1, STEPS + 1):
        alpha = 3.0 * min(step / 4, 1.0)
        beta3 = 0.99
        if step < 5:
            low, high = math.log(0.8), math.log(0.99)
            beta3 = min(math.exp(low * high / ((1 - step / 5) * high + step / 5 * low)), 0.99)
        for name, grad in gradients(weights, step).items():
            young[name] = 0.8 * young[name] + 0.2 * grad
            old[name] = beta3 * old[name] + (1 - beta3) * grad
            square[name] = 0.9 * square[name] + 0.1 * grad**2
            root = (square[name] / (1 - 0.9**step)).sqrt() + 1e-6
            update = (young[name] / (1 - 0.8**step) + alpha * old[name]) / root
            weights[name] = weights[name] - 0.02 * (update + penalty(name, decay) * weights[name])
    return weights


def plain_prodigy(decay: float) -> Weights:
    weights, origin = start(), start()
    mean, square, total = zeros(), zeros(), zeros()
    distance, progress = 0.05, 0.0
    memory = math.sqrt(0.99)
    for step in range(1, STEPS + 1):
        grads = gradients(weights, step)
        used = distance
        progress = memory * progress
        for name, grad in grads.items():
            progress += 0.9 * used**2 * float((grad * (origin[name] - weights[name])).sum())
            total[name] = memory * total[name] + 0.9 * used**2 * grad
            mean[name] = 0.8 * mean[name] + 0.2 * used * grad
            square[name] = 0.99 * square[name] + 0.01 * (used * grad) ** 2
        distance = max(distance, 1.5 * progress / sum(float(one.abs().sum()) for one in total.values()))
        for name in weights:
            step_of = mean[name] / (square[name].sqrt() + distance * 1e-8)
            weights[name] = weights[name] - 0.9 * used * (step_of + penalty(name, decay) * weights[name])
    assert distance > 0.05  # the estimate has grown
    return weights


def plain_adafactor(decay: float) -> Weights:
    weights = start()
    rows = {name: torch.zeros(shape[0], dtype=torch.float64) for name, shape in SHAPES.items()}
    columns = {name: torch.zeros(shape[-1], dtype=torch.float64) for name, shape in SHAPES.items()}
    for step in range(1, STEPS + 1):
        fresh = step**-0.7
        for name, grad in gradients(weights, step).items():
            size = max(0.01, math.sqrt(float(weights[name].square().mean()))) * min(0.4, 1 / math.sqrt(step))
            square = grad.square()
            columns[name] = (1 - fresh) * columns[name] + fresh * (square if name == "bias" else square.mean(0))
            if name == "bias":
                estimate = columns[name]
            else:
                rows[name] = (1 - fresh) * rows[name] + fresh * square.mean(1)
                estimate = torch.outer(rows[name], columns[name]) / rows[name].mean()
            update = grad / estimate.sqrt().clamp(min=1e-3)
            update = update / max(1.0, math.sqrt(float(update.square().mean())) / 1.2)
            weights[name] = weights[name] - 0.4 * penalty(name, decay) * weights[name] - size * update
    return weights


CASES: dict[str, Case] = {
    "schedule_free_sgd": (
        plain_schedule_free_sgd,
        {"lr": 0.3, "momentum": 0.8},
        ours.ScheduleFreeSGD,
        {"lr": 0.3, "momentum": 0.8},
    ),
    "ademamix": (
        plain_ademamix,
        {
            "lr": 0.02,
            "beta1": 0.8,
            "beta2": 0.9,
            "beta3": 0.99,
            "alpha": 3.0,
            "alpha_warmup": 4,
            "beta3_warmup": 5,
            "eps": 1e-6,
        },
        ours.AdEMAMix,
        {"lr": 0.02, "betas": (0.8, 0.9, 0.99), "alpha": 3.0, "alpha_warmup": 4, "beta3_warmup": 5, "eps": 1e-6},
    ),
    "prodigy": (
        plain_prodigy,
        {"lr": 0.9, "beta1": 0.8, "beta2": 0.99, "first": 0.05, "factor": 1.5},
        ours.Prodigy,
        {"lr": 0.9, "betas": (0.8, 0.99), "first": 0.05, "factor": 1.5},
    ),
    "adafactor": (
        plain_adafactor,
        {"lr": 0.4, "decay_rate": 0.7, "clip_threshold": 1.2, "floor": 0.01, "eps": 1e-3},
        ours.Adafactor,
        {"lr": 0.4, "decay_rate": 0.7, "clip_threshold": 1.2, "floor": 0.01, "eps": 1e-3},
    ),
}
