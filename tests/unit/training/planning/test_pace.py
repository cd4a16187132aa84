"""What a busy machine leaves is seen in processor time."""

import threading
import time

import pytest

from lanewise.training.planning import pace


def test_half_of_the_time_of_each_thread_is_a_pace_of_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    now = threading.local()

    def clock(share: float) -> float:
        now.ticks = getattr(now, "ticks", 0) + 1
        return share * now.ticks / 100

    monkeypatch.setattr(time, "perf_counter", lambda: clock(1.0))
    monkeypatch.setattr(time, "thread_time", lambda: clock(0.5))
    assert pace.pace_of(2) == pytest.approx(0.5, abs=0.1)


def test_it_is_never_more_than_one_nor_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_busy", lambda: 1.02)
    assert pace.pace_of(2) == 1.0
    monkeypatch.setattr(pace, "_busy", lambda: 0.0)
    assert pace.pace_of(2) == pace.LEAST_PACE
