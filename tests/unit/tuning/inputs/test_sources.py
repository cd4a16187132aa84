"""Batches that a collate function makes go into a race: padded each to its own length, or joined to one."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lanewise.errors import DataError, UsageError
from lanewise.tuning import tune
from lanewise.tuning.inputs.rows import Rows


def race(make: Any, **settings: Any) -> Any:
    usual: dict[str, Any] = {"candidates": 2, "budget": "20steps", "policy": "never"}
    if "step" not in settings:
        usual["loss"] = F.cross_entropy
    return tune(make, **{**usual, **settings})


class Words(Dataset):
    """Rows of different lengths, from ``first`` to ``first + 5``."""

    def __init__(self, first: int, count: int) -> None:
        draw = torch.Generator().manual_seed(first)
        self.rows = [torch.randn(first + at % 6, 4, generator=draw) for at in range(count)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        return self.rows[at], int(self.rows[at][:, 0].sum() > 0)


def padded(rows: list[tuple[Tensor, int]]) -> Any:
    values = nn.utils.rnn.pad_sequence([own for own, _ in rows], batch_first=True)
    return values, torch.tensor([target for _, target in rows])


def test_batches_that_are_padded_each_to_its_own_length() -> None:
    """The first row of train has two entries and that of valid four: only a batch has a length."""

    class Summed(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).sum(1) - input.shape[1] * self.bias

    train, valid = (DataLoader(own, batch_size=8, collate_fn=padded) for own in (Words(2, 48), Words(4, 24)))
    found = race(lambda: Summed(4, 2), train=train, valid=valid)
    values, targets = padded([valid.dataset[at] for at in range(24)])
    with torch.no_grad():
        assert found.score == pytest.approx(float(F.cross_entropy(found.model(values), targets)), rel=1e-5)


def stacked(rows: list[tuple[Tensor, int]]) -> Any:
    return torch.stack([own for own, _ in rows]), torch.tensor([target for _, target in rows])


def loader(rows: Any, collate: Any) -> Any:
    return DataLoader(rows, batch_size=8, collate_fn=collate)


def time_first(rows: list[tuple[Tensor, int]]) -> Any:
    values, targets = padded(rows)
    return values.transpose(0, 1), targets


def test_sizes_that_a_collate_function_leaves_as_they_are_must_be_alike() -> None:
    """Rows of train have 5 features and those of valid 9; the lengths of padded rows differ in each."""
    train, valid = ([(torch.randn(size), 1) for _ in range(16)] for size in (5, 9))
    with pytest.raises(
        DataError, match=r"^X of a row of train is \(1, 5\) float32, of one of valid \(1, 9\) float32; "
    ):
        Rows.of(loader(train, stacked), loader(valid, stacked), folds=None)
    wide = [(torch.cat([own, own], 1), target) for own, target in list(Words(4, 24))]  # type: ignore[arg-type]  # __getitem__ makes it iterable
    for collate in (padded, time_first, joined):
        assert Rows.of(loader(Words(2, 48), collate), loader(Words(4, 24), collate), folds=None).count == 72
        with pytest.raises(DataError, match=r"of a row of train is \([\d, ]*\b4\) float32, .* 8\) float32; "):
            Rows.of(loader(Words(2, 48), collate), loader(wide, collate), folds=None)
    # Rows of one length train, and those that judge have several.
    Rows.of((torch.randn(8, 7, 4), torch.ones(8).long()), loader(Words(4, 24), padded), folds=None)


def test_a_collate_function_that_drops_rows_is_told_of_them() -> None:
    def dropping(rows: list[tuple[Tensor, int]]) -> Any:
        return tuple(own[:-1] for own in padded(rows))

    with pytest.raises(DataError, match=r"^train gave no row where row 0 alone was to be collated; .* keep every row"):
        Rows.of(loader(Words(2, 48), dropping), 0.25, folds=None)


class Joined(nn.Module):
    """The sum over the nodes of each graph, of all graphs of a batch at once."""

    def __init__(self) -> None:
        super().__init__()
        self.node = nn.Linear(4, 2, bias=False)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        outputs = self.node(nodes)
        return outputs.new_zeros(int(graph.max()) + 1, outputs.shape[1]).index_add(0, graph, outputs)


def joined(rows: list[tuple[Tensor, int]]) -> Any:
    graph = torch.cat([torch.full((len(nodes),), at) for at, (nodes, _) in enumerate(rows)])
    return torch.cat([nodes for nodes, _ in rows]), graph, torch.tensor([target for _, target in rows])


def graphs(rows: Words) -> Any:
    return DataLoader(rows, batch_size=8, collate_fn=joined)


def test_graphs_that_a_collate_function_joins_are_counted_by_their_targets() -> None:
    train, valid = Words(2, 48), Words(4, 24)
    found = race(Joined, train=graphs(train), valid=graphs(valid))
    sums = [(torch.stack([own.sum(0) for own in rows.rows]), padded(list(rows))[1]) for rows in (train, valid)]  # type: ignore[arg-type]  # __getitem__ makes it iterable
    plain = race(lambda: nn.Linear(4, 2, bias=False), train=sums[0], valid=sums[1], batch_size=8)
    assert found.score == pytest.approx(plain.score, rel=1e-5)
    assert torch.allclose(found.model.node.weight, plain.model.weight, atol=1e-5)


def test_graphs_are_not_judged_one_by_one() -> None:
    def step(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(*batch[:2]), batch[2])

    given = {"train": graphs(Words(2, 48)), "valid": graphs(Words(4, 24)), "step": step}
    with pytest.raises(
        UsageError, match=r"cannot be judged one by one, .*; return one loss per row, .* or give metric"
    ):
        race(Joined, **given)
    assert race(Joined, **given, metric="accuracy").score > 0.4
