"""Optimizers that torch lacks, for the oracle: one weight after another, as their papers put it.

Nothing here knows of lanes. What goes over all weights of a model is kept in ``state["row"]``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

Noise = Callable[[int], Sequence[Tensor]]
Held = dict[str, Any]

TIE: Final = 1e-3
"""Of SOAP: what sets equal eigenvalues apart, as a share of their mean."""


class Plain(torch.optim.Optimizer):
    """The loop over the weights; each rule says how one of them moves."""

    def __init__(self, groups: list[dict[str, Any]], settings: Mapping[str, float], noise: Noise) -> None:
        super().__init__(groups, dict(settings))
        self.noise = noise

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        row = self.state["row"]
        row["step"] = row.get("step", 0) + 1
        weights = [(weight, group) for group in self.param_groups for weight in group["params"]]
        self.measure(row, weights)
        draws = self.noise(row["step"]) if isinstance(self, Langevin) else [None] * len(weights)
        for (weight, group), drawn in zip(weights, draws, strict=True):
            held = self.state[weight]
            if not held:
                self.begin(weight, held)
            self.move(weight, held, {**group, "row": row, "step": row["step"], "drawn": drawn})

    def measure(self, row: Held, weights: Sequence[tuple[nn.Parameter, Held]]) -> None:
        """Sums over all weights, before any of them moves."""

    def begin(self, weight: Tensor, held: Held) -> None:
        for name in ("m", "o", "v", "s"):
            held[name] = torch.zeros_like(weight)
        held["origin"] = weight.clone()

    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        raise NotImplementedError

    def rate(self, weight: Tensor, group: Held) -> Tensor | float:
        """How far a unit of gradient has just moved each coordinate, momentum aside."""
        return group["lr"]

    def gain(self, weight: Tensor, group: Held) -> Tensor | float:
        """How far a gradient that stays the same moves each coordinate in a step, per unit of it."""
        return self.rate(weight, group)


def slope(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def is_vector(weight: Tensor) -> bool:
    return weight.dim() < 2


def adamw(weight: Tensor, held: Held, by: Held) -> None:
    """Adam's step, the decay being done."""
    grad, step = slope(weight), by["step"]
    held["m"] = by["beta1"] * held["m"] + (1 - by["beta1"]) * grad
    held["v"] = by["beta2"] * held["v"] + (1 - by["beta2"]) * grad**2
    root = (held["v"] / (1 - by["beta2"] ** step)).sqrt() + by["eps"]
    weight -= by["lr"] * held["m"] / (1 - by["beta1"] ** step) / root


