"""Whether lanes of a module are stacked: tried on two lanes, stacked and alone."""

import re
import time
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.choosing import choose_way
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Lengths
from lanewise.training.stack import Stack

ROWS = 40
X = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
IMAGES = torch.randn(ROWS, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def under_vmap(tensor: Tensor) -> bool:
    return torch._C._functorch.is_batchedtensor(tensor)  # pyright: ignore[reportAttributeAccessIssue]  # there is no public way to ask


class Otherwise(nn.Module):
    """Computes something else when it is vectorized."""

    def __init__(self, *, gradient_only: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)
        self.gradient_only = gradient_only

    def forward(self, rows: Tensor) -> Tensor:
        out = self.inner(rows)
        if not under_vmap(self.inner.weight):
            return out
        return out + 0.1 * (out - out.detach()) if self.gradient_only else 1.1 * out


class Deciding(nn.Module):
    """Looks at values in Python, which vmap refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, rows: Tensor) -> Tensor:
        out = self.inner(rows)
        return out if out.sum().item() > 0 else 2 * out


class Convolving(nn.Module):
    """Convolutions whose outputs are flattened by ``flat``, and which notes how the first of them lay in memory."""

    seen: ClassVar[set[bool]] = set()

    def __init__(self, flat: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Linear(16, 2)
        self.flat = flat

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.first(rows).relu()
        self.seen.add(hidden.is_contiguous())
        return self.head(self.flat(self.second(hidden)))


def teams(make, loss=None, *, workers: int = 1, x: Tensor = X) -> ModuleTeams:
    fold = FoldData(
        dense=x,
        codes=torch.zeros(ROWS, 0, dtype=torch.int64),
        target=Y,
        train=torch.arange(30),
        valid=torch.arange(30, ROWS),
    )
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=ROWS)
    return ModuleTeams(
        blueprint=Blueprint.of(make, x[:8]),
        data=data,
        loss=loss or nn.CrossEntropyLoss(),
        score=None,
        lengths=Lengths(rows_seen=8 * 20),
        ways={},
        workers=workers,
    )


def ways_of(own: ModuleTeams, batch: int = 8) -> ModuleTeams:
    return ModuleTeams(**{**vars(own), "ways": {batch: choose_way(own, batch)}})


def lanes(count: int) -> list[Lane]:
    return [
        Lane(
            candidate=Candidate(id=f"c{place}", model="m", optimizer="sgd", settings={"lr": 0.1, "batch_size": 8}),
            fold=0,
            seed=0,
        )
        for place in range(count)
    ]


def test_a_small_network_is_stacked_as_one() -> None:
    formed = ways_of(teams(lambda: nn.Linear(4, 2), workers=2)).form(lanes(5), "confirm")
    assert [len(team.lanes) for team in formed] == [5]


def test_a_larger_one_in_as_many_stacks_as_there_are_workers() -> None:
    formed = ways_of(teams(lambda: nn.Sequential(nn.Linear(4, 4000), nn.Linear(4000, 2)), workers=2)).form(
        lanes(5), "confirm"
    )
    assert [len(team.lanes) for team in formed] == [2, 3]


def test_large_activations_make_narrow_stacks() -> None:
    """What the weights leave in the cache says nothing of what a pass keeps of every row."""
    wide = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Upsample(scale_factor=50_000), nn.AdaptiveAvgPool1d(4))
    own = teams(lambda: nn.Sequential(*wide, nn.Flatten(), nn.Linear(4, 2)))
    assert own.blueprint.layout.width == 10
    assert [own.usual_width(batch) for batch in (1, 8, 32, 1000)] == [64, 20, 5, 1]
    assert teams(lambda: nn.Linear(4, 2)).usual_width(1000) == 64


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Otherwise(gradient_only=False), "gradients differ by"),
        (lambda: Otherwise(gradient_only=True), r"gradients differ by 1\.0e-01 of the largest"),
        (Deciding, "RuntimeError: vmap: It looks like you're .* on a Tensor"),
    ],
    ids=["values", "gradients", "refused"],
)
def test_what_does_not_equal_the_module_alone_is_looped(make, why: str) -> None:
    way = choose_way(teams(make), 8)
    assert way.looped
    assert way.width == 1
    assert "\n" not in way.words
    assert re.search(why, way.words), way.words


def test_a_loss_that_cannot_be_vectorized_is_looped_and_the_module_is_not() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        value = nn.functional.cross_entropy(outputs, targets)
        return value if value.item() > 0 else value * 0

    way = choose_way(teams(lambda: nn.Linear(4, 2), loss), 8)
    assert (way.looped, way.loss_looped) == (False, True)


@pytest.mark.parametrize(
    ("make", "x", "pixelwise"),
    [
        (lambda: Convolving(lambda hidden: hidden.flatten(1)), IMAGES, True),
        (lambda: Convolving(lambda hidden: hidden.view(len(hidden), -1)), IMAGES, False),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 2)), IMAGES, False),
        (
            lambda: nn.Sequential(
                nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 2)
            ),
            X,
            False,
        ),
    ],
    ids=["images", "a module that relies on the layout", "one convolution", "no images"],
)
def test_several_convolutions_get_images_with_their_channels_last(make, x: Tensor, pixelwise: bool) -> None:
    own = teams(make, x=x)
    way = choose_way(own, 8)
    assert (way.looped, way.pixelwise) == (True, pixelwise)
    assert way.words.endswith("images with their channels last") == pixelwise
    Convolving.seen.clear()
    own.stack(lanes(1), way, length=2).advance(1.0)
    assert Convolving.seen <= {not pixelwise}


def test_teams_come_in_the_order_in_which_their_lanes_are_asked_for() -> None:
    """So that the most promising candidates of a race are trained first."""
    own = ways_of(teams(Deciding))
    asked = [lanes(5)[place] for place in (3, 0, 4, 2, 1)]
    assert [team.lanes[0].id for team in own.form(asked, "confirm")] == [lane.id for lane in asked]


def test_no_clock_is_read(monkeypatch) -> None:
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: pytest.fail("the clock was read"))
    assert not choose_way(teams(lambda: nn.Linear(4, 2)), 8).looped


def test_state_of_a_module_goes_on_to_the_same_bits() -> None:
    own = ways_of(teams(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 2))))

    def fresh() -> Stack:
        return own.stack(lanes(3), own.ways[8], length=40)

    through, first, second = fresh(), fresh(), fresh()
    through.advance(1.0)
    first.advance(0.5)
    tensors, rest = first.state()
    second.restore({name: tensor.clone() for name, tensor in tensors.items()}, rest)
    second.advance(1.0)
    assert torch.equal(through.buffer.rows, second.buffer.rows)
    assert through.buffer.layout.statistics
    assert torch.equal(through.average, second.average)
