"""The arithmetic of a data axis: parts of batches, what travels, and stopping together."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter


def axis(place: int = 0, size: int = 2, *, others: float = 0.0, payload: torch.dtype | None = None) -> DataAxis:
    """An axis whose other ranks give ``others`` everywhere."""

    def sums(message: Tensor) -> None:
        message.add_(others)

    return DataAxis(place=place, size=size, sums=sums, sends=lambda own: own, payload=payload)


def buffer() -> LaneBuffer:
    layout = BufferLayout.of([Parameter(name="weight", shape=(3,), fan_in=3)])
    return LaneBuffer(layout, torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 100])
def test_parts_are_all_rows_once_and_even(size: int, rows: int) -> None:
    parts = [axis(place, size).part(rows) for place in range(size)]
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    counts = [part.stop - part.start for part in parts]
    assert max(counts) - min(counts) <= 1


def test_gradients_and_losses_travel_in_one_message() -> None:
    own, held = axis(others=1.0), buffer()
    held.gradients.fill_(2.0)
    losses = own.add_gradients(held, torch.tensor([3.0, 4.0], dtype=torch.float64))
    assert losses.tolist() == [4.0, 5.0]
    assert held.gradients.tolist() == [[3.0] * 3] * 2
    assert own.exchanged == (2 * 3 + 2 + 1) * 8


def test_one_rank_that_is_told_to_stop_stops_all() -> None:
    told, other = axis(), axis(others=1.0)
    told.asked = lambda: True
    for one in (told, other):
        assert not one.stopping
        one.add_gradients(buffer(), torch.zeros(2, dtype=torch.float64))
        assert one.stopping


def test_payload_is_rounded_and_half_as_long() -> None:
    own = axis(payload=torch.bfloat16)
    message = torch.tensor([1.0, 1.0 + 2**-10])
    own.add(message)
    assert message.tolist() == [1.0, 1.0]
    assert own.exchanged == 4


def test_what_the_payload_does_to_gradients_is_measured_in_the_first_sum_only() -> None:
    own, held = axis(payload=torch.bfloat16), buffer()
    held.gradients.copy_(torch.tensor([[3.0, 4.0 + 2**-7, 0.0], [0.0, 0.0, 0.0]]))
    expected = held.gradients.clone()
    own.add_gradients(held, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert own.rounding == pytest.approx(2**-7 / 5.0, rel=1e-2)
    assert held.gradients.tolist() == [[3.0, 4.0, 0.0], [0.0] * 3]
    assert own.exchanged == 6 * 8 + 6 * 2 + 9 * 2
    held.gradients.copy_(expected / 3)
    own.add_gradients(held, torch.zeros(2, dtype=torch.float64))
    assert own.rounding == pytest.approx(2**-7 / 5.0, rel=1e-2)
    assert own.exchanged == 6 * 8 + 6 * 2 + 2 * 9 * 2


def test_other_work_is_done_while_a_sum_travels() -> None:
    said: list[str] = []

    def sums(message: Tensor) -> Callable[[], None]:
        said.append("begun")
        return lambda: said.append(f"done of {message.numel()}")

    own = DataAxis(place=0, size=2, sums=sums, sends=lambda own: own)
    own.add_gradients(buffer(), torch.zeros(2, dtype=torch.float64), meanwhile=lambda: said.append("meanwhile"))
    assert said == ["begun", "meanwhile", "done of 9"]