class Lion(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        grad = slope(weight)
        weight *= 1 - by["lr"] * by["weight_decay"]
        weight -= by["lr"] * torch.sign(by["beta1"] * held["m"] + (1 - by["beta1"]) * grad)
        held["m"] = by["beta2"] * held["m"] + (1 - by["beta2"]) * grad


class Muon(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        weight *= 1 - by["lr"] * by["weight_decay"]
        if is_vector(weight):
            adamw(weight, held, by)
            return
        mu, grad = by["momentum"], slope(weight)
        held["m"] = mu * held["m"] + (1 - mu) * grad
        u, s, v = torch.linalg.svd(mu * held["m"] + (1 - mu) * grad, full_matrices=False)
        s = s / max(float(s.norm()), 1e-7)
        for _ in range(5):  # the iteration acts on each singular value alone
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        weight -= by["lr"] * 0.2 * math.sqrt(max(weight.shape)) * (u * s) @ v


class ScheduleFree(Plain):
    """Keeps z as ``origin`` and x as ``x``; the weights are y."""

    def measure(self, row: Held, weights: Sequence[tuple[nn.Parameter, Held]]) -> None:
        row["largest"] = max(row.get("largest", 0.0), weights[0][1]["lr"])
        row["total"] = row.get("total", 0.0) + row["largest"] ** 2
        row["share"] = row["largest"] ** 2 / row["total"] if row["total"] else 0.0

    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        between, share, before = by[self.between], by["row"]["share"], held["origin"]
        # L1 moves y alone, so that the average must be taken from it
        average = (weight - (1 - between) * before) / between
        held["origin"] = before - by["lr"] * (self.direction(weight, held, by) + by["weight_decay"] * weight)
        average = (1 - share) * average + share * held["origin"]
        weight.copy_((1 - between) * held["origin"] + between * average)

    between = "momentum"

    def direction(self, weight: Tensor, held: Held, by: Held) -> Tensor:
        return slope(weight)


class ScheduleFreeAdamW(ScheduleFree):
    between = "beta1"

    def direction(self, weight: Tensor, held: Held, by: Held) -> Tensor:
        held["v"] = by["beta2"] * held["v"] + (1 - by["beta2"]) * slope(weight) ** 2
        return slope(weight) / ((held["v"] / (1 - by["beta2"] ** by["step"])).sqrt() + by["eps"])


class DoG(Plain):
    def measure(self, row: Held, weights: Sequence[tuple[nn.Parameter, Held]]) -> None:
        for weight, group in weights:
            slope(weight).add_(weight, alpha=group["weight_decay"])
        if row["step"] == 1:
            length = math.sqrt(sum(float(weight.square().sum()) for weight, _ in weights))
            row["distance"], row["squares"] = weights[0][1]["first"] * (1 + length), 0.0
        else:
            away = [float((weight - self.state[weight]["origin"]).square().sum()) for weight, _ in weights]
            row["distance"] = max(row["distance"], math.sqrt(sum(away)))
        row["squares"] += sum(float(slope(weight).square().sum()) for weight, _ in weights)

    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        weight -= self.rate(weight, by) * slope(weight)

    def rate(self, weight: Tensor, group: Held) -> Tensor | float:
        row = self.state["row"]
        return group["lr"] * row["distance"] / math.sqrt(row["squares"] + 1e-8)


class AdEMAMix(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        grad, step = slope(weight), by["step"]
        share = min(step / by["beta3_warmup"], 1.0)
        low, high = math.log(by["beta1"]), math.log(by["beta3"])
        beta3 = math.exp(low * high / ((1 - share) * high + share * low))
        held["o"] = beta3 * held["o"] + (1 - beta3) * grad
        weight *= 1 - by["lr"] * by["weight_decay"]
        adamw(weight, held, by)
        weight -= self.rate(weight, by) * by["alpha"] * min(step / by["alpha_warmup"], 1.0) * held["o"]

    def rate(self, weight: Tensor, group: Held) -> Tensor | float:
        correction = 1 - group["beta2"] ** self.state["row"]["step"]
        return group["lr"] / ((self.state[weight]["v"] / correction).sqrt() + group["eps"])

    def gain(self, weight: Tensor, group: Held) -> Tensor | float:
        step = self.state["row"]["step"]
        share = min(step / group["beta3_warmup"], 1.0)
        low, high = math.log(group["beta1"]), math.log(group["beta3"])
        beta3 = math.exp(low * high / ((1 - share) * high + share * low))
        old = group["alpha"] * min(step / group["alpha_warmup"], 1.0) * (1 - beta3**step)
        return (1 + old) * self.rate(weight, group)


class Prodigy(Plain):
    def measure(self, row: Held, weights: Sequence[tuple[nn.Parameter, Held]]) -> None:
        group = weights[0][1]
        memory = math.sqrt(group["beta2"])
        used = row["used"] = row.get("distance", group["first"])
        row["progress"] = memory * row.get("progress", 0.0)
        for weight, _ in weights:
            held = self.state[weight]
            if not held:
                self.begin(weight, held)
            row["progress"] += group["lr"] * used**2 * float((slope(weight) * (held["origin"] - weight)).sum())
            held["s"] = memory * held["s"] + group["lr"] * used**2 * slope(weight)
        total = sum(float(self.state[weight]["s"].abs().sum()) for weight, _ in weights)
        row["distance"] = max(used, row["progress"] / total if total else 0.0)

    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        grad = by["row"]["used"] * slope(weight)
        held["m"] = by["beta1"] * held["m"] + (1 - by["beta1"]) * grad
        held["v"] = by["beta2"] * held["v"] + (1 - by["beta2"]) * grad**2
        weight *= 1 - by["lr"] * by["row"]["used"] * by["weight_decay"]
        weight -= self.rate(weight, by) * held["m"]

    def rate(self, weight: Tensor, group: Held) -> Tensor | float:
        row = self.state["row"]
        return group["lr"] * row["used"] / (self.state[weight]["v"].sqrt() + row["distance"] * group["eps"])

    def gain(self, weight: Tensor, group: Held) -> Tensor | float:
        return self.state["row"]["used"] * self.rate(weight, group)  # both means hold gradients times the distance


class Adafactor(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        square, fresh = slope(weight) ** 2, by["step"] ** -by["decay_rate"]
        size = max(by["floor"], math.sqrt(float(weight.square().mean())))
        size *= min(by["lr"], by["step"] ** -0.5)
        if is_vector(weight):
            estimate = held["v"] = (1 - fresh) * held["v"] + fresh * square
        else:
            for name, dim in (("rows", 1), ("columns", 0)):
                held[name] = (1 - fresh) * held.get(name, 0.0) + fresh * square.mean(dim)
            estimate = torch.outer(held["rows"], held["columns"]) / max(float(held["rows"].mean()), by["eps"])
        update = slope(weight) / estimate.sqrt().clamp(min=by["eps"])
        update /= max(1.0, math.sqrt(float(update.square().mean())) / by["clip_threshold"])
        weight *= 1 - by["lr"] * by["weight_decay"]
        weight -= size * update


class Langevin(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        grad = slope(weight) + by["weight_decay"] * weight
        weight += -by["lr"] * grad + math.sqrt(2 * by["lr"] * by["temperature"]) * by["drawn"]


class Shampoo(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        grad = slope(weight) + by["weight_decay"] * weight
        held["v"] = held["v"] + grad**2
        update = adagrad = grad / (held["v"].sqrt() + 1e-10)
        if not is_vector(weight):
            held["left"] = held.get("left", by["eps"] * torch.eye(len(grad), dtype=grad.dtype)) + grad @ grad.T
            right = by["eps"] * torch.eye(grad.shape[1], dtype=grad.dtype)
            held["right"] = held.get("right", right) + grad.T @ grad
            if by["step"] % by["every"] == 1:
                held["roots"] = [fourth_root(held["left"]), fourth_root(held["right"])]
            update = held["roots"][0] @ grad @ held["roots"][1]
            length = float(update.norm())
            update = update * (float(adagrad.norm()) / length if length else 0.0)
        held["m"] = by["momentum"] * held["m"] + update
        weight -= by["lr"] * held["m"]


def fourth_root(matrix: Tensor) -> Tensor:
    """``matrix^-1/4``, of a positive definite one, by its singular values."""
    u, s, v = torch.linalg.svd(matrix)
    return (u * s**-0.25) @ v


class SOAP(Plain):
    def move(self, weight: Tensor, held: Held, by: Held) -> None:
        weight *= 1 - by["lr"] * by["weight_decay"]
        if is_vector(weight):
            adamw(weight, held, by)
            return
        grad, step, beta1, beta2 = slope(weight), by["step"], by["beta1"], by["beta2"]
        if step > 1:
            p, q = held["bases"]
            held["m"] = beta1 * held["m"] + (1 - beta1) * grad
            held["v"] = beta2 * held["v"] + (1 - beta2) * (p.T @ grad @ q) ** 2
            root = (held["v"] / (1 - beta2 ** (step - 1))).sqrt() + by["eps"]
            weight -= by["lr"] / (1 - beta1 ** (step - 1)) * p @ ((p.T @ held["m"] @ q) / root) @ q.T
        outer = (grad @ grad.T, grad.T @ grad)
        before = held.get("factors", [torch.zeros_like(one) for one in outer])
        held["factors"] = [beta2 * old + (1 - beta2) * new for old, new in zip(before, outer, strict=True)]
        if step % by["every"] == 1:
            untied = [one + torch.diag(rise(len(one)) * TIE * one.diag().mean()) for one in held["factors"]]
            if step == 1:
                held["bases"] = [torch.linalg.eigh(one)[1].flip(1) for one in untied]
            else:
                order = [torch.argsort(-torch.diag(b.T @ one @ b)) for one, b in zip(untied, (p, q), strict=True)]
                sorted_bases = (p[:, order[0]], q[:, order[1]])
                held["bases"] = [torch.linalg.qr(one @ b)[0] for one, b in zip(untied, sorted_bases, strict=True)]
                held["v"] = held["v"][order[0]][:, order[1]]


def rise(size: int) -> Tensor:
    """From 1 to 2 in even steps."""
    return torch.tensor([1 + at / max(size - 1, 1) for at in range(size)], dtype=torch.float64)


PLAIN: Final[Mapping[str, type[Plain]]] = {
    "lion": Lion,
    "muon": Muon,
    "schedule_free_sgd": ScheduleFree,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "dog": DoG,
    "ademamix": AdEMAMix,
    "prodigy": Prodigy,
    "adafactor": Adafactor,
    "sgld": Langevin,
    "shampoo": Shampoo,
    "soap": SOAP,
}
