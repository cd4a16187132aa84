"""Modules that compute parts of themselves once more in the backward pass, as ``torch.utils.checkpoint`` does."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.models.keyed_draws import generator_in_use
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

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(8, 16), nn.Dropout(0.4), nn.Linear(6, 2)
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


def test_nobody_else_draws_during_its_backward_pass() -> None:
    teams = posed((X[:TRAIN], Y[:TRAIN]), (X[TRAIN:], Y[TRAIN:]))
    assert StackedModule(teams.blueprint).backward() is generator_in_use()
