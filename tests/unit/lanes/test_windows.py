"""The windowed stream of rows: every row once an epoch, the same from any place, mixed from all over the data."""

import torch

from lanewise.lanes.windows import RUNS, WindowedRowStream

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
