"""Which share of its cores a machine leaves to a run: what else it does makes every second shorter."""

import hashlib
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

PACE_SECONDS = 0.1
"""How long cores are kept busy to see that: several turns of a scheduler."""

LEAST_PACE = 0.1
"""No plan is made for less: a moment may tell anything."""

BLOCK = bytes(2**18)


def pace_of(threads: int) -> float:
    """Processor seconds that each of so many busy ``threads`` gets in a second of the clock: 1 on a free machine.

    >>> 0.1 <= pace_of(1) <= 1.0
    True
    """
    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(lambda _: _busy(), range(threads)))
    return min(1.0, max(LEAST_PACE, statistics.fmean(shares)))


def _busy() -> float:
    started, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() - started < PACE_SECONDS:
        hashlib.sha256(BLOCK)  # which lets other threads of this process go on
    processor = time.thread_time() - used  # within what the clock is read around
    return processor / (time.perf_counter() - started)
