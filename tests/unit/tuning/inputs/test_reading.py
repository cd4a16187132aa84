"""What people have as training rows: data sets, loaders, iterables of batches; read once, or loaded as needed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from lanewise.errors import DataError, UsageError
from lanewise.tuning.inputs import reading
from lanewise.tuning.inputs.reading import source_of

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 2
SOME = torch.tensor([4, 0, 19])


class Rows(Dataset):
    """Rows on demand, as ``make`` makes them; counts how often it is asked."""

    def __init__(self, make: Any = lambda at: (X[at], int(Y[at])), count: int = 20) -> None:
        self.make, self.count, self.asked = make, count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> Any:
        self.asked += 1
        return self.make(at)


class Streamed(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter([(X[at], Y[at]) for at in range(20)])


def batches(size: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, 20, size):
        yield X[start : start + size], Y[start : start + size]


SAME = {
    "pair": lambda: (X, Y),
    "arrays": lambda: [X.numpy(), Y.numpy()],
    "tensor data set": lambda: TensorDataset(X, Y),
    "data set": Rows,
    "subset": lambda: Subset(Rows(), range(20)),
    "anything with rows": type("Own", (), {"__len__": lambda s: 20, "__getitem__": lambda s, at: (X[at], Y[at])}),
    "loader": lambda: DataLoader(Rows(), batch_size=6, shuffle=True),
    "loader of tensors": lambda: DataLoader(TensorDataset(X, Y), batch_size=6),
    "loader of a stream": lambda: DataLoader(Streamed(), batch_size=6),
    "list of batches": lambda: list(batches()),
    "generator": batches,
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_the_same_rows_whatever_they_come_in(make) -> None:
    source = source_of("train", make())
    assert source.rows == 20
    assert source.table is not None
    inputs, targets = source.batch(SOME)
    assert torch.equal(inputs, X[SOME])
    assert torch.equal(targets, Y[SOME])


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_no_generator_of_the_users_is_disturbed(make) -> None:
    before = torch.get_rng_state()
    source_of("train", make())
    assert torch.equal(before, torch.get_rng_state())


def test_the_batch_size_is_that_of_a_loader_or_of_the_first_batch() -> None:
    assert source_of("train", (X, Y)).batch_size is None
    assert source_of("train", DataLoader(Rows(), batch_size=6)).batch_size == 6
    assert source_of("train", batches(5)).batch_size == 5


def test_dicts_keep_their_names_and_several_tensors_their_places() -> None:
    named = {"ids": X, "mask": Y}
    for given in ((named, Y), Rows(lambda at: ({"ids": X[at], "mask": Y[at]}, Y[at])), [(named, Y)]):
        inputs, _ = source_of("train", given).batch(SOME)
        assert set(inputs) == {"ids", "mask"}
        assert torch.equal(inputs["ids"], X[SOME])
    one, two, targets = source_of("train", TensorDataset(X, 2 * X, Y)).batch(SOME)
    assert torch.equal(two, 2 * one)
    assert torch.equal(targets, Y[SOME])


@pytest.mark.parametrize("given", [X, X.numpy(), iter(X.split(8))], ids=["tensor", "array", "batches"])
def test_inputs_may_come_alone(given: Any) -> None:
    assert torch.equal(source_of("train", given).batch(SOME), X[SOME])


@pytest.mark.parametrize(
    "given",
    [(X,), [X], TensorDataset(X), DataLoader(TensorDataset(X), batch_size=4)],
    ids=["tuple", "list", "data set", "loader"],
)
def test_inputs_alone_in_a_sequence_stay_in_one(given: Any) -> None:
    (inputs,) = source_of("train", given).batch(SOME)
    assert torch.equal(inputs, X[SOME])


def test_a_data_set_is_read_once_where_it_fits() -> None:
    rows = Rows()
    source = source_of("train", rows)
    before = rows.asked
    source.batch(SOME)
    assert rows.asked == before
    assert any("read into memory" in word for word in source.words)


def test_a_data_set_that_does_not_fit_is_loaded_as_needed(monkeypatch) -> None:
    monkeypatch.setattr(reading, "free_bytes", lambda: 100)
    rows = Rows()
    source = source_of("train", rows)
    assert source.table is None
    before = rows.asked
    assert torch.equal(source.batch(SOME)[0], X[SOME])
    assert rows.asked == before + 3
    assert any("as they are needed, which need" in word for word in source.words)
    with pytest.raises(DataError, match=r"gave 1 batches .* and is not at its end"):
        source_of("train", batches())


def test_a_collate_function_of_ones_own_makes_the_batches() -> None:
    def padded(items: list[Any]) -> Any:
        longest = max(len(own) for own, _ in items)
        filled = torch.stack([torch.nn.functional.pad(own, (0, longest - len(own))) for own, _ in items])
        return filled, torch.tensor([y for _, y in items])

    rows = Rows(lambda at: (torch.ones(1 + at % 4), at))
    source = source_of("train", DataLoader(rows, batch_size=4, collate_fn=padded))
    assert source.table is None
    assert source.batch(torch.tensor([0, 1]))[0].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert source.batch(torch.tensor([0, 3]))[0].shape == (2, 4)


def across(items: list[Any]) -> Any:
    """Time before rows."""
    return {"x": torch.stack([own for own, _ in items], 1), "labels": torch.tensor([y for _, y in items])}


def test_what_a_collate_function_makes_is_counted_by_its_targets() -> None:
    source = source_of("train", DataLoader(Rows(), batch_size=4, collate_fn=across))
    assert torch.equal(source.batch(SOME)["x"], X[SOME].T)
    bad = DataLoader(Rows(lambda at: (broken[at].repeat(7), 0)), collate_fn=across)
    with pytest.raises(DataError, match=r"NaN or infinite values in 7 of 21 rows, the first in row 1; remove"):
        source_of("train", bad).batch(torch.tensor([9, 0]))
    nameless = DataLoader(Rows(), collate_fn=lambda items: {"x": across(items)["x"], "y": across(items)["labels"]})
    with pytest.raises(DataError, match=r"one entry per row; rows are counted by the targets: give them last, or as '"):
        source_of("train", nameless)


def test_a_data_set_made_of_a_tensor_data_set_gives_its_own_rows() -> None:
    class Doubled(TensorDataset):
        def __getitem__(self, at: int) -> Any:
            return tuple(2 * own for own in super().__getitem__(at))

    assert torch.equal(source_of("train", Doubled(X, Y)).batch(SOME)[0], 2 * X[SOME])


def test_what_a_data_set_draws_is_keyed() -> None:
    source = source_of("train", Rows(lambda at: (X[at] + torch.randn(3), int(Y[at]))))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, again, other = (source.batch(SOME, key)[0] for key in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
    assert any("keyed by seed and step" in word for word in source.words)


def test_draws_of_python_are_keyed_as_those_of_torch() -> None:
    source = source_of("train", Rows(lambda at: (X[at] + random.random(), int(Y[at]))))
    before = random.getstate()
    one, again, other = (source.batch(SOME, key)[0] for key in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert random.getstate() == before
    assert not source.unkeyed


def test_draws_from_elsewhere_are_told() -> None:
    draw = random.Random(4)
    source = source_of("train", Rows(lambda at: (X[at] + draw.random(), int(Y[at]))))
    assert any("cannot be repeated exactly" in word for word in source.unkeyed)


def failing(at: int) -> Any:
    return 1 / (at - 7) if at >= 7 else (X[at], 0)


def ending() -> Iterator[Any]:
    yield X[:4], Y[:4]
    message = "the file ends here"
    raise EOFError(message)


def spent() -> Iterator[Any]:
    one = batches()
    list(one)
    return one


class Promising:
    """Gives two batches, whatever its length says."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        return iter([(X[:8], Y[:8]), (X[8:16], Y[8:16])])


