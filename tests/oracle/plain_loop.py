"""The training loop of the oracle: one net, ``torch.optim``, one step after another.

The order of a step: gradient; clip its units, its entries, all of it together; l2; the optimizer of torch at the rate
of the schedule; l1 by soft-thresholding at the rate that each coordinate was moved with.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from plain_losses import LOSSES
from plain_nets import PlainNet
from plain_optimizers import PLAIN, Noise, Plain
from torch import Tensor, nn

Draws = Callable[[int, str, tuple[int, int]], Tensor]
Settings = Mapping[str, float | int | str | bool]


@dataclass(frozen=True, kw_only=True)
class PlainData:
    """Rows to learn from: ``dense [N, D]``, ``codes [N, K]``, ``target [N]``, ``weight [N]`` or None for ones."""

    dense: Tensor
    codes: Tensor
    target: Tensor
    weight: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Randomness:
    """What is drawn outside: the rows of a step, the dropout draws of a step and a layer, the noise of an update.

    ``noise`` counts the updates of the optimizer from 1; its tensors are in the order of the weights.
    """

    rows: Callable[[int], Tensor]
    draws: Draws
    noise: Noise


@dataclass(frozen=True, kw_only=True)
class Rewind:
    """Before step ``at``, weights and optimizer go back to what they were before step ``to``; the rate changes.

    Where both are the same step, nothing but the rate changes, and the ``settings`` that are named.
    """

    at: int
    to: int
    factor: float
    settings: Mapping[str, float] = field(default_factory=dict)


def one_cycle(after: int, left: int) -> float:
    """From 0.04 to 1 at step 0.3 n - 1, and down to 4e-6 at step n - 1, by halves of a wave."""
    top = 0.3 * left - 1
    low, way = (0.04, after / top) if after <= top else (4e-6, (left - 1 - after) / (left - 1 - top))
    return low + (1 - low) * (1 - math.cos(math.pi * way)) / 2


# The share of the steps after the warm-up, the steps so far, and how many there are: the defaults of each schedule.
FORMULAS: Mapping[str, Callable[[float, int, int], float]] = {
    "constant": lambda progress, after, left: 1.0,
    "linear": lambda progress, after, left: 1 - progress,
    "cosine": lambda progress, after, left: (1 + math.cos(math.pi * progress)) / 2,
    "exponential": lambda progress, after, left: 0.01**progress,
    "step": lambda progress, after, left: 0.1 ** math.floor(after / (left / 3)),
    "polynomial": lambda progress, after, left: (1 - progress) ** 2,
    "inverse_square_root": lambda progress, after, left: 1 / math.sqrt(1 + after / max(left / 10, 1)),
    "one_cycle": lambda progress, after, left: one_cycle(after, left),
    "warm_restarts": lambda progress, after, left: (1 + math.cos(math.pi * (4 * progress % 1))) / 2,
    "stable_decay": lambda progress, after, left: 1 - math.sqrt(max(0.0, after - 0.8 * left) / (0.2 * left)),
}


def rate_factor(schedule: str, warmup: float, step: int, length: int) -> float:
    """The share of the peak learning rate at ``step``, counted from 0."""
    climb = round(warmup * length)
    left = max(length - climb, 1)
    if step < climb:  # to where the schedule begins
        return (step + 1) / climb * FORMULAS[schedule](0.0, 0, left)
    return FORMULAS[schedule]((step - climb) / left, step - climb, left)


def _rmsprop(*, centred: bool, heavy: bool) -> Callable[..., torch.optim.Optimizer]:
    return lambda groups, own: torch.optim.RMSprop(
        groups, alpha=own["alpha"], eps=own["eps"], centered=centred, momentum=own["momentum"] if heavy else 0.0
    )


def _of_moments(kind: Callable[..., torch.optim.Optimizer], *more: str, **fixed: bool) -> Callable[..., Any]:
    """An optimizer with two betas; ``more`` of its settings are called there as here."""
    return lambda groups, own: kind(
        groups, betas=(own["beta1"], own["beta2"]), eps=own["eps"], **{name: own[name] for name in more}, **fixed
    )


OTHERS_OF_TORCH: Mapping[str, Callable[[list[dict[str, Any]], dict[str, float]], torch.optim.Optimizer]] = {
    "dampened_momentum": lambda groups, own: torch.optim.SGD(
        groups, momentum=own["momentum"], dampening=own["dampening"]
    ),
    "rmsprop_momentum": _rmsprop(centred=False, heavy=True),
    "centred_rmsprop": _rmsprop(centred=True, heavy=False),
    "centred_rmsprop_momentum": _rmsprop(centred=True, heavy=True),
    "adagrad": lambda groups, own: torch.optim.Adagrad(
        groups,
        lr_decay=own["lr_decay"],
        initial_accumulator_value=own["initial_accumulator_value"],
        eps=own["eps"],
    ),
    "adadelta": lambda groups, own: torch.optim.Adadelta(groups, rho=own["rho"], eps=own["eps"]),
    "amsgrad": _of_moments(torch.optim.Adam, amsgrad=True),
    "amsgradw": _of_moments(torch.optim.AdamW, amsgrad=True),
    "adamax": _of_moments(torch.optim.Adamax),
    "nadam": _of_moments(torch.optim.NAdam, "momentum_decay"),
    "nadamw": _of_moments(torch.optim.NAdam, "momentum_decay", decoupled_weight_decay=True),
    "radam": _of_moments(torch.optim.RAdam),
    "radamw": _of_moments(torch.optim.RAdam, decoupled_weight_decay=True),
}
"""The rest of torch's optimizers by the rule that each is the truth of; the loop sets their rate before each step.

