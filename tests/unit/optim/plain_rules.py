"""Slow plain loops of rules that torch lacks, number by number in float64, each written from its paper."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

SHAPES = {"weight": (3, 4), "tall": (5, 2), "bias": (3,)}
STEPS = 7

Weights = dict[str, Tensor]
Case = tuple[Callable[[float], Weights], dict[str, float], str, dict[str, object]]
"""The plain loop by weight decay, the settings of the lane, the name of the drop-in and its settings."""


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


def plain_shampoo(decay: float, *, graft: bool) -> Weights:
    weights = start()
    momentum, squares = zeros(), zeros()
    left = {name: 1e-2 * torch.eye(shape[0], dtype=torch.float64) for name, shape in SHAPES.items()}
    right = {name: 1e-2 * torch.eye(shape[-1], dtype=torch.float64) for name, shape in SHAPES.items()}
    roots = {}
    for step in range(1, STEPS + 1):
        for name, slope in gradients(weights, step).items():
            grad = slope + penalty(name, decay) * weights[name]
            squares[name] = squares[name] + grad**2
            update = adagrad = grad / (squares[name].sqrt() + 1e-10)
            if name != "bias":
                left[name] = left[name] + grad @ grad.T
                right[name] = right[name] + grad.T @ grad
                if step in (1, 4, 7):
                    # two square roots instead of one fourth root
                    halves = [matrix_power(matrix_power(one[name], 0.5), -0.5) for one in (left, right)]
                    roots[name] = halves
                update = roots[name][0] @ grad @ roots[name][1]
                if graft:
                    update = update * adagrad.norm() / update.norm()
            momentum[name] = 0.8 * momentum[name] + update
            weights[name] = weights[name] - 0.1 * momentum[name]
    return weights


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """Of a positive definite matrix, by its singular values."""
    u, s, v = torch.linalg.svd(matrix)
    return u @ torch.diag(s**power) @ v


def plain_soap(decay: float) -> Weights:
    weights = start()
    mean, square = zeros(), zeros()
    factors = {name: [torch.zeros(n, n, dtype=torch.float64) for n in SHAPES[name]] for name in ("weight", "tall")}
    bases: dict[str, list[Tensor]] = {}
    for step in range(1, STEPS + 1):
        for name, grad in gradients(weights, step).items():
            count = step if name == "bias" else step - 1
            weights[name] = (1 - 0.03 * penalty(name, decay)) * weights[name]
            if count > 0:
                p, q = bases.get(name, [torch.eye(3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)])
                turn = lambda x, p=p, q=q: (p.T @ x.view(len(p), len(q)) @ q).view(x.shape)  # noqa: E731  # binds p and q
                mean[name] = 0.8 * mean[name] + 0.2 * grad
                square[name] = 0.9 * square[name] + 0.1 * turn(grad) ** 2
                root = (square[name] / (1 - 0.9**count)).sqrt() + 1e-6
                update = turn(mean[name]) / (1 - 0.8**count) / root
                update = (p @ update.view(len(p), len(q)) @ q.T).view(grad.shape)
                weights[name] = weights[name] - 0.03 * update
            if name == "bias":
                continue
            for side, outer in enumerate((grad @ grad.T, grad.T @ grad)):
                own = factors[name][side] = 0.9 * factors[name][side] + 0.1 * outer
                size = len(own)
                rise = torch.tensor([1 + at / (size - 1) for at in range(size)], dtype=torch.float64)
                untied = own + torch.diag(1e-3 * own.trace() / size * rise)
                if step == 1:
                    # the singular vectors of a positive definite matrix are its eigenvectors, the largest first
                    bases.setdefault(name, []).append(torch.linalg.svd(untied).U)
                elif step in (4, 7):
                    values = torch.diag(bases[name][side].T @ untied @ bases[name][side])
                    order = sorted(range(size), key=lambda at, values=values: -float(values[at]))
                    bases[name][side] = gram_schmidt(untied @ bases[name][side][:, order])
                    square[name] = square[name][order] if side == 0 else square[name][:, order]
    return weights


def gram_schmidt(matrix: Tensor) -> Tensor:
    columns: list[Tensor] = []
    for at in range(len(matrix)):
        column = matrix[:, at]
        for _ in range(2):  # the second pass removes what rounding left
            for other in columns:
                column = column - (other @ column) * other
        columns.append(column / column.norm())
    return torch.stack(columns, 1)


CASES: dict[str, Case] = {
    "schedule_free_sgd": (
        plain_schedule_free_sgd,
        {"lr": 0.3, "momentum": 0.8},
        "ScheduleFreeSGD",
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
        "AdEMAMix",
        {"lr": 0.02, "betas": (0.8, 0.9, 0.99), "alpha": 3.0, "alpha_warmup": 4, "beta3_warmup": 5, "eps": 1e-6},
    ),
    "prodigy": (
        plain_prodigy,
        {"lr": 0.9, "beta1": 0.8, "beta2": 0.99, "first": 0.05, "factor": 1.5},
        "Prodigy",
        {"lr": 0.9, "betas": (0.8, 0.99), "first": 0.05, "factor": 1.5},
    ),
    "adafactor": (
        plain_adafactor,
        {"lr": 0.4, "decay_rate": 0.7, "clip_threshold": 1.2, "floor": 0.01, "eps": 1e-3},
        "Adafactor",
        {"lr": 0.4, "decay_rate": 0.7, "clip_threshold": 1.2, "floor": 0.01, "eps": 1e-3},
    ),
    "shampoo": (
        partial(plain_shampoo, graft=True),
        {"lr": 0.1, "momentum": 0.8, "every": 3, "eps": 1e-2},
        "Shampoo",
        {"lr": 0.1, "momentum": 0.8, "every": 3, "eps": 1e-2},
    ),
    "shampoo without grafting": (
        partial(plain_shampoo, graft=False),
        {"lr": 0.1, "momentum": 0.8, "every": 3, "eps": 1e-2, "graft": False},
        "Shampoo",
        {"lr": 0.1, "momentum": 0.8, "every": 3, "eps": 1e-2, "graft": False},
    ),
    "soap": (
        plain_soap,
        {"lr": 0.03, "beta1": 0.8, "beta2": 0.9, "every": 3, "eps": 1e-6},
        "SOAP",
        {"lr": 0.03, "betas": (0.8, 0.9), "every": 3, "eps": 1e-6},
    ),
}