@dataclass
class Graph:
    """As PyTorch Geometric has them: an object that holds tensors."""

    number: int


TENSORS_OF_A_BATCH = "of graphs and other objects give a DataLoader whose collate_fn returns the tensors of a batch"
FRAME = type("Frame", (), {"__len__": lambda self: 3, "__getitem__": lambda self, at: {}[at]})()
broken = X.clone()
broken[9, 1] = float("nan")
MISTAKES = [
    (7, UsageError, r"train must be a pair \(X, y\) .* or an iterable of batches; got int"),
    ((), DataError, r"train holds no tensor, got tuple\(\)"),
    (({"ids": X, "mask": Y[:3]}, Y), DataError, r"X\['ids'\] of train has shape \(20, 3\) and X\['mask'\] \(3,\)"),
    (
        ({"text": ["a", "b"]}, Y),
        UsageError,
        r"X\['text'\] of train must be a tensor or a NumPy array, got str in a list; leave out what is no number",
    ),
    (Rows(count=0), DataError, r"train has no rows"),
    (Rows(failing), DataError, r"train failed at rows 0, 1, ...: ZeroDivisionError"),
    (
        Rows(lambda at: (torch.ones(1 + at), 0)),
        DataError,
        r"train failed at rows 0, 1, ...: RuntimeError: stack expects",
    ),
    (Rows(lambda at: (broken[at], 0)), DataError, r"X of train has NaN or infinite values in 1 of 20 rows.*in row 9"),
    (FRAME, DataError, r"train failed at row 0: KeyError"),
    (ending(), DataError, r"train failed at batch 1: EOFError: the file ends here"),
    (spent(), DataError, r"train gave no batch; a generator gives its batches only once"),
    (Promising(5), DataError, r"train ended after 2 batches, and its len says 5; see why it ends early"),
    (
        iter([(X[:4], Y[:4]), (X[4:8, :2], Y[4:8])]),
        DataError,
        r"X of train is \(4, 2\) float32 in batch 1 and \(4, 3\)",
    ),
    (iter([(X[:4], Y[:4]), {"x": X}]), DataError, r"batch 1 of train is dict\(x: \(20, 3\) float32\), batch 0 tuple"),
    (iter([(X[:4], Y[:5])]), DataError, r"y \(5,\); both .* per row; of graphs and the like give a DataL"),
    (
        DataLoader(Rows(), sampler=WeightedRandomSampler([1.0] * 20, 20)),
        UsageError,
        r"WeightedRandomSampler draws some .*; let the loss weigh them, as CrossEntropyLoss\(weight=...\) does",
    ),
    (DataLoader(Rows(Graph)), DataError, rf"found <class '.*Graph'>; {TENSORS_OF_A_BATCH}"),
    (DataLoader(Rows(Graph), collate_fn=lambda rows: rows[0]), UsageError, f"got Graph; {TENSORS_OF_A_BATCH}"),
    (([1.0, 2.0], Y), UsageError, r"got float in a list; make one tensor of all numbers"),
    (
        (pl.DataFrame({"a": [1.0, 2.0]}), Y),
        UsageError,
        r"X of train .*, got DataFrame; give what its to_numpy\(\) returns",
    ),
    (DataLoader(Rows(), sampler=SubsetRandomSampler([1, 2])), UsageError, r"such as a Subset"),
    (DataLoader(Rows(), batch_sampler=[[1, 2], [3]]), UsageError, r"whose list decides which rows there are"),
    (Streamed(), UsageError, r"train is an IterableDataset, .* DataLoader\(dataset, batch_size=32\)"),
]