Of ASGD torch takes the rate of the step before, so that a schedule comes a step late; Rprop knows no weight decay.
"""


def optimizer_of(rule: str, net: PlainNet, settings: Settings, noise: Noise) -> torch.optim.Optimizer:
    """The optimizer with that name, torch's if it has one; weight decay acts on the penalised weights only."""

    def number(name: str, default: float) -> float:
        return float(settings.get(name, default))

    decay = number("weight_decay", 0.0)
    groups: list[dict[str, Any]] = [
        {"params": net.penalised(), "weight_decay": decay},
        {"params": net.free(), "weight_decay": 0.0},
    ]
    rate = number("lr", math.nan)
    if rule in PLAIN:
        numbers = {name: float(value) for name, value in settings.items() if not isinstance(value, str)}
        return PLAIN[rule](groups, numbers, noise)
    if rule in OTHERS_OF_TORCH:
        numbers = {name: float(value) for name, value in settings.items() if not isinstance(value, str)}
        return OTHERS_OF_TORCH[rule](groups, numbers)
    if rule in ("gd", "sgd"):
        return torch.optim.SGD(groups, lr=rate)
    if rule in ("momentum", "nesterov"):
        return torch.optim.SGD(groups, lr=rate, momentum=number("momentum", 0.9), nesterov=rule == "nesterov")
    if rule == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=number("alpha", 0.99), eps=number("eps", 1e-8))
    betas = (number("beta1", 0.9), number("beta2", 0.999))
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[rule]
    return kind(groups, lr=rate, betas=betas, eps=number("eps", 1e-8))


def train_alone(
    net: PlainNet,
    rule: str,
    settings: Settings,
    data: PlainData,
    randomness: Randomness,
    *,
    length: int,
    until: int,
    rewinds: Sequence[Rewind] = (),
    halfway: Callable[[], object] = lambda: None,
) -> None:
    """Train ``net`` in place: the first ``until`` of ``length`` steps; ``halfway`` is called before the middle one."""
    optimizer = optimizer_of(rule, net, settings, randomness.noise)
    penalised = net.penalised()
    kept = {}
    slower = 1.0
    for step in range(until):
        if step == length // 2:
            halfway()
        for rewind in rewinds:
            if rewind.at == step:
                slower *= rewind.factor
                settings = {**settings, **rewind.settings}
                change(optimizer, rewind.settings)
                if rewind.to == step:
                    continue
                net.load_state_dict(kept[rewind.to][0])
                optimizer.load_state_dict(kept[rewind.to][1])
        if step in {rewind.to for rewind in rewinds}:
            kept[step] = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        factor = slower * rate_factor(str(settings["schedule"]), float(settings["warmup"]), step, length)
        for group in optimizer.param_groups:
            group["lr"] = float(settings["lr"]) * factor
        optimizer.zero_grad()
        batch_loss(net, settings, data, randomness, step).backward()
        if float(settings.get("sam_rho", 0.0)) > 0:
            climb(net, float(settings["sam_rho"]), partial(batch_loss, net, settings, data, randomness, step))
        clip_units(net, float(settings.get("clip_adaptive", 0.0)))
        clip_entries(net, float(settings.get("clip_value", 0.0)))
        clip(net, float(settings["clip_norm"]))
        for weight in penalised if float(settings["l2"]) != 0 else ():
            gradient_of(weight).add_(weight.detach(), alpha=float(settings["l2"]))
        optimizer.step()
        soft_threshold(net, optimizer, rule, float(settings["l1"]))


