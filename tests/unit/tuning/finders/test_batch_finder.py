"""``lanewise.find_batch``; the clock is measured once, and given where an answer depends on it."""

import json

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import lanewise
from lanewise.errors import UsageError
from lanewise.tuning import BatchFinding, find_batch
from lanewise.tuning.finders import batch_finder
from lanewise.tuning.finders.throughput import Throughput

X = torch.randn(1024, 4, generator=torch.Generator().manual_seed(0))
y = X @ torch.tensor([[1.0], [-2.0], [0.5], [1.0]]) + 0.5 * torch.randn(
    1024, 1, generator=torch.Generator().manual_seed(1)
)
USUAL = {"train": (X[:768], y[:768]), "valid": (X[768:], y[768:]), "loss": nn.MSELoss()}


def model() -> nn.Module:
    return nn.Linear(4, 1)


@pytest.fixture
def clock(monkeypatch):
    """Sets what measuring finds: seconds of a step at each size."""

    def given(*, overhead: float, per_row: float) -> None:
        def measured(stacks, *, seconds, wanted):
            del seconds, wanted
            sizes = tuple(stacks)
            return Throughput(sizes=sizes, seconds=tuple(overhead + per_row * size for size in sizes))

        monkeypatch.setattr(batch_finder, "measured", measured)

    return given


def found(**given) -> BatchFinding:
    settings = {**USUAL, "optimizer": {"optimizer": "sgd", "lr": 0.02}, "start_size": 16, "steps": 200, **given}
    return find_batch(model, **settings)


def test_the_knee_is_taken_where_it_learns_as_much(clock, tmp_path) -> None:
    clock(overhead=3.0, per_row=1.0)
    result = found()
    assert result.knee == 32
    assert result.batch_size == 32
    assert result.lr in (0.02, 0.04)
    rates = [(own.number("batch_size"), own.number("lr")) for own in result.race.plan.candidates]
    assert rates == [(16, 0.02), (32, 0.04), (32, 0.02)]
    steps = [result.race.plan.lengths.steps(int(size)) for size, _ in rates]
    assert steps == [200, 100, 100]
    assert result.words[0] == f"sgd: train with batches of 32 and a rate of {result.lr:.2g}"
    assert "reaches 90% of the most at batches of 32: 1 rows per second" in result.words[1]
    assert result.words[2] == "its rate goes in proportion to the batch; from the same rows:"
    assert len(result.words) == 6
    assert result.words[0] in repr(result)
    page = result.report(tmp_path / "batch.html").read_text()
    assert "knee 32" in page
    assert result._repr_html_().startswith("<iframe")
    document = json.loads(json.dumps(result.document, allow_nan=False))
    assert document["chosen"] == {"batch_size": 32, "lr": result.lr}
    assert len(document["race"]) == 3


def test_the_fastest_is_taken_that_learns_as_much_from_the_same_rows(clock) -> None:
    """Adam's rate goes with the root, so with a batch eight times as large it does not get as far."""
    clock(overhead=100.0, per_row=1.0)
    result = found(optimizer={"optimizer": "adam", "lr": 0.003}, start_size=8)
    assert result.knee == 64
    assert result.batch_size < 64
    assert result.lr == pytest.approx(0.003 * (result.batch_size / 8) ** 0.5)
    at = {own.id: own.number("batch_size") for own in result.race.plan.candidates}
    assert sorted(at.values()) == [8, 16, 32, 64, 64]
    for standing in result.race.selection.standings:
        ahead = standing.ahead_of_default
        assert at[standing.id] <= result.batch_size or -ahead.mean > ahead.standard_error
    assert "behind the start" in result.words[-1]


def test_no_race_where_the_start_is_the_knee(clock) -> None:
    clock(overhead=1.5, per_row=1.0)
    result = found()
    assert result.knee == 16
    assert result.race is None
    assert (result.batch_size, result.lr) == (16, 0.02)
    assert len(result.words) == 2


def test_throughput_that_grows_to_the_end_is_told(clock) -> None:
    clock(overhead=1e6, per_row=1.0)
    result = found(sizes=[64, 128], steps=20)
    assert result.throughput.sizes == (16, 64, 128)
    assert "still grows at batches of 128" in result.words[1]


def test_the_clock_is_read_for_every_size() -> None:
    result = find_batch(model, train=(X, y), loss=nn.MSELoss(), seconds=0.05, steps=20)
    assert lanewise.find_batch is find_batch
    sizes = result.throughput.sizes  # on a busy machine the largest may be left out
    assert sizes == (8, 16, 32, 64, 128)[: len(sizes)]
    assert 32 in sizes
    assert all(seconds > 0 for seconds in result.throughput.seconds)
    assert result.knee in result.throughput.sizes
    table = result.table
    assert table["batch_size"].to_list() == list(result.throughput.sizes)
    assert table["share"].max() == 1.0


MISTAKES = [
    ({"sizes": [0]}, "a batch size must be at least 1, got 0"),
    ({"sizes": [16.5]}, "a batch size must be a whole number, at least 1, got 16.5"),
    ({"start_size": 5000}, "start_size is 5000 and train has 768 rows"),
    ({"share": 0.0}, "share must be above 0 and at most 1, got 0"),
    ({"optimizer": "sdg"}, "there is no optimizer 'sdg'"),
    ({"train": [X]}, "which does not say what the targets are"),
    ({"loss": lambda one, other: one @ other}, "the loss failed on outputs"),
]


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_mistakes_are_told(given, words) -> None:
    with pytest.raises(UsageError, match=words):
        found(**given)


class Squares(Dataset):
    """Rows that are read one by one."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return X[at], y[at]


def by_hand(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


@pytest.mark.parametrize(
    "train",
    [
        Squares(),
        DataLoader(Squares(), batch_size=16, shuffle=True),
        DataLoader(Squares(), batch_size=16, collate_fn=by_hand),
        (own for own in zip(X.split(32), y.split(32), strict=True)),
    ],
)
def test_whatever_a_race_takes_is_measured(clock, train) -> None:
    clock(overhead=100.0, per_row=1.0)
    result = find_batch(model, train=train, loss=nn.MSELoss(), start_size=32, steps=20, sizes=[32, 64], device="cpu")
    assert result.throughput.sizes == (32, 64)
    assert result.race is not None