@pytest.mark.parametrize("length", [1, 2])
def test_an_iterable_that_keeps_its_promise_is_read_to_its_end(length: int) -> None:
    assert source_of("train", Promising(length)).rows == 16


class Guessed(IterableDataset):
    """Says 20 rows and gives 12, as workers that each drop an end do."""

    def __len__(self) -> int:
        return 20

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(X[:12], Y[:12], strict=True)


def test_the_length_of_a_streaming_loader_is_a_guess_and_no_promise() -> None:
    assert source_of("train", DataLoader(Guessed(), batch_size=4)).rows == 12


@pytest.mark.parametrize(("given", "kind", "words"), MISTAKES, ids=[words for *_, words in MISTAKES])
def test_what_cannot_be_read_is_told_in_one_line(given, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        source_of("train", given)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_found_broken_when_it_is_read(monkeypatch) -> None:
    monkeypatch.setattr(reading, "free_bytes", lambda: 100)
    source = source_of("train", Rows(lambda at: (broken[at], 0)))
    with pytest.raises(DataError, match=r"X of train has NaN or infinite values in 1 of 2 rows, the first in row 9"):
        source.batch(torch.tensor([4, 9]))


def test_a_loader_may_bring_its_own_batches_or_a_plain_batch_sampler() -> None:
    whole = DataLoader(Rows(lambda at: (X[4 * at : 4 * at + 4], Y[4 * at : 4 * at + 4]), count=5), batch_size=None)
    assert source_of("train", whole).rows == 20
    plain = DataLoader(Rows(), batch_sampler=BatchSampler(SequentialSampler(range(20)), 7, drop_last=False))
    assert source_of("train", plain).batch_size == 7


def test_a_collate_function_that_loses_rows() -> None:
    source = source_of("train", DataLoader(Rows(), collate_fn=lambda items: default_collate(items[:1]), batch_size=4))
    with pytest.raises(
        DataError, match="train made a batch of 1 rows of 3; what collates them must keep every row; rows are cou"
    ):
        source.batch(SOME)


def test_object_arrays_and_strings_are_no_numbers() -> None:
    with pytest.raises(UsageError, match=r"y of train is an array of object; give numbers"):
        source_of("train", (X, np.array([None] * 20)))
