"""Where throughput stops growing, on curves that are given."""

import pytest

from lanewise.tuning.finders.throughput import Throughput, knee

SIZES = [8, 16, 32, 64, 128, 256, 512]


def fixed_cost(overhead: float, per_row: float) -> list[float]:
    """Rows per second where a step takes ``overhead + size * per_row``."""
    return [size / (overhead + per_row * size) for size in SIZES]


def test_the_knee_of_a_fixed_cost_per_step() -> None:
    """Nine tenths of the most are reached at nine times the overhead's worth of rows (of the largest measured)."""
    speeds = fixed_cost(overhead=10.0, per_row=1.0)
    assert knee(SIZES, speeds) == 128
    assert knee(SIZES, fixed_cost(overhead=1.0, per_row=1.0)) == 16
    assert knee(SIZES, speeds, share=0.5) == 16


def test_without_overhead_the_smallest_is_enough() -> None:
    assert knee(SIZES, fixed_cost(overhead=0.0, per_row=1.0)) == 8


def test_throughput_that_still_grows_has_its_knee_at_the_end() -> None:
    assert knee(SIZES, SIZES) == 512
    assert knee(SIZES, SIZES, share=1.0) == 512


def test_a_fall_beyond_the_top_does_not_move_it() -> None:
    """Large batches leave the cache."""
    assert knee(SIZES, [100, 190, 350, 600, 610, 400, 300]) == 64


def test_a_wobble_below_the_share_does_not_count() -> None:
    assert knee(SIZES, [100, 560, 350, 590, 600, 610, 600]) == 16


def test_rows_per_second() -> None:
    found = Throughput(sizes=(8, 32), seconds=(0.5, 1.0))
    assert found.rows_per_second == (16.0, 32.0)
    assert found.at(32) == 32.0
    with pytest.raises(ValueError, match="not in tuple"):
        found.at(16)
