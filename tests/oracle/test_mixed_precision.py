"""Lanes in a lower precision are what ``torch.autocast`` and ``torch.amp.GradScaler`` make of each module alone.

One by one they are so bit for bit; stacked, sums of products come in another order, so that a product may be rounded
the other way. What is stacked must really be multiplied in that precision, and each of the planted bugs must show.
"""

import math
from collections.abc import Callable

import pytest
import torch
from module_cases import data_of
from plain_modules import ARCHITECTURES, BATCH, EPS, RATES, ROWS, TRAIN, rows_for
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Lane
from lanewise.models import casting
from lanewise.models.blueprint import Blueprint
from lanewise.optim import scaling
from lanewise.training import step as stepping
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

STEPS = 12
RULES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "momentum": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
    "adamw": lambda weights, lr: torch.optim.AdamW(weights, lr=lr, eps=EPS, weight_decay=0.01),
}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
FEW = 8
"""Roundings of a product by which a gradient may be off, relative to the largest: those of a few layers add up."""

NAMES = ("autoencoder", "deep_sets", "lenet", "resnet without dropout", "gru", "attention")
STACKED = ("autoencoder", "deep_sets", "resnet without dropout", "attention")


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.mixing = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.table(tokens)
        return self.head(self.norm(hidden + self.mixing(hidden, hidden, hidden)[0]).mean(1))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )


def case(name: str) -> tuple[Callable[[], nn.Module], tuple[Tensor, Tensor], Callable[..., Tensor]]:
    own = {"attention": (_Attention, "tokens"), "resnet without dropout": (resnet, "images")}
    make, kind, loss = (*own[name], nn.CrossEntropyLoss()) if name in own else ARCHITECTURES[name]
    X, y = rows_for(kind)
    X, y = (part.float() if part.is_floating_point() else part for part in (X, y))
    return lambda: make().float(), (X, y), loss


def stack_of(name: str, precision: str, *, looped: bool) -> Stack:
    make, (X, y), loss = case(name)
    data = data_of((X, y))
    lanes = [
        Lane(
            candidate=Candidate(
                id=rule,
                model="module",
                optimizer=rule,
                settings={"lr": RATES[rule], "eps": EPS, "weight_decay": 0.01 if rule == "adamw" else 0.0},
            ),
            fold=0,
            seed=seed,
        )
        for rule in RULES
        for seed in (0, 1)
    ]
    subject = ModuleSubject(
        Blueprint.of(make, X[:BATCH]), data, loss, looped=looped, loss_looped=True, autocast=DTYPES[precision]
    )
    return Stack(lanes, data, length=STEPS, batch_size=BATCH, subject=subject)


def alone(
    name: str, rule: str, seed: int, precision: str, *, steps: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
    """Tensors, gradients and the scale after ``steps`` of the plainest loop in mixed precision."""
    make, (X, y), loss = case(name)
    stream = RowStream(seed, torch.arange(TRAIN), ROWS)
    torch.manual_seed(seed)
    module = make().train()
    method = RULES[rule](module.parameters(), lr=RATES[rule])
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "float16")
    for step in range(steps):
        for group in method.param_groups:
            group["lr"] = RATES[rule] * (1 - step / STEPS)
        method.zero_grad()
        rows = stream.take(step * BATCH, BATCH)
        with torch.autocast("cpu", dtype=DTYPES[precision]):
            value = loss(module(X[rows]).float(), y[rows]).mean()
        scaler.scale(value).backward()
        scaler.unscale_(method)
        scaler.step(method)
        scaler.update()
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    gradients = {key: own.grad for key, own in module.named_parameters() if own.grad is not None}
    return {key: own.detach() for key, own in tensors.items()}, gradients, scaler.get_scale()


def off_alone(name: str, precision: str) -> float:
    """The largest difference of any weight or statistic after all steps, and of any scale."""
    stack = stack_of(name, precision, looped=True)
    stack.advance(1.0)
    views, worst = stack.buffer.layout.all_views(stack.buffer.rows), 0.0
    for row, lane in enumerate(stack.lanes):
        truth, _, scale = alone(name, lane.candidate.optimizer, lane.seed, precision, steps=STEPS)
        worst = max([worst, *(float((view[row] - truth[key]).abs().max()) for key, view in views.items())])
        if stack.optimizer.scaling is not None:
            worst = max(worst, abs(float(stack.optimizer.scaling.scale[row]) - scale))
    return worst


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_lane_is_what_autocast_makes_of_the_module(name: str, precision: str) -> None:
    # In a recurrent layer single products are rounded otherwise.
    assert off_alone(name, precision) <= (1e-3 if name == "gru" else 1e-7)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", STACKED)
def test_a_stack_is_so_up_to_rounding_and_multiplies_in_that_precision(name: str, precision: str) -> None:
    stack = stack_of(name, precision, looped=False)
    with _Products() as seen:
        stack.go_on(1, look=False)
    assert seen.dtypes == {DTYPES[precision]}
    views = stack.buffer.layout.views(stack.buffer.gradients)
    for row, lane in enumerate(stack.lanes):
        _, truth, _ = alone(name, lane.candidate.optimizer, lane.seed, precision, steps=1)
        largest = max(float(own.abs().max()) for own in truth.values())
        if not math.isfinite(largest):  # the first scale was too large for this batch: it is not for the lane either
            assert not stack.buffer.gradients[row].isfinite().all()
            continue
        for key, view in views.items():
            gap = float((view[row] - truth[key]).abs().max())
            assert gap <= FEW * ROUNDING[precision] * largest, f"{lane.id}: {key} differs by {gap / largest:.1e}"


class _Products(TorchDispatchMode):
    """The dtypes of operands of all products."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward"):
            self.dtypes |= {own.dtype for own in args if isinstance(own, Tensor)}
        return func(*args, **(kwargs or {}))


def _weights_are_cast(patch: pytest.MonkeyPatch) -> None:
    """Weights are rounded themselves, so that small updates are lost."""
    original = Stack._take

    def take(self: Stack, *args: object) -> Tensor:
        losses = original(self, *args)  # pyright: ignore[reportArgumentType]  # handed on as they come
        self.buffer.values.copy_(self.buffer.values.bfloat16())
        return losses

    patch.setattr(Stack, "_take", take)


def _nothing_is_cast(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stepping, "casting", lambda dtype, device: torch.autocast("cpu", enabled=False))


def _scale_is_not_taken_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scaling.LaneScaling, "unscale", lambda self, gradients: None)


def _scale_does_not_fall(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scaling, "BACKOFF", 1.0)


@pytest.mark.parametrize(
    ("bug", "precision"),
    [
        (_weights_are_cast, "bfloat16"),
        (_nothing_is_cast, "bfloat16"),
        (_scale_is_not_taken_off, "float16"),
        (_scale_does_not_fall, "float16"),
    ],
)
def test_a_planted_bug_shows(bug: Callable[[pytest.MonkeyPatch], None], precision: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        assert off_alone("deep_sets", precision) > 1e-4


def test_what_vmap_takes_apart_is_cast_all_the_same() -> None:
    weight, bias, rows = torch.randn(2, 3, 4), torch.randn(2, 3), torch.randn(5, 4)
    linear = torch.func.vmap(lambda w, b: nn.functional.linear(rows, w, b))
    with torch.autocast("cpu"):
        assert linear(weight, bias).dtype == torch.float32
        with casting.CastProducts():
            assert linear(weight, bias).dtype == torch.bfloat16
    with casting.CastProducts():
        assert linear(weight, bias).dtype == torch.float32
