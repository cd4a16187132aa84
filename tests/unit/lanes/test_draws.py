import pytest
import torch

from lanewise.lanes.draws import RowStream, generator


def test_a_draw_depends_on_its_key_only() -> None:
    first = torch.rand(3, generator=generator(7, "dropout", "layer0", 3))
    assert torch.equal(first, torch.rand(3, generator=generator(7, "dropout", "layer0", 3)))
    for other in ((8, "dropout", "layer0", 3), (7, "dropout", "layer1", 3), (7, "dropout", "layer0", 4), (7, "init")):
        assert not torch.equal(first, torch.rand(3, generator=generator(other[0], *other[1:])))


def test_a_draw_is_the_same_on_any_machine() -> None:
    assert torch.randperm(6, generator=generator(0, "rows", 0)).tolist() == [5, 3, 4, 1, 0, 2]


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_batches_are_pieces_of_one_stream_whatever_their_size(size: int) -> None:
    rows = torch.tensor([0, 2, 3, 5, 8])
    stream = RowStream(3, rows, 10)
    whole = RowStream(3, rows, 10).take(0, 40)
    pieces = [stream.take(start, min(size, 40 - start)) for start in range(0, 40, size)]
    assert torch.equal(torch.cat(pieces), whole)


def test_every_epoch_shows_each_row_once_in_a_new_order() -> None:
    rows = torch.tensor([1, 4, 6, 7, 9])
    stream = RowStream(0, rows, 10)
    epochs = [stream.take(5 * epoch, 5).tolist() for epoch in range(6)]
    assert all(sorted(epoch) == rows.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_folds_see_the_rows_that_they_share_in_the_same_order() -> None:
    shared = {2, 3, 5}
    one = [row for row in RowStream(1, torch.tensor([0, 1, 2, 3, 5]), 8).take(0, 5).tolist() if row in shared]
    two = [row for row in RowStream(1, torch.tensor([2, 3, 5, 6, 7]), 8).take(0, 5).tolist() if row in shared]
    assert one == two


def test_going_back_gives_the_same_rows() -> None:
    stream = RowStream(0, torch.arange(5), 5)
    early = stream.take(2, 6)
    stream.take(40, 3)
    assert torch.equal(stream.take(2, 6), early)
