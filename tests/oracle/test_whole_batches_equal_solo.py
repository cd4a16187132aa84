"""Lanes over batches of any form, outputs of any form and steps of one's own equal an ordinary loop alone.

The truth is the loop below: torch, the user's own module and loss, with the rows and the keys of draws injected. After
20 steps in float64, with lanes leaving after 10, nothing may differ by more than 1e-10 of the row's largest (or of 1).
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from plain_modules import EPS, OPTIMIZERS, RATES, dropout_in_order
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.training.modules.teams import Way
from lanewise.tuning.checking import judge_of
from lanewise.tuning.inputs.rows import Rows
from lanewise.tuning.posing import Question, pose

ROWS, TRAIN, BATCH, STEPS, CLASSES = 40, 30, 8, 20, 3
DRAW = torch.Generator().manual_seed(5)
NUMBERS = torch.randn(ROWS, 4, generator=DRAW, dtype=torch.float64)
TOKENS = torch.randint(0, 6, (ROWS, 5), generator=DRAW)
MASK = torch.rand(ROWS, 5, generator=DRAW) < 0.7
TARGETS = NUMBERS[:, :CLASSES].argmax(1)
LEAVING = "adamw-1"


class Masked(nn.Module):
    """Words under a mask, and numbers beside them; called by name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.drop = nn.Dropout(0.3)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, *, numbers: Tensor, words: dict[str, Tensor]) -> Tensor:
        kept = words["mask"].unsqueeze(-1).to(numbers.dtype)
        read = (self.table(words["ids"]) * kept).sum(1) / kept.sum(1).clamp(min=1.0)
        return self.head(self.norm(self.drop(torch.cat([read, numbers], 1))))


class Two(nn.Module):
    """Two inputs, called by place."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, CLASSES), nn.Linear(4, CLASSES, bias=False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.left(one).tanh() + self.right(other)


class Several(nn.Module):
    """Returns more than one thing, as models with a variational part or a penalty do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.2))
        self.head = nn.Linear(5, CLASSES)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        hidden = self.inner(rows)
        return {"logits": self.head(hidden), "hidden": hidden}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.gru(rows.unsqueeze(1))[0][:, -1])


