"""Modules that compute parts of themselves once more in the backward pass, as ``torch.utils.checkpoint`` does."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.models.attention_kernels import attention_kernels
from lanewise.models.blueprint import Blueprint
from lanewise.models.keyed_draws import keyed_draws
from lanewise.models.module import StackedModule
from lanewise.training.modules.teams import ModuleTeams
from lanewise.tuning.checking import judge_of
from lanewise.tuning.inputs.rows import Rows
from lanewise.tuning.posing import Question, pose, with_ways

ROWS, TRAIN, BATCH, STEPS, RATE = 40, 30, 8, 12, 0.1
X = torch.randn(ROWS, 6, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
Y = X[:, 0, :3].argmax(1)
CANDIDATES = [
    Candidate(id=f"c{place}", model="module", optimizer="sgd", settings={"lr": RATE, "batch_size": BATCH})
    for place in range(2)
]


class Saving(nn.Module):
    """Saves memory at a layer that drops of a tensor that does not lie in order."""

    def __init__(self, share: float = 0.4) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(8, 16), nn.Dropout(share), nn.Linear(6, 2)
        self.head = nn.Linear(32, 3)

    def mixed(self, rows: Tensor) -> Tensor:
        return self.second(self.drop(self.first(rows).transpose(1, 2)))

    def forward(self, rows: Tensor) -> Tensor:
        mixed = checkpoint(self.mixed, rows, use_reentrant=False)
        assert isinstance(mixed, Tensor)
        return self.head(mixed.flatten(1))


class AsRead(Dataset):
    """Rows that are read one by one."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.count = first, last - first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return X[self.first + at] + 0.0 * torch.randn(()), Y[self.first + at]


def posed(train: object, valid: object) -> ModuleTeams:
    question = Question(
        rows=Rows.of(train, valid, folds=None), loss=nn.functional.cross_entropy, step=None, judge=judge_of(None)
    )
    teams, _ = pose(lambda: Saving().double(), question, CANDIDATES, arguments=(), workers=1)
    return with_ways(teams, question, CANDIDATES)


def alone(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = Saving().double()
    optimizer = torch.optim.SGD(module.parameters(), RATE)
    stream = RowStream(seed, torch.arange(TRAIN), ROWS)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        rows = stream.take(step * BATCH, BATCH)
        torch.default_generator.manual_seed(generator(seed, "dropout", "module", step).initial_seed())
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X[rows]), Y[rows]).backward()
        optimizer.step()
    return module


@pytest.mark.parametrize("seed", [0, 1])
def test_its_lane_equals_the_module_alone(seed: int) -> None:
    teams = posed((X[:TRAIN], Y[:TRAIN]), (X[TRAIN:], Y[TRAIN:]))
    stack = teams.stack([Lane(candidate=CANDIDATES[0], fold=0, seed=seed)], teams.ways[BATCH], length=STEPS)
    stack.advance(1.0)
    truth = dict(alone(seed).named_parameters())
    for name, view in stack.buffer.layout.all_views(stack.buffer.rows).items():
        assert float((view[0] - truth[name].detach()).abs().max()) <= 1e-10, name


@pytest.mark.parametrize("read", [False, True])
def test_each_lane_has_a_stack_of_its_own(read: bool) -> None:
    parts = (slice(0, TRAIN), slice(TRAIN, ROWS))
    train, valid = (AsRead(own.start, own.stop) if read else (X[own], Y[own]) for own in parts)
    way = posed(train, valid).ways[BATCH]
    assert (way.looped, way.width) == (True, 1)
    assert "once more in the backward pass, as torch.utils.checkpoint does" in way.words


class InParts(Saving):
    """Saves memory where a number says so."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) if self.parts else self.head(self.mixed(rows).flatten(1))


def test_a_module_of_other_numbers_that_computes_nothing_once_more_is_tried_by_itself() -> None:
    candidates = [replace(own, settings={**own.settings, "parts": 4 * place}) for place, own in enumerate(CANDIDATES)]
    parts = (X[:TRAIN], Y[:TRAIN]), (X[TRAIN:], Y[TRAIN:])
    question = Question(
        rows=Rows.of(*parts, folds=None), loss=nn.functional.cross_entropy, step=None, judge=judge_of(None)
    )
    teams, _ = pose(lambda parts: InParts(parts).double(), question, candidates, arguments=("parts",), workers=1)
    teams = with_ways(teams, question, candidates)
    assert [teams.of(own).ways[BATCH].looped for own in candidates] == [False, True]


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("other", [partial(keyed_draws, 0), partial(attention_kernels, plain=True)])
def test_in_its_backward_pass_nobody_else_draws_or_changes_kernels(
    other: Callable[[], AbstractContextManager[None]], share: float
) -> None:
    done = threading.Event()

    def elsewhere() -> None:
        with other():
            done.set()

    thread = threading.Thread(target=elsewhere)
    with StackedModule(Blueprint.of(lambda: Saving(share).double(), X[:BATCH])).backward():
        thread.start()
        assert not done.wait(0.05)
    thread.join()
    assert done.is_set()


class OneLayer(nn.Module):
    """Saves memory at one layer, which torch leaves in its middle when it computes it once more."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, rows: Tensor) -> Tensor:
        found = checkpoint(self.layer, rows, use_reentrant=False)
        assert isinstance(found, Tensor)
        return found.mean(1)


class OfAFunction(OneLayer):
    """Saves memory at a function that calls no layer."""

    def forward(self, rows: Tensor) -> Tensor:
        found = checkpoint(lambda rows: (rows @ self.layer.weight.T + self.layer.bias).sin(), rows, use_reentrant=False)
        assert isinstance(found, Tensor)
        return found.mean(1)


class Slopes(OneLayer):
    """Takes gradients in its forward pass, and computes nothing once more."""

    def forward(self, rows: Tensor) -> Tensor:
        with torch.enable_grad():
            own = rows.detach().requires_grad_()
            outputs = self.layer(own).sin()
            (slopes,) = torch.autograd.grad(outputs.sum(), own, create_graph=True)
        return slopes.mean(1)


@pytest.mark.parametrize(("make", "recomputes"), [(OneLayer, True), (OfAFunction, True), (Slopes, False)])
def test_it_is_seen_whatever_it_computes_once_more(make: Callable[[], nn.Module], recomputes: bool) -> None:
    assert Blueprint.of(lambda: make().double(), X[:BATCH]).recomputes is recomputes