def change(optimizer: torch.optim.Optimizer, settings: Mapping[str, float]) -> None:
    """Give the groups of an optimizer of torch's the settings that are named; a decay to the first group only."""
    for place, group in enumerate(optimizer.param_groups):
        if "momentum" in settings:
            group["momentum"] = settings["momentum"]
        if "betas" in group:
            group["betas"] = (settings.get("beta1", group["betas"][0]), settings.get("beta2", group["betas"][1]))
        if "weight_decay" in settings and place == 0:
            group["weight_decay"] = settings["weight_decay"]


def batch_loss(net: PlainNet, settings: Settings, data: PlainData, randomness: Randomness, step: int) -> Tensor:
    """Mean over the batch of weight times loss."""
    rows = randomness.rows(step)
    outputs = net(
        data.dense[rows],
        data.codes[rows],
        rate=float(settings.get("dropout", 0.0)),
        uniform=lambda layer, shape: randomness.draws(step, layer, shape),
    )
    losses = LOSSES[str(settings["loss"])](outputs, data.target[rows], float(settings["label_smoothing"]))
    if data.weight is not None:
        losses = losses * data.weight[rows]
    return losses.mean()


def climb(net: PlainNet, rho: float, loss: Callable[[], Tensor]) -> None:
    """Replace the gradient by that at the weights moved by rho along it."""
    weights = list(net.parameters())
    before = [weight.detach().clone() for weight in weights]
    norm = math.sqrt(sum(float(gradient_of(weight).double().square().sum()) for weight in weights))
    with torch.no_grad():
        for weight in weights:
            weight.add_(gradient_of(weight), alpha=rho / (norm + 1e-12))
    net.zero_grad()
    loss().backward()
    with torch.no_grad():
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value)


def gradient_of(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def clip_units(net: PlainNet, clipping: float) -> None:
    """Shorten the gradient of each output's weights to ``clipping`` times their length; biases as one; 0 leaves it."""
    for weight in net.parameters() if clipping > 0 else ():
        units = range(len(weight)) if weight.dim() > 1 else [...]
        for unit in units:
            gradient, own = gradient_of(weight)[unit], weight.detach()[unit]
            limit = clipping * max(math.sqrt(float(own.square().sum())), 1e-3)
            norm = math.sqrt(float(gradient.square().sum()))
            if norm > limit:
                gradient.mul_(limit / norm)


def clip_entries(net: PlainNet, limit: float) -> None:
    """Bound every entry of the gradient; 0 leaves it."""
    for weight in net.parameters() if limit > 0 else ():
        torch.nn.utils.clip_grad_value_(weight, limit)


def clip(net: PlainNet, limit: float) -> None:
    """Shorten the gradient of all weights together to length ``limit``; 0 leaves it."""
    if limit <= 0:
        return
    gradients = [gradient_of(weight) for weight in net.parameters()]
    norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
    if norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)


def soft_threshold(net: PlainNet, optimizer: torch.optim.Optimizer, rule: str, l1: float) -> None:
    """Move each penalised weight towards zero by l1 times the gain of its coordinate, at most to zero.

    So it rests where a gradient of size l1 would move it by as much as the threshold: at the least of loss and penalty.
    """
    if l1 == 0:
        return
    group = optimizer.param_groups[0]
    with torch.no_grad():
        for weight in group["params"]:
            if isinstance(optimizer, Plain):
                threshold = l1 * optimizer.gain(weight, group)
            else:
                threshold = l1 * effective_rate(optimizer.state[weight], group, rule)
            weight.copy_(weight.sign() * (weight.abs() - threshold).clamp(min=0))


def effective_rate(state: Mapping[str, Tensor], group: Mapping[str, Any], rule: str) -> Tensor | float:
    """How far a gradient that stays the same moves each coordinate in a step, per unit; momentum sums it up."""
    if rule in ("adam", "adamw"):
        correction = 1 - group["betas"][1] ** float(state["step"])
        return group["lr"] / ((state["exp_avg_sq"] / correction).sqrt() + group["eps"])
    summed = group["lr"] * (1 - group.get("dampening", 0.0)) / (1 - group["momentum"])
    return summed / (state["square_avg"].sqrt() + group["eps"]) if rule == "rmsprop" else summed