class Noisy(Dataset):
    """Rows that are augmented anew whenever they are read."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.count = first, last - first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        at += self.first
        return NUMBERS[at] + 0.1 * torch.randn(4, dtype=torch.float64), TARGETS[at]


def penalized(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"], targets) + 0.1 * outputs["hidden"].pow(2).mean()


def smoothed(outputs: Tensor, targets: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(outputs, targets["class"], reduction="none") * targets["weight"]


def own_step(model: nn.Module, batch: Any) -> Tensor:
    X, y = batch
    decay = sum(weight.pow(2).sum() for weight in model.parameters())
    return F.cross_entropy(model(X), y) + F.cross_entropy(model(-X), y) + 1e-2 * decay


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, CLASSES)).double()


@dataclass(frozen=True, kw_only=True)
class Case:
    make: Callable[[], nn.Module]
    rows: Any
    call: Callable[[nn.Module, Any], Any]
    loss: Callable[[Any, Any], Tensor] | None = F.cross_entropy
    step: Callable[[nn.Module, Any], Tensor] | None = None
    stacked: bool = True
    streamed: Callable[[int, int], Any] | None = None


def by_name(module: nn.Module, batch: Any) -> Any:
    return module(**batch[0])


CASES = {
    "a dict in a dict": Case(
        make=lambda: Masked().double(),
        rows=({"numbers": NUMBERS, "words": {"ids": TOKENS, "mask": MASK}}, TARGETS),
        call=by_name,
    ),
    "two tensors": Case(
        make=lambda: Two().double(),
        rows=(NUMBERS, NUMBERS.roll(1, 1), TARGETS),
        call=lambda module, batch: module(*batch[:-1]),
    ),
    "outputs of several kinds": Case(
        make=lambda: Several().double(),
        rows=(NUMBERS, TARGETS),
        call=lambda module, batch: module(batch[0]),
        loss=penalized,
    ),
    "targets of several kinds": Case(
        make=network,
        rows=(NUMBERS, {"class": TARGETS, "weight": NUMBERS[:, 0].exp()}),
        call=lambda module, batch: module(batch[0]),
        loss=smoothed,
    ),
    "a step of one's own": Case(
        make=network, rows=(NUMBERS, TARGETS), call=lambda module, batch: None, loss=None, step=own_step
    ),
    "rows augmented as they are read": Case(
        make=network,
        rows=None,
        call=lambda module, batch: module(batch[0]),
        streamed=lambda first, last: DataLoader(Noisy(first, last), batch_size=BATCH),
    ),
    "what vmap refuses": Case(
        make=lambda: Recurrent().double(), rows=({"rows": NUMBERS}, TARGETS), call=by_name, stacked=False
    ),
}
WAYS = [
    pytest.param(name, looped, id=f"{name}-{'looped' if looped else 'stacked'}")
    for name, case in CASES.items()
    for looped in (False, True)
    if looped or case.stacked
]


def part(tree: Any, rows: Any) -> Any:
    if isinstance(tree, dict):
        return {name: part(own, rows) for name, own in tree.items()}
    return tuple(part(own, rows) for own in tree) if isinstance(tree, tuple) else tree[rows]


def given(case: Case) -> tuple[Any, Any]:
    if case.streamed is not None:
        return case.streamed(0, TRAIN), case.streamed(TRAIN, ROWS)
    return part(case.rows, slice(0, TRAIN)), part(case.rows, slice(TRAIN, ROWS))


def candidates() -> list[Candidate]:
    return [
        Candidate(
            id=f"{rule}-{place}",
            model="module",
            optimizer=rule,
            settings={"lr": RATES[rule], "momentum": 0.9, "eps": EPS, "weight_decay": decay, "batch_size": BATCH},
        )
        for rule, decay in (("momentum", 0.0), ("adamw", 0.1))
        for place in range(2)
    ]


@functools.cache
def alone(name: str, rule: str, seed: int) -> nn.Module:
    """The plainest loop over the rows of that seed; each batch is read, then trained on, under the key of its step."""
    case = CASES[name]
    torch.manual_seed(seed)
    module = case.make().train()
    draws = torch.default_generator  # torch.manual_seed remembers where it was called for devices that are not there
    optimizer = OPTIMIZERS[rule](module.parameters(), RATES[rule])
    stream = RowStream(seed, torch.arange(TRAIN), ROWS)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATES[rule] * (1 - step / STEPS)
        key, at = generator(seed, "dropout", "module", step).initial_seed(), stream.take(step * BATCH, BATCH)
        draws.manual_seed(key)
        if case.streamed is not None:
            items = [case.streamed(0, TRAIN).dataset[int(row)] for row in at]
            batch = torch.stack([X for X, _ in items]), torch.stack([y for _, y in items])
        else:
            batch = part(case.rows, at)
        optimizer.zero_grad()
        draws.manual_seed(key)
        with dropout_in_order():
            if case.step is not None:
                value = case.step(module, batch)
            else:
                assert case.loss is not None
                value = case.loss(case.call(module, batch), batch[-1])
        value.mean().backward()
        optimizer.step()
    return module


@pytest.mark.parametrize(("name", "looped"), WAYS)
def test_lane_equals_the_loop_alone(name: str, looped: bool) -> None:
    case = CASES[name]
    train, valid = given(case)
    question = Question(rows=Rows.of(train, valid, folds=None), loss=case.loss, step=case.step, judge=judge_of(None))
    teams, _ = pose(case.make, question, candidates(), arguments=(), workers=1)
    assert teams.blueprint.whole
    lanes = [Lane(candidate=own, fold=0, seed=seed) for own in candidates() for seed in (0, 1)]
    stack = teams.stack(lanes, Way(looped=looped, loss_looped=looped, width=8, words=""), length=STEPS)
    stack.advance(0.5)
    stack.keep([lane.id for lane in stack.lanes if lane.candidate.id != LEAVING])
    stack.buffer.gradients.fill_(float("nan"))
    stack.advance(1.0)
    views = stack.buffer.layout.all_views(stack.buffer.rows)
    solo = {kind: alone(name, *kind) for kind in {(lane.candidate.optimizer, lane.seed) for lane in stack.lanes}}
    for row, lane in enumerate(stack.lanes):
        module = solo[lane.candidate.optimizer, lane.seed]
        truth = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        largest = max(float(weight.detach().abs().max()) for weight in module.parameters())
        assert {key.removeprefix("model.") for key in views} <= set(truth)
        for key, view in views.items():
            gap = float((view[row] - truth[key.removeprefix("model.")].detach()).abs().max())
            assert gap <= 1e-10 * max(1.0, largest), f"{lane.id}: {key} differs by {gap:.1e}"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.streamed is None])
def test_rows_are_judged_as_the_module_alone_judges_them(name: str) -> None:
    case = CASES[name]
    train, valid = given(case)
    question = Question(rows=Rows.of(train, valid, folds=None), loss=case.loss, step=case.step, judge=judge_of(None))
    teams, _ = pose(case.make, question, candidates()[:1], arguments=(), workers=1)
    way = Way(looped=not case.stacked, loss_looped=False, width=8, words="")
    stack = teams.stack([Lane(candidate=candidates()[0], fold=0, seed=seed) for seed in (0, 1)], way, length=STEPS)
    stack.advance(1.0)
    for seed, evidence in enumerate(stack.evidence()):
        module = copy.deepcopy(alone(name, "momentum", seed)).eval()
        for row in range(ROWS - TRAIN):
            batch = part(valid, slice(row, row + 1))
            with torch.no_grad():
                if case.step is not None:
                    value = case.step(module, batch)
                else:
                    assert case.loss is not None
                    value = case.loss(case.call(module, batch), batch[-1])
            assert evidence.valid[row, 0] == pytest.approx(float(value.mean()), rel=1e-9)
