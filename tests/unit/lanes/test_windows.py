"""The windowed stream of rows: every row once an epoch, the same from any place, mixed from all over the data."""

import numpy as np
import torch

from lanewise.lanes.windows import RUNS, PlacedRowStream, Placing, WindowedRowStream

RUN = 3
WINDOW = RUNS * RUN
TOTAL = 3 * WINDOW + 100
ROWS = torch.arange(TOTAL)
FOLD = ROWS[ROWS % 3 != 0]


def stream(rows=FOLD, seed=0):
    return WindowedRowStream(seed, rows, TOTAL, WINDOW)


def test_each_epoch_shows_every_row_once_in_an_order_of_its_own():
    epochs = stream().take(0, 3 * len(FOLD)).view(3, -1)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, FOLD)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(stream(seed=1).take(0, 100), epochs[0][:100])


def test_what_is_taken_does_not_depend_on_what_was_taken_before():
    whole = stream().take(0, 2 * len(FOLD))
    again = stream()
    pieces = [again.take(start, 617) for start in range(0, 2 * len(FOLD) - 617, 617)]
    assert torch.equal(torch.cat(pieces), whole[: 617 * len(pieces)])
    back = len(FOLD) - 50
    assert torch.equal(again.take(back, 100), whole[back : back + 100])
    assert torch.equal(again.take(3, 5), whole[3:8])


def test_a_window_holds_runs_from_all_over_and_is_read_run_by_run():
    rows = stream(ROWS).take(0, WINDOW - RUN)
    runs = set((rows // RUN).tolist())
    assert len(runs) <= RUNS
    assert min(runs) < 0.02 * TOTAL / RUN
    assert max(runs) > 0.98 * TOTAL / RUN
    assert len((rows[:64] // RUN).unique()) > 50  # a batch mixes the runs of its window


def test_folds_see_what_they_share_in_windows_of_the_same_runs():
    other = ROWS[ROWS % 3 != 1]
    window = set((stream().take(0, 1000) // RUN).tolist())
    both = window | set((stream(other).take(0, 1000) // RUN).tolist())
    assert len(both) <= RUNS


def test_folds_without_a_row_in_some_window_go_on():
    sparse = torch.tensor([3, 4, TOTAL - 1])
    assert torch.equal(stream(sparse).take(0, 6).view(2, 3).sort().values, sparse.expand(2, 3))


EDGES = torch.tensor([0, 1000, 1900, 1900, 3000, TOTAL])
WITHOUT = torch.arange(5, TOTAL, 7)


def placed(seed=0, without=WITHOUT):
    rows = torch.from_numpy(np.setdiff1d(np.arange(TOTAL), without))
    parts = rows.tensor_split(torch.searchsorted(rows, EDGES[1:-1]))
    return PlacedRowStream(seed, torch.tensor([len(part) for part in parts]), parts.__getitem__)


def test_a_placed_epoch_shows_every_row_once_window_after_window():
    rows = np.setdiff1d(np.arange(TOTAL), WITHOUT)
    epochs = placed().take(0, 3 * len(rows)).view(3, -1)
    for epoch in epochs:
        np.testing.assert_array_equal(epoch.sort().values, rows)
        windows = torch.searchsorted(EDGES, epoch, right=True)
        assert len(windows.unique_consecutive()) == 4
    assert not torch.equal(epochs[0], epochs[1])


def test_what_is_taken_of_placed_rows_does_not_depend_on_what_was_taken_before():
    whole = placed().take(0, 9000)
    again = placed()
    pieces = [again.take(start, 617) for start in range(0, 9000 - 617, 617)]
    assert torch.equal(torch.cat(pieces), whole[: 617 * len(pieces)])
    assert torch.equal(again.take(8000, 100), whole[8000:8100])
    assert torch.equal(again.take(3, 5), whole[3:8])


def test_seeds_and_folds_see_the_same_windows_in_orders_of_their_own():
    first, second, other = placed(0), placed(1), placed(0, WITHOUT[:300])
    taken = [stream.take(0, 300) for stream in (first, second, other)]
    assert len({int(window) for part in taken for window in torch.searchsorted(EDGES, part, right=True)}) == 1
    assert not torch.equal(taken[0], taken[1])
    assert first.following == second.following == other.following
    for stream in (first, second, other):
        window, _ = stream.following
        after = stream.take(1100, 50)
        assert ((after >= EDGES[window]) & (after < EDGES[window + 1])).any()


def test_rows_are_placed_evenly_and_by_their_number_alone():
    whole = Placing(windows=7, seed=3).of(0, 70_000)
    parts = [Placing(windows=7, seed=3).of(start, 10_000) for start in range(0, 70_000, 10_000)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    counts = np.bincount(whole, minlength=7)
    assert abs(counts - 10_000).max() < 5 * np.sqrt(10_000)
    # Neighbours do not stay together: pairs of windows are as even.
    pairs = np.bincount(7 * whole[:-1] + whole[1:], minlength=49)
    assert ((pairs - 70_000 / 49) ** 2 / (70_000 / 49)).sum() < 95  # 48 degrees of freedom: 1 in 10,000
    assert (Placing(windows=7, seed=4).of(0, 1000) != whole[:1000]).any()
