"""What a trial measures: seconds of the clock to plan with, processor time to compare with."""

import time
from types import SimpleNamespace
from typing import Any

from lanewise.training.planning import trials


def test_waiting_is_time_of_the_clock_and_not_of_the_processor():
    asleep: Any = SimpleNamespace(fraction=0.0, length=100, warm_up=2, advance=lambda fraction: time.sleep(0.05))
    clock, processor = trials._timed(asleep, 2)
    assert clock >= 0.025
    assert processor < clock / 2


def test_work_is_both():
    def work(fraction: float) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    busy: Any = SimpleNamespace(fraction=0.0, length=100, warm_up=2, advance=work)
    clock, processor = trials._timed(busy, 2)
    assert clock >= processor >= 0.025
    assert 0 < trials._share_of_a_core() <= 1
