"""What ranks compare before they train one model: its layers, all of a small table, some rows of a large one."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.one_model import agreed
from lanewise.one_model.agreed import COMPARED, check_same_model, rows_told
from lanewise.tuning.inputs.sources import Source


def source(x: torch.Tensor) -> Source:
    return Source(name="data", rows=len(x), table=(x, x))


def test_any_row_of_a_small_table_tells_it_apart() -> None:
    x = torch.zeros(1000)
    assert len({rows_told(source(x + (torch.arange(1000) == place))) for place in range(0, 1000, 37)}) == 28


def test_data_that_differ_in_the_first_or_the_last_row_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreed, "COMPARED_BYTES", 1000)
    x = torch.zeros(1000)
    told = {rows_told(source(x))}
    for place in (0, -1):
        other = x.clone()
        other[place] = 1.0
        told.add(rows_told(source(other)))
    assert len(told) == 3
    assert rows_told(source(x[:1])) is not None
    assert rows_told(source(x[:COMPARED])) is not None


def test_the_last_row_is_found_where_single_precision_would_round_beyond_it() -> None:
    rows = 2**24 + 4  # its last row, an odd number, would become the next even one
    assert rows_told(source(torch.zeros(1, 1).expand(rows, 1))) is not None


class Side:
    """A rank that is a thread beside the others of a ``board``."""

    def __init__(self, rank: int, board: list[bytes], barrier: Barrier) -> None:
        self.rank, self.board, self.barrier = rank, board, barrier

    def gather(self, own: bytes) -> list[bytes]:
        self.board[self.rank] = own
        self.barrier.wait()
        heard = list(self.board)
        self.barrier.wait()
        return heard


def refused(*models: nn.Module) -> list[str]:
    """What each rank says of the models."""
    board, barrier = [b""] * len(models), Barrier(len(models))

    def checked(rank: int) -> str:
        try:
            check_same_model(models[rank], cast("Any", Side(rank, board, barrier)))
        except UsageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(models)) as pool:
        return list(pool.map(checked, range(len(models))))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), ""),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
            "rank 1 has a model with 2.weight of shape (2, 4), float32, that of rank 0 has 2.weight of shape (1, 4), "
            "float32; start all ranks with the same command, data and versions",
        ),
        (
            nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)),
            "rank 1 has a model with layer 1 Tanh, that of rank 0 has layer 1 ReLU; start",
        ),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU()),
            "rank 1 has a model with nothing more, that of rank 0 has layer 2 Linear; start",
        ),
    ],
)
def test_the_first_layer_or_weight_that_differs_is_told_on_all_ranks(other: nn.Module, words: str) -> None:
    own = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    one, two = refused(own, other)
    assert one == two
    assert one.startswith(words)
    assert bool(one) == bool(words)
