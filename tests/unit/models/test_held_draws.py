"""Dropout at fixed places is what it is without, to the bit: what a step that is recorded reads."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, Moving, TrainingData
from lanewise.training.device import CPU
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

ROWS, STEPS = 24, 6


class Own(nn.Module):
    """Dropout of units, of channels and of attention, and a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropped(x)

    def dropped(self, x: Tensor) -> Tensor:
        hidden = F.dropout(self.norm(self.first(x)).relu(), 0.2, self.training).unflatten(1, (2, 4))
        hidden = F.scaled_dot_product_attention(hidden, hidden, hidden, dropout_p=0.3 if self.training else 0.0)
        hidden = F.dropout1d(hidden, 0.1, self.training)
        return self.last(hidden.flatten(1))


class Noisy(Own):
    """Draws what is not dropped out."""

    def forward(self, x: Tensor) -> Tensor:
        return self.dropped(x + 0.1 * torch.randn_like(x))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3), nn.Dropout(0.1)),
    "own": Own,
    "noisy": Noisy,
}
REFUSED = {"chain": "", "own": "", "noisy": "the module draws random numbers other than dropout"}


def stack_of(
    name: str,
    lanes: list[Lane],
    *,
    looped: bool,
    device: torch.device = CPU,
    length: int = STEPS,
    records: bool = True,
) -> Stack:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 6, generator=draw, dtype=torch.float64)
    y = x[:, :3].argmax(1)
    empty, rows = torch.zeros(ROWS, 0, dtype=torch.int64), torch.arange(ROWS)
    folds = {
        fold: FoldData(dense=x, codes=empty, target=y, train=rows[4 * fold :][:16], valid=rows[:4]) for fold in (0, 1)
    }
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds=folds, rows=ROWS)
    blueprint = Blueprint.of(lambda: MODELS[name]().double(), x[:8])
    data = Moving(device)(data)
    subject = ModuleSubject(blueprint, data, nn.CrossEntropyLoss(), looped=looped)
    return Stack(lanes, data, length=length, batch_size=8, dtype=torch.float64, subject=subject, records=records)


def lanes_of(places: list[tuple[int, int]]) -> list[Lane]:
    return [
        Lane(
            candidate=Candidate(id=f"c{rate}", model="module", optimizer="adamw", settings={"lr": rate}),
            fold=fold,
            seed=seed,
        )
        for fold, seed in places
        for rate in (0.01, 0.1)[: len(places)]
    ]


GROUPS = pytest.mark.parametrize("places", [[(0, 0)], [(0, 0), (0, 1), (1, 0), (1, 1)]], ids=["one lane", "groups"])


@pytest.mark.parametrize("looped", [False, True])
@GROUPS
@pytest.mark.parametrize("name", MODELS)
def test_as_without(name: str, places: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, *, looped: bool) -> None:
    plain = stack_of(name, lanes_of(places), looped=looped)
    plain.advance(1.0)
    monkeypatch.setattr("lanewise.training.recorded_step.WORTH_RECORDING", 10**9)
    held = stack_of(name, lanes_of(places), looped=looped)
    held._records = True  # as on a GPU, but for the recording
    held.advance(1.0)
    assert held._recorded is not None
    assert torch.equal(held.buffer.rows, plain.buffer.rows)
    assert held._recorded.refused == REFUSED[name]
    drawn = held._recorded._noise.of_modules._places
    assert all(len(own) == {"chain": 2, "own": 3, "noisy": 3}[name] for own in drawn.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: PyTorch sees no CUDA device")
@GROUPS
@pytest.mark.parametrize("name", MODELS)
def test_recorded(name: str, places: list[tuple[int, int]]) -> None:
    device = torch.device("cuda", 0)
    plain = stack_of(name, lanes_of(places), looped=False, device=device, length=60, records=False)
    plain.advance(1.0)
    stack = stack_of(name, lanes_of(places), looped=False, device=device, length=60)
    stack.advance(1.0)
    assert stack._recorded is not None
    assert stack._recorded.refused == REFUSED[name]
    assert stack._recorded.recorded is (name != "noisy")
    torch.testing.assert_close(stack.buffer.rows, plain.buffer.rows, rtol=1e-10, atol=1e-10)
