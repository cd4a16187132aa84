"""What ranks compare of their data: all of a small table, some rows of a large one."""

import pytest
import torch

from lanewise.one_model import agreed
from lanewise.one_model.agreed import COMPARED, rows_told
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
